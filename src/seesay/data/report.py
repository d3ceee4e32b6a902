"""Report: what `check` found in a data set, as data and as a page of text."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from seesay.data.examples import Broken

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 10  # entries of a list that a page shows


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the middle and the most of a quantity."""

    least: float
    middle: float
    most: float

    def __str__(self) -> str:
        return f"{self.least:g} - {self.middle:g} - {self.most:g}"


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many texts there are, and how long in characters and in words between spaces."""

    count: int
    characters: Spread
    words: Spread


@dataclass(frozen=True, slots=True)
class Answers:
    """How answers are spread: `majority` and `blind` are scores without a look at the pictures."""

    count: int
    distinct: int
    majority: float
    blind: float
    top: list[tuple[str, int, float]]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything counted; `duplicates` are names of the same bytes, `broken` rows and pictures."""

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
    contradictions: list[str]
    broken: list[Broken]
    sheet: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an origin is `file:row`."""
        broken = [{"where": str(each.origin), "why": each.why} for each in self.broken]
        return asdict(self) | {"broken": broken, "notes": self.notes}

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
        return found

    def render(self, console: "Console | None" = None) -> None:
        """Print it."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = console or Console()
        console.print(Text(f"{self.path}: {self.format}", style="bold"))
        table = Table.grid(padding=(0, 2))
        for label, value in self._lines():
            table.add_row(Text(label, style="dim"), Text(value))
        console.print(table)
        for title, entries in self._lists():
            console.print(Text(f"{title} ({len(entries)})", style="bold"))
            for entry in entries[:SHOWN]:
                console.print(Text(f"  {entry}"))
            if len(entries) > SHOWN:
                console.print(Text(f"  and {len(entries) - SHOWN} more", style="dim"))

    def _lines(self) -> list[tuple[str, str]]:
        answers = self.answers
        lines = [
            ("columns", ", ".join(f"{role}: {name}" for role, name in self.columns.items())),
            ("examples", f"{self.examples} of {self.rows} rows; {_counts(self.tasks)}"),
            ("pictures", f"{self.pictures}; {_counts(self.formats)}; {_counts(self.kinds)}"),
            ("width, height", f"{self.width}, {self.height} (least - middle - most)"),
        ]
        if self.questions.count:
            lines.append(("question", _length(self.questions)))
        lines.append(("answer" if self.questions.count else "caption", _length(self.texts)))
        lines += [(name, _counts(values)) for name, values in self.slices.items()]
        if not self.questions.count:
            return lines
        top = ", ".join(f"{text} {share:.1%}" for text, _, share in answers.top)
        return [
            *lines,
            ("answers", f"{answers.distinct} different: {top}"),
            ("always the same", f"{answers.majority:.1%}"),
            ("question alone", f"{answers.blind:.1%}"),
        ]

    def _lists(self) -> list[tuple[str, list[str]]]:
        lists = [
            ("broken", [f"{each.origin}: {each.why}" for each in self.broken]),
            ("same picture, several names", [", ".join(names) for names in self.duplicates]),
            ("contradictions", self.contradictions),
            ("notes", self.notes),
        ]
        return [(title, entries) for title, entries in lists if entries]


def _counts(counts: dict[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in list(counts.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _length(lengths: Lengths) -> str:
    return f"{lengths.characters} characters, {lengths.words} words"
