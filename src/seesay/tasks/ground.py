"""Task ground: where is what the words say, as a box; score `boxes`, the share with IoU ≥ 0.5.

A box is said in thousandths of the picture (`coordinates`). What is no box overlaps with nothing.
`boxes_iou` is the mean overlap.
"""

from collections.abc import Sequence

import numpy as np

from seesay.coordinates import SCALE, text_box
from seesay.errors import DataError
from seesay.metrics.boxes import ious
from seesay.metrics.intervals import Measure, mean, proportion
from seesay.records import Box, Example
from seesay.tasks.caption import parse
from seesay.tasks.turns import before_truth as prompt
from seesay.tasks.turns import truth
from seesay.tasks.vqa import once

__all__ = ["ASK", "SCORE", "once", "parse", "prompt", "score", "score_boxes", "true_box"]

ASK = ("answer",)
SCORE = "boxes"
ENOUGH = 0.5  # as RefCOCO is scored (Yu et al., ECCV 2016)


def score(
    outputs: Sequence[str], examples: Sequence[Example], *, references: Sequence[Sequence[str]] = ()
) -> dict[str, Measure]:
    """`boxes` and `boxes_iou` of boxes given as text."""
    return score_boxes([text_box(output) for output in outputs], examples)


def score_boxes(said: Sequence[Box | None], examples: Sequence[Example]) -> dict[str, Measure]:
    """The same of boxes in thousandths of the picture, whatever gave them."""
    overlap = ious(said, [true_box(example) for example in examples])
    return {SCORE: proportion(overlap >= ENOUGH), f"{SCORE}_iou": mean(overlap)}


def true_box(example: Example) -> Box:
    """The true box in thousandths of the picture: the example's own, or what its answer says.

    Raises:
        DataError: it has neither.
    """
    picture = example.images[0] if example.images else None
    if example.boxes and isinstance(picture, np.ndarray):
        box, (height, width) = example.boxes[0], picture.shape[:2]
        across, down = SCALE / width, SCALE / height
        return Box(box.left * across, box.top * down, box.right * across, box.bottom * down)
    if found := text_box(truth(example)):
        return found
    what = f"the answer '{example.answer}' is no box to score against"
    fix = "write it as (left,top),(right,bottom), in thousandths of the picture"
    raise DataError(what, where=str(example.origin), fix=fix)
