"""Augment: pictures changed at random, and the words for where and what colour along with them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import accumulate

import numpy as np

from seesay.coordinates import says_box
from seesay.errors import DataError
from seesay.records import Example, Turn

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
_MIXED = re.compile(r"\b(orange|purple|violet|pink|brown|teal|turquoise|gold)\b|[橙紫粉棕]", re.I)
Sides = tuple[float, float, float, float]  # left, top, right, bottom
_CHANNELS = ("RGB", "RBG", "GRB", "GBR", "BRG", "BGR")


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to a picture, in this order: mirrored, turned to the left, recoloured, moved.

    channels: which of a picture's is shown as red, as green and as blue. moved: pixels down and
    right, edges repeated.
    """

    mirrored: bool = False
    quarters: int = 0
    channels: str = "RGB"
    moved: tuple[int, int] = (0, 0)

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """Pictures (N, H, W, 3) so changed; square ones where they are turned."""
        if self == Change():
            return pixels
        if self.mirrored:
            pixels = pixels[:, :, ::-1]
        pixels = np.rot90(pixels, self.quarters, axes=(1, 2))
        pixels = pixels[..., ["RGB".index(channel) for channel in self.channels]]
        return np.ascontiguousarray(_moved(pixels, *self.moved))

    def box(self, sides: Sides, *, size: tuple[int, int]) -> Sides:
        """Where a box then lies in pictures of that size (height, width); it may lie outside.

        `sides`: left, top, right and bottom, as shares of the picture, before and after.
        """
        left, top, right, bottom = sides
        if self.mirrored:
            left, right = 1 - right, 1 - left
        for _ in range(self.quarters % 4):
            left, top, right, bottom = top, 1 - right, bottom, 1 - left
        down, across = self.moved[0] / size[0], self.moved[1] / size[1]
        return left + across, top + down, right + across, bottom + down

    def turns(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """What is then true of it."""
        if not _words(self.mirrored, self.quarters, self.channels):
            return tuple(turns)
        return tuple(self._turn(turn) for turn in turns)

    def _turn(self, turn: Turn) -> Turn:
        cuts = (0, *turn.pictures, len(turn.text))
        pieces = [self.text(turn.text[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
        places = tuple(accumulate(len(piece) for piece in pieces[:-1]))
        return replace(
            turn, text="".join(pieces), reasoning=self.text(turn.reasoning), pictures=places
        )

    def text(self, text: str) -> str:
        """A text in the words that are then true."""
        return _text(text, self.mirrored, self.quarters, self.channels)


def _moved(pixels: np.ndarray, down: int, right: int) -> np.ndarray:
    if not (down or right):
        return pixels
    height, width = pixels.shape[1:3]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return pixels[:, rows[:, None], columns]


@lru_cache(maxsize=100_000)
def _text(text: str, mirrored: bool, quarters: int, channels: str) -> str:
    for words in _words(mirrored, quarters, channels):
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
def _words(mirrored: bool, quarters: int, channels: str) -> tuple[dict[str, str], ...]:
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


@dataclass(frozen=True, slots=True)
class Augment:
    """Changes that may be made to a picture at random; all of them off leave it as it is.

    flip: mirrored, half of the time. turn: by any number of quarters. recolour: red, green and
    blue change places. shift: moved by up to so many pixels.
    """

    flip: bool = False
    turn: bool = False
    recolour: bool = False
    shift: int = 0

    def drawn(self, *seed: int) -> Change:
        """One change; the same for the same seed."""
        if self == Augment():
            return Change()
        random = np.random.Generator(np.random.PCG64(seed))
        mirrored = self.flip and random.random() < 0.5
        down = right = 0
        if self.shift:
            down, right = (int(n) for n in random.integers(-self.shift, self.shift + 1, size=2))
        quarters = int(random.integers(4)) if self.turn else 0
        channels = _CHANNELS[int(random.integers(6))] if self.recolour else "RGB"
        return Change(mirrored, quarters, channels, (down, right))

    def check(self, examples: Iterable[Example], *, size: tuple[int, int]) -> None:
        """Raise DataError where a change would make the text untrue, or the picture not fit."""
        if self.turn and size[0] != size[1]:
            raise DataError(
                f"pictures of {size[0]}×{size[1]} do not fit when they are turned",
                where="data.turn",
                fix="make model.vision.image_size square, or set it to false",
            )
        for example in examples if self.flip or self.turn or self.shift else ():
            found = next((turn.text for turn in example.turns if says_box(turn.text)), None)
            if found:
                raise DataError(
                    f"data.flip, turn and shift move what is in a picture, and the box '{found}' "
                    "would stay where it was",
                    where=str(example.origin),
                    fix="set data.flip and data.turn to false, and data.shift to 0",
                )
        for example in examples if self.recolour else ():
            found = next(filter(None, (_MIXED.search(turn.text) for turn in example.turns)), None)
            if found:
                raise DataError(
                    f"data.recolour exchanges red, green and blue, and what '{found[0]}' becomes "
                    "has no name",
                    where=str(example.origin),
                    fix="set data.recolour to false",
                )
