"""The Predictor protocol and its adapter to Seesay checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from seesay.records import Picture, Turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a predictor is asked: pictures, and turns that end with the user's (empty text: a caption)."""

    images: tuple[Picture, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predictor said: the text, and the natural-log probability of each of its tokens."""

    text: str
    log_probabilities: tuple[float, ...] = ()


@runtime_checkable
class Predictor(Protocol):
    """What evaluation, explanation, audits, search and the server talk to."""

    def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Free text for each prompt."""
        ...

    def choose(self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each prompt, a probability for each of its options (they sum to one)."""
        ...

    def embed(self, images: Sequence[Picture] = (), *, texts: Sequence[str] = ()) -> np.ndarray:
        """Vectors (items, width) of unit length, for pictures or for texts."""
        ...
