"""Task classify: which of a closed set of classes; score `classes`, the share right."""

from collections.abc import Sequence

from seesay.metrics.answers import exact_match
from seesay.metrics.intervals import Measure, proportion
from seesay.records import Example
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.turns import first_line as parse
from seesay.tasks.turns import truth
from seesay.tasks.vqa import once

__all__ = ["ASK", "SCORE", "once", "parse", "prompt", "score"]

# Choosing never names a class that is not one; a family that can only write is asked to. One that
# can do neither embeds, by prompt templates (`prototypes`).
ASK = ("choose", "answer", "embed")
SCORE = "classes"


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`classes`: 1 where the class chosen, or written, is the truth once both are normalised."""
    return {SCORE: proportion(exact_match(outputs, [truth(example) for example in examples]))}
