"""Order: every example once an epoch, sources by their weights, and only the step to remember."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.data import order
from seesay.data.order import Place, Steps, permuted

seeds = st.integers(0, 2**62 - 1)
sizes = st.integers(1, 60)
weights = st.lists(
    st.floats(0, 10, allow_nan=False) | st.integers(0, 5), min_size=1, max_size=5
).filter(lambda each: max(each) > 1e-3)


def epoch(number: int, *, size: int, seed: int) -> list[int]:
    return [permuted(number * size + place, size=size, seed=seed) for place in range(size)]


# Epochs.


@given(sizes, seeds, st.integers(0, 10**6))
def test_an_epoch_reads_every_item_once(size, seed, number):
    assert sorted(epoch(number, size=size, seed=seed)) == list(range(size))


def test_an_order_is_kept_for_good():
    """A run resumed by another version must read what it would have read: never change these."""
    assert epoch(0, size=8, seed=0) == [1, 6, 5, 3, 0, 4, 7, 2]
    assert epoch(1, size=8, seed=0) == [7, 0, 6, 4, 3, 1, 5, 2]
    assert epoch(0, size=8, seed=1) == [4, 2, 6, 7, 5, 0, 3, 1]


@given(seeds)
def test_epochs_and_seeds_have_orders_of_their_own(seed):
    orders = [epoch(number, size=40, seed=seed) for number in range(3)]
    orders += [epoch(0, size=40, seed=seed + 1), list(range(40))]
    assert all(one != other for one, other in itertools.combinations(orders, 2))


@given(sizes, seeds, st.integers(0, 200))
def test_reading_may_begin_anywhere(size, seed, start):
    """Mid-epoch, with nothing remembered, the items are those an unbroken run reads."""
    unbroken = [permuted(place, size=size, seed=seed) for place in range(start + 30)]
    order._permutation.cache_clear()
    resumed = [permuted(place, size=size, seed=seed) for place in range(start, start + 30)]
    assert resumed == unbroken[start:]


def test_every_place_is_as_likely_for_every_item():
    """Over many epochs: the first item is no favourite (chi-square, 9 degrees, p = 0.001)."""
    first = Counter(permuted(number * 10, size=10, seed=7) for number in range(2000))
    assert sum((first[item] - 200) ** 2 / 200 for item in range(10)) < 27.9


# Mixtures.


def shares(step: int, *, batch: int, weights: Sequence[float]) -> list[tuple[int, int]]:
    return Place.first(weights).after(step * batch).read(batch)


def taken(steps: range, *, batch: int, weights: list[float]) -> list[tuple[int, int]]:
    return [row for step in steps for row in shares(step, batch=batch, weights=weights)]


@given(weights, st.integers(1, 9), st.integers(0, 12))
def test_each_source_is_read_in_order_without_gaps(weights, batch, steps):
    rows = taken(range(steps), batch=batch, weights=weights)
    assert len(rows) == steps * batch
    for source in range(len(weights)):
        assert [place for of, place in rows if of == source] == list(
            range(sum(of == source for of, _ in rows))
        )


@given(weights, st.integers(1, 9), st.integers(0, 10**9))
def test_steps_depend_on_nothing_before_them(weights, batch, step):
    """So two halves of a batch, wherever it is cut, are the whole: ranks and resuming rest on it.

    The first half of step s in batches of b is step 2s in batches of b / 2.
    """
    whole = shares(step, batch=2 * batch, weights=weights)
    halves = [shares(2 * step + half, batch=batch, weights=weights) for half in (0, 1)]
    assert whole == halves[0] + halves[1]


@given(weights, st.integers(0, 400))
def test_sources_keep_to_their_weights_all_along(weights, rows):
    """After any number of rows each has its share, within one row a source before it."""
    given_rows = Counter(source for source, _ in taken(range(rows), batch=1, weights=weights))
    for source, weight in enumerate(weights):
        share = rows * weight / math.fsum(weights)
        assert abs(given_rows[source] - share) < source + 1 + 1e-3


def test_a_mixture_spelled_out():
    rows = taken(range(2), batch=4, weights=[0.5, 0.25, 0.25])
    assert rows == [(2, 0), (0, 0), (1, 0), (0, 1), (2, 1), (0, 2), (1, 1), (0, 3)]


def test_weights_are_proportions():
    for scale in (1e-9, 0.1, 3, 1e200):
        scaled = [scale * weight for weight in (3, 1, 0, 2)]
        assert shares(5, batch=7, weights=scaled) == shares(5, batch=7, weights=[3, 1, 0, 2])


@pytest.mark.parametrize("weights", [[0, 1, 0], [0.0, 0.3, 0.0], [0, 1e-12, 0]])
def test_sources_without_weight_are_never_read(weights):
    assert {source for source, _ in shares(3, batch=16, weights=weights)} == {1}


@pytest.mark.parametrize("weights", [[], [0.0], [0, 0], [1, -1], [2.0, -0.5]])
def test_weights_that_give_nobody_a_share_are_refused(weights):
    with pytest.raises(ValueError, match="give no source a share"):
        shares(0, batch=4, weights=weights)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_the_rows_without_overlap(ranks):
    """As the stream cuts them: together they read what one of them alone would."""
    weights = [2.0, 1.0]
    alone = taken(range(6), batch=2 * ranks, weights=weights)
    parts = [
        [row for step in range(6)
         for row in shares(step, batch=2 * ranks, weights=weights)[2 * rank : 2 * rank + 2]]
        for rank in range(ranks)
    ]  # fmt: skip
    every = [row for part in parts for row in part]
    assert len(every) == len(set(every)) and set(every) == set(alone)


@given(st.lists(st.tuples(weights, st.integers(0, 40)), min_size=1, max_size=4))
def test_other_weights_go_on_where_each_source_was(stages):
    """Of every source row after row is read, whichever weights it had before."""
    number = max(len(each) for each, _ in stages)
    place, rows = Place.first([1.0] * number), []
    for each, count in stages:
        place = place.weighed(tuple(each) + (0.0,) * (number - len(each)))
        rows += place.read(count)
        place = place.after(count)
    for source in range(number):
        read = [index for of, index in rows if of == source]
        assert read == list(range(len(read)))


def test_weights_changed_spelled_out():
    place = Place.first((1.0, 1.0)).after(4).weighed((0.0, 1.0))
    assert place == Place(4, 4, (0.0, 1.0), (2, 2))
    assert place.read(2) == [(1, 2), (1, 3)] and place.after(2).weighed((0.0, 1.0)).row == 6


# Steps.


def handed(start: int = 0, total: int | None = 10, place: Place | None = None, **more) -> Steps:
    given = {"progress": lambda step: step / 10, "rows": 3, "weights": lambda progress: (1.0,)}
    return Steps(start, total, place=place or Place.first((1.0,)), **given | more)


def test_steps_go_on_from_where_they_start():
    whole = list(handed())
    assert whole == [(Place(row=3 * step), step / 10) for step in range(10)]
    assert list(handed(4, place=whole[4][0])) == whole[4:]
    assert not list(handed(10))


def test_steps_without_a_total_have_no_end():
    endless = handed(3, None, place=Place(row=7), progress=lambda step: 0.5)
    assert list(itertools.islice(endless, 1000))[-1] == (Place(row=7 + 3 * 999), 0.5)


def test_progress_is_asked_when_a_step_is_handed_out():
    asked = []
    steps = iter(handed(total=3, progress=lambda step: asked.append(step) or 0.0))
    next(steps)
    assert asked == [0]
    next(steps)
    assert asked == [0, 1]


def test_steps_take_turns_by_the_weights_of_their_progress():
    by_stage = {"weights": lambda progress: (1.0, 0.0) if progress < 0.5 else (1.0, 2.0)}
    steps = list(handed(place=Place.first((1.0, 0.0)), **by_stage))
    rows = [row for place, _ in steps for row in place.read(3)]
    assert [index for source, index in rows if source == 0] == list(range(15 + 5))
    assert [index for source, index in rows if source == 1] == list(range(10))
    assert list(handed(7, place=steps[7][0], **by_stage)) == steps[7:]


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1), (3, 2)])
def test_another_number_of_processes_repeats_nothing_and_skips_nothing(before, after):
    """Five steps of some processes, then five of more or fewer: every row in order, once."""

    def read(steps: list[tuple[Place, float]], ranks: int) -> list[tuple[int, int]]:
        parts = [place.after(4 * rank).read(4) for place, _ in steps for rank in range(ranks)]
        return [row for part in parts for row in part]

    weights = (3.0, 1.0)
    how = {"weights": lambda progress: weights, "total": 5}
    first = list(handed(place=Place.first(weights), rows=4 * before, **how))
    stood = first[-1][0].after(4 * before)
    second = list(handed(place=stood, rows=4 * after, **how))
    rows = read(first, before) + read(second, after)
    assert rows == Place.first(weights).read(5 * 4 * (before + after))
