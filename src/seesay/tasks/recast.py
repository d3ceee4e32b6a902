"""Recast: examples of one task asked as another, where they fit it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from seesay.coordinates import text_box
from seesay.errors import DataError, nearest
from seesay.records import Example
from seesay.tasks import TASKS, moderate

# Which tasks' examples can be asked as another task, besides its own.
FROM: dict[str, tuple[str, ...]] = {
    "retrieve": ("caption",),
    "moderate": ("classify",),
    "classify": ("vqa", "moderate"),
    "vqa": ("classify",),
    "caption": ("retrieve",),
    "ground": ("vqa",),
}
NEEDED = {
    "caption": "a caption for each picture: --map caption=NAME",
    "vqa": "a question and an answer: --map question=NAME answer=NAME",
    "dialogue": "conversations of more than one question",
    "match": "pairs of texts of which one is true, as drawn scenes have (--data scenes)",
    "classify": "a class for each picture: a folder for each class, or --map label=NAME",
    "retrieve": "a caption for each picture: --map caption=NAME",
    "moderate": "a class for each picture, one of which says that it is allowed "
    f"({', '.join(moderate.ALLOWED)})",
    "ground": "a column of boxes, or answers that are boxes, such as (120,340),(260,480) in "
    "thousandths of the picture",
}


def recast(examples: Sequence[Example], task: str) -> list[Example]:
    """Those of the examples that can be asked as `task`, named so.

    Raises:
        DataError: an unknown task, or none of the examples fits.
    """
    if task not in TASKS:
        raise DataError(f"unknown task '{task}'", fix=nearest(task, list(TASKS)))
    found = [replace(example, task=task) for example in examples if _fits(example, task)]
    if found:
        return found
    counts = Counter(example.task for example in examples)
    there = ", ".join(f"{count} of {name}" for name, count in counts.most_common()) or "0"
    raise DataError(
        f"none of the examples ({there}) can be asked as '{task}'",
        where=examples[0].origin.file if examples else "",
        fix=f"needed: {NEEDED[task]}",
    )


def _fits(example: Example, task: str) -> bool:
    if example.task == task:
        return True
    if example.task not in FROM.get(task, ()):
        return False
    if task == "moderate":
        return sum(option.strip().lower() in moderate.ALLOWED for option in example.options) == 1
    if task == "ground":
        return text_box(example.answer) is not None
    return task != "classify" or len(example.options) > 1
