"""Page: a comparison -> one HTML file: table, scores against compute, parts, recipes.

The template beside the package's other pages, `compare.html.j2`, says how it looks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seesay import writing
from seesay.compare.summary import Cell, Comparison, Row, counted, spent, spread
from seesay.describe import operations
from seesay.metrics.evaluation import is_share, shown
from seesay.report import CONTROLS, named, percent, short, template, ticks
from seesay.train.estimate import size

# Colours there are; more recipes than that begin again, told apart by their names.
COLOURS = 10
# Names beside a plot stand at least so far apart, in per cent of its height.
APART = 7.0
# The steps of a logarithmic axis, and how many are too many.
STEPS, MANY = (1, 2, 5), 7


def write(path: Path, made: Comparison, *, environment: Mapping[str, str]) -> Path:
    """Write the page and return its path; a file of that name is replaced whole or not at all."""
    colours = {c.name: i % COLOURS for i, c in enumerate(made.plan.contenders)}
    text = template("compare.html.j2").render(
        title=f"Comparison of {len(made.plan.contenders)} recipes",
        facts=_facts(made),
        several=len(made.plan.budgets) > 1,
        heads=[named(name) for name in made.headlines],
        lines=[_line(made, row, made.headlines) for row in made.rows],
        every=[named(name) for name in made.tasks],
        whole=[_line(made, row, list(made.tasks)) for row in made.rows],
        plots=_plots(made, colours),
        legend=_legend(made),
        heats=_heats(made),
        notes=_notes(made),
        recipes=[(c.name, colours[c.name], c.text.strip()) for c in made.plan.contenders],
        colours=colours,
        command=made.command,
        environment=environment,
    )
    return writing.replace(path, text)


def _facts(made: Comparison) -> dict[str, str]:
    seeds, left = made.plan.seeds, made.num_runs - len(made.outcomes)
    counts = ", ".join(f"{count:,} {task}" for task, count in made.counts.items())
    runs = f"{len(made.outcomes) - len(made.failed)} of {made.num_runs}"
    failed = f", {len(made.failed)} failed" if made.failed else ""
    return {
        "Budget of a run": ", ".join(map(str, made.plan.budgets)),
        "Seeds": f"0 to {seeds - 1}" if seeds > 1 else "0",
        "Measured on": f"{made.measured_on} ({counts})",
        "Runs": runs + failed + (", the others are to come" if left else ""),
    }


# The table.


@dataclass(frozen=True, slots=True)
class Value:
    """A score in the table; `text` is a dash where there is none, and `why` says why."""

    text: str
    control: str
    why: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table."""

    recipe: str
    family: str
    budget: str
    facts: tuple[str, ...]
    values: tuple[Value, ...]
    state: str


def _line(made: Comparison, row: Row, names: Sequence[str]) -> Line:
    taken = row.compute
    memory = taken.get("memory")
    facts = (
        f"{len(row.done)} of {made.plan.seeds}",
        _parameters(taken.get("parameters"), taken.get("trained")),
        counted(taken.get("pictures")),
        spent(row, "flops"),
        spent(row, "seconds"),
        "–" if memory is None else size(memory),
    )
    state = "" if row.done else ("failed" if row.failed else "to come")
    values = tuple(_value(made, row, name) for name in names)
    return Line(row.contender.name, row.family, str(row.budget), facts, values, state)


def _parameters(total: float | None, trained: float | None) -> str:
    some = total is not None and trained is not None and trained < total
    return f"{counted(trained)} of {counted(total)}" if some else counted(total)


def _value(made: Comparison, row: Row, name: str) -> Value:
    if name not in row.cells:
        return Value("–", "", made.why_not(row, name))
    cell = row.cells[name]
    span = f"{shown(name, cell.low)} to {shown(name, cell.high)}"
    control = f"{_control(cell.best)} {shown(name, cell.controls[cell.best])}" if cell.best else ""
    return Value(spread(cell), control, f"{span}; {cell.seeds} seeds, {cell.examples:,} examples")


def _control(kind: str) -> str:
    return CONTROLS[kind][0] if kind in CONTROLS else kind


# Scores against compute.


