"""Boxes: how far two overlap."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seesay.errors import DataError
from seesay.records import Box


def iou(a: Box, b: Box) -> float:
    """The area that both share over the area of both together; 0 where neither has any."""
    width = max(0.0, min(a.right, b.right) - max(a.left, b.left))
    height = max(0.0, min(a.bottom, b.bottom) - max(a.top, b.top))
    shared = width * height
    both = _area(a) + _area(b) - shared
    return shared / both if both > 0 else 0.0


def _area(box: Box) -> float:
    return max(0.0, box.right - box.left) * max(0.0, box.bottom - box.top)


def ious(said: Sequence[Box | None], truths: Sequence[Box]) -> Float[np.ndarray, " N"]:
    """Of each pair; 0 where nothing was said that is a box."""
    if len(said) != len(truths):
        raise DataError(f"{len(said)} boxes against {len(truths)} truths")
    pairs = zip(said, truths, strict=True)
    return np.array([0.0 if box is None else iou(box, true) for box, true in pairs])
