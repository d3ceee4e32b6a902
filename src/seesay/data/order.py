"""Order: which rows make up a step: a function of the seed and of where in the data it begins.

Shapes: none; everything here is about indices.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np


def permuted(position: int, *, size: int, seed: int) -> int:
    """Where the `position`-th item read stands in a source of `size` items.

    Each epoch (the position divided by the size) visits every item once, in an order of its own.
    """
    epoch, place = divmod(position, size)
    return int(_permutation(size, seed, epoch)[place])


@lru_cache(maxsize=8)
def _permutation(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64([seed, epoch, size])).permutation(size)


class Place(NamedTuple):
    """Where in its sources a step begins: all that a run, of however many processes, resumes by.

    row: rows of all sources that were read before it, by all processes. weights: those by which
    sources take turns here; since: from which row on; counts: rows of each that were read before.
    """

    row: int = 0
    since: int = 0
    weights: tuple[float, ...] = (1.0,)
    counts: tuple[int, ...] = (0,)

    @classmethod
    def first(cls, weights: Sequence[float]) -> "Place":
        """Where sources of these weights begin."""
        return cls(weights=tuple(weights), counts=(0,) * len(weights))

    def weighed(self, weights: Sequence[float]) -> "Place":
        """The same place, from which on sources take turns by these weights."""
        if tuple(weights) == self.weights:
            return self
        return Place(self.row, self.row, tuple(weights), self._counts(self.row))

    def after(self, rows: int) -> "Place":
        """The place so many rows on."""
        return self._replace(row=self.row + rows)

    def read(self, rows: int) -> list[tuple[int, int]]:
        """For each of so many rows from here on: (source, how many of that source came before).

        Sources take turns in proportion to their weights: of the first rows, however many, the
        first source has its share rounded down, the next its share of what is left, and so on.
        Every row has exactly one source, and no source's count ever falls.
        """
        before, found = self._counts(self.row), []
        for row in range(self.row, self.row + rows):
            after = self._counts(row + 1)
            source = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if b > a)
            found.append((source, before[source]))
            before = after
        return found

    def _counts(self, row: int) -> tuple[int, ...]:
        """How many of the rows before that one are each source's."""
        own = _counts(row - self.since, _parts(self.weights))
        return tuple(a + b for a, b in zip(self.counts, own, strict=True))


@lru_cache(maxsize=64)
def _parts(weights: tuple[float, ...]) -> tuple[Fraction, ...]:
    """Each source's share of what the sources before it leave over."""
    if not weights or max(weights) <= 0 or min(weights) < 0:
        raise ValueError(f"weights {weights} give no source a share")
    # By the largest, so that weights which are all tiny are not rounded away.
    exact = [Fraction(w / max(weights)).limit_denominator(1_000_000) for w in weights]
    rest = [sum(exact[i:], Fraction()) for i in range(len(exact))]
    return tuple(own / left if left else Fraction() for own, left in zip(exact, rest, strict=True))


def _counts(rows: int, parts: tuple[Fraction, ...]) -> list[int]:
    """How many of the first rows are each source's. Whole numbers: nothing is rounded twice."""
    counts = []
    for part in parts:
        counts.append(rows * part.numerator // part.denominator)
        rows -= counts[-1]
    return counts


@dataclass(slots=True)
class Steps:
    """The sampler: (place, progress) of steps from `start` on; curricula go by progress (0-1).

    Each takes `rows` rows, of all processes together, by the `weights` that hold at its progress.
    `progress` is called when a step is handed to the workers; in a run of a fixed number of steps
    it is a function of the step alone, so that a resumed run sees the same.
    """

    start: int
    total: int | None
    progress: Callable[[int], float]
    place: Place
    rows: int
    weights: Callable[[float], Sequence[float]]

    def __iter__(self) -> Iterator[tuple[Place, float]]:
        step, place = self.start, self.place
        while self.total is None or step < self.total:
            progress = self.progress(step)
            place = place.weighed(self.weights(progress))
            yield place, progress
            step, place = step + 1, place.after(self.rows)
