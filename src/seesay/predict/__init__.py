"""Predict: the Predictor protocol, and opening a checkpoint as one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seesay import config, machine
from seesay.data.fit import Fit
from seesay.data.text import Text
from seesay.errors import CheckpointError, RecipeError
from seesay.model import adapt, checkpoint, families, golden
from seesay.model.contract import Model
from seesay.predict.native import SeesayPredictor
from seesay.predict.protocol import Answer, Decoding, Locator, Predictor, Prompt

__all__ = [
    "Answer",
    "Decoding",
    "Locator",
    "Predictor",
    "Prompt",
    "SeesayPredictor",
    "load",
    "predictor",
]


def load(
    run: Path | str,
    *,
    device: str = "auto",
    precision: str = "fp32",
    decoding: Decoding | None = None,
) -> SeesayPredictor:
    """Open a run's newest checkpoint, or a checkpoint folder, and check that it answers as it did.

    Raises:
        CheckpointError: missing, half-written, altered, of another version, or its golden outputs
            do not come back.
    """
    folder = checkpoint.find(run)
    where = str(folder)
    stored = checkpoint.open_config(folder)
    recipe = _recipe(stored, where)
    text = Text.open(folder)
    if len(text) != stored.get("vocabulary"):
        raise CheckpointError(
            f"tokenizer.json has {len(text)} tokens, config.json says {stored.get('vocabulary')}",
            where=where,
            fix="copy the checkpoint folder again, whole",
        )
    place = machine.device(device)
    model = _build(recipe, text, checkpoint.open_tensors(folder / checkpoint.WEIGHTS), where)
    golden.replay(model, _golden(folder), where=where)
    return predictor(
        model.to(place).eval(),
        text,
        recipe=recipe,
        dtype=machine.precision(place, wish=precision),
        decoding=decoding,
        name=str(run),
    )


def _recipe(stored: Mapping[str, Any], where: str) -> config.Recipe:
    """The recipe in config.json: what a user cannot mend there is the checkpoint's fault."""
    try:
        return config.recipe(stored["recipe"], where=checkpoint.CONFIG)
    except (KeyError, RecipeError) as error:
        raise CheckpointError(
            f"config.json does not hold a recipe this Seesay can build: {error}",
            where=where,
            fix="use the Seesay that wrote it, or copy the checkpoint folder again, whole",
        ) from None


def _build(
    recipe: config.Recipe, text: Text, weights: Mapping[str, torch.Tensor], where: str
) -> Model:
    """The model config.json describes, with the weights in it."""
    shape = {"vocabulary": len(text), "picture_token": text.picture}
    try:
        # Without memory first: what config.json says of sizes is not to be trusted.
        with torch.device("meta"):
            checkpoint.agree(_fresh(recipe, shape), weights, where=where)
        model = _fresh(recipe, shape)
    except RecipeError as error:
        fix = "copy the checkpoint folder again, whole"
        raise CheckpointError(f"config.json: {error}", where=where, fix=fix) from None
    checkpoint.fill(model, weights, where=where)
    return model


def _fresh(recipe: config.Recipe, shape: Mapping[str, int]) -> Model:
    return adapt.rebuilt(families.build(recipe.model, **shape), recipe.train.tune)


def predictor(
    model: Model,
    text: Text,
    *,
    recipe: config.Recipe,
    dtype: torch.dtype = torch.float32,
    decoding: Decoding | None = None,
    name: str = "model",
) -> SeesayPredictor:
    """A predictor of a model in memory."""
    fit = Fit.of(
        recipe.data,
        **families.taken(recipe.model, native=recipe.data.native),
        interleaved=model.interleaves,
        instructed=model.instructed,
        regions=recipe.model.vision.regions,
        pool=recipe.model.time.pool,
    )
    context = recipe.model.text.context
    return SeesayPredictor(
        model, text, fit=fit, context=context, dtype=dtype, decoding=decoding, name=name
    )


def _golden(folder: Path) -> dict:
    try:
        stored = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
        return stored if isinstance(stored, dict) else {}
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"golden.json cannot be read: {error}", where=str(folder), fix="copy it again, whole"
        ) from None
