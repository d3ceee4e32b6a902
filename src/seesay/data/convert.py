"""Convert: any data set that can be read -> one of a chosen layout, row by row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from seesay import writing
from seesay.data.ahead import Seen, unseen
from seesay.data.beside import Beside
from seesay.data.examples import Broken, Item
from seesay.data.finder import Refused
from seesay.data.parquet import Parquet
from seesay.data.remote import Say
from seesay.data.sources import Opened, open_rows
from seesay.data.telling import Telling
from seesay.data.writers import SHARD, Lines, Llava, Shards, Writer
from seesay.errors import DataError, nearest

# Layout -> what makes a writer of it, from its folder and what `Beside` knows of pictures.
LAYOUTS: dict[str, Callable[..., Writer]] = {
    "jsonl": Lines,
    "parquet": Parquet,
    "tar": Shards,
    "imagefolder": partial(Lines, folder_of=True),
    "llava": Llava,
}
STEM = "data"  # what tables and shards are called


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written: `lost` are columns left out, for they would be read as something else."""

    folder: str
    layout: str
    files: list[str]
    rows: int
    pictures: int
    broken: list[Broken]
    lost: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an origin is `file:row`."""
        named = {name: getattr(self, name) for name in self.__slots__}
        broken = [{"where": str(each.origin), "why": each.why} for each in self.broken]
        return named | {"broken": broken}


def convert(
    source: str | Path,
    out: str | Path,
    *,
    to: str,
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    root: str | Path | None = None,
    shard: int = SHARD,
    limit_broken: float = 0.05,
    say: Say = lambda text: None,
    seen: Seen = unseen,
) -> Converted:
    """Write a data set in another layout; reading it again gives the same examples.

    One picture at a time is in memory, or as many as one row group of Parquet has. Pictures are not
    decoded: they are written as they are.

    Args:
        source, columns, task, root, limit_broken, say: as for `read`.
        out: the folder to write, new or empty; it appears whole or not at all.
        to: one of `LAYOUTS`. As `llava`, classes, options to choose among and votes are lost.
        shard: bytes of a tar shard or a Parquet file, about.
        seen: called with what is counted ("rows"), how many are done, and None: how many there are
            is not known.

    Raises:
        DataError: what cannot be read, or written, or too many broken rows.
    """
    check_layout(to)
    opened = open_rows(source, columns=columns, task=task, root=root, hold=False, say=say)
    telling = tellings(opened, to)
    out = Path(out)
    with writing.new_folder(out) as folder:
        beside = Beside(folder, root=Path(opened.reader.finder.root))
        writer = LAYOUTS[to](folder, stem=STEM, beside=beside, columns=telling.names, shard=shard)
        try:
            rows, pictures, broken = _pass(opened, telling, writer, to=to, seen=seen)
            opened.check(broken, rows + len(broken), limit_broken=limit_broken)
            files = writer.finish()
        finally:
            writer.stop()
    return Converted(str(out), to, files, rows, pictures, broken, telling.lost)


def check_layout(name: str) -> None:
    """See that there is a layout of that name.

    Raises:
        DataError: there is none.
    """
    if name not in LAYOUTS:
        raise DataError(f"unknown layout '{name}'", where="--to", fix=nearest(name, tuple(LAYOUTS)))


def tellings(opened: Opened, to: str) -> Telling:
    """How the rows of a source are told in a layout."""
    reader, table = opened.reader, opened.table
    if to != "llava":
        return Telling(reader, table.columns)
    labels: set[str] = set()
    if reader.columns.form.truth in ("label", "kind"):
        wanted = [name for role, name in reader.columns.found.items() if role != "image"]
        labels = reader.labels(table.rows(wanted))
    return Telling(reader, table.columns, talk=reader.closed(labels))


def write(writer: Writer, item: Item, told: Sequence[Mapping[str, Any]], *, to: str) -> None:
    """Write a row.

    Raises:
        DataError: the layout cannot hold it.
    """
    if to == "parquet" and item.task == "caption" and item.question:
        raise DataError(
            f"a caption asked for by '{item.question[:60]}': Parquet cannot tell it from a "
            "question whose answer is missing",
            where=str(item.origin),
            fix="convert to jsonl, tar or llava",
        )
    for row in told:
        writer.add(item.pictures, row, where=str(item.origin))


def _pass(
    opened: Opened, telling: Telling, writer: Writer, *, to: str, seen: Seen
) -> tuple[int, int, list[Broken]]:
    """Write every row; how many rows and pictures there were, and the broken rows."""
    rows = pictures = 0
    broken: list[Broken] = []
    for origin, raw in opened.table.rows(telling.wanted):
        try:
            item = opened.reader.item(origin, raw)
        except Refused as why:
            broken.append(Broken(origin, str(why)))
            continue
        assert not isinstance(raw, str)
        write(writer, item, telling.rows(item, raw), to=to)
        rows += 1
        pictures += len(item.images)
        seen("rows", rows, None)
    return rows, pictures, broken
