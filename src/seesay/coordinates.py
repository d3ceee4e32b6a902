"""Coordinates: a box as text that a model can say, and what models say as a box.

Numbers are thousandths of the picture's width and height, from 0 to 999, as in Qwen-VL
(arXiv:2308.12966, section 2.3): what is said does not depend on the picture's size.
"""

import re
from collections.abc import Callable

from seesay.records import Box

SCALE = 1000
Sides = tuple[float, float, float, float]  # left, top, right, bottom; here as shares of a picture
Scale = tuple[float, float]  # how far numbers reach across and down a picture
THOUSANDTHS: Scale = (SCALE, SCALE)

_NUMBER = r"-?\d+(?:\.\d+)?"
_BETWEEN = r"[\s,;()\[\]]+"
_FOUR = re.compile(rf"(?<![\d.])({_NUMBER}){_BETWEEN}({_NUMBER}){_BETWEEN}({_NUMBER}){_BETWEEN}"
                   rf"({_NUMBER})(?![\d.]*\d)")  # fmt: skip
# PaliGemma: top, left, bottom, right, of 1024. Florence-2: left, top, right, bottom, of 1000.
_LOCATIONS = re.compile(r"<loc(_?)(\d+)>" + r"\s*<loc_?(\d+)>" * 3)
# A box written out in brackets, and not four numbers that only happen to follow one another.
_BRACKETED = re.compile(rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)\s*,\s*\(|"
                        rf"\[\s*(?:{_NUMBER}\s*,\s*){{3}}{_NUMBER}\s*\]|<loc")  # fmt: skip
# Any of these, whole: what is said anew where a picture is changed.
_WHOLE = re.compile("|".join((
    rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)\s*,\s*\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)",
    rf"\[\s*(?:{_NUMBER}\s*,\s*){{3}}{_NUMBER}\s*\]",
    rf"<box>\s*{_NUMBER}(?:{_BETWEEN}{_NUMBER}){{3}}\s*</box>",
    r"<loc_?\d+>(?:\s*<loc_?\d+>){3}",
)))  # fmt: skip
# Shares are written with so many decimals at least, whatever they were read with.
_DECIMALS = 3


def box_text(box: Box, *, width: float, height: float, step: int = 1) -> str:
    """`(120,340),(260,480)`: left and top, right and bottom of a box in pixels.

    `step`: coordinates are multiples of it. Few different numbers are soon learned.
    """
    sides = (box.left / width, box.top / height, box.right / width, box.bottom / height)
    a, b, c, d = (_placed(side, step) for side in sides)
    return f"({a},{b}),({c},{d})"


def _placed(share: float, step: int) -> int:
    return min(SCALE - 1, max(0, int(share * SCALE / step + 0.5) * step))


def shares(box: Box, *, width: float, height: float) -> Sides:
    """Left, top, right and bottom as shares of a picture of that size, none beyond its sides."""
    sides = (box.left / width, box.top / height, box.right / width, box.bottom / height)
    left, top, right, bottom = (min(1.0, max(0.0, side)) for side in sides)
    return left, top, right, bottom


def cells(side: int) -> list[Sides]:
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
    return bool(boxes_in(text))


def boxes_in(text: str, *, of: Scale = THOUSANDTHS, bare: bool = False) -> list[Sides]:
    """All boxes of a text that are in brackets, as shares of the picture.

    of: how far its numbers reach; the picture's width and height where they are pixels. bare: of a
    text without any, four numbers will do.
    """
    found = [_sides(each[0], of=of) for each in _pattern(text, bare=bare).finditer(text)]
    return [sides for sides in found if sides is not None and _is_box(sides)]


def without_boxes(text: str, *, bare: bool = False) -> str:
    """What a text says beside its boxes. bare: as `boxes_in`."""
    return _pattern(text, bare=bare).sub("", text)


