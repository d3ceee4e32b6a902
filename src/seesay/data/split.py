"""Split: rows -> train, dev and test, with no picture, nor one nearly the same, on two sides.

The rows are read twice: to see which belong together, and to write each to its side. What is kept
between is a few numbers a row and a print of each picture.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seesay import writing
from seesay.data import hashes
from seesay.data.ahead import Seen, unseen
from seesay.data.beside import Beside
from seesay.data.convert import LAYOUTS, check_layout, tellings, write
from seesay.data.examples import MAX_OPTIONS, Broken, Closed, Item
from seesay.data.finder import Refused
from seesay.data.remote import Say
from seesay.data.sources import Opened, open_rows
from seesay.data.survey import Survey
from seesay.data.telling import Telling
from seesay.data.writers import SHARD, Writer
from seesay.errors import DataError

PARTS = ("train", "dev", "test")
# What is read as such is written so, where nothing is said; all else as JSONL.
ALIKE = {"tar shards": "tar", "Parquet": "parquet", "Arrow": "parquet",
         "Hugging Face hub": "parquet"}  # fmt: skip
# Layouts whose tables name files: where the pictures are at home, only the tables are written.
NAMING = ("jsonl", "llava")


@dataclass(slots=True)
class Part:
    """One side: `lacking` are the classes that it has no row of."""

    name: str
    rows: int = 0
    pictures: int = 0
    groups: int = 0
    files: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Split:
    """What went where.

    groups: rows that had to stay together are one. same: pictures with the same bytes as another.
    near: others that look nearly the same as another. unread: pictures that do not decode, which
    are told apart by their bytes alone.
    """

    folder: str
    layout: str
    parts: list[Part]
    rows: int
    pictures: int
    groups: int
    same: int
    near: int
    unread: int
    broken: list[Broken]
    lost: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an origin is `file:row`."""
        broken = [{"where": str(each.origin), "why": each.why} for each in self.broken]
        return asdict(self) | {"broken": broken}


def split(
    source: str | Path,
    out: str | Path,
    *,
    dev: float = 0.05,
    test: float = 0.0,
    by: str | None = None,
    seed: int = 0,
    near: int = hashes.NEAR,
    to: str | None = None,
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    root: str | Path | None = None,
    shard: int = SHARD,
    limit_broken: float = 0.05,
    say: Say = lambda text: None,
    seen: Seen = unseen,
) -> Split:
    """Write a data set as two or three, each to be read as any other.

    Args:
        source, columns, task, root, limit_broken, say: as for `read`.
        out: the folder to write, new or empty, or the one that the pictures are in; all of it
            appears or nothing.
        dev, test: the share of the rows that each shall have, about.
        by: a column whose values are not to be parted either.
        seed: of the lots that are drawn.
        near: bits of 64 in which hashes of pictures may differ that are kept together.
        to: the layout; if not given, tar shards and Parquet stay so, Arrow and what comes from
            the hub become Parquet, all else JSONL.
        shard: bytes of a shard, about.
        seen: called with what is counted ("pictures", then "rows"), how many are done, and of how
            many, where that is known.

    Raises:
        DataError: what cannot be read, written, or parted so.
    """
    shares = _shares(dev, test)
    opened = open_rows(source, columns=columns, task=task, root=root, hold=False, say=say)
    to = to or ALIKE.get(opened.table.format, "jsonl")
    check_layout(to)
    place = _Place(Path(out), to, Path(opened.reader.finder.root))
    place.check(shares)
    found = Survey(opened, by=by)
    found.read(near=near, seen=seen)
    opened.check(found.broken, found.rows, limit_broken=limit_broken)
    sides = _sides(found.marks, shares, seed=seed, where=opened.table.path)
    telling = tellings(opened, to)
    parts = _counted(found, sides, shares)
    with place.folder() as folder:
        writing_to = _Writers(place, folder, parts, telling.names, shard)
        try:
            _write(opened, telling, writing_to, sides, found.closed, seen)
            writing_to.finish()
        finally:
            writing_to.stop()
    return Split(
        folder=str(out),
        layout=to,
        parts=list(parts.values()),
        rows=len(sides),
        pictures=found.pictures,
        groups=len(set(found.marks)),
        same=found.same,
        near=found.near,
        unread=found.unread,
        broken=found.broken,
        lost=telling.lost,
    )


def _shares(dev: float, test: float) -> dict[str, float]:
    """How much each part but the first is to have."""
    shares = {name: share for name, share in (("dev", dev), ("test", test)) if share}
    if not shares or min(shares.values()) < 0 or sum(shares.values()) >= 1:
        raise DataError(
            f"dev is {dev} and test is {test}: together they must be above 0 and below 1",
            where="--dev, --test",
            fix="give the shares of the rows, such as --dev 0.05 --test 0.05",
        )
    return shares


# Which side.


