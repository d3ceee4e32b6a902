"""Protocol: what evaluation, explanation, audits, search and the server talk to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from seesay.errors import RecipeError
from seesay.records import Box, Picture, Turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a predictor is asked: pictures, and turns that end with the user's.

    No turns, or an empty last one, ask for a caption. Pictures that no turn shows (`Turn.pictures`)
    stand in front. `boxes` are of each picture, in its pixels, what a model is to look at that
    looks at regions; such a model looks at a grid where none are.
    """

    images: tuple[Picture, ...]
    turns: tuple[Turn, ...]
    boxes: tuple[tuple[Box, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a predictor said: the text, and the natural-log probability of each token it said.

    The mark that ends an answer is a token too, where it came before the limit; so are the tokens
    of its `reasoning`, what it said to itself first.
    """

    text: str
    log_probabilities: tuple[float, ...] = ()
    reasoning: str = ""


@runtime_checkable
class Predictor(Protocol):
    """What evaluation, explanation, audits, search and the server talk to."""

    def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Free text for each prompt."""
        ...

    def choose(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        """For each prompt, a probability for each of its options (they sum to one)."""
        ...

    def embed(self, images: Sequence[Picture] = (), *, texts: Sequence[str] = ()) -> np.ndarray:
        """Vectors (items, width) of unit length, for pictures or for texts."""
        ...


@runtime_checkable
class Locator(Predictor, Protocol):
    """A predictor that may also say where: it does where `locate` is among what it `can`."""

    @property
    def can(self) -> Sequence[str]:
        """What it can do, by name."""
        ...

    def locate(self, prompts: Sequence[Prompt]) -> list[Box | None]:
        """For each prompt, the box of what it asks for in its picture, in thousandths of that; None
        where there is none.

        Raises:
            CapabilityError: it cannot, naming what it can.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are decoded: greedily unless `temperature` or `beams` say otherwise.

    Args:
        most: tokens an answer may have; fewer where the model's context has no room for them.
        temperature: above 0, tokens are drawn, the more freely the higher.
        top_p: drawn only from the likeliest tokens that together reach this probability.
        beams: above 1, that many hypotheses are searched with; nothing is drawn then.

    Raises:
        RecipeError: a value out of range.
    """

    most: int = 96
    temperature: float = 0.0
    top_p: float = 1.0
    beams: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good, rule in (
            ("most", self.most >= 1, "1 or more"),
            ("temperature", 0 <= self.temperature < math.inf, "0 or more, and finite"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("beams", 1 <= self.beams <= 64, "from 1 to 64"),
        ):
            if not good:
                said = f"{name} is {getattr(self, name)}; it must be {rule}"
                raise RecipeError(said, where=f"decoding.{name}", fix="give a value in that range")
