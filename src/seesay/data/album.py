"""Album: pictures of an annotation set, by file name or number, in the folders that sets use."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from seesay.data.decode import EXTENSIONS
from seesay.data.finder import Refused

# Folders of pictures, as COCO, VQA, GQA, NLVR, Visual Genome and RefCOCO call them.
_PLACE = re.compile(
    r"(images?|imgs?|pictures|photos|jpegimages|coco|mscoco|vg_100k(_2)?"
    r"|(train|val|test|dev|unlabeled)\d{0,4}(_images)?)$",
    re.IGNORECASE,
)
# COCO_train2014_000000000009, 000000000009 and 9 are one number.
_NUMBER = re.compile(r"(?:.*_)?(\d+)$")
_SPLIT = re.compile(r"(?:train|val|test|dev)\d*")
DEPTH = 4  # folders below such a one: NLVR2's images/train/12, RefCOCO's images/mscoco/images/…


def root_of(path: Path) -> Path:
    """The folder that a set's pictures are in: its file's own, or the one above."""
    above = (path.parent, path.parent.parent)
    return next((folder for folder in above if _has_pictures(folder)), path.parent)


def splits_in(name: str) -> tuple[str, ...]:
    """The words in a name that say of which split it is: `train2014`."""
    return tuple(_SPLIT.findall(name.lower()))


def _has_pictures(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(
                _is_picture(e.name) or (_PLACE.match(e.name) and e.is_dir()) for e in entries
            )
    except OSError:
        return False


def _is_picture(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


class Album:
    """The pictures under `root`, listed once: right in it, and in folders named as sets name them.

    Whether a picture is in order, and inside of `root`, is for the finder to see.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._found: dict[tuple[str, tuple[str, ...]], str] = {}

    def find(self, name: str, *, near: Sequence[str] = ()) -> str:
        """The picture of that file name, stem or number, as it is named from `root`.

        near: words that stand in its folders' names or its own, where several have that name.

        Raises:
            Refused: none, or several that are equally near.
        """
        asked = name, tuple(near)
        if asked not in self._found:
            self._found[asked] = self._find(name, near)
        return self._found[asked]

    def _find(self, name: str, near: Sequence[str]) -> str:
        # What leads out of the folder is not looked for by another way: the finder refuses it.
        if os.path.isabs(name) or ".." in name.split("/"):
            return name
        if _is_picture(name):
            return self._by_file(name, near)
        found = self._stems.get(name) or (name.isdecimal() and self._numbers.get(int(name)))
        return self._nearest(found or (), name, near) or self._missing(name)

    def has(self, name: str) -> bool:
        """Whether there is a picture of that stem."""
        return name in self._stems

    def _by_file(self, name: str, near: Sequence[str]) -> str:
        if self._exists(name):
            return name
        last = name.rpartition("/")[2]
        found = self._stems.get(os.path.splitext(last)[0], ())
        here = [each for each in found if each.rpartition("/")[2] == last]
        return self._nearest(here, name, near) or name

    def _exists(self, name: str) -> bool:
        try:
            return name in self._names or os.path.exists(os.path.join(self.root, name))
        except ValueError:
            return True  # The finder says why it cannot be opened.

    def _nearest(self, found: Iterable[str], name: str, near: Sequence[str]) -> str:
        scores = {each: sum(_is_near(each, word) for word in near) for each in found}
        best = [each for each, score in scores.items() if score == max(scores.values())]
        if len(best) > 1:
            raise Refused(f"{len(best)} pictures are called '{name}': {', '.join(best[:2])}")
        return best[0] if best else ""

    def _missing(self, name: str) -> str:
        places = ", ".join(self._places) or "no folder of pictures"
        raise Refused(f"no picture '{name}' in {self.root} ({places})")

    @cached_property
    def _places(self) -> list[str]:
        """The folders of pictures right in `root`."""
        try:
            with os.scandir(self.root) as entries:
                return sorted(e.name for e in entries if _PLACE.match(e.name) and e.is_dir())
        except OSError:
            return []

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset((*self._walked("", depth=0), *self._below()))

    def _below(self) -> Iterator[str]:
        for place in self._places:
            yield from self._walked(place, depth=DEPTH)

    def _walked(self, place: str, *, depth: int) -> Iterator[str]:
        top = os.path.join(self.root, place)
        for folder, inner, names in os.walk(top):
            below = os.path.relpath(folder, self.root)
            if os.path.relpath(folder, top).count(os.sep) >= depth - 1 or not depth:
                inner.clear()
            yield from (os.path.normpath(os.path.join(below, n)) for n in names if _is_picture(n))

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self._names):
            found[os.path.splitext(os.path.basename(name))[0]].append(name)
        return dict(found)

    @cached_property
    def _numbers(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for stem, names in self._stems.items():
            if number := _NUMBER.match(stem):
                found[int(number[1])] += names
        return dict(found)


def _is_near(name: str, word: str) -> bool:
    *folders, last = name.split("/")
    return word in folders or f"_{word}_" in last or last.startswith((f"{word}-", f"{word}_"))
