"""Task moderate: which rule of a policy pictures break, if any; score `categories`, share right.

An example's options are the policy: its categories, of which one says that the picture is allowed.
It is flagged where the others together are likelier than a threshold. `flag_precision`,
`flag_recall`, `flag_f1`, and `flag_ap` (average precision), which needs no threshold.
"""

import re
from collections.abc import Mapping, Sequence

from seesay.errors import DataError
from seesay.metrics import flags
from seesay.metrics.answers import exact_match
from seesay.metrics.intervals import Measure, Statistic, proportion
from seesay.metrics.text import CJK
from seesay.records import Example, Turn
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.turns import first_line as parse
from seesay.tasks.turns import truth
from seesay.tasks.vqa import once

__all__ = [
    "ALLOWED",
    "ASK",
    "SCORE",
    "allowed",
    "decide",
    "flagged",
    "once",
    "parse",
    "prompt",
    "ranked",
    "score",
    "threshold",
    "why",
]

ASK = ("choose", "embed")
SCORE = "categories"

# What the category is called of what breaks no rule.
ALLOWED = ("allowed", "none", "safe", "ok", "normal", "允许", "无", "安全", "正常")

_CHINESE = re.compile(f"[{CJK}]")


def allowed(options: Sequence[str], *, where: str = "") -> str:
    """The category of what breaks no rule.

    Raises:
        DataError: none is called so, or several are.
    """
    found = [option for option in options if option.strip().lower() in ALLOWED]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} of the categories {', '.join(options)} say that a picture is allowed"
    raise DataError(what, where=where, fix=f"call one of them so: {', '.join(ALLOWED)}")


def flagged(chances: Mapping[str, float]) -> float:
    """How likely some rule is broken: the sum over all that are not the allowed."""
    fine = allowed(list(chances))
    return sum(chance for name, chance in chances.items() if name != fine)


def decide(chances: Mapping[str, float], threshold: float) -> str:
    """The likeliest rule that is broken, where one is with so much probability; else the allowed.

    `metrics.flags.threshold` chooses it on data that is not measured on.
    """
    fine = allowed(list(chances))
    if flagged(chances) < threshold:
        return fine
    return max((name for name in chances if name != fine), key=lambda name: chances[name])


def why(example: Example, category: str) -> tuple[Turn, ...]:
    """The turns that ask for the reason of a decision."""
    chinese = _CHINESE.search(example.question + category)
    asked = "为什么?" if chinese else "why?"
    return (*prompt(example), Turn("assistant", category), Turn("user", asked))


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`categories`: the decision is the truth; and of flagging, precision, recall and F1."""
    said = [output != allowed(e.options) for output, e in zip(outputs, examples, strict=True)]
    true = _truths(examples)
    return {
        SCORE: proportion(exact_match(outputs, [truth(example) for example in examples])),
        "flag_precision": flags.precision(said, true),
        "flag_recall": flags.recall(said, true),
        "flag_f1": flags.f_score(said, true),
    }


def ranked(
    chances: Sequence[Mapping[str, float]], examples: Sequence[Example]
) -> dict[str, Statistic]:
    """`flag_ap`: how well the probability of a broken rule ranks the pictures."""
    likely = [flagged(own) for own in chances]
    return {"flag_ap": flags.average_precision(likely, _truths(examples))}


def _truths(examples: Sequence[Example]) -> list[bool]:
    found = [truth(example) != allowed(example.options) for example in examples]
    if not any(found):
        what = f"none of {len(found)} pictures breaks a rule: there is nothing to flag"
        raise DataError(what, where=examples[0].origin.file, fix="measure on some that do")
    return found


def threshold(
    chances: Sequence[Mapping[str, float]], examples: Sequence[Example], *, beta: float = 1.0
) -> float:
    """The threshold of the highest F_β on these examples, which are not to be measured on."""
    return flags.threshold([flagged(own) for own in chances], _truths(examples), beta=beta)
