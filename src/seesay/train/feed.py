"""Feed: what a recipe puts before its model, by the code of training, without its weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from seesay.config import Recipe
from seesay.data.fit import Fit
from seesay.data.stream import Stream
from seesay.data.text import Text
from seesay.model import families
from seesay.records import Example, identity
from seesay.train import auto, setup
from seesay.train.parallel import Ranks


@dataclass(frozen=True, slots=True)
class Feed:
    """A recipe whose data are read: the examples of each source, the words, and what fits."""

    recipe: Recipe
    examples: list[Sequence[Example]]
    text: Text
    fit: Fit

    def stream(self, *, batch: int) -> Stream:
        """The batches that training makes, of so many rows.

        Which rows come, and in which order, does not depend on how many are in a batch.

        Raises:
            DataError: an example that does not fit a row.
        """
        train = replace(self.recipe.train, batch=batch)
        recipe = replace(self.recipe, train=train)
        return setup.stream(recipe, self.examples, self.text, self.fit, Ranks())


def feed(
    table: dict[str, Any],
    *,
    text: Text | None = None,
    held_back: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Feed:
    """What training by a recipe's table would be fed with.

    Args:
        text: the tokenizer, where there is one; else as training would find or learn it.
        held_back: the share of the pictures that training would keep to measure on, where the
            recipe names no other data for that.
    """
    recipe, given = auto.look(table, say=say)
    examples = given
    if held_back is not None and _holds_back(recipe, given):
        examples, _ = auto.hold_back(recipe, given, share=held_back, say=lambda line: None)
    words = text or setup.tokenizer(recipe, examples)
    # What a model reads hangs on its kind alone: no weight is needed.
    with torch.device("meta"):
        model = families.build(recipe.model, vocabulary=len(words), picture_token=words.picture)
    return Feed(recipe, examples, words, setup.fit(recipe, model))


def _holds_back(recipe: Recipe, given: Sequence[Sequence[Example]]) -> bool:
    """Whether training keeps pictures of files back, and there are enough for that."""
    if recipe.data.dev not in (None, "scenes"):
        return False
    read = [
        examples
        for source, examples in zip(recipe.data.sources, given, strict=True)
        if source.path != "scenes"
    ]
    return bool(read) and all(map(_has_several, read))


def _has_several(examples: Sequence[Example]) -> bool:
    """Whether there is more than one picture."""
    pictures = (identity(picture) for example in examples for picture in example.images)
    first = next(pictures, None)
    return any(each != first for each in pictures)
