"""Ranking: places by hand, ties, parts against the whole, and chance against counting."""

from itertools import permutations

import numpy as np
import pytest

from seesay.metrics import ranking


def unit(rows):
    x = np.asarray(rows, dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_places_by_hand():
    scores = np.array([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.2, 0.3, 0.4]])
    assert ranking.places(scores, [[0], [1], [0, 1]]).tolist() == [1, 3, 2]


def test_a_tie_counts_against_the_right_one():
    assert ranking.places(np.zeros((2, 5)), [[0], [1, 2]]).tolist() == [5, 4]
    assert ranking.places(np.full((1, 5), -np.inf), [[0]]).tolist() == [5]
    alike = unit(np.ones((40, 7)))
    assert ranking.ranks(alike, alike, [[i] for i in range(40)]).tolist() == [40] * 40


def test_parts_give_what_the_whole_gives(monkeypatch):
    random = np.random.default_rng(0)
    queries, items = unit(random.normal(size=(50, 8))), unit(random.normal(size=(60, 8)))
    own = [[i, i + 10] for i in range(50)]
    whole = ranking.places(queries @ items.T, own)
    tops = np.argsort(-(queries @ items.T), axis=1)
    monkeypatch.setattr(ranking, "CELLS", 130)
    assert (ranking.ranks(queries, items, own) == whole).all()
    for k in (1, 5, 60):
        assert (ranking.nearest(queries, items, k) == tops[:, :k]).all()


@pytest.mark.parametrize(("items", "own"), [(5, 1), (5, 2), (6, 5), (4, 4)])
def test_chance_is_what_counting_every_order_gives(items, own):
    firsts = [min(order.index(i) for i in range(own)) + 1 for order in permutations(range(items))]
    for k in (1, 2, 5, 10):
        within = np.mean([first <= k for first in firsts])
        assert ranking.chance_within(k, items=items, own=own) == pytest.approx(within)
    assert ranking.chance_median([(items, own)] * 3) == np.percentile(
        firsts, 50, method="inverted_cdf"
    )


def test_chance_of_queries_that_differ():
    """Half are sure to be first, half are anywhere in four."""
    assert ranking.chance_median([(1, 1), (4, 1)]) == 1
    assert ranking.chance_median([(100, 1)] * 9) == 50
