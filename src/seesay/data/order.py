"""Order: which rows make up a step: a function of (seed, step), so resuming needs only the step.

Shapes: none; everything here is about indices.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

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


def shares(step: int, *, batch: int, weights: Sequence[float]) -> list[tuple[int, int]]:
    """For each row of a step: (source, how many rows of that source came before).

    Sources take turns in proportion to their weights: of the first rows, however many, the first
    source has its share rounded down, the next its share of what is left, and so on. Every row has
    exactly one source, and no source's count ever falls.
    """
    parts = _parts(tuple(weights))
    before = _counts(step * batch, parts)
    rows = []
    for row in range(step * batch, (step + 1) * batch):
        after = _counts(row + 1, parts)
        source = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if b > a)
        rows.append((source, before[source]))
        before = after
    return rows


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
    """The sampler: (step, progress) from `start` on; progress (0-1) is what curricula go by.

    `progress` is called when a step is handed to the workers; in a run of a fixed number of steps
    it is a function of the step alone, so that a resumed run sees the same.
    """

    start: int
    total: int | None
    progress: Callable[[int], float]

    def __iter__(self) -> Iterator[tuple[int, float]]:
        step = self.start
        while self.total is None or step < self.total:
            yield step, self.progress(step)
            step += 1
