"""Task dialogue: the last reply of a conversation on pictures; score `replies`, the share right.

The turns before are given as they were, the assistant's true ones too. `replies_rouge_l` says how
near the truth a reply comes: one longer than a few words is seldom word for word the same.
"""

from collections.abc import Sequence

from seesay.metrics.answers import exact_match
from seesay.metrics.intervals import Measure, mean, proportion
from seesay.metrics.text import rouge_l, tokenise
from seesay.records import Example
from seesay.tasks.caption import parse
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.turns import truth
from seesay.tasks.vqa import once

__all__ = ["ASK", "SCORE", "once", "parse", "prompt", "score"]

ASK = ("answer",)
SCORE = "replies"


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`replies`: 1 where the reply is the truth once both are normalised; and `replies_rouge_l`."""
    truths = [truth(example) for example in examples]
    likeness = rouge_l(list(map(tokenise, outputs)), [[tokenise(true)] for true in truths])
    return {SCORE: proportion(exact_match(outputs, truths)), f"{SCORE}_rouge_l": mean(likeness)}