@dataclass(frozen=True, slots=True)
class Point:
    """A recipe on a budget; places in per cent of the plot, `high` and `low` from the top."""

    x: float
    y: float
    high: float
    low: float
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A recipe's points, its name's height beside the plot, its best control (kind, x, y, text)."""

    recipe: str
    colour: int
    points: tuple[Point, ...]
    name_at: float
    control: tuple[str, float, float, str] | None


@dataclass(frozen=True, slots=True)
class Plot:
    """A score against compute."""

    label: str
    meaning: str
    axis: str
    traces: tuple[Trace, ...]
    up: tuple[tuple[float, str], ...]
    across: tuple[tuple[float, str], ...]


def _plots(made: Comparison, colours: Mapping[str, int]) -> list[Plot]:
    """A plot of each score; over operations where all are counted, else over seconds; those of
    what a run began with are counted with its own.
    """
    done = [row for row in made.rows if row.done]
    counting = all(row.compute["flops"] and row.compute["before_flops"] is not None for row in done)
    key, axis = ("flops", "operations") if counting else ("seconds", "seconds of training")
    plots = []
    for name in made.tasks:
        rows = [row for row in done if name in row.cells and row.total(key)]
        if rows:
            plots.append(_plot(name, rows, key=key, axis=axis, colours=colours))
    return plots


def _plot(
    name: str, rows: Sequence[Row], *, key: str, axis: str, colours: Mapping[str, int]
) -> Plot:
    label, meaning = named(name)
    costs = [row.total(key) or 1.0 for row in rows]
    left, right = min(costs) / 1.4, max(costs) * 1.4
    tops = [max(row.cells[name].high, *row.cells[name].controls.values(), 0) for row in rows]
    levels = ticks(0.0, 1.0) if is_share(name) else ticks(0.0, max(tops) or 1.0)
    top = levels[-1]

    def across(cost: float) -> float:
        return round(100 * math.log(cost / left) / math.log(right / left), 2)

    def up(value: float) -> float:
        return round(100 - percent(value / top), 2)

    by: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.total(key) or 0):
        by.setdefault(row.contender.name, []).append(row)
    ends = {recipe: up(own[-1].cells[name].value) for recipe, own in by.items()}
    places = _spaced(ends)
    traces = []
    for recipe, own in by.items():
        cells = [(across(row.total(key) or 1.0), row.cells[name], row) for row in own]
        points = tuple(
            Point(x, up(c.value), up(c.high), up(c.low), f"{recipe}, {row.budget}: {spread(c)}")
            for x, c, row in cells
        )
        x, last, _ = cells[-1]
        control = _mark(x, last, up(last.controls[last.best])) if last.best else None
        traces.append(Trace(recipe, colours[recipe], points, places[recipe], control))
    written = operations if key == "flops" else short
    marks = tuple((across(cost), written(cost)) for cost in decades(left, right))
    shares = is_share(name)
    heights = tuple((up(v), f"{100 * v:.0f} %" if shares else short(v)) for v in levels)
    return Plot(label, meaning, axis, tuple(traces), heights, marks)


def _mark(x: float, cell: Cell, y: float) -> tuple[str, float, float, str]:
    return cell.best, x, y, f"{_control(cell.best)} {shown(cell.name, cell.controls[cell.best])}"


def _spaced(heights: Mapping[str, float]) -> dict[str, float]:
    """Places for names near their heights, none on another: pushed down, then up from the end."""
    order = sorted(heights, key=lambda name: heights[name])
    places: list[float] = []
    for name in order:
        places.append(max(heights[name], places[-1] + APART) if places else heights[name])
    below = 100.0
    for i in reversed(range(len(places))):
        places[i] = below = min(places[i], below)
        below -= APART
    return {name: round(place, 2) for name, place in zip(order, places, strict=True)}


def decades(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones, as a logarithmic axis has them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [step * 10.0**power for power in powers for step in STEPS]
    fine = [value for value in found if low <= value <= high]
    coarse = [10.0**power for power in powers if low <= 10.0**power <= high]
    return fine if len(fine) <= MANY else coarse[:: math.ceil(len(coarse) / MANY)]


def _legend(made: Comparison) -> list[tuple[str, str, str]]:
    kinds = {cell.best for row in made.rows for cell in row.cells.values()}
    return [(kind, *CONTROLS[kind]) for kind in CONTROLS if kind in kinds]


# Parts.


@dataclass(frozen=True, slots=True)
class Heat:
    """A score by recipe and by value of a label; a share in per cent, or None."""

    score: str
    label: str
    values: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


def _heats(made: Comparison) -> list[Heat]:
    """Of each task's first score, a table for each label, of the whole budget."""
    rows = [row for row in made.rows if row.done and row.budget == made.plan.budget]
    found = []
    for name in filter(is_share, made.headlines):
        labels: dict[str, dict[str, None]] = {}
        for row in rows:
            for place, scores in row.slices.items():
                label, _, value = place.partition("=")
                if name in scores:
                    labels.setdefault(label, {})[value] = None
        for label, values in labels.items():
            if len(values) > 1:
                found.append(_heat(name, label, tuple(values), rows))
    return found


def _heat(name: str, label: str, values: tuple[str, ...], rows: Sequence[Row]) -> Heat:
    def share(row: Row, value: str) -> float | None:
        found = row.slices.get(f"{label}={value}", {}).get(name)
        return None if found is None else percent(found)

    own = [(row.contender.name, tuple(share(row, v) for v in values)) for row in rows
           if name in row.cells]  # fmt: skip
    return Heat(named(name)[0], label.replace("_", " "), values, tuple(own))


def _notes(made: Comparison) -> list[tuple[str, str]]:
    """What failed, and what could not be asked: (whose, why), each reason once."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row in made.rows:
        own = [("Failed", f", {row.budget}, seed {seed}", why) for seed, why in row.failed.items()]
        own += [(f"No {task}", "", why) for task, why in row.skipped.items()]
        for what, place, why in own:
            found.setdefault((what, why), {})[row.contender.name + place] = None
    return [(f"{what}: {'; '.join(those)}", why)
            for (what, why), those in found.items()]  # fmt: skip
