"""Counts: texts and answers of examples in numbers, and what guessing would score."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from seesay.records import Example

TOP = 10  # answers that are listed


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the middle and the most of a quantity."""

    least: float
    middle: float
    most: float

    def __str__(self) -> str:
        return f"{self.least:g} - {self.middle:g} - {self.most:g}"


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many texts there are, and how long in characters and in words between spaces."""

    count: int
    characters: Spread
    words: Spread

    def __str__(self) -> str:
        return f"{self.characters} characters, {self.words} words"


@dataclass(frozen=True, slots=True)
class Answers:
    """How answers are spread: `majority` and `blind` are scores without a look at the pictures;
    `entropy` is in bits, and `entropy_given` where the question is known.
    """

    count: int
    distinct: int
    majority: float
    blind: float
    top: list[tuple[str, int, float]]
    entropy: float
    entropy_given: float


def pairs(example: Example) -> list[tuple[str, str]]:
    """Each of the assistant's turns with the user's before it (empty for a bare caption)."""
    found, question = [], ""
    for turn in example.turns:
        if turn.role == "assistant":
            found.append((question, turn.text))
        question = turn.text if turn.role == "user" else ""
    return found


def asked(said: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Of (task, question, answer) the pairs that can be guessed: captions are no answers to guess
    where there are questions too.
    """
    found = [(question, answer) for task, question, answer in said if task != "caption"]
    return found or [(question, answer) for _, question, answer in said]


def spread(values: Sequence[int]) -> Spread:
    """The least, the middle and the most of some counts."""
    return Spread(min(values), median(values), max(values)) if values else Spread(0, 0, 0)


def answers(turns: Sequence[tuple[str, str]]) -> Answers:
    """How the answers are spread, and what is right by guessing without a look at the pictures.

    `majority` always says the most frequent answer. `blind` says the most frequent answer to the
    same question among the other examples (so a question asked once teaches nothing), or
    `majority` if that is more often right.
    """
    counts = Counter(answer for _, answer in turns)
    total = max(1, len(turns))
    top = [(text, count, count / total) for text, count in counts.most_common(TOP)]
    majority = top[0][2] if top else 0.0
    blind = max(majority, _blind(turns) / total)
    return Answers(
        len(turns), len(counts), majority, blind, top, entropy(counts.values()), _given(turns)
    )


def entropy(counts: Iterable[int]) -> float:
    """Of things drawn as often as they come, in bits."""
    several = [count for count in counts if count]
    total = sum(several)
    return sum(count / total * math.log2(total / count) for count in several)


def _given(turns: Sequence[tuple[str, str]]) -> float:
    """The answers' entropy where the question is known."""
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for question, answer in turns:
        by_question[question][answer] += 1
    weights = ((counts.total() / len(turns), counts) for counts in by_question.values())
    return sum(weight * entropy(counts.values()) for weight, counts in weights)


def _blind(turns: Sequence[tuple[str, str]]) -> float:
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for question, answer in turns:
        by_question[question][answer] += 1
    everywhere = _left_out(Counter(answer for _, answer in turns))
    right = 0.0
    for counts in by_question.values():
        hits = _left_out(counts) if counts.total() > 1 else everywhere
        right += sum(count * hits(answer) for answer, count in counts.items())
    return right


def _left_out(counts: Counter[str]) -> Callable[[str], float]:
    """For an answer: how likely the most frequent of the others is it, with ties drawn by lot."""
    sizes = Counter(counts.values())
    largest = sorted(counts.values(), reverse=True)[:2]

    def hit(answer: str) -> float:
        own = counts[answer]
        rest = largest[-1] if own == largest[0] and sizes[own] == 1 else largest[0]
        others = sizes[rest] - (own == rest)
        if len(counts) == 1 or own - 1 > rest:
            return float(own > 1)
        return 1 / (1 + others) if own - 1 == rest and own > 1 else 0.0

    return hit


def counted(values: Iterable[str]) -> dict[str, int]:
    """How often each comes, the most frequent first."""
    return dict(Counter(values).most_common())


def lengths(texts: Sequence[str]) -> Lengths:
    """How long texts are."""
    words = [len(text.split()) for text in texts]
    return Lengths(len(texts), spread([len(text) for text in texts]), spread(words))


def slices(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    """Of each label to report by: how often each of its values comes."""
    names = sorted({name for example in examples for name in example.labels})
    return {name: counted(e.labels[name] for e in examples if name in e.labels) for name in names}
