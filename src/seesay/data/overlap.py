"""Overlap: what two data sets have in common, that one of them was to measure by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seesay.data import hashes
from seesay.data.counts import pairs
from seesay.data.looked import Looked, Pictures
from seesay.records import Example, Origin, identity


@dataclass(frozen=True, slots=True)
class Overlap:
    """What is in both, as (here, there): pictures of the same bytes, others that look nearly the
    same, and questions on the same picture. `pictures` and `rows` count those there.
    """

    path: str
    pictures: int
    rows: int
    same: list[tuple[str, str]]
    near: list[tuple[str, str]]
    asked: list[tuple[str, str]]


def overlap(
    here: tuple[Sequence[Example], Pictures],
    there: tuple[Sequence[Example], Pictures],
    *,
    path: str,
    distance: int = hashes.NEAR,
) -> Overlap:
    """What two data sets have in common.

    Args:
        here, there: the examples of each, and their pictures (`look`).
        path: of the second.
    """
    ours = {one.digest: one for one in reversed([*here[1].values()]) if one.digest}
    theirs = [one for one in there[1].values() if one.digest]
    same = [(ours[one.digest].name, one.name) for one in theirs if one.digest in ours]
    new = [one for one in theirs if one.digest not in ours]
    return Overlap(
        path=path,
        pictures=len(there[1]),
        rows=len(there[0]),
        same=same,
        near=_near(list(ours.values()), new, distance),
        asked=_asked(here, there),
    )


def _near(ours: Sequence[Looked], theirs: Sequence[Looked],
          distance: int) -> list[tuple[str, str]]:  # fmt: skip
    """Each of theirs that looks nearly the same as one of ours, with that one."""
    both = [one for one in (*ours, *theirs) if one.print is not None]
    count = sum(one.print is not None for one in ours)
    prints = [one.print for one in both if one.print is not None]
    found: dict[int, int] = {}
    for a, b in hashes.near(prints, distance=distance).tolist():
        if a < count <= b:
            found.setdefault(b, a)
    # What equals another of theirs is paired with that one alone.
    equal = {(int(each.hash), each.small.tobytes()): i for i, each in reversed(
        list(enumerate(prints)))}  # fmt: skip
    for b in range(count, len(both)):
        first = equal[int(prints[b].hash), prints[b].small.tobytes()]
        if b not in found and first in found:
            found[b] = found[first]
    return [(both[a].name, both[b].name) for b, a in sorted(found.items())]


def _asked(here: tuple[Sequence[Example], Pictures],
           there: tuple[Sequence[Example], Pictures]) -> list[tuple[str, str]]:  # fmt: skip
    """Questions on the same pictures in both; of captions, the caption itself is the question."""
    known: dict[tuple[str, ...], Origin] = {}
    for key, origin in _keys(*here):
        known.setdefault(key, origin)
    found = {str(o): str(known[key]) for key, o in _keys(*there) if key in known}
    return [(ours, theirs) for theirs, ours in found.items()]


def _keys(examples: Sequence[Example], pictures: Mapping) -> list[tuple[tuple[str, ...], Origin]]:
    made = []
    for example in examples:
        digests = tuple(pictures[identity(picture)].digest for picture in example.images)
        for question, answer in pairs(example):
            if digests and all(digests):
                made.append(((question or answer, *digests), example.origin))
    return made
