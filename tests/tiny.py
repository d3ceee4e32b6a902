"""A tiny model with random weights, its tokenizer and its checkpoint: what many tests share."""

import json
from pathlib import Path

import numpy as np
import torch

from seesay import config
from seesay.config import as_table
from seesay.data.fit import Fit
from seesay.data.text import Document, Text, learn
from seesay.model import checkpoint, families, golden
from seesay.model.contract import Model
from seesay.records import Turn

# The smallest vision side, and the smallest recipe there is, for runs of whole commands; its last
# table is [train].
VISION = """\
[model.vision]
image_size = 16
width = 16
depth = 1
num_heads = 2
stem_widths = [8, 8]
stem_residuals = [0, 0]
"""
RECIPE = f"""\
{VISION}[model.text]
width = 16
depth = 1
num_heads = 2
context = 96
[data]
row_tokens = 96
vocabulary = 320
workers = 0
[train]
batch = 4
check_memory = false
log_every = 1
"""

WORDS = ("what colour is it ?", "red", "green", "a small ring left of a large star .", "two", "yes")


def recipe(**text) -> config.Recipe:
    """A model of a few thousand weights: pictures of 16×16 in 4 tokens, rows of 64."""
    return config.recipe(
        {
            "model": {
                "vision": {
                    "image_size": 16,
                    "width": 16,
                    "depth": 1,
                    "num_heads": 2,
                    "stem": "patch",
                    "patch": 4,
                },
                "connector": {"factor": 2},
                "text": {"width": 16, "depth": 2, "num_heads": 2, "context": 64, **text},
            },
            "data": {"row_tokens": 64, "vocabulary": 300},
        }
    )


def text(kind: str = "character") -> Text:
    """A tokenizer that knows `WORDS`."""
    return learn(WORDS, kind=kind, vocabulary=300)


def model(settings: config.Recipe, words: Text, *, scale: float = 0.3) -> Model:
    """A model whose every weight is random: fresh ones start with blocks that do nothing."""
    made = families.build(settings.model, vocabulary=len(words), picture_token=words.picture)
    return randomised(made, scale=scale).eval()


def randomised(module, *, scale: float = 0.3):
    """Every weight drawn anew, none of them zero or one."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)
    return module


def fit(settings: config.Recipe) -> Fit:
    """What the model takes in."""
    return Fit(
        size=settings.model.vision.size,
        picture_tokens=families.picture_tokens(settings.model),
        row_tokens=settings.data.row_tokens,
        instructed=settings.model.connector.instructed,
        regions=settings.model.vision.regions,
    )


def save(folder: Path, settings: config.Recipe, words: Text, made: Model, **stored) -> Path:
    """A whole checkpoint, as training writes it; `stored` overrides what config.json says."""
    given = fit(settings)
    recorded = golden.record(made, size=given.size, picture_tokens=given.picture_tokens)

    def extras(making: Path) -> None:
        words.save(making)
        (making / "golden.json").write_text(json.dumps(recorded))

    facts = {"vocabulary": len(words), "recipe": as_table(settings)} | stored
    checkpoint.save(folder, weights=made.state_dict(), config=facts, write=extras)
    return folder


def picture(seed: int = 0, size: tuple[int, int] = (16, 16)) -> np.ndarray:
    """Random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def document(words: Text, question: str, answer: str | None = None) -> Document:
    """A question, with its answer or awaiting it."""
    turns = [Turn("user", question)] + ([] if answer is None else [Turn("assistant", answer)])
    return words.encode(turns)
