"""Flags: what is flagged against what should be, and the threshold, chosen on other data.

Shapes: N examples. A row of counts is (right flags, flags, what should be flagged).
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from seesay.errors import DataError
from seesay.metrics.intervals import Measure, Numbers, Statistic


def precision(flagged: Numbers, truths: Numbers) -> Measure:
    """The share of what is flagged that should be; 0 where nothing is."""
    return Measure(_counts(flagged, truths), lambda sums: _share(sums[0], sums[1], 0.0))


def recall(flagged: Numbers, truths: Numbers) -> Measure:
    """The share flagged of what should be; not a number where nothing should."""
    return Measure(_counts(flagged, truths), lambda sums: _share(sums[0], sums[2], math.nan))


def f_score(flagged: Numbers, truths: Numbers, *, beta: float = 1.0) -> Measure:
    """(1 + β²) P R / (β² P + R), from the counts: 0 where nothing is found."""

    def combine(sums: np.ndarray) -> float:
        if not sums[2]:
            return math.nan
        return float((1 + beta**2) * sums[0] / (beta**2 * sums[2] + sums[1]))

    return Measure(_counts(flagged, truths), combine)


def average_precision(probabilities: Numbers, truths: Numbers) -> Statistic:
    """Σ (recall - recall before) × precision, over the probabilities from the highest down.

    Those that are equal are taken at once. Lots drawn give the share of what should be flagged.
    """
    rows = np.stack([_known(probabilities), np.asarray(truths, float)], axis=1)
    return Statistic(rows, _average_precision)


def _known(probabilities: Numbers) -> Float[np.ndarray, " N"]:
    """Without the last digits, in which the same sum in another order differs."""
    return np.asarray(probabilities, np.float32).astype(float)


def _average_precision(
    rows: Float[np.ndarray, "N 2"],
) -> Callable[[Float[np.ndarray, " N"]], float]:
    order = np.argsort(-rows[:, 0], kind="stable")
    values, right = rows[order, 0], rows[order, 1]
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)

    def weighted(weights: np.ndarray) -> float:
        found = np.cumsum(weights[order] * right)[ends]
        flagged = np.cumsum(weights[order])[ends]
        if not found[-1]:
            return math.nan
        steps = np.diff(found / found[-1], prepend=0.0)
        return float((steps * found / np.maximum(flagged, 1e-12)).sum())

    return weighted


def threshold(
    probabilities: Numbers,
    truths: Numbers,
    *,
    beta: float = 1.0,
    precision: float | None = None,
    recall: float | None = None,
) -> float:
    """The least probability to flag at: to be chosen on data that nothing is measured on.

    The one with the highest F_β; or, of those that reach a wanted precision, the one that finds
    most; or, of those that reach a wanted recall, the most precise. Halfway to the next probability
    below, since it is for other examples.

    Raises:
        DataError: nothing that should be flagged, nothing that should not, or no threshold reaches
            what is wanted.
    """
    given, right = _known(probabilities), np.asarray(truths, bool)
    if right.all() or not right.any():
        what = f"{int(right.sum())} of {len(right)} examples to choose a threshold on are flagged"
        raise DataError(what, where="dev", fix="give some that should be and some that should not")
    values = np.unique(given)[::-1]
    order = np.argsort(-given, kind="stable")
    ends = np.searchsorted(-given[order], -values, side="right")
    found, flagged = np.cumsum(right[order])[ends - 1], ends
    precisions, recalls = found / flagged, found / right.sum()
    if precision is not None:
        best = _best(recalls, precisions >= precision, f"precision {precision}", precisions.max())
    elif recall is not None:
        best = _best(precisions, recalls >= recall, f"recall {recall}", recalls.max())
    else:
        f_scores = (1 + beta**2) * found / (beta**2 * right.sum() + flagged)
        best = int(f_scores.argmax())
    below = values[best + 1] if best + 1 < len(values) else 0.0
    return float((values[best] + below) / 2)


def _best(scores: np.ndarray, allowed: np.ndarray, wanted: str, reached: float) -> int:
    if not allowed.any():
        what = f"no threshold reaches {wanted}; the highest is {reached:.3f}"
        raise DataError(what, where="dev", fix="want less")
    return int(np.where(allowed, scores, -1.0).argmax())


def _counts(flagged: Numbers, truths: Numbers) -> Float[np.ndarray, "N 3"]:
    said, true = np.asarray(flagged, float), np.asarray(truths, float)
    return np.stack([said * true, said, true], axis=1)


def _share(part: float, whole: float, empty: float) -> float:
    return float(part / whole) if whole else empty
