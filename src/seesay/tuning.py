"""What a recipe says of how weights are trained: parts with rates of their own, few, or taught."""

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


@dataclass(config=STRICT, frozen=True, kw_only=True)
class TeacherConfig:
    """Another model whose opinion is learned from: a finished run's, or this one's own average."""

    # A run or checkpoint.
    run: str | None = None
    # The memory of the running average of the model's own weights (ALBEF: 0.995).
    momentum: Decay = 0.0
    # What its opinion weighs against the truth, and over which share of training that rises from 0.
    alpha: Share | None = None
    ramp: Share = 0.05
    # Of the average: its vectors of so many pairs of past steps stand beside those of the batch.
    queue: Annotated[int, Field(ge=0, le=10_000_000)] = 0

    @pydantic.model_validator(mode="after")
    def _agree(self):
        if self.run is not None and self.momentum:
            raise ValueError(f"the teacher is either the run {self.run} or an average of memory "
                             f"{self.momentum}, not both")  # fmt: skip
        if self.queue and not self.momentum:
            raise ValueError(f"a queue of {self.queue} holds vectors of the model's own average, "
                             "but momentum is 0")  # fmt: skip
        return self

    @property
    def weight(self) -> float:
        """What its opinion weighs in `contrastive` and `masked_lm`, once risen."""
        if self.alpha is not None:
            return self.alpha
        return 0.4 if self.momentum else 0.0
