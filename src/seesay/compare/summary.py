"""Summary: the runs of a comparison as rows, one for each recipe and budget, over their seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from seesay.compare.budget import Budget
from seesay.compare.measuring import ORDER
from seesay.compare.plan import Contender, Plan
from seesay.compare.runs import Outcome
from seesay.describe import operations
from seesay.metrics.evaluation import is_rank, is_share, shown
from seesay.metrics.intervals import over_runs
from seesay.tasks import TASKS
from seesay.train.progress import duration

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Cell:
    """A score's mean over seeds and its 95 % interval.

    The interval is Student's, over seeds; of a single seed it is that seed's own, over examples.
    controls: what is got without looking, by kind, as means too.
    """

    name: str
    value: float
    low: float
    high: float
    seeds: int
    examples: int
    controls: dict[str, float]

    @property
    def best(self) -> str:
        """The control that comes nearest to it, or passes it; empty where none was run."""
        choose = min if is_rank(self.name) else max
        return choose(self.controls, key=lambda kind: self.controls[kind], default="")

    @property
    def half(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {k: v for k, v in asdict(self).items() if k != "name"} | {"best": self.best}


@dataclass(frozen=True)
class Row:
    """A recipe on a budget: the outcomes of its seeds, as far as they have come.

    compute: means over seeds, of what `Outcome` has; slices: label -> score -> mean.
    """

    contender: Contender
    budget: Budget
    outcomes: Sequence[Outcome]

    @cached_property
    def done(self) -> list[Outcome]:
        """The outcomes that did not fail."""
        return [outcome for outcome in self.outcomes if not outcome.failed]

    @property
    def family(self) -> str:
        """The recipe's family."""
        return self.contender.recipe.model.family

    @property
    def failed(self) -> dict[int, str]:
        """Seed -> why its run failed."""
        return {outcome.job.seed: outcome.failed for outcome in self.outcomes if outcome.failed}

    @property
    def skipped(self) -> dict[str, str]:
        """Task -> why the model was not asked."""
        return {k: v for outcome in self.done for k, v in outcome.measured.skipped.items()}

    @cached_property
    def compute(self) -> dict[str, float | None]:
        """Means over seeds."""
        return {name: _mean([outcome.compute[name] for outcome in self.done])
                for name in (self.done[0].compute if self.done else ())}  # fmt: skip

    def total(self, name: str) -> float | None:
        """Seconds or flops, with those of what it began with, as far as these are known."""
        own = self.compute.get(name)
        return None if own is None else own + (self.compute.get(f"before_{name}") or 0)

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """By score."""
        names = dict.fromkeys(n for o in self.done for n in o.measured.evaluation.scores)
        return {name: _cell(name, self.done) for name in names}

    @cached_property
    def slices(self) -> dict[str, dict[str, float]]:
        """Means over seeds of the scores of parts of the examples."""
        found: dict[str, dict[str, list[float]]] = {}
        for outcome in self.done:
            for label, scores in outcome.measured.evaluation.slices.items():
                for name, score in scores.items():
                    found.setdefault(label, {}).setdefault(name, []).append(score.value)
        return {label: {name: fmean(values) for name, values in scores.items()}
                for label, scores in found.items()}  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {
            "recipe": self.contender.name,
            "family": self.family,
            "budget": str(self.budget),
            "seeds": [outcome.job.seed for outcome in self.done],
            "compute": self.compute,
            "scores": {name: cell.as_dict() for name, cell in self.cells.items()},
            "slices": self.slices,
            "skipped": self.skipped,
            "failed": {str(seed): why for seed, why in self.failed.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """A plan and what has come of it so far.

    measured_on: what the examples are called; counts: how many of each task.
    """

    plan: Plan
    outcomes: Sequence[Outcome] = ()
    measured_on: str = ""
    digest: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    command: str = ""

    @property
    def tasks(self) -> dict[str, str]:
        """Score -> task, in the order in which they are shown."""
        found = {s: t for outcome in self.outcomes for s, t in outcome.measured.tasks.items()}
        return dict(sorted(found.items(), key=lambda item: ORDER.index(item[1])))

    @property
    def headlines(self) -> list[str]:
        """Of each task, the score that counts first."""
        return [name for name, task in self.tasks.items() if name == TASKS[task].SCORE]

    @property
    def num_runs(self) -> int:
        """How many there are to be."""
        return sum(1 for _ in self.plan.jobs())

    @property
    def failed(self) -> list[Outcome]:
        """The runs that failed."""
        return [outcome for outcome in self.outcomes if outcome.failed]

    @cached_property
    def rows(self) -> list[Row]:
        """The largest budget first, of each the best by the first score first."""
        of: dict[tuple[str, Budget], list[Outcome]] = {}
        for outcome in self.outcomes:
            of.setdefault((outcome.job.contender.name, outcome.job.budget), []).append(outcome)
        rows = [
            Row(contender, budget, of.get((contender.name, budget), []))
            for budget in reversed(self.plan.budgets)
            for contender in self.plan.contenders
        ]
        return sorted(rows, key=lambda row: (-row.budget.amount, self._place(row)))

    def _place(self, row: Row) -> list[float]:
        # What cannot be done comes last, and what is still to come after it.
        found = [row.cells[name].value if name in row.cells else -1 for name in self.headlines]
        return [-value for value in found] + [-len(row.done)]

    def why_not(self, row: Row, score: str) -> str:
        """Why a row has no such score."""
        if not row.done:
            return next(iter(row.failed.values()), "still to come")
        return row.skipped.get(self.tasks[score], "not among its scores")

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        plan = self.plan
        return {
            "command": self.command,
            "budget": str(plan.budget),
            "budgets": [str(budget) for budget in plan.budgets],
            "seeds": list(range(plan.seeds)),
            "examples": {
                "name": self.measured_on, "digest": self.digest, "counts": dict(self.counts)
            },
            "runs": {"done": len(self.outcomes) - len(self.failed), "failed": len(self.failed),
                     "all": self.num_runs},
            "tasks": self.tasks,
            "rows": [row.as_dict() for row in self.rows],
            "outcomes": [outcome.as_dict() for outcome in self.outcomes],
            "recipes": {contender.name: contender.text for contender in plan.contenders},
        }  # fmt: skip

    def table(self) -> "Table":
        """Each task's headline score with its best control, for the terminal."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
        for heading in ("recipe", "family"):
            table.add_column(heading, no_wrap=True)
        several = len(self.plan.budgets) > 1
        facts = ["budget"] * several + ["seeds", "parameters", "pictures", "FLOPs"]
        for heading in facts:
            table.add_column(heading, justify="right", no_wrap=True)
        for name in self.headlines:
            table.add_column(name, justify="right", no_wrap=True)
            table.add_column("control", justify="right", no_wrap=True, style="dim")
        for row in self.rows:
            own = [str(row.budget)] * several + self._facts(row)
            cells = [text for name in self.headlines for text in _texts(row, name)]
            table.add_row(row.contender.name, row.family, *own, *cells)
        return table

    def _facts(self, row: Row) -> list[str]:
        if not row.done:
            return ["failed" if row.failed else "to come", "", "", ""]
        count, taken = f"{len(row.done)} of {self.plan.seeds}", row.compute
        return [
            count if len(row.done) < self.plan.seeds else str(len(row.done)),
            counted(taken["parameters"]),
            counted(taken["pictures"]),
            spent(row, "flops"),
        ]


def spent(row: Row, name: str) -> str:
    """Seconds or flops as people write them, and those of what it began with:
    8.1 TFLOP + 40 TFLOP.
    """
    written = {"flops": operations, "seconds": duration}[name]
    own, before = row.compute.get(name), row.compute.get(f"before_{name}")
    if own is None:
        return "–"
    more = " + ?" if before is None else f" + {written(before)}" if before else ""
    return written(own) + more


def counted(value: float | None) -> str:
    """A count as people write it: 960, 1.53 M."""
    if value is None:
        return "–"
    for unit in ("", " k", " M", " G"):
        if value < 1000:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:,.0f} T"


def spread(cell: Cell) -> str:
    """A mean and half of its interval: 92.0 ± 1.3 %."""
    if is_share(cell.name):
        return f"{100 * cell.value:.1f} ± {100 * cell.half:.1f} %"
    return f"{cell.value:.2f} ± {cell.half:.2f}"


def _texts(row: Row, name: str) -> tuple[str, str]:
    if name not in row.cells:
        return "–", ""
    cell = row.cells[name]
    control = f"{cell.best} {shown(name, cell.controls[cell.best])}" if cell.best else ""
    return spread(cell), control


def _cell(name: str, outcomes: Sequence[Outcome]) -> Cell:
    made = [o.measured.evaluation for o in outcomes if name in o.measured.evaluation.scores]
    scores = [each.scores[name] for each in made]
    if len(scores) == 1:
        low, high = scores[0].low, scores[0].high
    else:
        low, high = over_runs([score.value for score in scores])
    controls: dict[str, list[float]] = {}
    for each in made:
        for kind, score in each.controls_of(name).items():
            controls.setdefault(kind, []).append(score.value)
    return Cell(
        name=name,
        value=fmean(score.value for score in scores),
        low=low,
        high=high,
        seeds=len(scores),
        examples=scores[0].n,
        controls={kind: fmean(values) for kind, values in controls.items()},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
