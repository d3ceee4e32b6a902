"""Noise: answers that may be wrong, for pictures that look much the same are answered otherwise.

No model is needed, and none is believed: these are candidates, to be looked at by people. Of each
question that many pictures are asked (a class is such a question), every picture's nearest ones
vote on its answer, by what likeness of colour, outline or layout their votes agree best with the
answers given. Where even that hardly beats always saying the commonest answer, nobody is judged.

Shapes: N pictures, S side, F features, K answers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from seesay.records import Origin

# Neighbours that vote. An answer that fewer pictures have than these and one is not judged.
NEIGHBOURS = 10
# A question is judged that so many pictures are asked, and that has at most so many answers.
LEAST, MOST_ANSWERS = 50, 100
# The nearest are looked for among so many, drawn by lot where there are more.
AMONG = 20_000
# So much more of the votes must be for another answer than for the one given.
SURE = 0.7
# How far the votes must come from the commonest answer's share towards being always right.
BETTER = 1 / 3
# Rows of likenesses that are held at a time.
AT_ONCE = 1024

_LEVELS = 4  # of each of red, green and blue


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on one picture, which is one of a list, and the answer that is given."""

    picture: int
    question: str
    answer: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Doubt:
    """An answer that pictures like it do not give: `share` of those say `other`."""

    origin: Origin
    question: str
    answer: str
    other: str
    share: float
    likeness: str

    def __str__(self) -> str:
        asked = f"'{self.question}': " if self.question else ""
        return (
            f"{self.origin}: {asked}'{self.answer}', but {self.share:.0%} of those most like it in "
            f"{self.likeness} say '{self.other}'"
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """How well a question's answers are told by a likeness: `agreement` is the share of answers
    that their neighbours vote for, `majority` that of the commonest.
    """

    question: str
    pictures: int
    likeness: str
    agreement: float
    majority: float

    @property
    def enough(self) -> bool:
        """Whether neighbours tell anything of it."""
        return self.agreement - self.majority >= BETTER * (1 - self.majority)


def doubts(
    asked: Sequence[Asked], small: UInt8[np.ndarray, "N S S 3"], *, seed: int = 0
) -> tuple[list[Doubt], list[Judged]]:
    """Answers that may be wrong, the surest first; and every question that could be judged.

    small: the pictures, small.
    """
    questions: dict[str, dict[int, Asked]] = defaultdict(dict)
    for each in asked:
        questions[each.question].setdefault(each.picture, each)
    several = {question: _judgeable(list(own.values())) for question, own in questions.items()}
    found: list[Doubt] = []
    judged: list[Judged] = []
    if not any(several.values()):
        return found, judged
    features = {name: make(small) for name, make in LIKENESSES.items()}
    for question, kept in several.items():
        if not kept:
            continue
        about, own = _judge(question, kept, features, seed)
        judged.append(about)
        found += own if about.enough else []
    return sorted(found, key=lambda doubt: -doubt.share), judged


def _judgeable(asked: list[Asked]) -> list[Asked]:
    """Those whose answer enough pictures have; none, where that leaves nothing to tell apart."""
    counts = Counter(each.answer for each in asked)
    frequent = {answer for answer, count in counts.items() if count > NEIGHBOURS}
    kept = [each for each in asked if each.answer in frequent]
    closed = 2 <= len(frequent) <= MOST_ANSWERS and len(kept) >= LEAST
    return kept if closed else []


def _judge(question: str, asked: Sequence[Asked], features: Mapping[str, np.ndarray],
           seed: int) -> tuple[Judged, list[Doubt]]:  # fmt: skip
    """The likeness that tells a question's answers best, and what it casts doubt on."""
    names = sorted({each.answer for each in asked})
    answers = np.array([names.index(each.answer) for each in asked])
    own = [each.picture for each in asked]
    random = np.random.Generator(np.random.PCG64(seed))
    among = np.sort(random.permutation(len(asked))[:AMONG])
    every = {name: _votes(made[own], answers, among) for name, made in features.items()}
    right = {name: float((votes.argmax(1) == answers).mean()) for name, votes in every.items()}
    best = max(right, key=lambda name: right[name])
    majority = np.bincount(answers).max() / len(answers)
    about = Judged(question, len(asked), best, right[best], float(majority))
    return about, list(_doubted(asked, names, answers, every[best], best))


def _doubted(asked: Sequence[Asked], names: Sequence[str], answers: np.ndarray,
             votes: Float[np.ndarray, "N K"], likeness: str) -> Iterator[Doubt]:  # fmt: skip
    own, most = votes[np.arange(len(answers)), answers], votes.max(axis=1)
    for place in np.flatnonzero(most - own >= SURE - 1e-6).tolist():
        each, other = asked[place], names[int(votes[place].argmax())]
        share = float(most[place])
        yield Doubt(each.origin, each.question, each.answer, other, share, likeness)


def _votes(features: Float[np.ndarray, "N F"], answers: Int[np.ndarray, " N"],
           among: Int[np.ndarray, " M"]) -> Float[np.ndarray, "N K"]:  # fmt: skip
    """The share of each picture's nearest ones, itself aside, that have each answer."""
    count = int(answers.max()) + 1
    votes = np.zeros((len(answers), count))
    for start in range(0, len(answers), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(answers)))
        like = features[rows] @ features[among].T
        like[among[None] == rows[:, None]] = -np.inf
        nearest = np.argpartition(-like, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        for column in answers[among[nearest]].T:
            votes[rows, column] += 1
    return votes / NEIGHBOURS


# Likenesses: vectors of length one, whose products are cosines.


def _colour(pictures: UInt8[np.ndarray, "N S S 3"]) -> Float[np.ndarray, "N F"]:
    """How much there is of each of 64 colours, wherever it is."""
    parts = pictures.reshape(len(pictures), -1, 3) // (256 // _LEVELS)
    codes = parts @ np.array([_LEVELS**2, _LEVELS, 1])
    counts = np.stack([np.bincount(code, minlength=_LEVELS**3) for code in codes])
    return _unit(np.sqrt(counts))


def _outline(pictures: UInt8[np.ndarray, "N S S 3"]) -> Float[np.ndarray, "N F"]:
    """How much of edges runs in each of 32 directions, wherever they are."""
    return _edges(pictures, directions=32, cells=1)


def _layout(pictures: UInt8[np.ndarray, "N S S 3"]) -> Float[np.ndarray, "N F"]:
    """How much of edges runs in each of 16 directions, in each of 4 by 4 cells (HOG: Dalal and
    Triggs, 2005).
    """
    return _edges(pictures, directions=16, cells=4)


LIKENESSES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "colour": _colour,
    "outline": _outline,
    "layout": _layout,
}


