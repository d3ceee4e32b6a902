"""Sources: `read` makes examples of what people have: tables, folders of pictures, tar shards."""

import gc
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from seesay.data import coco, folders, hub, objects, patterns, remote, video
from seesay.data import columns as roles
from seesay.data.decode import EXTENSIONS
from seesay.data.examples import Broken, Reader
from seesay.data.finder import Finder
from seesay.data.remote import Say
from seesay.data.tables import Row, Table
from seesay.errors import DataError, nearest
from seesay.footage import VideoConfig
from seesay.records import Example

__all__ = ["Broken", "Source", "read"]

FILES = (*folders.READERS, ".tar")
PACKED = (".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar")
SHOWN = 5  # reasons that an error lists
LOOKED_AT = 100  # rows that tell whether a column holds boxes
MORE_BROKEN = (
    "allow more: limit_broken = 0.2 (train: --set data.limit_broken=0.2; eval: --limit-broken 0.2)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """What was read: the examples, the rows left out, and how the data was understood.

    `path` is the file that was chosen, `columns` maps roles to the columns they were found in, and
    `rows` counts the rows: one may hold several examples (captions), or be broken.
    """

    examples: Sequence[Example]
    broken: list[Broken]
    rows: int
    format: str
    columns: Mapping[str, str]
    path: str

    @property
    def summary(self) -> str:
        """One line: what was read, as what, from which columns."""
        used = ", ".join(f"{role}: {name}" for role, name in self.columns.items())
        skipped = f", {len(self.broken)} broken rows left out" if self.broken else ""
        return f"{self.path}: {self.format}, {len(self.examples)} examples ({used}){skipped}"


def read(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    limit_broken: float = 0.05,
    task: str | None = None,
    root: str | Path | None = None,
    footage: VideoConfig | None = None,
    say: Say = lambda text: None,
) -> Source:
    """Examples from a file, a folder or a pattern such as `train-*.tar`.

    Args:
        source: CSV, TSV, JSONL, JSON (a list; LLaVA's conversations too), Parquet, Arrow, an
            annotation set (COCO, RefCOCO, VQA, GQA, NLVR), webdataset tar shards, or a folder that
            holds one of these, pictures with a `.txt` beside each, a folder for each class, or what
            Hugging Face's `save_to_disk` wrote. Braces (`train-{000..009}.tar`), addresses of
            shards and Parquet (`https://`, `s3://`) and data sets of Hugging Face's hub
            (`hf://datasets/owner/name:train`). `:train` after a file takes that split of it.
        columns: which column is what, where the names do not say: {"image": "foto"}. The roles are
            image, video, question, sentence, answer, label, caption, conversation, options, boxes,
            corners, reasoning, kind.
        limit_broken: the share of rows that may be broken; they are left out and listed.
        task: read the rows for this task (caption, vqa, ground, classify, dialogue), or name them
            so.
        root: where pictures are named from, and must lie; the table's own folder if not given.
        footage: which frames of a video are looked at.
        say: told what takes long: what is being fetched.

    Raises:
        DataError: nothing there, not to be understood, or too many broken rows.
    """
    with _collector_paused():
        opened = open_rows(
            source, columns=columns, task=task, root=root, footage=footage, say=say
        )
        return _read(opened, limit_broken)


@dataclass(frozen=True, slots=True)
class Opened:
    """A source whose rows are still to be read: its table, what its columns mean, its reader."""

    table: Table
    columns: roles.Columns
    reader: Reader

    def check(self, broken: list[Broken], rows: int, *, limit_broken: float) -> None:
        """See that there were rows, and no more of them broken than may be.

        Raises:
            DataError: none, or more.
        """
        if not rows:
            raise DataError("no rows under its header", where=self.table.path, fix="write some")
        if len(broken) > limit_broken * rows:
            root = self.reader.finder.root
            raise _too_many(self.table, broken, rows, limit=limit_broken, root=root)


def _read(opened: Opened, limit_broken: float) -> Source:
    table, found = opened.table, opened.columns
    examples, broken, rows = opened.reader.read(table.rows(found.wanted))
    opened.check(broken, rows, limit_broken=limit_broken)
    if not examples and not broken:
        raise DataError(f"{rows} rows without a box", where=table.path, fix="give some that have")
    return Source(examples, broken, rows, table.format, found.found, table.path)


def open_rows(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    root: str | Path | None = None,
    hold: bool = True,
    footage: VideoConfig | None = None,
    say: Say = lambda text: None,
) -> Opened:
    """A source, to be read row by row.

    Args:
        source, columns, task, root, footage, say: as for `read`.
        hold: keep pictures that are no files, so that rows with the same one share it. Who passes
            through the rows once, and keeps none, needs no memory for them without it.

    Raises:
        DataError: nothing there, or not to be understood.
    """
    table = _table(str(source), Path(root) if root else None, say)
    _check_split(table)
    named = _unlike_boxes(table, columns or {})
    found = roles.find(named, columns, task=task, where=table.path)
    how = {"hold": hold, "footage": footage, "moving": found.moving}
    finder = Finder(table.root, where=table.path, **how)
    return Opened(table, found, Reader(found, finder, table.classes, task))


def _unlike_boxes(table: Table, given: Mapping[str, str]) -> list[str]:
    """The columns, without those that are called as boxes are and hold something else."""
    called = [name for name in table.columns if roles.called(name, roles.PLACES)]
    other = [name for name in called if name not in given.values() and not _boxes_in(table, name)]
    return [name for name in table.columns if name not in other]


def _boxes_in(table: Table, name: str) -> bool:
    """Whether some of a column's first cells say boxes."""
    first = islice(table.rows([name]), LOOKED_AT)
    cells = [row.get(name) for _, row in first if not isinstance(row, str)]
    return not cells or any(map(objects.holds_boxes, cells))


@contextmanager
def _collector_paused() -> Iterator[None]:
    # Half the time would go to looking for garbage among rows that are all kept.
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _table(source: str, root: Path | None, say: Say) -> Table:
    if hub.is_address(source):
        return hub.table(source, root)
    if remote.is_address(source):
        return remote.table(source, root, say=say)
    path = Path(source).expanduser()
    if path.exists():
        return _local(path, root)
    if patterns.is_pattern(str(path)):
        return _matching(path, root)
    file, colon, split = str(path).rpartition(":")
    if colon and Path(file).is_file():
        return _of_split(_local(Path(file), root), split)
    return _local(path, root)


def _local(path: Path, root: Path | None) -> Table:
    if path.is_dir():
        return folders.table(path, root)
    _readable(path)
    return folders.opened([path], root)


def _of_split(table: Table, split: str) -> Table:
    """The rows of a table whose column `split` says so.

    Raises:
        DataError: it has no such column, or no such split.
    """
    column = next((name for name in table.columns if name.lower() == "split"), "")
    counts = _splits(table, column) if column else {}
    if split not in counts:
        fix = f"there are: {', '.join(counts)}" if counts else "a column 'split' says what is what"
        raise DataError(f"no split '{split}'", where=table.path, fix=fix)

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        for origin, row in table.rows([*wanted, column]):
            if isinstance(row, str) or str(row.get(column)) == split:
                yield origin, row

    return replace(table, path=f"{table.path}:{split}", rows=rows, split="")


def _splits(table: Table, column: str) -> dict[str, int]:
    """How many rows each split has."""
    rows = (row for _, row in table.rows([column]) if not isinstance(row, str))
    return dict(Counter(str(row[column]) for row in rows if row.get(column)))


def _check_split(table: Table) -> None:
    """See that rows of several splits are not mixed."""
    counts = _splits(table, table.split) if table.split else {}
    if len(counts) > 1:
        listed = ", ".join(f"{name} ({count} rows)" for name, count in counts.items())
        first = "train" if "train" in counts else next(iter(counts))
        fix = f"say which, such as {table.path}:{first}"
        raise DataError(f"it holds {len(counts)} splits: {listed}", where=table.path, fix=fix)


def _matching(pattern: Path, root: Path | None) -> Table:
    paths = patterns.files(str(pattern))
    if not paths:
        raise DataError("no file matches it", where=str(pattern), fix=_siblings(pattern))
    for path in paths:
        _readable(path)
    endings = {path.suffix.lower() for path in paths}
    if len(endings) > 1:
        what = f"files of {len(endings)} kinds match: {', '.join(sorted(endings))}"
        raise DataError(what, where=str(pattern), fix="match one kind")
    return folders.opened(paths, root)


def _readable(path: Path) -> None:
    ending = path.suffix.lower()
    if not path.exists():
        raise DataError("no such file or folder", where=str(path), fix=_siblings(path))
    if ending in (*EXTENSIONS, *video.EXTENSIONS):
        fix = "give the folder or the table that it belongs to"
        what = "video" if ending in video.EXTENSIONS else "picture"
        raise DataError(f"a single {what}, not a data set", where=str(path), fix=fix)
    if ending in folders.PICKLES:
        what = "a pickle, which could run any program: it is not opened"
        raise DataError(what, where=str(path), fix=coco.CONVERT)
    if ending in PACKED:
        raise DataError(f"'{ending}' is packed", where=str(path), fix="unpack it first")
    if ending not in FILES:
        what = f"unknown ending '{ending}'" if ending else "a file without an ending"
        fix = f"needed: {', '.join(FILES)}, or a folder"
        raise DataError(what, where=str(path), fix=fix)
    if not path.is_file():
        raise DataError("not a file", where=str(path))
    if not os.access(path, os.R_OK):
        raise DataError("cannot be read: permission denied", where=str(path))


def _siblings(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    names = sorted(name for name in os.listdir(path.parent) if not name.startswith("."))
    return nearest(path.name, names[:1000]) if names else f"{path.parent} is empty"


def _too_many(table: Table, broken: list[Broken], rows: int, *, limit: float,
              root: str) -> DataError:  # fmt: skip
    reasons = "".join(f"\n    {each.origin}: {each.why}" for each in broken[:SHOWN])
    more = f"\n    and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    fix = f"mend or delete them, or {MORE_BROKEN}"
    if 2 * sum("no picture '" in each.why for each in broken) > len(broken):
        fix = f"pictures are looked for in {root}: put the table where they are named from"
    return DataError(
        f"{len(broken)} of {rows} rows are broken ({len(broken) / rows:.1%}); "
        f"the limit is {limit:.1%}:{reasons}{more}",
        where=table.path,
        fix=fix,
    )
