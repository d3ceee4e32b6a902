"""Families: how pictures and words meet. The table of them, and building one from a recipe."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from seesay.config import ModelConfig
from seesay.errors import RecipeError, nearest
from seesay.model import (
    alone,
    blocks,
    cross,
    dual,
    fusion,
    parts,
    prefix,
    queries,
    recurrent,
    single,
)
from seesay.model.boxes import BoxHead
from seesay.model.contract import Model, Speaker
from seesay.sight import square


class Family(NamedTuple):
    """How a family is built, and how many positions one picture takes among its words.

    passing: its blocks begin as the identity (see `blocks.initialise`). words: it knows some.
    """

    build: Callable[..., Model]
    picture_tokens: Callable[[ModelConfig], int]
    passing: bool = True
    words: bool = True


def _one(config: ModelConfig) -> int:
    """A mark where the picture stands; its features come in otherwise."""
    return 1


FAMILIES: dict[str, Family] = {
    # A class token that sees nothing at first would teach itself to see nothing for ever.
    "vision": Family(alone.build, _one, passing=False, words=False),
    "recurrent": Family(recurrent.build, _one),
    "dual": Family(dual.build, _one),
    "single": Family(single.build, _one),
    "fusion": Family(fusion.build, _one),
    "queries": Family(queries.build, _one),
    "cross": Family(cross.build, _one),
    "prefix": Family(prefix.build, parts.picture_tokens),
}


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Model:
    """A model with fresh weights.

    Raises:
        RecipeError: there is no such family, or its parts do not fit each other.
    """
    _check_regions(config)
    model = _family(config).build(config, vocabulary=vocabulary, picture_token=picture_token)
    patch, things = sum(config.patch_classes), config.num_objects * sum(config.object_classes)
    if patch:
        model.patch_head = nn.Linear(config.vision.width, patch)
    if things:
        model.object_head = nn.Linear(config.text.width, things)
    if config.box_head:
        _check_speaks(model, config)
        model.box_head = BoxHead(config.text.width)
        model.can = (*model.can, "locate")
    model.time = parts.time(config)
    blocks.initialise(model, passing=_family(config).passing)
    return model


def _check_speaks(model: Model, config: ModelConfig) -> None:
    if not isinstance(model, Speaker) or "caption" not in model.can:
        raise RecipeError(
            f"a box is told from where an answer begins, and family '{config.family}' does not "
            "say its answers word by word",
            where="model.box_head",
            fix="set it to false, or make model.family one of recurrent, cross, prefix, queries; "
            "or fusion, with model.fusion = 'teller' or 'shared'",
        )


def _check_regions(config: ModelConfig) -> None:
    kind = config.connector.kind
    if config.vision.regions and (config.family != "single" or kind not in ("linear", "mlp")):
        raise RecipeError(
            f"regions are no grid of patches, and family '{config.family}' with a connector of "
            f"kind '{kind}' would take them for one",
            where="model.vision.kind",
            fix="write model.family = 'single', and model.connector.kind = 'linear' or 'mlp'",
        )


def picture_tokens(config: ModelConfig) -> int:
    """How many positions one picture takes in the text."""
    return _family(config).picture_tokens(config)


def taken(config: ModelConfig, *, native: bool) -> dict[str, Any]:
    """What the vision side looks at at once, as `Fit` has it: its size, and its tokens.

    native: the squares of pictures that keep their shapes.
    """
    if native:
        return {"size": (square(config),) * 2, "picture_tokens": 1}
    return {"size": config.vision.size, "picture_tokens": picture_tokens(config)}


def words(config: ModelConfig) -> bool:
    """Whether a model of this family knows any words."""
    return _family(config).words


def _family(config: ModelConfig) -> Family:
    if config.family not in FAMILIES:
        raise RecipeError(
            f"no family '{config.family}'",
            where="model.family",
            fix=nearest(config.family, list(FAMILIES)),
        )
    return FAMILIES[config.family]
