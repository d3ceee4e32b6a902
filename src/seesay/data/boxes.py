"""Boxes: where in its picture an example's answer is, to learn from, and what its texts say of it.

Shapes: T tokens; a box is centre x and y, width and height, as shares of the picture, (4,).
"""

import contextlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from seesay.coordinates import SCALE, Scale, Sides, boxes_in, only_box, shares
from seesay.data import images
from seesay.data.geometry import clipped
from seesay.data.seen import PLAIN, View, retold
from seesay.data.text import Document
from seesay.errors import DataError, PictureError
from seesay.records import Example

# Farther than the pixels of any picture reach.
_ANY: Scale = (1e6, 1e6)


def every(example: Example) -> list[Sides]:
    """All boxes of an example, as shares: those that its texts say, and those of its picture."""
    bare = example.task == "ground"
    said = [box for text in _texts(example) for box in boxes_in(text, bare=bare)]
    return said + (_own(example) if len(example.images) == 1 else [])


def _own(example: Example) -> list[Sides]:
    """The boxes of an example's one picture, as shares."""
    if not example.boxes:
        return []
    height, width = images.size(example.images[0], where=str(example.origin))
    return [shares(box, width=width, height=height) for box in example.boxes]


def _texts(example: Example) -> list[str]:
    return [text for turn in example.turns for text in (turn.reasoning, turn.text) if text]


def in_thousandths(examples: Iterable[Example]) -> list[Example]:
    """Examples whose texts say boxes in pixels of their pictures, as they are said elsewhere.

    A row whose picture's size cannot be read stays as it is: who decodes it tells of that.

    Raises:
        DataError: a box beyond its picture; or of one of several pictures, and not of which.
    """
    made = []
    for example in examples:
        with contextlib.suppress(PictureError):
            example = _in_thousandths(example)
        made.append(example)
    return made


def _in_thousandths(example: Example) -> Example:
    where, bare = str(example.origin), example.task == "ground"
    boxes = [box for text in _texts(example) for box in boxes_in(text, of=_ANY, bare=bare)]
    if not boxes:
        return example
    sizes = [images.size(each, where=where) for each in example.images]
    width, height = max((w for _, w in sizes), default=0), max((h for h, _ in sizes), default=0)
    for box in boxes:
        right, bottom = (round(side * reach) for side, reach in zip(box[2:], _ANY, strict=True))
        if right > width or bottom > height:
            raise DataError(
                f"a box reaches to ({right},{bottom}) in a picture of {width}×{height} pixels",
                where=where,
                fix="mend it; or, where boxes are in thousandths, leave out boxes = 'pixels'",
            )
    seen = [View(given=(float(w), float(h)), decimals=1) for h, w in sizes]
    return replace(example, turns=retold(example.turns, seen, bare=bare, where=where))


def sides(example: Example) -> Sides | None:
    """Left, top, right and bottom of where the answer is, as shares of the picture.

    The example's own box, or the one that its answer is; None where it shows not one picture, or
    neither says which of its boxes it is.
    """
    if len(example.images) != 1:
        return None
    if len(example.boxes) == 1:
        return _own(example)[0]
    answered = only_box(example.answer, bare=example.task == "ground")
    return None if answered is None else shares(answered, width=SCALE, height=SCALE)


def located(example: Example, document: Document, *, view: View = PLAIN) -> np.ndarray:
    """The box of an example's last answer, as it stands in its document; NaN where unknown.

    `view`: how its picture is shown.
    """
    unknown = np.full(4, np.nan, np.float32)
    found = sides(example) if _is_whole(example, document) else None
    inside = None if found is None else clipped(found)
    # A thing may be moved out of the picture.
    shown = None if inside is None else view.sides(inside)
    if shown is None:
        return unknown
    left, top, right, bottom = shown
    box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    return np.array(box, np.float32)


def _is_whole(example: Example, document: Document) -> bool:
    """Whether every answer has a place in the document: of a long one, the end is cut off."""
    begins = np.diff(document.learned.astype(np.int8), prepend=0) == 1
    return int(begins.sum()) == sum(turn.role == "assistant" for turn in example.turns)
