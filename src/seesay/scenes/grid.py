"""Grid: what is in each cell of a grid over a picture, for a vision side to learn from.

Shapes: A attributes (shape, colour, size, texture), P cells of the grid, row by row.
"""

import numpy as np

from seesay.scenes.world import COLOURS, SHAPES, SIZES, SPAN, TEXTURES, Scene

# Classes of each attribute; the last class of the first, shape, is "nothing here".
CLASSES = (len(SHAPES) + 1, len(COLOURS), len(SIZES), len(TEXTURES))


def patches(scene: Scene, grid: tuple[int, int]) -> np.ndarray:
    """Classes (A, P), int64, of the front-most object that reaches each cell's middle.

    An object reaches as far as the circle around it. Where there is none, the shape is "nothing"
    and the rest are -1, unknown.
    """
    rows, columns = grid
    y_R1 = ((np.arange(rows) + 0.5) * SPAN / rows)[:, None]
    x_1C = ((np.arange(columns) + 0.5) * SPAN / columns)[None, :]
    made = np.full((len(CLASSES), rows, columns), -1, np.int64)
    made[0] = len(SHAPES)
    for thing in scene.objects:
        inside = (x_1C - thing.x) ** 2 + (y_R1 - thing.y) ** 2 <= thing.radius**2
        made[:, inside] = np.array(
            [
                SHAPES.index(thing.shape),
                COLOURS.index(thing.colour),
                SIZES.index(thing.size),
                TEXTURES.index(thing.texture),
            ]
        )[:, None]
    return made.reshape(len(CLASSES), rows * columns)
