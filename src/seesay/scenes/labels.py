"""Labels: what is in each cell of a grid over a picture, what each object is, and which of them
a question is about.

Shapes: A attributes (shape, colour, size, texture; of objects also place), P cells of the grid, row
by row, O objects.
"""

from collections.abc import Sequence

import numpy as np

from seesay.scenes.motion import Film
from seesay.scenes.world import COLOURS, PLACES, SHAPES, SIZES, SPAN, TEXTURES, Object, Scene

# Classes of each attribute; the last class of the first, shape, is "nothing here". The last
# attribute is whether an object's middle lies in the cell: so they can be counted.
PATCH_CLASSES = (len(SHAPES) + 1, len(COLOURS), len(SIZES), len(TEXTURES), 2)
OBJECT_CLASSES = (len(SHAPES), len(COLOURS), len(SIZES), len(TEXTURES), len(PLACES))
# Questions are about so many objects at most.
MOST_ABOUT = 2


def patches(scene: Scene, grid: tuple[int, int]) -> np.ndarray:
    """Classes (A, P), int64, of the front-most object that reaches each cell's middle.

    An object reaches as far as the circle around it. Where there is none, the shape is "nothing"
    and the rest are -1, unknown.
    """
    rows, columns = grid
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


def about(scene: Scene | Film, objects: Sequence[int]) -> np.ndarray:
    """Classes (A, O), int64, of the objects a question is about, in its order; -1 for none.

    Of a film, as they are first seen; of one thing alone, then also as it is last seen.
    """
    made = np.full((len(OBJECT_CLASSES), MOST_ABOUT), -1, np.int64)
    wanted = list(objects[:MOST_ABOUT])
    made[:, : len(wanted)] = things(scene)[:, wanted]
    if isinstance(scene, Film) and len(wanted) == 1:
        made[:, 1] = _whole(scene.movers[wanted[0]].last)
    return made


def things(scene: Scene | Film) -> np.ndarray:
    """Classes (A, O), int64, of every object, in the scene's order."""
    rows = [_whole(thing) for thing in scene.objects]
    return np.array(rows, np.int64).reshape(-1, len(OBJECT_CLASSES)).T


def _whole(thing: Object) -> tuple[int, int, int, int, int]:
    return (*_classes(thing), PLACES.index(thing.place))


def _classes(thing: Object) -> tuple[int, int, int, int]:
    return (
        SHAPES.index(thing.shape),
        COLOURS.index(thing.colour),
        SIZES.index(thing.size),
        TEXTURES.index(thing.texture),
    )
