"""Intervals: known values, coverage, clusters."""

import numpy as np
import pytest

from seesay.errors import SeesayError
from seesay.metrics.intervals import (
    Measure,
    Statistic,
    bootstrap,
    mean,
    median,
    paired_difference,
    proportion,
    proportion_interval,
    score,
    wilson,
)
from seesay.metrics.text import bleu_counts, bleu_of_counts


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_known_values(right, n, low, high):
    assert wilson(right / n, n) == pytest.approx((low, high), abs=5e-5)


def test_one_example_a_picture_is_wilsons_own():
    right = [1] * 7 + [0] * 3
    assert proportion_interval(right, range(10)) == pytest.approx(wilson(0.7, 10))


def test_questions_that_agree_count_as_one():
    right = np.repeat([1] * 7 + [0] * 3, 5)
    low, high = proportion_interval(right, np.repeat(range(10), 5).tolist())
    alone = wilson(0.7, 10)
    assert (low, high) == pytest.approx(alone, abs=0.02)
    assert proportion_interval(right, range(50)) == pytest.approx(wilson(0.7, 50))


def test_one_picture_tells_little():
    low, high = proportion_interval([1] * 40, ["same"] * 40)
    assert (low, high) == pytest.approx(wilson(1, 1))


@pytest.mark.parametrize("kind", [proportion, mean])
def test_coverage_with_clusters(kind):
    """About 95 of 100 intervals hold the truth, though questions on a picture are alike."""
    random = np.random.default_rng(0)
    pictures, questions, times = 80, 4, 300
    groups = np.repeat(np.arange(pictures), questions).tolist()
    held = 0
    for i in range(times):
        ease = random.beta(1.4, 0.6, size=pictures)
        right = random.random((pictures, questions)) < ease[:, None]
        measure = kind(right.ravel())
        if kind is proportion:
            low, high = proportion_interval(right.ravel(), groups)
        else:
            low, high = bootstrap(measure, groups, resamples=200, seed=i)
        held += low <= 0.7 <= high
    assert 0.91 < held / times < 0.985


def test_a_corpus_statistic_is_resampled_whole():
    said, truths = [["a", "red", "dog"], ["a", "cat"]] * 20, [[["a", "red", "dog"]]] * 40
    rows = bleu_counts(said, truths)
    measure = Measure(rows, lambda sums: float(bleu_of_counts(sums)[0]))
    found = score(measure, range(40), name="bleu1")
    assert found.value == pytest.approx(bleu_of_counts(rows.sum(axis=0))[0])
    assert found.low < found.value < found.high and found.n == 40
    assert found == score(measure, range(40), name="bleu1")


def test_paired_difference_is_narrower_than_either():
    random = np.random.default_rng(0)
    ease = random.random(300)
    ours, theirs = mean(ease + 0.02 * random.random(300)), mean(ease)
    both = paired_difference(ours, theirs, range(300))
    assert 0 < both.low < both.value < both.high
    alone = score(ours, range(300))
    assert both.high - both.low < (alone.high - alone.low) / 5


def test_what_is_not_a_number_is_refused():
    with pytest.raises(SeesayError, match="score 'x' over 2 examples is nan"):
        score(mean([1.0, float("nan")]), ["a", "b"], name="x")
    with pytest.raises(SeesayError, match="over 0 examples"):
        score(mean([]), [], name="x")
    with pytest.raises(SeesayError, match="2 rows for 1 examples"):
        score(mean([1, 2]), ["a"], name="x")


def test_a_median_and_its_interval():
    random = np.random.default_rng(0)
    values = random.integers(1, 50, size=201)
    found = score(median(values), range(201), name="median")
    assert found.value == np.median(values) and found.n == 201
    assert found.low < found.value < found.high
    assert score(median(values[:200]), range(200)).value == np.median(values[:200])
    assert median(values).take([3, 5, 8]).value == np.median(values[[3, 5, 8]])
    few = score(median(np.repeat(values[:20], 10)), np.repeat(range(20), 10).tolist())
    assert few.high - few.low > found.high - found.low


def test_a_statistic_of_sums_has_the_interval_of_the_measure():
    values = np.random.default_rng(1).random(60)
    as_statistic = Statistic(
        values[:, None], lambda rows: lambda w: float(w @ rows[:, 0] / w.sum())
    )
    groups = np.repeat(range(20), 3).tolist()
    assert bootstrap(as_statistic, groups) == pytest.approx(bootstrap(mean(values), groups))


def test_resamples_without_a_value_are_passed_over():
    """A recall: nothing to find in many of the resamples."""
    rows = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    found = score(Measure(rows, lambda s: s[0] / s[1] if s[1] else float("nan")), range(3))
    assert (found.low, found.value, found.high) == (1, 1, 1)
