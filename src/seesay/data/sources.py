"""Sources: `read` makes examples of what people have: tables, folders of pictures, tar shards."""

import gc
import glob
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seesay.data import columns as roles
from seesay.data import folders, tables, video
from seesay.data.decode import EXTENSIONS
from seesay.data.examples import Broken, Reader
from seesay.data.finder import Finder
from seesay.data.tables import Table
from seesay.errors import DataError, nearest
from seesay.footage import VideoConfig
from seesay.records import Example

__all__ = ["Broken", "Source", "read"]

FILES = (*tables.READERS, ".tar")
PACKED = (".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar")
SHOWN = 5  # reasons that an error lists
MORE_BROKEN = (
    "allow more: limit_broken = 0.2 (train: --set data.limit_broken=0.2; eval: --limit-broken 0.2)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """What was read: the examples, the rows left out, and how the data was understood.

    `path` is the file that was chosen, `columns` maps roles to the columns they were found in, and
    `rows` counts the rows: one may hold several examples (captions), or be broken.
    """

    examples: list[Example]
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
) -> Source:
    """Examples from a file, a folder or a pattern such as `train-*.tar`.

    Args:
        source: CSV, TSV, JSONL, JSON (a list; LLaVA's conversations too), Parquet, webdataset tar
            shards, or a folder that holds one of these, pictures with a `.txt` beside each, or a
            folder for each class.
        columns: which column is what, where the names do not say: {"image": "foto"}. The roles are
            image, video, question, sentence, answer, label, caption, conversation, options, kind.
        limit_broken: the share of rows that may be broken; they are left out and listed.
        task: read the rows for this task (caption, vqa, classify, dialogue), or name them so.
        root: where pictures are named from, and must lie; the table's own folder if not given.
        footage: which frames of a video are looked at.

    Raises:
        DataError: nothing there, not to be understood, or too many broken rows.
    """
    with _collector_paused():
        return _read(source, columns, limit_broken, task, root, footage)


def _read(
    source: str | Path,
    columns: Mapping[str, str] | None,
    limit_broken: float,
    task: str | None,
    root: str | Path | None,
    footage: VideoConfig | None,
) -> Source:
    table = _table(source)
    found = roles.find(table.columns, columns, task=task, where=table.path)
    finder = Finder(
        Path(root) if root else table.root, where=table.path, footage=footage, moving=found.moving
    )
    reader = Reader(found, finder, table.classes, task)
    examples, broken, rows = reader.read(table.rows(found.wanted))
    if not rows:
        raise DataError("no rows under its header", where=table.path, fix="write some")
    if len(broken) > limit_broken * rows:
        raise _too_many(table, broken, rows, limit=limit_broken, root=finder.root)
    return Source(examples, broken, rows, table.format, found.found, table.path)


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


def _table(source: str | Path) -> Table:
    path = Path(source).expanduser()
    if path.is_dir():
        return folders.table(path)
    if not path.exists() and glob.has_magic(str(path)):
        return _matching(path)
    _readable(path)
    return folders.opened([path])


def _matching(pattern: Path) -> Table:
    paths = [Path(name) for name in sorted(glob.glob(str(pattern)))]
    if not paths:
        raise DataError("no file matches it", where=str(pattern), fix=_siblings(pattern))
    for path in paths:
        _readable(path)
    endings = {path.suffix.lower() for path in paths}
    if len(endings) > 1:
        what = f"files of {len(endings)} kinds match: {', '.join(sorted(endings))}"
        raise DataError(what, where=str(pattern), fix="match one kind")
    return folders.opened(paths)


def _readable(path: Path) -> None:
    ending = path.suffix.lower()
    if not path.exists():
        raise DataError("no such file or folder", where=str(path), fix=_siblings(path))
    if ending in (*EXTENSIONS, *video.EXTENSIONS):
        fix = "give the folder or the table that it belongs to"
        what = "video" if ending in video.EXTENSIONS else "picture"
        raise DataError(f"a single {what}, not a data set", where=str(path), fix=fix)
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
