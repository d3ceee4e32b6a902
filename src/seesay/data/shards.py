"""Shards: webdataset tar files -> rows; the files of one name are one sample."""

import json
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seesay.data import decode, video
from seesay.data.tables import Row, Table, decoded
from seesay.errors import DataError
from seesay.records import Origin

EXTENSIONS = (*decode.EXTENSIONS, *video.EXTENSIONS)
# A file's ending -> the column that its text is.
TEXTS = {".txt": "caption", ".cls": "label"}
ENDINGS = (*TEXTS, ".json")
BLOCK = 512  # bytes; a tar file is made of such


def table(paths: Sequence[Path], root: Path | None = None) -> Table:
    """The samples of tar shards: pictures with `.json`, `.txt` (caption) or `.cls` (class) beside.

    Texts are read at once, pictures when the rows are. Of several shards, one that cannot be read
    is a broken row.

    Raises:
        DataError: not a tar file, cut short, or without samples.
    """
    samples, lost = _indexed(paths)
    columns: dict[str, None] = {"image": None}
    for found in samples.values():
        for _, row, _ in found:
            columns.update(dict.fromkeys(row if not isinstance(row, str) else ()))
    where = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    if not any(samples.values()):
        fix = f"needed: 0001.png and 0001.json; pictures end in {', '.join(EXTENSIONS)}"
        raise DataError("no samples in it", where=where, fix=fix)

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        yield from lost
        for path, found in samples.items():
            yield from _with_pictures(path, found)

    return Table(where, "tar shards", tuple(columns), rows, root or paths[0].parent)


_Sample = tuple[Origin, Mapping[str, Any] | str, list[tarfile.TarInfo]]


def _indexed(paths: Sequence[Path]) -> tuple[dict[Path, list[_Sample]], list[Row]]:
    """The samples of each shard, and the shards that cannot be read."""
    samples: dict[Path, list[_Sample]] = {}
    lost: list[Row] = []
    first: DataError | None = None
    for path in paths:
        try:
            samples[path] = _index(path)
        except DataError as error:
            first = first or error
            lost.append((Origin(str(path)), f"{error.what}; {error.fix}"))
    if first and not samples:
        raise first
    return samples, lost


def _index(path: Path) -> list[_Sample]:
    with _tar(path) as tar:
        files: dict[str, dict[str, tarfile.TarInfo]] = {}
        twice = set()
        for member in _members(tar, path):
            key, ending = _key(member.name)
            twice |= {key} if ending in files.setdefault(key, {}) else set()
            files[key][ending] = member
        return [_sample(path, key, found, tar, twice=key in twice) for key, found in files.items()]


def _tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:")
    except (tarfile.TarError, OSError, EOFError) as error:
        fix = "write or download it again; a .tar.gz is unpacked first"
        raise DataError(f"not a tar file: {error}", where=str(path), fix=fix) from None


def _members(tar: tarfile.TarFile, path: Path) -> list[tarfile.TarInfo]:
    known = (*EXTENSIONS, *ENDINGS)
    fix = "write or download it again"
    try:
        members = tar.getmembers()
    except (tarfile.TarError, OSError, EOFError) as error:
        what = f"cut short: {error} ({_size(path)} bytes)"
        raise DataError(what, where=str(path), fix=fix) from None
    end = max((m.offset_data + -(-m.size // BLOCK) * BLOCK for m in members), default=0)
    if not _ends_at(path, end):
        what = f"cut short: no end after its {len(members)} files, at byte {end} of {_size(path)}"
        raise DataError(what, where=str(path), fix=fix)
    return [m for m in members if m.isfile() and m.name.lower().endswith(known)]


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


def _sample(path: Path, key: str, files: Mapping[str, tarfile.TarInfo], tar: tarfile.TarFile, *,
            twice: bool) -> _Sample:  # fmt: skip
    origin = Origin(f"{path}/{key}")
    pictures = [files[ending] for ending in sorted(files) if ending.endswith(EXTENSIONS)]
    if twice:
        return origin, "two files of the same name", pictures
    texts = {e: partial(_content, tar, m) for e, m in files.items() if e.endswith(ENDINGS)}
    return origin, fields(texts, key), pictures


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


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


def _with_pictures(path: Path, samples: Sequence[_Sample]) -> Iterator[Row]:
    with open(path, "rb") as file:
        for origin, row, members in samples:
            if isinstance(row, str):
                yield origin, row
                continue
            pictures = []
            for member in members:
                file.seek(member.offset_data)
                pictures.append(file.read(member.size))
            yield origin, {**row, "image": pictures}
