"""Ranking: at which place a search finds what belongs to its query, and what chance would give.

Shapes: N queries, M items to search, V width of their vectors, k places.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int

# Nearer than this counts as a tie: the same product is rounded differently from place to place.
TIE = 1e-6
# Similarities held at once: of 100,000 queries and as many items, a part at a time.
CELLS = 2**24

Own = Sequence[Sequence[int]]  # of each query, the numbers of the items that belong to it


def ranks(
    queries: Float32[np.ndarray, "N V"], items: Float32[np.ndarray, "M V"], own: Own
) -> Int[np.ndarray, " N"]:
    """The place, from 1, at which each query finds the first of its own items by inner product."""
    found = np.empty(len(queries), dtype=np.int64)
    for part, scores in _similarities(queries, items):
        found[part] = places(scores, own[part])
    return found


def places(scores: Float[np.ndarray, "N M"], own: Own) -> Int[np.ndarray, " N"]:
    """The same of scores that are known: 1 + how many of the others are as good or better.

    A tie counts against the right one, so that one who scores all alike finds nothing.
    """
    rows = np.repeat(np.arange(len(own)), [len(several) for several in own])
    columns = np.array([item for several in own for item in several], dtype=np.int64)
    best = np.full(len(own), -np.inf)
    np.maximum.at(best, rows, scores[rows, columns])
    as_good = scores >= (best - TIE)[:, None]
    as_good[rows, columns] = False
    return 1 + as_good.sum(axis=1)


def nearest(
    queries: Float32[np.ndarray, "N V"], items: Float32[np.ndarray, "M V"], k: int
) -> Int[np.ndarray, "N k"]:
    """The numbers of the k nearest items, the nearest first."""
    found = np.empty((len(queries), k), dtype=np.int64)
    for part, scores in _similarities(queries, items):
        some = np.argpartition(-scores, k - 1, axis=1)[:, :k] if k < len(items) else None
        some = np.tile(np.arange(len(items)), (len(scores), 1)) if some is None else some
        order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
        found[part] = np.take_along_axis(some, order, axis=1)
    return found


def _similarities(queries: np.ndarray, items: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Which queries, and their inner products with all items: so many at a time as have room."""
    size = max(1, CELLS // max(1, len(items)))
    for start in range(0, len(queries), size):
        part = slice(start, min(start + size, len(queries)))
        yield part, queries[part] @ items.T


def chance_within(k: int, *, items: int, own: int) -> float:
    """How likely one of `own` items is among the first k, were all in random order.

    1 - C(items - own, k) / C(items, k).
    """
    missed = 1.0
    for place in range(min(k, items)):
        missed *= max(0, items - own - place) / (items - place)
    return 1.0 - missed


def chance_median(counts: Sequence[tuple[int, int]]) -> float:
    """The median place of the first own item, were all in random order.

    `counts`: of each query, how many items there are and how many of them are its own.
    """
    kinds, total = Counter(counts), len(counts)
    missed = {kind: 1.0 for kind in kinds}
    for place in range(max(items for items, _ in kinds)):
        for items, own in kinds:
            left = max(0, items - own - place) / max(1, items - place)
            missed[items, own] *= left
        if sum(missed[kind] * number for kind, number in kinds.items()) <= total / 2:
            return float(place + 1)
    return float(max(items for items, _ in kinds))
