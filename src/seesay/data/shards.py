"""Shards: webdataset tar files -> rows; the files of one name are one sample."""

import json
import tarfile
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seesay.data import decode, video, within
from seesay.data.groups import mark
from seesay.data.spool import Spool
from seesay.data.tables import Row, Table, decoded
from seesay.errors import DataError, PictureError
from seesay.records import Origin, Span, Stamp

EXTENSIONS = (*decode.EXTENSIONS, *video.EXTENSIONS)
# A file's ending -> the column that its text is.
TEXTS = {".txt": "caption", ".cls": "label"}
ENDINGS = (*TEXTS, ".json")
BLOCK = 512  # bytes; a tar file is made of such
_AGAIN = "write or download it again"


class _Member(NamedTuple):
    """A file in a tar file: its sample's name, its ending, and which bytes it is."""

    key: str
    ending: str
    start: int
    size: int


def table(paths: Sequence[Path], root: Path | None = None) -> Table:
    """The samples of tar shards: pictures with `.json`, `.txt` (caption) or `.cls` (class) beside.

    Texts are read at once; pictures when the rows are, and again when they are looked at: what a
    row holds of them is where they lie. Of several shards, one that cannot be read is a broken row.

    Raises:
        DataError: not a tar file, cut short, or without samples.
    """
    samples, stamps, columns, lost = Spool(), {}, {"image": None}, list[Row]()
    first: DataError | None = None
    for number, path in enumerate(paths):
        try:
            stamps[number], names = _indexed(path, number, samples)
            columns |= names
        except DataError as error:
            first = first or error
            lost.append((Origin(str(path)), f"{error.what}; {error.fix}"))
    if first and not stamps:
        raise first
    where = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if not len(samples):
        fix = f"needed: 0001.png and 0001.json; pictures end in {', '.join(EXTENSIONS)}"
        raise DataError("no samples in it", where=where, fix=fix)

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        yield from lost
        for number, key, row, places in samples:
            origin = Origin(f"{paths[number]}/{key}")
            if isinstance(row, str) or "image" not in wanted:
                yield origin, row
            else:
                yield origin, _with_pictures(row, stamps[number], places, str(origin))

    return Table(where, "tar shards", tuple(columns), rows, root or paths[0].parent)


def _indexed(path: Path, number: int, samples: Spool) -> tuple[Stamp, dict[str, None]]:
    """Add the samples of a shard, and give their columns. Where the disk fails, once more.

    Raises:
        DataError: as `table`; nothing is added then.
    """
    before = len(samples)
    for attempt in range(1, within.TRIES + 1):
        try:
            return within.stamp(path), _add(path, number, samples)
        except DataError:
            samples.cut(before)
            raise
        except OSError as error:
            samples.cut(before)
            if attempt == within.TRIES:
                what = f"cannot be read in {attempt} tries: {error.strerror or error}"
                raise DataError(what, where=str(path), fix=_AGAIN) from None
            time.sleep(within.PAUSE * 2 ** (attempt - 1))
    raise AssertionError


def _add(path: Path, number: int, samples: Spool) -> dict[str, None]:
    names: dict[str, None] = {}
    before, marks = len(samples), array("Q")
    with open(path, "rb") as file:
        for gather in (_runs, _gathered):
            for key, members in gather(_members(path)):
                marks.append(mark(key))
                row, places = _sample(key, members, file)
                names.update(dict.fromkeys(row if not isinstance(row, str) else ()))
                samples.add([number, key, row, places])
            if len(np.unique(marks)) == len(marks):
                break
            # The files of a sample do not follow each other: it takes a list of all to join them.
            samples.cut(before)
            del marks[:]
    return names


def _runs(members: Iterable[_Member]) -> Iterator[tuple[str, list[_Member]]]:
    """Members by their samples, where those of one follow each other."""
    own: list[_Member] = []
    for member in members:
        if own and member.key != own[0].key:
            yield own[0].key, own
            own = []
        own.append(member)
    if own:
        yield own[0].key, own


