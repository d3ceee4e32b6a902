"""Report: what `check` found in a data set, as data and as a page of text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from seesay.data.counts import Answers, Lengths, Spread
from seesay.data.examples import Broken
from seesay.data.noise import Doubt, Judged
from seesay.data.overlap import Overlap

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 10  # entries of a list that a page shows


@dataclass(frozen=True, slots=True)
class Report:
    """Everything counted.

    duplicates: names of the same bytes. near: pictures of other bytes that look nearly the same.
    long: what does not fit a recipe's rows. doubts: candidates for wrong answers, and `judged` what
    was asked about them. against: what it has in common with other data. broken: rows and pictures.
    """

    path: str
    format: str
    columns: dict[str, str]
    rows: int
    examples: int
    pictures: int
    tasks: dict[str, int]
    formats: dict[str, int]
    kinds: dict[str, int]
    width: Spread
    height: Spread
    questions: Lengths
    texts: Lengths
    answers: Answers
    slices: dict[str, dict[str, int]]
    duplicates: list[list[str]]
    near: list[list[str]]
    contradictions: list[str]
    near_contradictions: list[str]
    empty: list[str]
    long: list[str]
    odd: list[str]
    doubts: list[Doubt]
    judged: list[Judged]
    against: Overlap | None
    broken: list[Broken]
    sheet: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an origin is `file:row`."""
        broken = [{"where": str(each.origin), "why": each.why} for each in self.broken]
        doubts = [asdict(each) | {"origin": str(each.origin)} for each in self.doubts]
        return asdict(self) | {"broken": broken, "doubts": doubts, "notes": self.notes}

    @property
    def notes(self) -> list[str]:
        """What to know before training, in words."""
        found, answers = [], self.answers
        if self.broken:
            found.append(f"{len(self.broken)} rows or pictures are broken: they are left out")
        if self.questions.count and answers.top and answers.majority >= 0.5:
            found.append(f"always saying '{answers.top[0][0]}' scores {answers.majority:.1%}")
        if self.questions.count and answers.blind >= max(0.3, answers.majority + 0.05):
            found.append(f"the question alone scores {answers.blind:.1%}: a model must beat that")
        if self.contradictions:
            found.append(f"{len(self.contradictions)} questions have answers that contradict")
        if self.duplicates:
            found.append(f"{len(self.duplicates)} pictures are there under several names")
        if self.near:
            count = sum(len(group) for group in self.near)
            found.append(f"{count} pictures look nearly the same as another: `data split` keeps "
                         "such together")  # fmt: skip
        if self.long:
            found.append(f"{len(self.long)} examples do not fit a row of the recipe")
        if self.doubts:
            found.append(f"{len(self.doubts)} answers are candidates for being wrong: look at them")
        return found + self._leaks()

    def _leaks(self) -> list[str]:
        shared = self.against
        if shared is None:
            return []
        several = (
            (shared.same, f"of {shared.pictures} pictures of {shared.path} are here too"),
            (shared.near, f"others of {shared.path} look nearly the same as one here"),
            (shared.asked, f"of {shared.rows} examples of {shared.path} are here too"),
        )
        found = [f"{len(pairs)} {what}" for pairs, what in several if pairs]
        return found or [f"nothing is in {shared.path} too"]

    def render(self, console: "Console | None" = None) -> None:
        """Print it."""
        from rich.console import Console

        render(console or Console(), f"{self.path}: {self.format}", self._lines(), self._lists())

    def _lines(self) -> list[tuple[str, str]]:
        answers = self.answers
        lines = [
            ("columns", ", ".join(f"{role}: {name}" for role, name in self.columns.items())),
            ("examples", f"{self.examples} of {self.rows} rows; {counts(self.tasks)}"),
            ("pictures", f"{self.pictures}; {counts(self.formats)}; {counts(self.kinds)}"),
            ("width, height", f"{self.width}, {self.height} (least - middle - most)"),
        ]
        if self.questions.count:
            lines.append(("question", str(self.questions)))
        lines.append(("answer" if self.questions.count else "caption", str(self.texts)))
        lines += [(name, counts(values)) for name, values in self.slices.items()]
        if not self.questions.count:
            return lines
        top = ", ".join(f"{text} {share:.1%}" for text, _, share in answers.top)
        return [
            *lines,
            ("answers", f"{answers.distinct} different: {top}"),
            ("always the same", f"{answers.majority:.1%}"),
            ("question alone", f"{answers.blind:.1%}"),
            ("bits an answer", f"{answers.entropy:.2f}, {answers.entropy_given:.2f} where the "
                               "question is known"),
        ]  # fmt: skip

    def _lists(self) -> list[tuple[str, list[str]]]:
        lists = [
            ("broken", [f"{each.origin}: {each.why}" for each in self.broken]),
            ("same picture, several names", [", ".join(names) for names in self.duplicates]),
            ("nearly the same picture", [", ".join(names) for names in self.near]),
            ("contradictions", self.contradictions),
            ("contradictions on nearly the same picture", self.near_contradictions),
            ("answers that say nothing", self.empty),
            ("too long for the recipe", self.long),
            ("odd lengths", self.odd),
            ("may be wrong (candidates)", [str(doubt) for doubt in self.doubts]),
            *self._shared(),
            ("notes", self.notes),
        ]
        return [(title, entries) for title, entries in lists if entries]

    def _shared(self) -> list[tuple[str, list[str]]]:
        if self.against is None:
            return []
        kinds = (
            ("in both: pictures", self.against.same),
            ("in both: nearly the same picture", self.against.near),
            ("in both: the same on the same picture", self.against.asked),
        )
        return [(title, [" and ".join(pair) for pair in pairs]) for title, pairs in kinds]


def render(
    console: "Console",
    title: str,
    lines: Sequence[tuple[str, str]],
    lists: Sequence[tuple[str, Sequence[str]]] = (),
) -> None:
    """Print a title, lines with a label each, and the first entries of lists."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(title, style="bold"))
    table = Table.grid(padding=(0, 2))
    for label, value in lines:
        table.add_row(Text(label, style="dim"), Text(value))
    console.print(table)
    for head, entries in lists:
        console.print(Text(f"{head} ({len(entries)})", style="bold"))
        for entry in entries[:SHOWN]:
            console.print(Text(f"  {entry}"))
        if len(entries) > SHOWN:
            console.print(Text(f"  and {len(entries) - SHOWN} more", style="dim"))


def counts(numbers: dict[str, int]) -> str:
    """The first of some counts, by name."""
    shown = [f"{name} {count}" for name, count in list(numbers.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else "")
