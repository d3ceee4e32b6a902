"""Order: which rows make up a step. A pure function of (seed, step), so resuming needs only the step.

Shapes: none; everything here is about indices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


def permuted(position: int, *, size: int, seed: int) -> int:
    """Where the `position`-th item read stands in a source of `size` items: each epoch (the
    position divided by the size) visits every item once, in an order of its own.
    """
    epoch, place = divmod(position, size)
    return int(_permutation(size, seed, epoch)[place])


_KEPT: dict[tuple[int, int, int], np.ndarray] = {}


def _permutation(size: int, seed: int, epoch: int) -> np.ndarray:
    key = (size, seed, epoch)
    if key not in _KEPT:
        while len(_KEPT) >= 8:
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[key] = np.random.Generator(np.random.PCG64([seed, epoch, size])).permutation(size)
    return _KEPT[key]


def shares(step: int, *, batch: int, weights: tuple[float, ...]) -> list[tuple[int, int]]:
    """For each row of a step: (source, how many rows of that source came before).

    Sources take turns in proportion to their weights, by cumulative rounding: over any stretch of
    rows each source's count is within one of its share.
    """
    total = sum(weights)
    edges = np.cumsum(weights) / total
    before = [_cumulative(step * batch, edges, i) for i in range(len(weights))]
    rows = []
    for row in range(step * batch, (step + 1) * batch):
        for source in range(len(weights)):
            while before[source] < _cumulative(row + 1, edges, source):
                rows.append((source, before[source]))
                before[source] += 1
    return rows


def _cumulative(rows: int, edges: np.ndarray, source: int) -> int:
    """How many of the first `rows` rows are the source's."""
    low = np.floor(rows * edges[source - 1] + 1e-9) if source else 0
    return int(np.floor(rows * edges[source] + 1e-9) - low)


@dataclass(slots=True)
class Steps:
    """The sampler: yields (step, progress) from `start` on; progress (0-1) is what curricula go by.

    `progress` is called when a step is handed to the workers; in a run of a fixed number of steps it
    is a function of the step alone, so that a resumed run sees the same.
    """

    start: int
    total: int | None
    progress: "object"

    def __iter__(self) -> Iterator[tuple[int, float]]:
        step = self.start
        while self.total is None or step < self.total:
            yield step, self.progress(step)  # type: ignore[operator]
            step += 1