def rewrite(
    text: str,
    change: Callable[[Sides], Sides],
    *,
    of: Scale = THOUSANDTHS,
    to: Scale = THOUSANDTHS,
    decimals: int = 0,
    bare: bool = False,
) -> str:
    """A text whose boxes are where `change` brings them, from shares of a picture to shares.

    Each stays in the notation it is in. of, to: how far numbers reach in the text and in the new
    one. decimals: of the new numbers; where they are whole, none. bare: as `boxes_in`.
    """

    def said(found: re.Match[str]) -> str:
        sides = _sides(found[0], of=of)
        if sides is None or not _is_box(sides):
            return found[0]
        return _written(found[0], change(sides), to=to, decimals=decimals)

    return _pattern(text, bare=bare).sub(said, text)


def _pattern(text: str, *, bare: bool) -> re.Pattern[str]:
    return _FOUR if bare and not _WHOLE.search(text) else _WHOLE


def _is_box(sides: Sides) -> bool:
    left, top, right, bottom = sides
    return 0 <= left < right <= 1 and 0 <= top < bottom <= 1


def _written(old: str, sides: Sides, *, to: Scale, decimals: int) -> str:
    """A box in the notation of another."""
    if "<loc" in old:
        return _located(old, sides)
    numbers, most = re.findall(_NUMBER, old), to
    if _are_shares(numbers) and to == THOUSANDTHS:
        own = max(len(number.partition(".")[2]) for number in numbers)
        decimals, to, most = max(_DECIMALS, own), (1.0, 1.0), (1.0, 1.0)
    elif not decimals and to == THOUSANDTHS:
        most = (SCALE - 1, SCALE - 1)  # no number has four digits
    elif max(sides[2] * to[0], sides[3] * to[1]) <= 1:
        decimals = 0  # else they would be taken for shares
    left, right = _ends(sides[0] * to[0], sides[2] * to[0], most=most[0], decimals=decimals)
    top, bottom = _ends(sides[1] * to[1], sides[3] * to[1], most=most[1], decimals=decimals)
    said = iter((left, top, right, bottom))
    return re.sub(_NUMBER, lambda _: next(said), old)


def _ends(first: float, second: float, *, most: float, decimals: int) -> tuple[str, str]:
    """The two ends of a side as text, from 0 to `most`, and never one however they are rounded."""
    step, last = 10.0**-decimals, int(most * 10**decimals)
    high = min(last, max(1, int(second / step + 0.5)))
    low = max(0, min(high - 1, int(first / step + 0.5)))
    return f"{low * step:.{decimals}f}", f"{high * step:.{decimals}f}"


def _located(old: str, sides: Sides) -> str:
    """A box in the location tokens of Florence-2 or PaliGemma, whichever the other is in."""
    scale, wide = (1000, 1) if "_" in old else (1024, 4)
    left, right = _ends(sides[0] * scale, sides[2] * scale, most=scale - 1, decimals=0)
    top, bottom = _ends(sides[1] * scale, sides[3] * scale, most=scale - 1, decimals=0)
    said = iter((left, top, right, bottom) if "_" in old else (top, left, bottom, right))
    return re.sub(r"\d+", lambda _: next(said).zfill(wide), old)


def _are_shares(numbers: list[str]) -> bool:
    return any("." in number for number in numbers) and max(map(float, numbers)) <= 1


def _sides(text: str, *, of: Scale = THOUSANDTHS) -> Sides | None:
    """Left, top, right and bottom, as shares of the picture."""
    if found := _LOCATIONS.search(text):
        a, b, c, d = (int(number) for number in found.groups()[1:])
        return (a / 1000, b / 1000, c / 1000, d / 1000) if found[1] else _swapped(a, b, c, d)
    if not (found := _FOUR.search(text)):
        return None
    a, b, c, d = (float(number) for number in found.groups())
    across, down = (1.0, 1.0) if _are_shares(list(found.groups())) else of
    return a / across, b / down, c / across, d / down


def _swapped(top: int, left: int, bottom: int, right: int) -> Sides:
    return left / 1024, top / 1024, right / 1024, bottom / 1024
