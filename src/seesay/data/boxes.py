"""Boxes: where in its picture an example's answer is, to learn from.

Shapes: T tokens; a box is centre x and y, width and height, as shares of the picture, (4,).
"""

import numpy as np

from seesay.coordinates import SCALE, only_box, shares
from seesay.data import images
from seesay.data.augment import Change, Sides
from seesay.data.text import Document
from seesay.records import Example


def sides(example: Example) -> Sides | None:
    """Left, top, right and bottom of where the answer is, as shares of the picture.

    The example's own box, or the one that its answer is; None where it shows not one picture, or
    neither says which of its boxes it is.
    """
    if len(example.images) != 1:
        return None
    if len(example.boxes) == 1:
        width, height = images.extent(example.images[0], where=str(example.origin))
        return shares(example.boxes[0], width=width, height=height)
    answered = only_box(example.answer, bare=example.task == "ground")
    return None if answered is None else shares(answered, width=SCALE, height=SCALE)


def located(
    example: Example,
    document: Document,
    *,
    change: Change | None = None,
    size: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """The box of an example's last answer, as it stands in its document; NaN where unknown.

    `change`: what was done to its picture, of that size (height, width).
    """
    unknown = np.full(4, np.nan, np.float32)
    found = sides(example) if _is_whole(example, document) else None
    if found is None:
        return unknown
    moved = found if change is None else change.box(found, size=size)
    left, top, right, bottom = (min(1.0, max(0.0, side)) for side in moved)
    # A thing may be moved out of the picture.
    if left >= right or top >= bottom:
        return unknown
    box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    return np.array(box, np.float32)


def _is_whole(example: Example, document: Document) -> bool:
    """Whether every answer has a place in the document: of a long one, the end is cut off."""
    begins = np.diff(document.learned.astype(np.int8), prepend=0) == 1
    return int(begins.sum()) == sum(turn.role == "assistant" for turn in example.turns)
