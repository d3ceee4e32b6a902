"""Wording: words for where, what colour, how many and how light; which change with a picture.

In English and Chinese; of other languages nothing is known.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

# Right, up, left, down: each turns into the next where a picture is turned to the left.
_TURNING = (
    ("right of", "above", "left of", "below"),
    ("to the right of", "above", "to the left of", "below"),
    ("on the right", "at the top", "on the left", "at the bottom"),
    ("at the top right", "at the top left", "at the bottom left", "at the bottom right"),
    ("right", "top", "left", "bottom"),
    ("rightmost", "topmost", "leftmost", "bottommost"),
    ("top right", "top left", "bottom left", "bottom right"),
    ("upper right", "upper left", "lower left", "lower right"),
    ("右", "上", "左", "下"),
)
_MIRRORED = {"right": "left", "rightmost": "leftmost", "右": "左"}
_SHOWN = {"red": "R", "green": "G", "blue": "B", "yellow": "RG", "cyan": "GB", "magenta": "RB",
          "红": "R", "绿": "G", "蓝": "B", "黄": "RG", "青": "GB",
          "品红": "RB"}  # fmt: skip
# Colours that do not become one with a name when red, green and blue change places.
MIXED = re.compile(r"\b(orange|purple|violet|pink|brown|teal|turquoise|gold)\b|[橙紫粉棕]", re.I)
_ENGLISH = {
    "places": "left|right|above|below|top|bottom|upper|lower|(?:left|right|top|bottom)most|middle|"
    "cent(?:er|re)|corners?|edges?|sides?|under|over|beneath|beside|between",
    "colours": "colou?r(?:s|ed|ful)?|red|green|blue|yellow|cyan|magenta|orange|purple|violet|pink|"
    "brown|teal|turquoise|gold(?:en)?|silver|black|white|gr[ae]y|beige|maroon|navy",
    "counts": r"how many|number of|count(?:s|ed|ing)?|two|three|four|five|six|seven|eight|nine|ten|"
    r"eleven|twelve|dozens?|\d+",
    "lights": "bright(?:er|est|ly)?|dark(?:er|est|ness)?|dim|lights?|shadows?|shad(?:e|y)|sunny|"
    "nights?|days?|daylight|dusk|dawn|contrast|faded",
}
_CHINESE = {
    "places": "[左右上下中]|角落?|旁边?|边缘",
    "colours": "[红绿蓝黄青橙紫粉棕黑白灰]|[金银]色|颜色",
    "counts": "多少|几[个只张条]?|数量|[两三四五六七八九十]",
    "lights": "[亮暗]|阴影|夜|白天",
}
_SAID = {
    name: re.compile(rf"\b(?:{_ENGLISH[name]})\b|{_CHINESE[name]}", re.I) for name in _ENGLISH
}


@dataclass(frozen=True, slots=True)
class Says:
    """What some texts speak of, which a changed picture may make untrue."""

    places: bool = False
    colours: bool = False
    counts: bool = False
    lights: bool = False

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Says":
        """Of all of them together."""
        found = [_said(text) for text in texts]
        return cls(*(any(each) for each in zip(*found, strict=True))) if found else cls()


@lru_cache(maxsize=100_000)
def _said(text: str) -> tuple[bool, ...]:
    return tuple(bool(_SAID[name].search(text)) for name in Says.__dataclass_fields__)


@lru_cache(maxsize=100_000)
def reworded(text: str, mirrored: bool, quarters: int, channels: str) -> str:
    """A text in the words that are true of a picture so changed: mirrored, then turned to the left
    by quarters, then of these channels as red, green and blue.
    """
    for words in exchanged(mirrored, quarters, channels):
        text = _pattern(tuple(words)).sub(partial(_other, words), text)
    return text


def _other(words: Mapping[str, str], found: re.Match[str]) -> str:
    new = words[found[0].lower()]
    return new[0].upper() + new[1:] if found[0][0].isupper() else new


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words, longer ones first; those of Latin letters as whole words."""
    longest = sorted(words, key=len, reverse=True)
    whole = (rf"\b{word}\b" if word.isascii() else word for word in longest)
    return re.compile("|".join(whole), re.I)


@lru_cache(maxsize=64)
def exchanged(mirrored: bool, quarters: int, channels: str) -> tuple[dict[str, str], ...]:
    """Which words become which, one change after the other."""
    changes = []
    if mirrored:
        changes.append(_MIRRORED | {left: right for right, left in _MIRRORED.items()})
    if quarters % 4:
        # The first group that has a word is the one it turns in.
        changes.append({
            group[i]: group[(i + quarters) % 4] for group in reversed(_TURNING) for i in range(4)
        })  # fmt: skip
    if channels != "RGB":
        changes.append(_recoloured(channels))
    return tuple(changes)


def _recoloured(channels: str) -> dict[str, str]:
    # What is shown as red was of the first channel named, and so on.
    shown = dict(zip(channels, "RGB", strict=True))
    named = {(frozenset(made), word.isascii()): word for word, made in _SHOWN.items()}
    return {
        word: named[frozenset(shown[c] for c in made), word.isascii()]
        for word, made in _SHOWN.items()
    }
