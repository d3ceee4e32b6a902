"""Task vqa: a question on pictures, a short answer; score `answers`, the share exactly right."""

from collections.abc import Sequence

from seesay.metrics.answers import exact_match
from seesay.metrics.intervals import Measure, proportion
from seesay.records import Example
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.turns import first_line as parse
from seesay.tasks.turns import truth

__all__ = ["ASK", "SCORE", "once", "parse", "prompt", "score"]

# A family that cannot write (CLIP) chooses among the options, where an example lists them.
ASK = ("answer", "choose")
SCORE = "answers"


def once(examples: Sequence[Example], groups: Sequence[str]) -> list[int]:
    """Which examples to ask: every one."""
    return list(range(len(examples)))


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`answers`: 1 where the answer is the truth once both are normalised."""
    return {SCORE: proportion(exact_match(outputs, [truth(example) for example in examples]))}
