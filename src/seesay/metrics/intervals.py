"""95 % intervals: Wilson's for proportions, the bootstrap for the rest, both by picture.

Questions on one picture stand or fall together, so a hundred questions on ten pictures tell less
than a hundred on a hundred. Shapes: N examples, G groups (pictures), K columns a score is made of,
R resamples.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from seesay.errors import SeesayError

Numbers = Sequence[float] | Sequence[int] | Sequence[bool] | np.ndarray

Z = 1.959963984540054  # the standard normal's 97.5 % point


@dataclass(frozen=True, slots=True)
class Score:
    """A score, its 95 % interval, and how many examples it rests on."""

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float | int]:
        """Plain numbers, for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True, slots=True)
class Measure:
    """A score before its examples are summed: `combine(sum of rows)`.

    A mean has rows (value, 1); corpus BLEU has rows of n-gram counts. Kept in rows so that any part
    of the examples (a slice, a resample) can be scored without asking again.
    """

    rows: Float[np.ndarray, "N K"]
    combine: Callable[[Float[np.ndarray, " K"]], float]
    is_proportion: bool = False

    @property
    def value(self) -> float:
        """The score over every row."""
        return float(self.combine(self.rows.sum(axis=0)))

    def take(self, index: Int[np.ndarray, " M"] | Sequence[int]) -> "Measure":
        """The same score over some of the examples."""
        return Measure(self.rows[np.asarray(index)], self.combine, self.is_proportion)


@dataclass(frozen=True, slots=True)
class Statistic:
    """A score that no sum of rows can give: `of(rows)(weights)`; a median, an average precision.

    Weights say how often each row counts: a resample draws some pictures twice and others never.
    `of` is given the rows once, so that it need not sort them again for each resample.
    """

    rows: Float[np.ndarray, "N K"]
    of: Callable[[Float[np.ndarray, "N K"]], Callable[[Float[np.ndarray, " N"]], float]]

    @property
    def value(self) -> float:
        """The score over every row."""
        return float(self.of(self.rows)(np.ones(len(self.rows))))

    def take(self, index: Int[np.ndarray, " M"] | Sequence[int]) -> "Statistic":
        """The same score over some of the examples."""
        return Statistic(self.rows[np.asarray(index)], self.of)


Measures = Mapping[str, Measure | Statistic]


def median(values: Numbers) -> Statistic:
    """The middle of a number an example has; of an even count, halfway between the middle two."""
    return Statistic(np.asarray(values, dtype=float)[:, None], _middle)


def _middle(rows: Float[np.ndarray, "N 1"]) -> Callable[[Float[np.ndarray, " N"]], float]:
    order = np.argsort(rows[:, 0], kind="stable")
    values = rows[order, 0]

    def weighted(weights: np.ndarray) -> float:
        sums = np.cumsum(weights[order])
        sides = [np.searchsorted(sums, sums[-1] / 2, side=side) for side in ("left", "right")]
        return float(np.mean([values[min(i, len(values) - 1)] for i in sides]))

    return weighted


def mean(values: Numbers) -> Measure:
    """The mean of a number an example has."""
    return Measure(_with_ones(values), _ratio)


def proportion(right: Numbers) -> Measure:
    """The share of examples that are right."""
    return Measure(_with_ones(right), _ratio, is_proportion=True)


def _with_ones(values: Numbers) -> Float[np.ndarray, "N 2"]:
    column = np.asarray(values, dtype=float)
    return np.stack([column, np.ones_like(column)], axis=1)


def _ratio(sums: Float[np.ndarray, " K"]) -> float:
    return float(sums[0] / sums[1])


def score(
    measure: Measure | Statistic, groups: Sequence[Hashable], *, seed: int = 0, name: str = ""
) -> Score:
    """A measure's value and 95 % interval, its examples clustered by `groups` (one each)."""
    num_examples = len(measure.rows)
    if num_examples != len(groups):
        raise SeesayError(f"score '{name}' has {num_examples} rows for {len(groups)} examples")
    value = measure.value if num_examples else math.nan
    if not math.isfinite(value):
        raise SeesayError(f"score '{name}' over {num_examples} examples is {value}, not a number")
    if isinstance(measure, Measure) and measure.is_proportion:
        low, high = proportion_interval(measure.rows[:, 0], groups)
    else:
        low, high = bootstrap(measure, groups, seed=seed)
    return Score(value, min(low, value), max(high, value), num_examples)


