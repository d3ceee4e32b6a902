"""Short answers: when two of them say the same."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from seesay.errors import DataError
from seesay.metrics.text import CJK

_ARTICLES = {"a", "an", "the"}
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
_CHINESE = "零一二三四五六七八九十"
_NUMBERS = {word: str(i) for i, word in enumerate(_WORDS)}
_NUMBERS |= {word: str(i) for i, word in enumerate(_CHINESE)} | {"none": "0", "两": "2"}

_APOSTROPHE = re.compile(r"['\u2019`]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
# A point inside a number, a sign before one and a per cent sign carry meaning; the rest does not.
_PUNCTUATION = re.compile(r"(?<!\d)\.|\.(?!\d)|(?<=\S)-|-(?!\d)|[^\w\s.%+<>=$€£°-]|_")
_BETWEEN_CJK = re.compile(rf"(?<=[{CJK}])\s+(?=[{CJK}])")
_CHINESE_COUNT = re.compile(rf"([{_CHINESE}两]|\d+)个?")


def normalise(text: str) -> str:
    """An answer without what does not matter: case, punctuation, articles, spelling of numbers.

    In the manner of VQA's evaluation (Antol et al., ICCV 2015): lower case, punctuation to spaces
    but for numbers' own, `a an the` dropped, `none` and `zero` to `twenty` as digits. Beyond it:
    Unicode NFKC (full-width forms), and for Chinese no spaces between characters, and a whole
    answer such as 三 or 三个 as 3. An answer that would vanish (the option "A") keeps what it is.
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    words = _PUNCTUATION.sub(" ", _THOUSANDS.sub("", _APOSTROPHE.sub("", folded))).split()
    kept = [word for word in words if word not in _ARTICLES] or words
    plain = _BETWEEN_CJK.sub("", " ".join(_NUMBERS.get(word, word) for word in kept))
    if count := _CHINESE_COUNT.fullmatch(plain):
        plain = _NUMBERS.get(count[1], count[1])
    return plain or folded


def exact_match(answers: Sequence[str], truths: Sequence[str]) -> Bool[np.ndarray, " N"]:
    """Whether each answer is its truth once both are normalised."""
    if len(answers) != len(truths):
        raise DataError(f"{len(answers)} answers against {len(truths)} truths")
    pairs = zip(answers, truths, strict=True)
    return np.array([normalise(said) == normalise(truth) for said, truth in pairs], dtype=bool)


def agreement(answers: Sequence[str], votes: Sequence[Sequence[str]]) -> Float[np.ndarray, " N"]:
    """How far each answer agrees with what several people said, as VQA is scored.

    A third for each who said so, 1 at the most, averaged over all ways to leave one of them out
    (Antol et al., ICCV 2015, and its evaluation): of ten, two give 0.6, four or more 1.
    """
    if len(answers) != len(votes):
        raise DataError(f"{len(answers)} answers against {len(votes)} groups of votes")
    return np.array([_agreed(said, cast) for said, cast in zip(answers, votes, strict=True)])


def _agreed(said: str, cast: Sequence[str]) -> float:
    same, total = sum(normalise(vote) == normalise(said) for vote in cast), len(cast)
    left_out, kept = min(1.0, (same - 1) / 3), min(1.0, same / 3)
    return (same * left_out + (total - same) * kept) / total if same else 0.0
