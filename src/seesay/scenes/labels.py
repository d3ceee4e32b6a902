"""Labels: what is in each cell of a grid over a picture, what each object is, and which of them
a question is about.

Shapes: A attributes (shape, colour, size, texture; of objects also place), P cells of the grid, row
by row, O objects.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seesay.scenes.grid import Grid, Thing
from seesay.scenes.motion import Film
from seesay.scenes.panels import GAP, SIDE, Item, Panels
from seesay.scenes.world import COLOURS, PLACES, SHAPES, SIZES, SPAN, TEXTURES, Object, Scene

# Classes of each attribute; the last class of the first, shape, is "nothing here". The last
# attribute is whether an object's middle lies in the cell: so they can be counted.
PATCH_CLASSES = (len(SHAPES) + 1, len(COLOURS), len(SIZES), len(TEXTURES), 2)
# Where boxes are drawn too, black is one colour more, and medium one size.
PANEL_CLASSES = (len(SHAPES) + 1, len(COLOURS) + 1, len(SIZES) + 1, len(TEXTURES), 2)
OBJECT_CLASSES = (len(SHAPES), len(COLOURS), len(SIZES), len(TEXTURES), len(PLACES))
PANEL_OBJECTS = (len(SHAPES), len(COLOURS) + 1, len(SIZES) + 1, len(TEXTURES), len(PLACES))
# Questions are about so many objects at most.
MOST_ABOUT = 2


def patches(scene: Scene | Panels | Grid, grid: tuple[int, int]) -> np.ndarray:
    """Classes (A, P), int64, of the front-most object that reaches each cell's middle.

    An object reaches as far as the circle around it, one in a box as far as the square. Where there
    is none, the shape is "nothing" and the rest are -1, unknown.
    """
    rows, columns = grid
    if isinstance(scene, Panels):
        return _boxed(scene, rows, columns)
    if isinstance(scene, Grid):
        return _gridded(scene, rows, columns)
    y_R1 = ((np.arange(rows) + 0.5) * SPAN / rows)[:, None]
    x_1C = ((np.arange(columns) + 0.5) * SPAN / columns)[None, :]
    made = np.full((len(PATCH_CLASSES), rows, columns), -1, np.int64)
    made[0] = len(SHAPES)
    made[-1] = 0
    for thing in scene.objects:
        inside = (x_1C - thing.x) ** 2 + (y_R1 - thing.y) ** 2 <= thing.radius**2
        made[:-1, inside] = np.array(_classes(thing))[:, None]
        made[-1, thing.y * rows // SPAN, thing.x * columns // SPAN] = 1
    return made.reshape(len(PATCH_CLASSES), rows * columns)


def _boxed(panels: Panels, rows: int, columns: int) -> np.ndarray:
    across = len(panels.boxes) * (SIDE + GAP) - GAP
    y_R1 = ((np.arange(rows) + 0.5) * SIDE / rows)[:, None]
    x_1C = ((np.arange(columns) + 0.5) * across / columns)[None, :]
    made = np.full((len(PATCH_CLASSES), rows, columns), -1, np.int64)
    made[0], made[-1] = len(SHAPES), 0
    for place, box in enumerate(panels.boxes):
        for item in box:
            left, half = item.x + place * (SIDE + GAP), item.length / 2
            inside = (abs(y_R1 - item.y - half) <= half) & (abs(x_1C - left - half) <= half)
            made[:-1, inside] = np.array(_kinds(item))[:, None]
            row, column = (item.y + half) * rows / SIDE, (left + half) * columns / across
            made[:, int(row), int(column)] = (*_kinds(item), 1)
    return made.reshape(len(PATCH_CLASSES), rows * columns)


def _gridded(grid: Grid, rows: int, columns: int) -> np.ndarray:
    made = np.full((len(PATCH_CLASSES), rows, columns), -1, np.int64)
    made[0], made[-1], side = len(SHAPES), 0, len(grid.cells)
    y_R, x_C = (np.arange(n) * side / n + side / n / 2 for n in (rows, columns))
    for i, row in enumerate(grid.cells):
        for j, thing in enumerate(row):
            if thing is None:
                continue
            kinds = _looks(thing)
            inside = (abs(y_R - i - 0.5) <= thing.size / 2)[:, None]
            inside = inside & (abs(x_C - j - 0.5) <= thing.size / 2)[None, :]
            made[:-1, inside] = np.array(kinds)[:, None]
            middle = int((i + 0.5) * rows / side), int((j + 0.5) * columns / side)
            made[:, middle[0], middle[1]] = (*kinds, 1)
    return made.reshape(len(PATCH_CLASSES), rows * columns)


def _kinds(item: Item) -> tuple[int, int, int, int]:
    """Classes of a thing in a box, all but of its texture."""
    colours, sizes = (*COLOURS, "black"), (*SIZES, "medium")
    return SHAPES.index(item.shape), colours.index(item.colour), sizes.index(item.size), -1


def about(scene: Scene | Film | Panels | Grid, objects: Sequence[int]) -> np.ndarray:
    """Classes (A, O), int64, of the objects a question is about, in its order; -1 for none.

    Of a film, as they are first seen; of one thing alone, then also as it is last seen. Of things
    in boxes, their place is the box and its third from the top.
    """
    made = np.full((len(OBJECT_CLASSES), MOST_ABOUT), -1, np.int64)
    wanted = list(objects[:MOST_ABOUT])
    if wanted:
        made[:, : len(wanted)] = _THINGS[type(scene)](scene)[:, wanted]
    if isinstance(scene, Film) and len(wanted) == 1:
        made[:, 1] = _whole(scene.movers[wanted[0]].last)
    return made


def _boxed_things(panels: Panels) -> np.ndarray:
    rows = [
        (*_kinds(item), min(place, 2) + 3 * ((2 * item.y + item.length) * 3 // (2 * SIDE)))
        for place, box in enumerate(panels.boxes)
        for item in box
    ]
    return np.array(rows, np.int64).reshape(-1, len(OBJECT_CLASSES)).T


def things(scene: Scene | Film) -> np.ndarray:
    """Classes (A, O), int64, of every object, in the scene's order."""
    rows = [_whole(thing) for thing in scene.objects]
    return np.array(rows, np.int64).reshape(-1, len(OBJECT_CLASSES)).T


def _gridded_things(grid: Grid) -> np.ndarray:
    side, rows = len(grid.cells), []
    for i, j in grid.things:
        place = (2 * i + 1) * 3 // (2 * side) * 3 + (2 * j + 1) * 3 // (2 * side)
        rows.append((*_looks(grid.cells[i][j]), place))
    return np.array(rows, np.int64).reshape(-1, len(OBJECT_CLASSES)).T


_THINGS: dict[type, Callable[[Any], np.ndarray]] = {
    Scene: things,
    Film: things,
    Panels: _boxed_things,
    Grid: _gridded_things,
}


def _looks(thing: Thing | None) -> tuple[int, int, int, int]:
    """Classes of what is in a cell: its shape and its colour."""
    assert thing is not None
    return SHAPES.index(thing.shape), COLOURS.index(thing.colour), -1, -1


def _whole(thing: Object) -> tuple[int, int, int, int, int]:
    return (*_classes(thing), PLACES.index(thing.place))


def _classes(thing: Object) -> tuple[int, int, int, int]:
    return (
        SHAPES.index(thing.shape),
        COLOURS.index(thing.colour),
        SIZES.index(thing.size),
        TEXTURES.index(thing.texture),
    )
