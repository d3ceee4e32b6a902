"""What a recipe says of which weights are trained: parts with their own rates, fine-tuning."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field
from pydantic.dataclasses import dataclass

from seesay.fields import STRICT, Decay, Positive, Share, Size


@dataclass(config=STRICT, frozen=True, kw_only=True)
class PartConfig:
    """A part of the model, and the factor on its learning rates in a span of training.

    Of several that name a parameter and hold at a time, the last decides; where none does, it is 1.
    """

    # The first words of parameters' names ("vision", "text.blocks.*.mlp").
    match: Annotated[str, Field(min_length=1)]
    # 0: frozen.
    rate: Annotated[float, Field(ge=0)]
    # Shares of training.
    after: Decay = 0.0
    until: Share = 1.0

    @pydantic.model_validator(mode="after")
    def _agree(self):
        if self.until <= self.after:
            raise ValueError(f"until is {self.until}, not past after, {self.after}")
        return self

    def holds(self, progress: float) -> bool:
        """Whether it says something at this share of training."""
        return self.after <= progress and (progress < self.until or self.until == 1)


@dataclass(config=STRICT, frozen=True, kw_only=True)
class TuneConfig:
    """How a model is fine-tuned: `full`, or by a few weights that are put in, the others frozen."""

    method: Literal["full", "lora", "adapters", "prompt", "prefix", "linear"] = "full"
    # How the names of the modules end that are changed; none: what the method usually changes.
    modules: tuple[str, ...] = ()
    # The first words of their names; none: anywhere.
    within: tuple[str, ...] = ()
    # Of `lora`: what is added is alpha / rank times two matrices, with dropout before them.
    rank: Size = 8
    alpha: Positive = 8.0
    dropout: Decay = 0.0
    # Of `adapters`: their inner width.
    bottleneck: Size = 16
    # Of `prompt` and `prefix`: how many vectors are learned.
    length: Size = 20