def _gathered(members: Iterable[_Member]) -> Iterator[tuple[str, list[_Member]]]:
    """Members by their samples, in whichever order."""
    several: dict[str, list[_Member]] = {}
    for member in members:
        several.setdefault(member.key, []).append(member)
    yield from several.items()


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        tar = tarfile.open(path, "r:")
    except (tarfile.TarError, EOFError) as error:
        fix = f"{_AGAIN}; a .tar.gz is unpacked first"
        raise DataError(f"not a tar file: {error}", where=str(path), fix=fix) from None
    with tar:
        yield tar


def _members(path: Path) -> Iterator[_Member]:
    """The files of a tar file that are pictures or texts, one at a time.

    Raises:
        DataError: it is cut short.
    """
    known = (*EXTENSIONS, *ENDINGS)
    end, count = 0, 0
    with _tar(path) as tar:
        try:
            while (info := tar.next()) is not None:
                vars(tar)["members"] = []  # or it would keep them all
                end, count = info.offset_data + -(-info.size // BLOCK) * BLOCK, count + 1
                if info.isfile() and info.name.lower().endswith(known):
                    yield _Member(*_key(info.name), info.offset_data, info.size)
        except (tarfile.TarError, EOFError) as error:
            what = f"cut short: {error} ({_size(path)} bytes)"
            raise DataError(what, where=str(path), fix=_AGAIN) from None
    if not _ends_at(path, end):
        what = f"cut short: no end after its {count} files, at byte {end} of {_size(path)}"
        raise DataError(what, where=str(path), fix=_AGAIN)


def _size(path: Path) -> int:
    return path.stat().st_size


def _ends_at(path: Path, offset: int) -> bool:
    """Whether the block of zeros that ends a tar file is there: `tarfile` takes less for an end."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(BLOCK) == bytes(BLOCK)


def _key(name: str) -> tuple[str, str]:
    """A member's sample and its ending: what comes before and after the first dot."""
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.partition(".")
    return folder + slash + stem, dot + ending.lower()


def _sample(
    key: str, members: Sequence[_Member], file: BufferedReader
) -> tuple[Mapping[str, Any] | str, list[tuple[int, int]]]:
    """The columns in a sample's texts, or why they cannot be read; and where its pictures lie."""
    files = {member.ending: member for member in members}
    if len(files) < len(members):
        return "two files of the same name", []
    pictures = [files[ending] for ending in sorted(files) if ending.endswith(EXTENSIONS)]
    texts = {e: partial(_content, file, m) for e, m in files.items() if e.endswith(ENDINGS)}
    return fields(texts, key), [(picture.start, picture.size) for picture in pictures]


def _content(file: BufferedReader, member: _Member) -> bytes:
    file.seek(member.start)
    return file.read(member.size)


def fields(texts: Mapping[str, Callable[[], bytes]], name: str) -> Mapping[str, Any] | str:
    """The columns in the text files of a sample (ending -> content), or why they cannot be read."""
    found: dict[str, Any] = {}
    for ending, content in texts.items():
        try:
            text = decoded(content(), name + ending)
            found |= _json(text) if ending.endswith(".json") else {_column(ending): text}
        except DataError as error:
            return f"{Path(name).name}{ending} is {error.what}"
        except (ValueError, RecursionError) as error:
            return f"{Path(name).name}{ending} is not JSON: {error}"
    return found


def _column(ending: str) -> str:
    return next(column for last, column in TEXTS.items() if ending.endswith(last))


def _json(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__}; expected an object with named columns")
    return value


def _with_pictures(
    row: Mapping[str, Any], file: Stamp, places: Sequence[Sequence[int]], where: str
) -> Mapping[str, Any] | str:
    """A row with its pictures, or why they cannot be read."""
    spans = [Span(file, start, size) for start, size in places]
    try:
        pictures = [within.lying(within.read(span, where=where), span) for span in spans]
    except PictureError as error:
        return error.what
    return {**row, "image": pictures}
