"""Task caption: say what the pictures show; score `captions`, the share wholly right.

Of a drawn scene a caption is right when nothing in it is wrong of the scene; of any other picture,
when it is word for word one of the references. There BLEU-4, ROUGE-L and CIDEr-D (`cider`) are
given too.
"""

import re
from collections.abc import Sequence

from seesay.metrics.intervals import Measure, mean, proportion
from seesay.metrics.text import CJK, bleu_counts, bleu_of_counts, cider_d, rouge_l, tokenise
from seesay.records import Example
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.turns import truth

__all__ = ["ASK", "SCORE", "once", "parse", "prompt", "score"]

ASK = ("answer",)
SCORE = "captions"

_CHINESE = re.compile(f"[{CJK}]")


def parse(text: str) -> str:
    """The caption on one line."""
    return " ".join(text.split())


def once(examples: Sequence[Example], groups: Sequence[str]) -> list[int]:
    """Which examples to ask: the first of each picture and question; the rest are references."""
    first: dict[tuple[str, str], int] = {}
    for i, (example, group) in enumerate(zip(examples, groups, strict=True)):
        first.setdefault((group, example.question), i)
    return list(first.values())


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`captions`; and `cider`, `bleu4`, `rouge_l` unless every picture is a drawn scene.

    `references` are every caption of each example's picture; its own alone where not given.
    """
    references = references or [[truth(example)] for example in examples]
    rows = zip(outputs, examples, references, strict=True)
    scores = {SCORE: proportion([_is_right(*row) for row in rows])}
    if any(example.scene is None for example in examples):
        scores |= _likeness(outputs, references)
    return scores


def _is_right(said: str, example: Example, references: Sequence[str]) -> bool:
    if example.scene is None:
        words = tokenise(said)
        return any(words == tokenise(reference) for reference in references)
    from seesay.scenes.stream import is_right

    # Scenes are told in English or Chinese; an answer in the other than was asked for is not right.
    language = "zh" if _CHINESE.search(example.question + example.answer) else "en"
    return bool(is_right(said, example.scene, language))


def _likeness(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Measure]:
    said = [tokenise(output) for output in outputs]
    truths = [[tokenise(reference) for reference in several] for several in references]
    return {
        "cider": mean(cider_d(said, truths)),
        "bleu4": Measure(bleu_counts(said, truths), lambda sums: float(bleu_of_counts(sums)[3])),
        "rouge_l": mean(rouge_l(said, truths)),
    }
