"""Stats: a data set in numbers: what it holds, how long it is in tokens, how well rows are filled.

No picture is decoded for it: rows are packed as training packs them, with blank pictures.

Shapes: B rows, T positions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from seesay.data import lengths
from seesay.data.ahead import Seen, unseen
from seesay.data.counts import Answers, Lengths, Spread, answers, asked, counted, pairs, spread
from seesay.data.counts import lengths as measured
from seesay.data.decode import Facts
from seesay.data.fit import Fit
from seesay.data.report import counts, render
from seesay.data.text import Text
from seesay.records import Batch, Example, identity

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of each example: those that are learned, those that are only read, those of its
    pictures, and all; `cut` of them do not fit a row whole, `unfit` not at all.
    """

    vocabulary: int
    learned: Spread
    read: Spread
    pictures: Spread
    all: Spread
    cut: int
    unfit: int


@dataclass(frozen=True, slots=True)
class Packing:
    """Rows of batches as training packs them: their tokens, the groups of pictures that share one,
    their documents, and the share of the positions that hold any: the rest is padding.
    """

    rows: int
    row_tokens: int
    tokens: Spread
    groups: Spread
    documents: Spread
    used: float


@dataclass(frozen=True, slots=True)
class Stats:
    """The numbers. `shown`: how often pictures are shown, of which `pictures` are different."""

    source: str
    examples: int
    tasks: dict[str, int]
    pictures: int
    shown: int
    pictures_each: Spread
    questions: Lengths
    texts: Lengths
    answers: Answers
    tokens: Tokens
    packing: Packing | None
    formats: dict[str, int] | None = None
    width: Spread | None = None
    height: Spread | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def render(self, console: "Console") -> None:
        """Print them."""
        render(console, self.source, [*self._counted(), *self._measured()])

    def _counted(self) -> list[tuple[str, str]]:
        lines = [
            ("examples", f"{self.examples:,}; {counts(self.tasks)}"),
            ("pictures", f"{self.pictures:,}, shown {self.shown:,} times; {self.pictures_each} "
                         "an example (least - middle - most)"),
        ]  # fmt: skip
        if self.width is not None and self.formats is not None:
            sizes = f"{self.width}, {self.height}; {counts(self.formats)}"
            lines.append(("width, height", sizes))
        if self.questions.count:
            lines.append(("question", str(self.questions)))
        lines.append(("answer" if self.questions.count else "caption", str(self.texts)))
        own = self.answers
        text = f"{own.distinct:,} different; {own.entropy:.2f} bits"
        given = f", {own.entropy_given:.2f} where the question is known"
        return [*lines, ("answers", text + (given if self.questions.count else ""))]

    def _measured(self) -> list[tuple[str, str]]:
        own = self.tokens
        lines = [
            ("vocabulary", f"{own.vocabulary:,}"),
            ("tokens learned", str(own.learned)),
            ("tokens read", str(own.read)),
            ("tokens of pictures", str(own.pictures)),
            ("tokens an example", str(own.all)),
        ]
        if own.cut or own.unfit:
            lines.append(("too long", f"{own.cut} are cut, {own.unfit} do not fit"))
        rows = self.packing
        if rows is None:
            return lines
        return [
            *lines,
            ("tokens a row", f"{rows.tokens}, {rows.row_tokens} at most; {rows.rows:,} rows"),
            ("pictures' groups a row", str(rows.groups)),
            ("documents a row", str(rows.documents)),
            ("positions in use", f"{rows.used:.1%}; padding {1 - rows.used:.1%}"),
        ]


def stats(
    examples: Sequence[Example],
    *,
    source: str,
    text: Text,
    fit: Fit,
    batches: Iterable[Batch] = (),
    facts: Sequence[Facts] | None = None,
    seen: Seen = unseen,
) -> Stats:
    """The numbers of a data set.

    Args:
        source: its name.
        text, fit: how it is read by a model.
        batches: some that training makes of it.
        facts: of its pictures, where they were decoded.
        seen: called with "examples" as their tokens are counted, how many, and of how many.
    """
    said = [(example.task, *pair) for example in examples for pair in pairs(example)]
    shown = [len(example.images) for example in examples]
    return Stats(
        source=source,
        examples=len(examples),
        tasks=counted(example.task for example in examples),
        pictures=len({identity(picture) for example in examples for picture in example.images}),
        shown=sum(shown),
        pictures_each=spread(shown),
        questions=measured([question for _, question, _ in said if question]),
        texts=measured([answer for _, _, answer in said]),
        answers=answers(asked(said)),
        tokens=_tokens(examples, text, fit, seen),
        packing=_packing(batches, fit),
        formats=None if facts is None else counted(each.format for each in facts),
        width=None if facts is None else spread([each.width for each in facts]),
        height=None if facts is None else spread([each.height for each in facts]),
    )


def _tokens(examples: Sequence[Example], text: Text, fit: Fit, seen: Seen) -> Tokens:
    learned, read, pictures = [], [], []
    for number, example in enumerate(examples, 1):
        own = lengths.tokens_of(example, fit)
        document = fit.document(text, example.turns, tokens=own)
        said = int(document.learned.sum())
        learned.append(said)
        read.append(len(document) - document.pictured - said)
        pictures.append(sum(own))
        seen("examples", number, len(examples))
    every = [sum(three) for three in zip(learned, read, pictures, strict=True)]
    long = lengths.too_long(examples, text=text, fit=fit) if fit.spoken else []
    cut = sum(each.fits for each in long)
    return Tokens(
        vocabulary=len(text),
        learned=spread(learned),
        read=spread(read),
        pictures=spread(pictures),
        all=spread(every),
        cut=cut,
        unfit=len(long) - cut,
    )


def _packing(batches: Iterable[Batch], fit: Fit) -> Packing | None:
    tokens, groups, documents, positions = [], [], [], 0
    for batch in batches:
        used_BT = batch.documents_BT >= 0
        tokens += used_BT.sum(dim=1).tolist()
        groups += (batch.groups_BT.amax(dim=1) + 1).tolist()
        documents += _begun(batch)
        positions += used_BT.numel()
    if not positions:
        return None
    return Packing(
        rows=len(tokens),
        row_tokens=fit.row_tokens,
        tokens=spread(tokens),
        groups=spread(groups),
        documents=spread(documents),
        used=sum(tokens) / positions,
    )


def _begun(batch: Batch) -> list[int]:
    """How many documents there are in each row: their numbers begin anew in each group."""
    numbers_BT = batch.documents_BT
    first_B1 = torch.full_like(numbers_BT[:, :1], -1)
    changed_BT = torch.diff(numbers_BT, dim=1, prepend=first_B1) != 0
    changed_BT |= torch.diff(batch.groups_BT, dim=1, prepend=first_B1) != 0
    return (changed_BT & (numbers_BT > 0)).sum(dim=1).tolist()
