"""Grid: things in the cells of a square grid, and questions that go from cell to cell.

As those of SHAPES (Andreas et al., 2016, arXiv:1511.02799): "is a circle below a square" asks for a
circle in the cell right below one of a square; "left of above", for one in the cell left of the
cell above it.

Shapes: H W the picture's height and width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from seesay.records import Example, Origin
from seesay.scenes.panels import coverage
from seesay.scenes.questions import chosen
from seesay.scenes.statements import turns
from seesay.scenes.world import World

_SHAPES, _COLOURS = ("circle", "square", "triangle"), ("red", "green", "blue")
_NOUNS = _SHAPES + _COLOURS
STEPS = {"above": (-1, 0), "below": (1, 0), "left of": (0, -1), "right of": (0, 1)}
# What is asked, and how often where nothing else is wanted: by how many steps.
KINDS = {"is": 1.0, "beside": 3.0, "beyond": 2.0}
YES_NO, WHAT = ("no", "yes"), "what is in the cells?"
_EMPTY = 0.25  # share of the cells
_SIZES = (0.4, 0.9)  # of a cell, the least and the most
_LIGHT, _TINT = (170, 255), 60  # a colour's own channel, and the most of each other
_TRIES = 40


Cell = tuple[int, int]  # its row and its column


@dataclass(frozen=True, slots=True)
class Thing:
    """What is in a cell; `size` as a share of its side, `rgb` as it is drawn."""

    shape: str
    colour: str
    size: float
    rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Grid:
    """A picture of as many cells across as down, row by row; None where a cell is empty."""

    cells: tuple[tuple[Thing | None, ...], ...]

    @property
    def things(self) -> list[Cell]:
        """The cells that are not empty."""
        return [(i, j) for i, row in enumerate(self.cells) for j, thing in enumerate(row) if thing]

    def where(self, noun: str) -> list[Cell]:
        """The cells of what is called so: by its shape, or by its colour."""
        return [
            (i, j)
            for i, row in enumerate(self.cells)
            for j, thing in enumerate(row)
            if thing and noun in (thing.shape, thing.colour)
        ]


def grid(world: World, index: int, *, side: int = 3) -> Grid:
    """The picture at an index of a world."""
    return drawn_by(world.rng(index, "grid"), side=side)


def drawn_by(rng: Random, *, side: int) -> Grid:
    """One picture at random."""
    return Grid(tuple(tuple(_thing(rng) for _ in range(side)) for _ in range(side)))


def _thing(rng: Random) -> Thing | None:
    if rng.random() < _EMPTY:
        return None
    own = int(rng.random() * 3)
    light = [int(rng.random() * _TINT) for _ in range(3)]
    light[own] = rng.randint(*_LIGHT)
    size = rng.uniform(*_SIZES)
    return Thing(_SHAPES[int(rng.random() * 3)], _COLOURS[own], size, tuple(light))  # type: ignore[arg-type]


def picture(grid: Grid, height: int = 48) -> np.ndarray:
    """The picture: uint8 (H, H, 3), RGB, on black."""
    made, side = np.zeros((height, height, 3), np.uint8), height / len(grid.cells)
    for i, row in enumerate(grid.cells):
        for j, thing in enumerate(row):
            if thing is None:
                continue
            covered = coverage(thing.shape, max(2, round(thing.size * side)))[..., None]
            top, left = (round((k + 0.5) * side - len(covered) / 2) for k in (i, j))
            part = made[top : top + len(covered), left : left + len(covered)]
            part[:] = np.round(np.array(thing.rgb) * covered)
    return made


def asked(
    world: World,
    index: int,
    *,
    side: int = 3,
    questions: int = 4,
    captions: int = 0,
    kinds: Mapping[str, float] | None = None,
    height: int = 48,
) -> list[Example]:
    """One picture of a grid, with questions whose answers are yes or no.

    All examples hold the same picture; asked for nothing, one holds it alone. A caption names what
    is in each cell. `kinds` weighs the questions.
    """
    made, rng = grid(world, index, side=side), world.rng(index, "asked")
    origin = Origin(f"scenes:grid:{world.split}:{world.seed}", index)
    whole = Example(
        (picture(made, height),), (), origin, "caption", group=str(origin), scene=made
    )
    if not questions and not captions:
        return [whole]
    tried = (question(made, rng, kinds=kinds) for _ in range(questions))
    return [
        *(replace(whole, turns=turns(WHAT, listed(made))) for _ in range(captions)),
        *(
            replace(whole, task="vqa", turns=turns(text, YES_NO[truth]), options=YES_NO,
                    labels={"kind": kind}, objects=about)
            for kind, text, truth, about in filter(None, tried)
        ),
    ]  # fmt: skip


def listed(grid: Grid) -> str:
    """What is in each cell, row by row."""
    rows = (
        ", ".join(f"{thing.colour} {thing.shape}" if thing else "nothing" for thing in row)
        for row in grid.cells
    )
    return "; ".join(rows)


def question(
    grid: Grid, rng: Random, *, kinds: Mapping[str, float] | None = None
) -> tuple[str, str, bool, tuple[int, ...]] | None:
    """The kind of a question, itself, whether the answer is yes, and if so which things it is
    about, the first named and the last; None where none was found.

    It is so of the picture and not of another, or the other way: from the question alone nothing
    can be told.
    """
    names, sums = chosen(KINDS if kinds is None else kinds, KINDS)
    other, truth = drawn_by(rng, side=len(grid.cells)), rng.random() < 0.5
    for name in rng.choices(names, cum_weights=sums, k=_TRIES):
        first, last = (_NOUNS[int(rng.random() * len(_NOUNS))] for _ in range(2))
        steps = [tuple(STEPS)[int(rng.random() * 4)] for _ in range(tuple(KINDS).index(name))]
        found = pair(grid, first, steps, last)
        if bool(found) is truth and bool(pair(other, first, steps, last)) is not truth:
            about = tuple(grid.things.index(cell) for cell in found or ())
            return name, _text(first, steps, last), truth, about
    return None


def pair(grid: Grid, first: str, steps: Sequence[str], last: str) -> tuple[Cell, Cell] | None:
    """A cell of the first that lies so many steps from one of the last, and that; None: none."""
    firsts = grid.where(first)
    for start in grid.where(last):
        way = [start]
        for step in reversed(steps):
            way.append((way[-1][0] + STEPS[step][0], way[-1][1] + STEPS[step][1]))
        if way[-1] in firsts and all(0 <= k < len(grid.cells) for cell in way for k in cell):
            return way[-1], start
    return None


def _text(first: str, steps: Sequence[str], last: str) -> str:
    noun, other = (f"{n} shape" if n in _COLOURS else n for n in (first, last))
    if not steps:
        return f"is a {noun} {last if last in _COLOURS else f'a {last}'}"
    return f"is a {noun} {' '.join(steps)} a {other}"