def _sides(marks: Sequence[int], shares: Mapping[str, float], *, seed: int,
           where: str) -> list[str]:  # fmt: skip
    """The part of each row: whole groups by lot, as many as come near to what a part shall have."""
    sizes = Counter(marks)
    groups = list(sizes)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(groups))
    left = [groups[place] for place in order]
    part: dict[int, str] = {}
    for name, share in shares.items():
        wanted, taken = max(1, round(share * len(marks))), 0
        for group in left:
            if group not in part and taken + sizes[group] <= wanted:
                part[group] = name
                taken += sizes[group]
        if not taken:
            raise DataError(
                f"{name} shall have {wanted} of {len(marks)} rows, but the smallest of "
                f"{len(groups)} groups that belong together has {min(sizes.values())}",
                where=where,
                fix="give it more, or take fewer rows for the same: --near 0, or no --by",
            )
    if len(part) == len(groups):
        raise DataError(f"all {len(groups)} groups are measured on", where=where,
                        fix="give more rows, or smaller shares")  # fmt: skip
    return [part.get(mark, PARTS[0]) for mark in marks]


def _counted(found: Survey, sides: Sequence[str], shares: Mapping[str, float]) -> dict[str, Part]:
    parts = {name: Part(name) for name in (PARTS[0], *shares)}
    closed = found.closed
    for name, part in parts.items():
        rows = [i for i, side in enumerate(sides) if side == name]
        part.rows = len(rows)
        part.groups = len({found.marks[i] for i in rows})
        part.pictures = len({thing for i in rows for thing in found.shown[i]})
        if closed is not None:
            there = {closed.names[found.truths[i]] for i in rows if found.truths[i]}
            part.lacking = [option for option in closed.options if option not in there]
    return parts


# Writing.


class _Place:
    """Where the parts go: a new folder, or the one that the pictures are at home in."""

    def __init__(self, out: Path, to: str, root: Path) -> None:
        self.out, self.to, self.root = out, to, root
        inside = os.path.join(os.path.realpath(root), "").startswith(
            os.path.join(os.path.realpath(out), "")
        )
        self.at_home = to in NAMING and out.is_dir() and inside

    def check(self, shares: Mapping[str, float]) -> None:
        """See that nothing is in the way, before the work is done."""
        if not self.at_home:
            writing.check_free(self.out)
            return
        for name in (PARTS[0], *shares):
            writing.check_new(self.out / f"{name}.{'json' if self.to == 'llava' else 'jsonl'}")

    def folder(self) -> AbstractContextManager[Path]:
        """The folder to write in meanwhile."""
        return writing.more_files(self.out) if self.at_home else writing.new_folder(self.out)


class _Writers:
    """A writer for each part."""

    def __init__(self, place: _Place, folder: Path, parts: dict[str, Part], columns: Sequence[str],
                 shard: int) -> None:  # fmt: skip
        self.to, self.parts = place.to, parts
        home = place.out if place.at_home else None
        self.apart = self.to == "imagefolder"  # which has one name for its table
        self.writers: dict[str, Writer] = {}
        columns = (*columns, *({"options"} - set(columns)))
        for name in parts:
            own = folder / name if self.apart else folder
            own.mkdir(exist_ok=True)
            beside = Beside(own, root=place.root, home=home)
            self.writers[name] = LAYOUTS[self.to](
                own, stem=name, beside=beside, columns=columns, shard=shard
            )

    def finish(self) -> None:
        """Close all, and note what they are called."""
        for name, writer in self.writers.items():
            front = f"{name}/" if self.apart else ""
            self.parts[name].files = [front + file for file in writer.finish()]

    def stop(self) -> None:
        """Close all."""
        for writer in self.writers.values():
            writer.stop()


def _write(opened: Opened, telling: Telling, to: _Writers, sides: Sequence[str],
           closed: Closed | None, seen: Seen) -> None:  # fmt: skip
    """Each row to its side."""
    done = 0
    for item, raw in _items(opened, opened.table.rows(telling.wanted)):
        if done == len(sides):
            raise _changed(opened)
        side = sides[done]
        told = telling.rows(item, raw)
        if closed is not None and to.parts[side].lacking:
            told = [_with_options(row, item, opened, closed) for row in told]
        write(to.writers[side], item, told, to=to.to)
        done += 1
        seen("rows", done, len(sides))
    if done != len(sides):
        raise _changed(opened)


def _items(opened: Opened, rows: Any) -> Iterator[tuple[Item, Mapping[str, Any]]]:
    for origin, raw in rows:
        try:
            item = opened.reader.item(origin, raw)
        except Refused:
            continue
        assert not isinstance(raw, str)
        yield item, raw


def _with_options(row: dict[str, Any], item: Item, opened: Opened,
                  closed: Closed) -> dict[str, Any]:  # fmt: skip
    """A row with the whole set of classes, where its part has not all of them."""
    truth = opened.columns.form.truth
    if item.options or item.task or len(closed.options) > MAX_OPTIONS or truth not in row:
        return row
    name = closed.names[item.truths[0]]
    return row | {truth: name, "options": list(closed.options)}


def _changed(opened: Opened) -> DataError:
    return DataError(
        "it has other rows than when it was first read",
        where=opened.table.path,
        fix="let nothing write to it meanwhile",
    )
