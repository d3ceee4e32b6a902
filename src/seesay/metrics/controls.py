"""Controls: the same test with nothing to see, the wrong picture, or the question alone."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

GREY = 128


def blank(height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """A mid-grey picture."""
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def shuffled(num_pictures: Mapping[str, int], *, seed: int = 0) -> dict[str, str]:
    """For each group, the group whose pictures it gets instead: never itself, each used once.

    Exchanged among groups with as many pictures, since a prompt's turns speak of that many. A group
    that no other matches is left out of the answer, and of the control.
    """
    alike: dict[int, list[str]] = defaultdict(list)
    for group, count in num_pictures.items():
        alike[count].append(group)
    random = np.random.default_rng(seed)
    instead: dict[str, str] = {}
    for count, groups in alike.items():
        if count and len(groups) > 1:
            order = [groups[i] for i in random.permutation(len(groups))]
            instead |= dict(zip(order, order[1:] + order[:1], strict=True))
    return instead


def question_alone(
    questions: Sequence[str],
    answers: Sequence[str],
    groups: Sequence[str],
    *,
    options: Sequence[Sequence[str]] = (),
) -> list[str]:
    """What a guesser who never sees, and learns nothing, would answer: the majority by question.

    For each example, the answer most often true of the same question (exact text) among the other
    pictures' examples; every example of its own picture is left out. Where the example has options,
    only they count. Ties go to the first in alphabetical order. A question asked of no other
    picture gets the most frequent answer, of its options, among all other pictures; with none of
    those either, the empty answer. Nothing is trained: it reads the test set's own answers, one
    picture left out, so it falls below chance where a question's answers are exactly balanced.
    """
    rows = list(zip(questions, answers, groups, strict=True))
    by_question = _Majority(rows)
    overall = _Majority([("", answer, group) for _, answer, group in rows])
    allowed = options or [()] * len(rows)
    return [
        by_question.without(group, question, only=few) or overall.without(group, "", only=few)
        for (question, _, group), few in zip(rows, allowed, strict=True)
    ]


class _Majority:
    """The most frequent answer to a question, any one group left out."""

    def __init__(self, rows: Sequence[tuple[str, str, str]]):
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.own: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for question, answer, group in rows:
            self.counts[question][answer] += 1
            self.own[group, question][answer] += 1
        self.ranked = {q: sorted(c, key=lambda a: (-c[a], a)) for q, c in self.counts.items()}

    def without(self, group: str, question: str, *, only: Sequence[str] = ()) -> str:
        """That answer, one of `only` if there are any; empty where nobody else was asked."""
        counts, own = self.counts[question], self.own[group, question]
        candidates = list(only)
        if not only:
            # Only the group's own answers lose votes: the first other in rank is their one rival.
            candidates = [*own, *(a for a in self.ranked[question][: len(own) + 1] if a not in own)]
        left = [a for a in candidates if counts[a] > own[a]]
        return min(left, key=lambda a: (own[a] - counts[a], a), default="")
