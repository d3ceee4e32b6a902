"""Task retrieve: a picture's captions among all captions, a caption's picture among all pictures.

Scores, as the literature has them: `text_r1`, `text_r5`, `text_r10` (text retrieval: the share of
pictures with one of their captions among the nearest 1, 5, 10), `text_median_rank`, and the same of
`image_…` (image retrieval, by captions). A caption that several pictures have belongs to them all.
"""

from collections.abc import Sequence

from seesay.metrics import ranking
from seesay.metrics.intervals import Measure, Statistic, mean, median, proportion
from seesay.records import Example
from seesay.tasks.caption import parse
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.vqa import once

__all__ = ["ASK", "DIRECTIONS", "SCORE", "chance", "once", "parse", "prompt", "ranked", "score"]

# A model with one space for both compares every pair; one that reads pairs can only do so for few.
ASK = ("embed", "choose")
SCORE = "text_r1"
DIRECTIONS = ("text", "image")  # what is found
PLACES = (1, 5, 10)


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`text_r1` of the captions found nearest; `references` are all that each picture has."""
    references = references or [[example.answer] for example in examples]
    rows = zip(outputs, references, strict=True)
    return {SCORE: proportion([found in own for found, own in rows])}


def ranked(direction: str, places: Sequence[int], *, items: int) -> dict[str, Measure | Statistic]:
    """The scores of the places (from 1) at which queries found their own, of `items` at least.

    A recall at as many as there are is no score, and left out.
    """
    recalls = {
        f"{direction}_r{k}": proportion([place <= k for place in places])
        for k in PLACES
        if k < items
    }
    return {**recalls, f"{direction}_median_rank": median(places)}


def chance(direction: str, counts: Sequence[tuple[int, int]]) -> dict[str, Measure | Statistic]:
    """The same were all in random order, exactly; of each query, how many items and own ones."""
    least = min(items for items, _ in counts)
    recalls = {
        f"{direction}_r{k}": mean(
            [ranking.chance_within(k, items=items, own=own) for items, own in counts]
        )
        for k in PLACES
        if k < least
    }
    middle = ranking.chance_median(counts)
    return {**recalls, f"{direction}_median_rank": median([middle] * len(counts))}
