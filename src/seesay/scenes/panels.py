"""Panels: pictures of boxes side by side, each with a tower of blocks or with things strewn about.

As those of NLVR (Suhr et al., 2017). What is true of such a picture is said of all of its boxes.

Shapes: H W the picture's height and width.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np

from seesay.scenes.world import World

SIDE = 100  # a box's, in the units of what is in it
GAP = 50  # between two boxes
BLOCK, SEAM = 20, 1  # a block's side, and what is seen between two
TALLEST = 4  # blocks of a tower
MOST = 8  # things in a box
LENGTHS = {"small": 10, "medium": 20, "large": 30}  # of things
_APART = 3  # from walls and from each other, or they touch
_SHAPES = ("circle", "square", "triangle")
RGB = {"yellow": (255, 255, 0), "black": (0, 0, 0), "blue": (0, 153, 255)}
_GROUND, _BETWEEN = (211, 211, 211), (128, 128, 128)
_SAMPLES = 3  # along a pixel's side
_TRIES = 60


@dataclass(frozen=True, slots=True)
class Item:
    """A thing in a box: the left and top of the square around it, and that square's side."""

    shape: str
    colour: str
    length: int
    x: int
    y: int

    @property
    def size(self) -> str:
        """In a word."""
        return next(size for size, length in LENGTHS.items() if length == self.length)

    @property
    def walls(self) -> tuple[bool, bool, bool, bool]:
        """Whether it touches the left wall, the top, the right one, the bottom."""
        far = SIDE - self.length
        return self.x == 0, self.y == 0, self.x == far, self.y == far

    def on(self, other: "Item") -> bool:
        """Whether it stands on another: above it, and touching it."""
        aligned = 2 * self.x + self.length == 2 * other.x + other.length
        return aligned and self.y + self.length == other.y


@dataclass(frozen=True, slots=True)
class Panels:
    """A picture of boxes; the things of each from the bottom up, where they are a tower."""

    boxes: tuple[tuple[Item, ...], ...]
    towers: bool

    @property
    def items(self) -> tuple[Item, ...]:
        """The things of all boxes."""
        return tuple(item for box in self.boxes for item in box)


def panels(world: World, index: int, *, boxes: int = 3) -> Panels:
    """The picture at an index of a world."""
    return drawn_by(world.rng(index, "panels"), boxes=boxes)


def drawn_by(rng: Random, *, boxes: int, towers: bool | None = None) -> Panels:
    """One picture at random: of towers, of things strewn about, or of either."""
    towers = rng.random() < 0.5 if towers is None else towers
    make = _tower if towers else _strewn
    return Panels(tuple(make(rng) for _ in range(boxes)), towers)


def _tower(rng: Random) -> tuple[Item, ...]:
    left, base, colours = (SIDE - BLOCK) // 2, SIDE - BLOCK, tuple(RGB)
    return tuple(
        Item("square", colours[int(rng.random() * 3)], BLOCK, left, base - (BLOCK + SEAM) * level)
        for level in range(1 + int(rng.random() * TALLEST))
    )


def _strewn(rng: Random) -> tuple[Item, ...]:
    number, made = 1 + int(rng.random() * MOST), []
    for _ in range(number):
        for _ in range(_TRIES):
            item = _item(rng, made)
            if all(_free(item, other) for other in made):
                made.append(item)
                break
    return tuple(made)


def _item(rng: Random, others: list[Item]) -> Item:
    draw = rng.random
    shape, colour = _SHAPES[int(draw() * 3)], tuple(RGB)[int(draw() * 3)]
    length = tuple(LENGTHS.values())[int(draw() * 3)]
    if others and draw() < 0.1:
        below = others[int(draw() * len(others))]
        x, y = below.x + (below.length - length) // 2, below.y - length
        inside = x >= _APART and y >= _APART and x + length <= SIDE - _APART
        if inside:
            return Item(shape, colour, length, x, y)
    return Item(shape, colour, length, _along(rng, length), _along(rng, length))


def _along(rng: Random, length: int) -> int:
    """A place along one side: at a wall, or well away from both."""
    at = rng.random()
    if at < 0.24:
        return 0 if at < 0.12 else SIDE - length
    return _APART + int(rng.random() * (SIDE - length - 2 * _APART + 1))


def _free(item: Item, other: Item) -> bool:
    """Whether two things are apart, or one stands on the other."""
    if item.on(other) or other.on(item):
        return True
    reach = (item.length + other.length) / 2 + _APART
    across = abs(item.x + item.length / 2 - other.x - other.length / 2)
    down = abs(item.y + item.length / 2 - other.y - other.length / 2)
    return across >= reach or down >= reach


def width(boxes: int, height: int) -> int:
    """How wide a picture of so many boxes is."""
    return round(height * (boxes * (SIDE + GAP) - GAP) / SIDE)


def picture(panels: Panels, height: int = SIDE) -> np.ndarray:
    """The picture: uint8 (H, W, 3), RGB; of three boxes it is four times as wide as high."""
    made = np.empty((height, width(len(panels.boxes), height), 3), np.uint8)
    made[:] = _BETWEEN
    for place, box in enumerate(panels.boxes):
        left = round(place * (SIDE + GAP) * height / SIDE)
        made[:, left : left + height] = _GROUND
        for item in box:
            _paint(made[:, left : left + height], item)
    return made


def _paint(box_HHC: np.ndarray, item: Item) -> None:
    scale = len(box_HHC) / SIDE
    left, top = round(item.x * scale), round(item.y * scale)
    covered = coverage(item.shape, max(1, round((item.x + item.length) * scale) - left))
    part = box_HHC[top : top + len(covered), left : left + len(covered)]
    covered = covered[: part.shape[0], : part.shape[1], None]
    part[:] = np.round(part * (1 - covered) + np.array(RGB[item.colour]) * covered)


@lru_cache(maxsize=1024)
def coverage(shape: str, length: int) -> np.ndarray:
    """How much of each pixel of the square around it a shape covers."""
    at = (np.arange(length * _SAMPLES) + 0.5) / (length * _SAMPLES) * 2 - 1
    x, y = at[None], at[:, None]
    inside = {
        "square": (np.abs(x) <= 1) & (np.abs(y) <= 1),
        "circle": x**2 + y**2 <= 1,
        "triangle": np.abs(x) <= (y + 1) / 2,
    }[shape]
    return inside.reshape(length, _SAMPLES, length, _SAMPLES).mean(axis=(1, 3))
