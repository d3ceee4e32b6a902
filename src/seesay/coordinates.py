"""Coordinates: a box as text that a model can say, and what models say as a box.

Numbers are thousandths of the picture's width and height, from 0 to 999, as in Qwen-VL
(arXiv:2308.12966, section 2.3): what is said does not depend on the picture's size.
"""

import re

from seesay.records import Box

SCALE = 1000

_NUMBER = r"-?\d+(?:\.\d+)?"
_BETWEEN = r"[\s,;()\[\]]+"
_FOUR = re.compile(rf"(?<![\d.])({_NUMBER}){_BETWEEN}({_NUMBER}){_BETWEEN}({_NUMBER}){_BETWEEN}"
                   rf"({_NUMBER})(?![\d.]*\d)")  # fmt: skip
# PaliGemma: top, left, bottom, right, of 1024. Florence-2: left, top, right, bottom, of 1000.
_LOCATIONS = re.compile(r"<loc(_?)(\d+)>" + r"\s*<loc_?(\d+)>" * 3)
# A box written out in brackets, and not four numbers that only happen to follow one another.
_BRACKETED = re.compile(rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)\s*,\s*\(|"
                        rf"\[\s*(?:{_NUMBER}\s*,\s*){{3}}{_NUMBER}\s*\]|<loc")  # fmt: skip


def box_text(box: Box, *, width: float, height: float, step: int = 1) -> str:
    """`(120,340),(260,480)`: left and top, right and bottom of a box in pixels.

    `step`: coordinates are multiples of it. Few different numbers are soon learned.
    """
    sides = (box.left / width, box.top / height, box.right / width, box.bottom / height)
    a, b, c, d = (_placed(side, step) for side in sides)
    return f"({a},{b}),({c},{d})"


def _placed(share: float, step: int) -> int:
    return min(SCALE - 1, max(0, int(share * SCALE / step + 0.5) * step))


def shares(box: Box, *, width: float, height: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom as shares of a picture of that size, none beyond its sides."""
    sides = (box.left / width, box.top / height, box.right / width, box.bottom / height)
    left, top, right, bottom = (min(1.0, max(0.0, side)) for side in sides)
    return left, top, right, bottom


def cells(side: int) -> list[tuple[float, float, float, float]]:
    """The cells of a grid of so many down and across, row by row, as shares of the picture."""
    steps = [i / side for i in range(side + 1)]
    return [
        (steps[x], steps[y], steps[x + 1], steps[y + 1]) for y in range(side) for x in range(side)
    ]


def text_box(text: str, *, width: float = SCALE, height: float = SCALE) -> Box | None:
    """The first box in a text, in pixels of a picture of that size; None where there is none.

    Reads `(120,340),(260,480)`, `[120, 340, 260, 480]`, `<box>…</box>`, `{"bbox_2d": […]}`, shares
    of 1 (`[0.12, 0.34, 0.26, 0.48]`), and the location tokens of PaliGemma and Florence-2. Four
    numbers are thousandths: left, top, right, bottom. Pixels cannot be told from them.
    """
    sides = _sides(text)
    if sides is None or min(sides) < 0 or max(sides) > 1:
        return None
    left, top, right, bottom = sides
    if left >= right or top >= bottom:
        return None
    return Box(left * width, top * height, right * width, bottom * height)


def only_box(text: str, *, bare: bool = False) -> Box | None:
    """The box of a text that has one in brackets and no other, in thousandths; else None.

    bare: four numbers will do, as they are where a box was asked for.
    """
    marks = _BRACKETED.findall(text)
    tokens = marks.count("<loc")
    count = len(marks) - tokens + tokens // 4  # four of them are one box
    return text_box(text) if count == 1 or (bare and not count) else None


def says_box(text: str) -> bool:
    """Whether a text has a box in brackets."""
    return bool(_BRACKETED.search(text)) and text_box(text) is not None


def _sides(text: str) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom, as shares of the picture."""
    if found := _LOCATIONS.search(text):
        a, b, c, d = (int(number) for number in found.groups()[1:])
        return (a / 1000, b / 1000, c / 1000, d / 1000) if found[1] else _swapped(a, b, c, d)
    if not (found := _FOUR.search(text)):
        return None
    a, b, c, d = (float(number) for number in found.groups())
    scale = 1 if "." in found[0] and max(a, b, c, d) <= 1 else SCALE
    return a / scale, b / scale, c / scale, d / scale


def _swapped(top: int, left: int, bottom: int, right: int) -> tuple[float, float, float, float]:
    return left / 1024, top / 1024, right / 1024, bottom / 1024