def wilson(rate: float | int, n: float | int) -> tuple[float, float]:
    """95 % interval of a proportion seen in `n` independent tries. Source: Wilson, JASA 1927."""
    centre = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(rate * (1 - rate) / n + Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def proportion_interval(right: Numbers, groups: Sequence[Hashable]) -> tuple[float, float]:
    """Wilson's interval at the effective number of examples, N over the design effect.

    The design effect is the variance of the mean between pictures over what it would be were all
    examples independent, never taken below 1. One example a picture gives Wilson's own interval.
    Source: Kish, Survey Sampling, 1965; Korn and Graubard, Survey Methodology 1998.
    """
    values = np.asarray(right, dtype=float)
    rate = float(values.mean())
    return wilson(rate, len(values) / _design_effect(values, rate, groups))


def _design_effect(values: np.ndarray, rate: float, groups: Sequence[Hashable]) -> float:
    num_examples, sums_GK = len(values), _sum_by_group(_with_ones(values), groups)
    num_groups = len(sums_GK)
    independent = rate * (1 - rate) / max(1, num_examples - 1)
    if num_groups < 2 or independent == 0:
        # One picture tells nothing of other pictures: as if its questions were a single one.
        return float(num_examples) if num_groups < 2 else 1.0
    residuals = sums_GK[:, 0] - rate * sums_GK[:, 1]
    between = num_groups / (num_groups - 1) * float(residuals @ residuals) / num_examples**2
    return max(1.0, between / independent)


def over_runs(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of runs that differ in their seed alone. Source: Student, 1908.

    Nothing is known of how runs differ from a single one: low and high are the value itself.
    """
    count = len(values)
    centre = math.fsum(values) / count
    if count < 2:
        return centre, centre
    variance = math.fsum((value - centre) ** 2 for value in values) / (count - 1)
    half = student(count - 1) * math.sqrt(variance / count)
    return centre - half, centre + half


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t with so many degrees of freedom."""
    low, high = 0.0, math.pi / 2  # of the angle, in which the distribution is a finite sum
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _within(angle: float, freedom: int) -> float:
    """How likely |t| is below √freedom tan(angle). Source: Abramowitz and Stegun, 26.7.3 and 4."""
    odd = freedom % 2
    term, total = (math.cos(angle), 0.0) if odd else (1.0, 0.0)
    for k in range(odd, freedom - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (k + 1) / (k + 2)
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


def bootstrap(
    measure: Measure | Statistic,
    groups: Sequence[Hashable],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval from resampling whole pictures with replacement.

    A single picture gives no width: low and high are the value itself. Resamples in which the score
    is not defined (a recall without anything to find) are passed over. Source: Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; clusters: Field and Welsh,
    JRSS-B 2007.
    """
    random = np.random.default_rng(seed)
    if isinstance(measure, Statistic):
        numbers = _numbered(groups)
        of, count = measure.of(measure.rows), int(numbers.max()) + 1
        values = [of(_drawn(count, random)[numbers].astype(float)) for _ in range(resamples)]
    else:
        sums_GK = _sum_by_group(measure.rows, groups)
        values = [measure.combine(_resample(sums_GK, random)) for _ in range(resamples)]
    defined = [value for value in values if not math.isnan(value)]
    low, high = np.percentile(defined or [measure.value], [2.5, 97.5])
    return float(low), float(high)


def paired_difference(
    ours: Measure,
    theirs: Measure,
    groups: Sequence[Hashable],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Score:
    """Ours minus theirs on the same examples, with the bootstrap's 95 % interval by picture.

    Both are resampled together, so what they share (easy pictures, hard ones) cancels.
    """
    if len(ours.rows) != len(theirs.rows):
        raise SeesayError(f"{len(ours.rows)} examples against {len(theirs.rows)}: not a pair")
    width = ours.rows.shape[1]

    def difference(sums: np.ndarray) -> float:
        return ours.combine(sums[:width]) - theirs.combine(sums[width:])

    both = Measure(np.concatenate([ours.rows, theirs.rows], axis=1), difference)
    low, high = bootstrap(both, groups, resamples=resamples, seed=seed)
    return Score(both.value, low, high, len(both.rows))


def _sum_by_group(rows: Float[np.ndarray, "N K"], groups: Sequence[Hashable]) -> np.ndarray:
    index = _numbered(groups)
    sums_GK = np.zeros((int(index.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(sums_GK, index, rows)
    return sums_GK


def _numbered(groups: Sequence[Hashable]) -> np.ndarray:
    """The number of each example's group, in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def _resample(sums_GK: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _drawn(len(sums_GK), random) @ sums_GK


def _drawn(num_groups: int, random: np.random.Generator) -> np.ndarray:
    """How often each group is drawn, with replacement."""
    return np.bincount(random.integers(num_groups, size=num_groups), minlength=num_groups)
