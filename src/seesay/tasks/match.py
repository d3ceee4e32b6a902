"""Task match: which of several texts is true of the pictures; score `matching`, the share right."""

from collections.abc import Sequence

from seesay.metrics.intervals import Measure, proportion
from seesay.records import Example
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.turns import first_line as parse
from seesay.tasks.vqa import once

__all__ = ["ASK", "SCORE", "once", "parse", "prompt", "score"]

ASK = ("choose",)
SCORE = "matching"


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`matching`: 1 where the first option, the right one, was chosen."""
    rows = zip(outputs, examples, strict=True)
    return {SCORE: proportion([chosen == example.options[0] for chosen, example in rows])}
