"""Evaluation: named scores beside their controls, by slice, with examples; and as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from seesay.errors import SeesayError
from seesay.metrics.intervals import Score
from seesay.records import Picture

if TYPE_CHECKING:
    from rich.table import Table

Scores = dict[str, Score]


@dataclass(frozen=True, slots=True)
class Record:
    """One example as it went: for reports, and for looking at mistakes."""

    score: str  # the headline score it counts in
    images: tuple[Picture, ...]
    question: str
    answer: str
    truth: str
    right: bool
    origin: str
    log_probability: float | None = None  # natural log, of the whole answer
    labels: Mapping[str, str] = field(default_factory=dict)
    reasoning: str = ""  # what the model said to itself first


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores; what the same test gives without looking (`controls`); scores by label (`slices`).

    Keys: scores `answers`; controls `answers_blank`, `answers_shuffled`, `answers_question`,
    `answers_chance`; slices `kind=count`, each with scores by name; `slice_controls` likewise.
    `skipped`: the tasks the model cannot do, and why; `notes`: how a task was asked, where that
    is not plain.
    """

    scores: Scores = field(default_factory=dict)
    controls: Scores = field(default_factory=dict)
    slices: dict[str, Scores] = field(default_factory=dict)
    slice_controls: dict[str, Scores] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    command: str = ""

    def as_dict(self) -> dict[str, dict]:
        """`scores`, `controls` and `slices` as plain numbers, for JSON."""
        return {
            "scores": _plain(self.scores),
            "controls": _plain(self.controls),
            "slices": {label: _plain(scores) for label, scores in self.slices.items()},
        }

    def controls_of(self, name: str, *, label: str = "") -> Scores:
        """One score's controls by their short names (`blank`, `question`), of a slice or of all."""
        found = self.slice_controls.get(label, {}) if label else self.controls
        # `answers_held_out_blank` is a control of `answers_held_out`, not of `answers`.
        longer = tuple(f"{s}_" for s in self.scores if s.startswith(f"{name}_"))
        start = f"{name}_"
        return {
            key.removeprefix(start): score
            for key, score in found.items()
            if key.startswith(start) and not key.startswith(longer)
        }

    def table(self) -> "Table":
        """Scores with intervals and controls, for the terminal."""
        from rich.table import Table

        kinds = list(dict.fromkeys(k for name in self.scores for k in self.controls_of(name)))
        # One space between columns: a demo's scores are then no wider than a plain terminal.
        table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
        table.add_column("score", overflow="fold")
        for heading in ("value", "95 % interval", "n", *kinds):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, score in self.scores.items():
            value = f"[bold]{shown(name, score.value)}[/bold]"
            span = f"{shown(name, score.low).removesuffix(' %')} – {shown(name, score.high)}"
            others = self.controls_of(name)
            values = [shown(name, others[kind].value) if kind in others else "" for kind in kinds]
            table.add_row(name, value, span, f"{score.n:,}", *values)
        return table


def merge(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations as one: tasks, or data sets told apart by `suffix`.

    Raises:
        SeesayError: two of them hold a score of one name.
    """
    whole = {f.name: {} for f in fields(Evaluation) if f.name not in ("records", "command")}
    for each in evaluations:
        if twice := sorted(whole["scores"].keys() & each.scores.keys()):
            raise SeesayError(f"score '{twice[0]}' twice", fix="give one evaluation a suffix")
        for name in ("scores", "controls", "skipped", "notes"):
            whole[name].update(getattr(each, name))
        for name in ("slices", "slice_controls"):
            for label, scores in getattr(each, name).items():
                whole[name].setdefault(label, {}).update(scores)
    records = tuple(record for each in evaluations for record in each.records)
    commands = dict.fromkeys(each.command for each in evaluations if each.command)
    return Evaluation(**whole, records=records, command="\n".join(commands))


def shown(name: str, value: float) -> str:
    """A score as people read it: a share in per cent, CIDEr and a rank as they are."""
    return f"{100 * value:.1f} %" if is_share(name) else f"{value:.2f}"


def is_share(name: str) -> bool:
    """Whether a score lies between 0 and 1 (CIDEr goes to 10, a rank from 1 without end)."""
    return not name.startswith("cider") and not is_rank(name)


def is_rank(name: str) -> bool:
    """Whether a score is better the lower it is."""
    return "median_rank" in name


def _plain(scores: Scores) -> dict[str, dict[str, float | int]]:
    return {name: score.as_dict() for name, score in scores.items()}
