"""Survey: which rows of a source belong together, for they show one picture, or nearly the same."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seesay.data import hashes, images
from seesay.data.ahead import Seen, ahead
from seesay.data.clusters import Clusters
from seesay.data.examples import Broken, Closed, Item
from seesay.data.finder import Refused
from seesay.data.hashes import Print
from seesay.data.sources import Opened
from seesay.errors import DataError, PictureError, nearest
from seesay.records import Clip, Frame, Picture, Within


class Survey:
    """All rows read once. Of each that is not broken, in order:

    `marks` say which group it is in, `shown` which pictures it has, `truths` its label, or "" where
    it has none or says itself what there is to choose among. `broken` are the others, and `rows`
    counts all.

    `pictures` are those of different names or bytes, `same` those with another's bytes, `near` the
    others that look nearly the same as another, and `unread` those that do not decode.

    by: a column; rows with one value of it belong together too.
    """

    def __init__(self, opened: Opened, *, by: str | None = None) -> None:
        self.opened, self.by = opened, _column(opened, by)
        self.rows = self.pictures = self.same = self.near = self.unread = 0
        self.broken: list[Broken] = []
        self.marks: list[int] = []
        self.shown: list[tuple[int, ...]] = []
        self.truths: list[str] = []
        self._clusters = Clusters()
        self._first: list[int] = []  # of each row, a thing of its group
        self._named: dict[str, int] = {}
        self._values: dict[str, int] = {}

    @property
    def closed(self) -> Closed | None:
        """What labels are called, and the whole set of them; None where there are none."""
        reader, labels = self.opened.reader, {truth for truth in self.truths if truth}
        return reader.closed(labels) if labels else None

    def read(self, *, near: int, seen: Seen) -> None:
        """Read the rows, and look at their pictures: `near` are bits that hashes may differ in."""
        prints: list[tuple[int, Print]] = []
        digests: dict[str, int] = {}
        for thing, digest, made in ahead(_looked_at, self._news()):
            self.pictures += 1
            seen("pictures", self.pictures, None)
            if digest in digests:
                self.same += 1
                self._clusters.join((thing, digests[digest]))
                continue
            digests[digest] = thing
            if made is None:
                self.unread += 1
            else:
                prints.append((thing, made))
        self._join_near(prints, near)
        self.marks = [self._clusters.first(thing) for thing in self._first]

    def _join_near(self, prints: Sequence[tuple[int, Print]], distance: int) -> None:
        things = [thing for thing, _ in prints]
        alike = hashes.near([made for _, made in prints], distance=distance)
        self.near = len(np.unique(alike))
        for a, b in alike.tolist():
            self._clusters.join((things[a], things[b]))

    def _news(self) -> Iterator[tuple[int, Picture, str]]:
        """Each picture that was not there before; the rows are joined meanwhile."""
        wanted = (*self.opened.columns.wanted, *((self.by,) if self.by else ()))
        for origin, raw in self.opened.table.rows(wanted):
            self.rows += 1
            try:
                item = self.opened.reader.item(origin, raw)
            except Refused as why:
                self.broken.append(Broken(origin, str(why)))
                continue
            own = []
            for picture in item.pictures:
                name = _name(picture)
                if name not in self._named:
                    self._named[name] = self._clusters.add()
                    yield self._named[name], picture, str(origin)
                own.append(self._named[name])
            assert not isinstance(raw, str)
            self._add(item, tuple(own), raw)

    def _add(self, item: Item, own: tuple[int, ...], raw: Mapping[str, Any]) -> None:
        things = list(own) or [self._clusters.add()]
        value = raw.get(self.by) if self.by else None
        if value not in (None, ""):
            if str(value) not in self._values:
                self._values[str(value)] = self._clusters.add()
            things.append(self._values[str(value)])
        self._first.append(self._clusters.join(things))
        self.shown.append(own)
        self.truths.append(item.truths[0] if self.opened.reader.labelled(item) else "")


def _column(opened: Opened, name: str | None) -> str | None:
    if name is not None and name not in opened.table.columns:
        fix = nearest(name, opened.table.columns)
        raise DataError(f"no column '{name}'", where=opened.table.path, fix=fix)
    return name


def _name(picture: Picture) -> str:
    """What a picture goes by until it is read."""
    assert not isinstance(picture, Frame | Clip)  # `Item.pictures` has none
    if isinstance(picture, Path):
        return str(picture)
    if isinstance(picture, Within):
        return picture.digest
    return digest(picture if isinstance(picture, bytes) else picture.tobytes())


def digest(data: bytes) -> str:
    """What some bytes are told by."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _looked_at(given: tuple[int, Picture, str]) -> tuple[int, str, Print | None]:
    """A picture's number, what its bytes are told by, and its looks (None: it does not decode)."""
    thing, picture, where = given
    told = f"picture {thing}"
    try:
        data, _ = images.as_file(picture, where=where)
        told = digest(data)
        return thing, told, hashes.fingerprint(images.pixels(data, size=hashes.SIDE))
    except PictureError:
        return thing, told, None
