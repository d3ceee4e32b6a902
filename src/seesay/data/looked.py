"""Looked: every different picture of a data set, decoded once: what it is and looks like."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seesay.data import hashes, images
from seesay.data.ahead import ahead
from seesay.data.decode import Facts, encoded, inspect
from seesay.data.hashes import Print
from seesay.data.survey import digest
from seesay.errors import PictureError
from seesay.records import Clip, Example, Frame, Origin, Picture, identity

# Small copies are kept of so many pictures, the first: 3 kB each.
SMALL = 100_000


@dataclass(slots=True)
class Use:
    """Where a picture is used: first, how often, and under which names."""

    picture: Picture
    origin: Origin
    times: int
    names: set[str]


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture: what its bytes are told by, what it is, its print and a small copy of it
    (`hashes.SIDE` square), of the first ones; or why it does not decode.
    """

    use: Use
    digest: str
    facts: Facts | None = None
    print: Print | None = None
    small: np.ndarray | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """Its first name; of what is neither file nor video, the row it comes from."""
        named = isinstance(self.use.picture, Path | Frame | Clip)
        return min(self.use.names) if named else str(self.use.origin)


Pictures = Mapping[Hashable, Looked]


def look(
    examples: Sequence[Example],
    *,
    threads: int | None = None,
    seen: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Hashable, Looked]:
    """Every different picture once, by its identity; `seen` is told how many, and of how many."""
    uses: dict[Hashable, Use] = {}
    for example in examples:
        for picture in example.images:
            first, name = Use(picture, example.origin, 0, set()), _name(picture, example.origin)
            use = uses.setdefault(identity(picture), first)
            use.times += 1
            use.names.add(name)
    found: dict[Hashable, Looked] = {}
    for key, one in zip(uses, ahead(_look, uses.values(), threads=threads), strict=True):
        found[key] = one if len(found) < SMALL else replace(one, small=None)
        seen(len(found), len(uses))
    return found


def _name(picture: Picture, origin: Origin) -> str:
    """Frames of one video share its name: that they are alike is no news."""
    if isinstance(picture, Clip):
        picture = picture.frames[0]
    if isinstance(picture, Frame):
        return picture.video
    return str(picture) if isinstance(picture, Path) else origin.file


def _look(use: Use) -> Looked:
    where = str(use.origin)
    try:
        if isinstance(use.picture, Frame | Clip):
            pixels = np.asarray(images.load(use.picture, where=where))
            facts = replace(images.examine(pixels), format="video")
            told = digest(pixels.tobytes())
        elif isinstance(use.picture, np.ndarray):
            facts, pixels = images.examine(use.picture), use.picture
            told = digest(pixels.tobytes())
        else:
            data = encoded(use.picture, where)
            facts, image = inspect(data, where=where)
            pixels, told = np.asarray(image), digest(data)
    except PictureError as error:
        return Looked(use, "", why=error.what)
    small = images.pixels(pixels, size=hashes.SIDE)
    return Looked(use, told, facts, hashes.fingerprint(small), small)


def alike(pictures: Sequence[Looked], *, distance: int = hashes.NEAR) -> list[list[Looked]]:
    """Pictures that look nearly the same as another, in groups; those of the same bytes once."""
    once = {one.digest: one for one in reversed(pictures) if one.print is not None}
    several = list(reversed(once.values()))
    prints = [one.print for one in several if one.print is not None]
    groups: dict[int, list[Looked]] = {}
    for one, mark in zip(several, hashes.together(prints, distance=distance).marks(), strict=True):
        groups.setdefault(mark, []).append(one)
    several_names = (group for group in groups.values() if len({one.name for one in group}) > 1)
    return list(several_names)
