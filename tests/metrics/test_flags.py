"""Flags: counts by hand, average precision by its definition, thresholds by trying them all."""

import math

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.metrics import flags
from seesay.metrics.intervals import score


def test_counts_by_hand():
    flagged, true = [1, 1, 0, 0, 1], [1, 0, 1, 0, 1]
    assert flags.precision(flagged, true).value == pytest.approx(2 / 3)
    assert flags.recall(flagged, true).value == pytest.approx(2 / 3)
    assert flags.f_score(flagged, true).value == pytest.approx(2 / 3)
    assert flags.f_score([1, 1], [1, 0], beta=2).value == pytest.approx(5 * 1 / (4 * 1 + 2))


def test_nothing_flagged_or_nothing_to_flag():
    assert flags.precision([0, 0], [1, 0]).value == 0
    assert flags.f_score([0, 0], [1, 0]).value == 0
    assert math.isnan(flags.recall([1, 0], [0, 0]).value)
    assert math.isnan(flags.average_precision([0.5, 0.1], [0, 0]).value)
    found = score(flags.recall([1, 0, 0], [1, 0, 0]), range(3))
    assert (found.low, found.value, found.high) == (1, 1, 1)


def by_definition(probabilities, truths):
    """Σ over thresholds from the highest down of (recall - recall before) × precision."""
    total, before = 0.0, 0.0
    for least in sorted(set(probabilities), reverse=True):
        chosen = [t for p, t in zip(probabilities, truths, strict=True) if p >= least]
        recall = sum(chosen) / sum(truths)
        total += (recall - before) * sum(chosen) / len(chosen)
        before = recall
    return total


def test_average_precision():
    random = np.random.default_rng(0)
    for size in (1, 5, 60):
        truths = [1, *random.integers(0, 2, size - 1).tolist()]
        likely = random.random(size).round(1).tolist()
        found = flags.average_precision(likely, truths)
        assert found.value == pytest.approx(by_definition(likely, truths))
    assert flags.average_precision([0.3] * 4, [1, 0, 0, 0]).value == 0.25
    many = flags.average_precision(random.random(500), random.random(500) < 0.3)
    interval = score(many, range(500))
    assert interval.low < interval.value < interval.high


def reached(likely, truths, at):
    said = np.asarray(likely) >= at
    return flags.precision(said, truths).value, flags.recall(said, truths).value


def test_threshold_is_the_best_of_all():
    random = np.random.default_rng(1)
    truths = random.random(80) < 0.4
    likely = (0.2 * truths + 0.8 * random.random(80)).round(2)
    tried = [flags.f_score(likely >= at, truths).value for at in np.linspace(0.005, 1, 200)]
    at = flags.threshold(likely, truths)
    assert flags.f_score(likely >= at, truths).value == pytest.approx(max(tried))
    assert at not in likely
    careful = flags.threshold(likely, truths, precision=0.95)
    assert reached(likely, truths, careful)[0] >= 0.95
    thorough = flags.threshold(likely, truths, recall=1.0)
    assert reached(likely, truths, thorough)[1] == 1 and thorough < at < careful
    assert flags.threshold(likely, truths, beta=4) <= at


def test_no_threshold():
    with pytest.raises(DataError, match="2 of 2 examples to choose a threshold on"):
        flags.threshold([0.1, 0.2], [1, 1])
    with pytest.raises(DataError, match="no threshold reaches precision 0.9; the highest is 0.5"):
        flags.threshold([0.5, 0.5], [1, 0], precision=0.9)
