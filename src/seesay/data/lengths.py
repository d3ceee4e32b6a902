"""Lengths: texts that do not fit a row, that say nothing, or that are oddly long or short."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from seesay.data.counts import pairs
from seesay.data.fit import Fit
from seesay.data.text import Text
from seesay.errors import DataError, LengthError, PictureError
from seesay.records import Example, Origin

# Odd is a length whose logarithm lies more than so many deviations from the middle one (Iglewicz
# and Hoaglin, How to Detect and Handle Outliers, 1993). A deviation is `NORMAL` times the median
# distance to the middle, which is the standard deviation of what is normal, and at least the
# second, so that nothing is odd that is not about three times as long as the middle, or a third.
DEVIATIONS, LEAST_DEVIATION = 3.5, 0.3
NORMAL = 1.4826
FEW = 20  # fewer texts have no usual length


@dataclass(frozen=True, slots=True)
class Long:
    """A conversation that takes `tokens`, where there is room for `room`: it is cut, or does not
    fit at all.
    """

    origin: Origin
    tokens: int
    room: int
    fits: bool

    def __str__(self) -> str:
        end = "its end is cut off" if self.fits else "nothing to learn is left: training stops"
        return f"{self.origin}: {self.tokens} tokens, room for {self.room}: {end}"


@dataclass(frozen=True, slots=True)
class Odd:
    """A text of so many characters, where the middle one of its kind has `middle`."""

    origin: Origin
    kind: str
    characters: int
    middle: float

    def __str__(self) -> str:
        return f"{self.origin}: {self.kind} of {self.characters} characters; usual: {self.middle:g}"


def too_long(examples: Iterable[Example], *, text: Text, fit: Fit) -> list[Long]:
    """The examples that a row has no room for, as training cuts them."""
    found = []
    for example in examples:
        pictures = tokens_of(example, fit)
        tokens = fit.document(text, example.turns, tokens=pictures)
        room = _room(example, pictures, fit)
        if room is None:
            room = max(0, fit.beside(sum(pictures)))
            found.append(Long(example.origin, len(tokens), room, False))
            continue
        if len(tokens) > room:
            kept = bool(tokens.learned[:room].any())
            lost_picture = bool((tokens.tokens[room:] == text.picture).any())
            found.append(Long(example.origin, len(tokens), room, kept and not lost_picture))
    return found


def _room(example: Example, pictures: Sequence[int], fit: Fit) -> int | None:
    """Tokens that a document may have; None where its pictures alone are too much."""
    if fit.chosen and 0 < fit.sequence_budget < sum(pictures):
        return None
    try:
        return fit.room_of(example, pictures)
    except DataError:
        return None


def tokens_of(example: Example, fit: Fit) -> Sequence[int]:
    """Tokens of each of an example's pictures; the fewest where a size cannot be read.

    Of more pictures than a sequence may hold, what they would take without that limit.
    """
    where = str(example.origin)
    try:
        return fit.tokens(example.images, where=where)
    except LengthError:
        return replace(fit, sequence_budget=0).tokens(example.images, where=where)
    except PictureError:
        return (fit.picture_tokens,) * len(example.images)


def empty(examples: Iterable[Example]) -> list[str]:
    """Answers without a letter or a digit: where, and what they are."""
    return [
        f"{example.origin}: the answer is only '{answer}'"
        for example in examples
        for _, answer in pairs(example)
        if not any(letter.isalnum() for letter in answer)
    ]


def odd(examples: Iterable[Example]) -> list[Odd]:
    """Questions and answers that are far longer or shorter than others of their task."""
    several: dict[str, list[tuple[Origin, int]]] = defaultdict(list)
    for example in examples:
        for question, answer in pairs(example):
            kind = "a caption" if example.task == "caption" else f"an answer ({example.task})"
            several[kind].append((example.origin, len(answer)))
            if question:
                several[f"a question ({example.task})"].append((example.origin, len(question)))
    return [found for kind, lengths in several.items() for found in _odd(kind, lengths)]


def _odd(kind: str, lengths: Sequence[tuple[Origin, int]]) -> list[Odd]:
    if len(lengths) < FEW:
        return []
    logs = [math.log(1 + length) for _, length in lengths]
    middle = median(logs)
    deviation = max(LEAST_DEVIATION, NORMAL * median(abs(log - middle) for log in logs))
    usual = median(length for _, length in lengths)
    found = [
        Odd(origin, kind, length, usual)
        for (origin, length), log in zip(lengths, logs, strict=True)
        if abs(log - middle) > DEVIATIONS * deviation
    ]
    return sorted(found, key=lambda each: -abs(math.log((1 + each.characters) / (1 + usual))))
