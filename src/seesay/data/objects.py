"""Objects: what a cell of boxes says -> boxes with labels, and what can be asked of them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from seesay.coordinates import box_text, text_box
from seesay.data.finder import Refused
from seesay.records import Box

# Within a cell: Hugging Face's `objects`, and what others call the same.
BOXES = ("bbox", "bboxes", "boxes", "box")
LABELS = ("categories", "category", "labels", "label", "classes", "class", "names", "name")
MEANT = "picture_size"  # [width, height] of the picture that they were drawn in
# A box may be an object of its own, as sides or as a corner and a size.
_SIDES = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"),
          ("x1", "y1", "x2", "y2"))  # fmt: skip
_SIZED = (("left", "top", "width", "height"), ("x", "y", "width", "height"), ("x", "y", "w", "h"))
SLACK = 1.0  # pixels that a box may go beyond its picture: sides are rounded
THING = "thing"  # what a box without a label shows


@dataclass(frozen=True, slots=True)
class Things:
    """The boxes on a picture of a size (width, height); `crowded` labels cannot be counted."""

    boxes: tuple[Box, ...]
    size: tuple[int, int]
    crowded: frozenset[str] = frozenset()


class Asked(NamedTuple):
    """What boxes are asked for: a task, a question, its answer, and the boxes that it is about."""

    task: str
    question: str
    answer: str
    boxes: tuple[Box, ...]


class _Entry(NamedTuple):
    numbers: Any
    label: Any = ""
    crowd: bool = False


def holds_boxes(cell: Any) -> bool:
    """Whether a cell is one that says boxes, right or wrong."""
    try:
        cell = _parsed(cell)
    except Refused:
        return False
    if isinstance(cell, dict):
        return _is_one(cell) or any(key in cell for key in BOXES)
    if not isinstance(cell, (list, tuple)):
        return False
    if _is_one(cell):
        return len(cell) == 4  # else it is a list of some numbers
    return any(_is_one(each) or (isinstance(each, dict) and holds_boxes(each)) for each in cell)


def things(
    cell: Any,
    *,
    size: tuple[int, int],
    corners: bool = False,
    label: str = "",
    names: Mapping[str, Sequence[str]] | None = None,
) -> Things:
    """The boxes of a cell, in pixels of a picture of that size (width, height).

    corners: four numbers are left, top, right, bottom; else left, top, width, height, as COCO has
    them. label: that of boxes which have none of their own. names: of class numbers, by the key
    they are under.

    Raises:
        Refused: no boxes, one that is inverted or outside of the picture, or one meant for a
            picture of another size; with both numbers.
    """
    cell = _parsed(cell)
    meant = cell.get(MEANT) if isinstance(cell, dict) else None
    if isinstance(meant, list) and meant != list(size):
        wide, high = size
        sides = "×".join(map(str, meant))
        raise Refused(f"boxes of a picture of {sides} pixels; it has {wide}×{high}")
    boxes, crowded = [], set()
    for number, entry in enumerate(_entries(cell, names or {}), 1):
        own = str(entry.label).strip() if entry.label is not None else ""
        if entry.crowd:
            crowded.add(own or label)
            continue
        sides = _sides(entry.numbers, f"box {number}", corners=corners)
        boxes.append(_inside(sides, size, f"box {number}", label=own or label))
    return Things(tuple(boxes), size, frozenset(crowded))


def _parsed(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:  # in a CSV cell
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise Refused(f"no boxes, but the text '{cell[:40]}'") from None


def _entries(cell: Any, names: Mapping[str, Sequence[str]] | None = None) -> list[_Entry]:
    if _is_one(cell):
        return [_Entry(cell, _labelled(cell, names or {}))]
    if isinstance(cell, (list, tuple)):
        return [entry for each in cell for entry in _listed(each, names or {})]
    if isinstance(cell, dict):
        return _by_key(cell, names or {})
    raise Refused("no boxes: an empty cell" if cell is None else f"no boxes, but {str(cell)[:40]}")


def _is_one(cell: Any) -> bool:
    if isinstance(cell, dict):
        return any(set(keys) <= cell.keys() for keys in (*_SIDES, *_SIZED))
    numbers = isinstance(cell, (list, tuple)) and bool(cell)
    return numbers and all(isinstance(each, (int, float)) for each in cell)


def _listed(each: Any, names: Mapping[str, Sequence[str]]) -> list[_Entry]:
    return _entries(each, names) if isinstance(each, dict) else [_Entry(each)]


def _by_key(cell: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> list[_Entry]:
    """The entries of lists side by side: {"bbox": […], "categories": […]}."""
    key = next((key for key in BOXES if key in cell), None)
    if key is None:
        raise Refused(f"no boxes among {', '.join(cell) or 'nothing'}; known: {', '.join(BOXES)}")
    several = cell[key] if cell[key] is not None else []
    if _is_one(several):
        several = [several]
    if not isinstance(several, (list, tuple)):
        raise Refused(f"no boxes, but {str(several)[:40]}")
    labels, crowd = _labelled(cell, names), cell.get("iscrowd") or 0
    labels = labels if isinstance(labels, list) else [labels] * len(several)
    crowds = crowd if isinstance(crowd, list) else [crowd] * len(several)
    if not len(several) == len(labels) == len(crowds):
        raise Refused(f"{len(several)} boxes and {len(labels)} labels")
    rows = zip(several, labels, crowds, strict=True)
    return [_Entry(box, label, bool(crowd)) for box, label, crowd in rows]


def _labelled(cell: Any, names: Mapping[str, Sequence[str]]) -> Any:
    """What a cell says its boxes show: a label, or a list of them."""
    key = next((key for key in LABELS if isinstance(cell, dict) and key in cell), None)
    if key is None:
        return ""
    known, found = names.get(key, ()), cell[key]
    if isinstance(found, (list, tuple)):
        return [_name(each, known) for each in found]
    return _name(found, known)


def _name(label: Any, known: Sequence[str]) -> Any:
    return known[label] if isinstance(label, int) and 0 <= label < len(known) else label


def _sides(numbers: Any, name: str, *, corners: bool) -> tuple[float, float, float, float]:
    """Left, top, right and bottom."""
    if isinstance(numbers, dict):
        keys = next((keys for keys in (*_SIZED, *_SIDES) if set(keys) <= numbers.keys()), ())
        numbers, corners = [numbers[key] for key in keys], keys in _SIDES
    if not isinstance(numbers, (list, tuple)) or len(numbers) != 4:
        many = len(numbers) if isinstance(numbers, (list, tuple)) else 0
        raise Refused(f"{name} has {many} numbers; expected 4")
    if not all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers):
        raise Refused(f"{name} is no four numbers: {numbers}")
    if max(numbers) <= 1 and any(each % 1 for each in numbers):
        raise Refused(f"{name} is in shares of the picture, {numbers}; expected pixels")
    a, b, c, d = map(float, numbers)
    left, top, right, bottom = (a, b, c, d) if corners else (a, b, a + c, b + d)
    if left < right and top < bottom:
        return left, top, right, bottom
    if corners:
        raise Refused(f"{name} is inverted: from {a:g},{b:g} to {c:g},{d:g}")
    raise Refused(f"{name} is inverted or empty: {c:g} wide, {d:g} high")


def _inside(
    sides: tuple[float, float, float, float], size: tuple[int, int], name: str, *, label: str
) -> Box:
    left, top, right, bottom = sides
    width, height = size
    if min(left, top) < -SLACK or right > width + SLACK or bottom > height + SLACK:
        raise Refused(
            f"{name} is outside: from {left:g},{top:g} to {right:g},{bottom:g}, in a picture of "
            f"{width}×{height} pixels"
        )
    return Box(max(0.0, left), max(0.0, top), min(width, right), min(height, bottom), label)


def said(box: Box, size: tuple[int, int]) -> str:
    """A box as text.

    Raises:
        Refused: it is too small to be said in thousandths of its picture.
    """
    width, height = size
    text = box_text(box, width=width, height=height)
    if text_box(text) is None:
        wide, high = box.right - box.left, box.bottom - box.top
        raise Refused(
            f"a box of {wide:g}×{high:g} pixels is too small to be said in thousandths of "
            f"{width}×{height}"
        )
    return text


def asked(found: Things) -> Iterator[Asked]:
    """What boxes answer: of each label how many there are, and where it is if there is one."""
    own: dict[str, list[Box]] = {}
    for box in found.boxes:
        own.setdefault(box.label or THING, []).append(box)
    for label, boxes in own.items():
        if label in found.crowded:
            continue
        if len(boxes) == 1:
            try:
                text = said(boxes[0], found.size)
                yield Asked("ground", f"where is the {label}?", text, tuple(boxes))
            except Refused:
                pass
        yield Asked("vqa", f"how many of these are there: {label}?", str(len(boxes)), tuple(boxes))
