"""Task vqa: a question on pictures, a short answer; score `answers`, the share exactly right.

Where people have voted, `answers_soft` says how far they agree with what is answered.
"""

from collections.abc import Sequence

import numpy as np

from seesay.metrics.answers import agreement, exact_match
from seesay.metrics.intervals import Measure, mean, proportion
from seesay.records import Example
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.turns import first_line as parse
from seesay.tasks.turns import truth

__all__ = ["ASK", "SCORE", "once", "parse", "prompt", "score"]

# A family that cannot write (CLIP) chooses among the options, where an example lists them.
ASK = ("answer", "choose")
SCORE = "answers"
VOTES = 4  # of fewer no three others can agree with one


def once(examples: Sequence[Example], groups: Sequence[str]) -> list[int]:
    """Which examples to ask: every one."""
    return list(range(len(examples)))


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`answers`: 1 where the answer is the truth once both are normalised; `answers_soft` where
    some examples have votes: VQA's accuracy, and of the others as `answers`.
    """
    right = exact_match(outputs, [truth(example) for example in examples])
    voted = np.array([len(example.votes) >= VOTES for example in examples], dtype=bool)
    if not voted.any():
        return {SCORE: proportion(right)}
    soft = agreement(outputs, [example.votes or (truth(example),) for example in examples])
    return {SCORE: proportion(right), f"{SCORE}_soft": mean(np.where(voted, soft, right))}
