"""Shown: a prompt as the model is shown it, and what it says as it is told.

What is asked and answered is of the pictures as they are given, boxes in thousandths of their
sides; the model reads and says boxes of what it sees: see data/seen.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from seesay.coordinates import SCALE, Sides
from seesay.data import clips
from seesay.data.fit import Fit
from seesay.data.geometry import clipped
from seesay.data.look import Look
from seesay.data.seen import PLAIN, View, retold
from seesay.predict.protocol import Answer, Prompt
from seesay.records import Box, Turn


@dataclass(frozen=True)
class Shown:
    """A prompt, and how each of its pictures is shown."""

    prompt: Prompt
    look: Look

    @classmethod
    def of(cls, prompt: Prompt, fit: Fit) -> "Shown":
        """A prompt as a model with this fit is shown it.

        Raises:
            PictureError: a picture whose size has to be read, and cannot be.
            LengthError: its pictures take more tokens than the budget of a sequence.
            DataError: a box in its text, and not of which of several pictures.
        """
        images, turns = clips.pooled(prompt.images, prompt.turns, pool=fit.pool)
        look = Look(fit, fit.plans(images))
        return cls(replace(prompt, images=images, turns=retold(turns, look.views)), look)

    @cached_property
    def view(self) -> View:
        """How the picture is seen that an answer is about: the one shown last."""
        return self.look.views[-1] if self.look.plans else PLAIN

    @property
    def tokens(self) -> Sequence[int]:
        """Of each of its pictures."""
        return self.look.tokens

    def options(self, options: Sequence[str]) -> list[str]:
        """Texts to be chosen among, as the model would say them."""
        return [option if self.view.is_plain else self.view.tell(option) for option in options]

    def answer(self, turn: Turn, log_probabilities: tuple[float, ...]) -> Answer:
        """What the model said, as it is told."""
        text, reasoning = turn.text, turn.reasoning
        if not self.view.is_plain:
            text, reasoning = self.view.read(text), self.view.read(reasoning)
        return Answer(text, log_probabilities, reasoning)

    def box(self, sides: Sides) -> Box:
        """A box of what is shown, as shares, in thousandths of the picture."""
        there = self.view.map.inverse().sides(sides)
        left, top, right, bottom = clipped(there) or there
        return Box(SCALE * left, SCALE * top, SCALE * right, SCALE * bottom)
