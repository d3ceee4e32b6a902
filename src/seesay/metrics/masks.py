"""Masks: what attention keeps, and how well that covers what is there.

Shapes: h w a grid of patches, H W pixels.
"""

import numpy as np
from jaxtyping import Bool, Float

# Of the attention, the share that a mask keeps (DINO, arXiv:2104.14294, figure 4).
MASS = 0.6


def kept(shares: Float[np.ndarray, "h w"], *, mass: float = MASS) -> Bool[np.ndarray, "h w"]:
    """The fewest cells that together hold this share of the whole."""
    flat = shares.astype(float).ravel() / shares.sum()
    order = np.argsort(-flat, kind="stable")
    before = np.cumsum(flat[order]) - flat[order]
    made = np.zeros(flat.shape, dtype=bool)
    made[order[before < mass]] = True
    return made.reshape(shares.shape)


def enlarged(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A grid at the size of a picture: every pixel has the value of its cell."""
    (height, width), (rows, columns) = size, cells.shape
    return cells[np.arange(height)[:, None] * rows // height, np.arange(width) * columns // width]


def overlap(mask: Bool[np.ndarray, "H W"], truth: Bool[np.ndarray, "H W"]) -> float:
    """What both cover, of what either does (IoU, Jaccard's similarity); 1 where both are empty."""
    either = int((mask | truth).sum())
    return int((mask & truth).sum()) / either if either else 1.0


def points(shares: Float[np.ndarray, "h w"], truth: Bool[np.ndarray, "H W"]) -> bool:
    """The pointing game (arXiv:1608.00507): the middle of the strongest cell is on what is there.

    Of equally strong cells, the first.
    """
    row, column = np.unravel_index(int(shares.argmax()), shares.shape)
    (rows, columns), (height, width) = shares.shape, truth.shape
    y, x = (2 * row + 1) * height // (2 * rows), (2 * column + 1) * width // (2 * columns)
    return bool(truth[y, x])