def _edges(pictures: np.ndarray, *, directions: int, cells: int) -> np.ndarray:
    """Edges by direction and cell; of the three colours, the one with the strongest edge counts."""
    count, side = pictures.shape[:2]
    step, found = side // cells, []
    for start in range(0, count, AT_ONCE):
        values = pictures[start : start + AT_ONCE].astype(np.float32)
        down, across = np.gradient(values, axis=(1, 2))
        strength = np.hypot(down, across)
        which = strength.argmax(axis=-1)[..., None]
        strength, down, across = (
            np.take_along_axis(each, which, axis=-1)[..., 0] for each in (strength, down, across)
        )
        turn = np.mod(np.arctan2(down, across) / (2 * np.pi), 1.0) * directions
        low, rest = np.floor(turn).astype(np.int64) % directions, turn % 1
        made = []
        for own in range(directions):
            # An edge between two directions counts for both.
            near = (low == own) * (1 - rest) + ((low + 1) % directions == own) * rest
            parts = (strength * near).reshape(len(values), cells, step, cells, step)
            made.append(parts.sum(axis=(2, 4)).reshape(len(values), -1))
        found.append(np.stack(made, axis=-1).reshape(len(values), -1))
    return _unit(np.sqrt(np.concatenate(found)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-6)).astype(np.float32)
