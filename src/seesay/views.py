"""What a recipe says of self-distillation: views of a picture, the teacher, the head."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field
from pydantic.dataclasses import dataclass

from seesay.fields import STRICT, Count, Decay, Positive, Share, Size

# Least and most share of a picture's area.
Areas = tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
Views = Annotated[int, Field(ge=2, le=16)]
Memory = Annotated[float, Field(ge=0, le=1)]


@dataclass(config=STRICT, frozen=True, kw_only=True)
class HeadConfig:
    """The head of family `vision`: how wide inside, its bottleneck, how many prototypes."""

    width: Size = 384
    bottleneck: Size = 64
    prototypes: Size = 1024


@dataclass(config=STRICT, frozen=True, kw_only=True)
class SelfDistillConfig:
    """The views a picture is seen in, and how a teacher is made of its pupil."""

    # Views the teacher sees too, the share of the picture they show; and smaller ones of so many
    # pixels a side, 0: half of the picture's.
    globals: Views = 2
    global_area: Areas = (0.4, 1.0)
    locals: Count = 6
    local_area: Areas = (0.05, 0.4)
    local_size: Count = 0
    # Of a view's width and height, how unlike they may be.
    aspect: Annotated[float, Field(ge=1, le=10)] = 1.33
    # Shares of the views that are changed so.
    flip: Share = 0.5
    jitter: Share = 0.8
    grey: Share = 0.2
    blur: Share = 0.5
    # How far jitter goes: light by ± so much, contrast and colourfulness by a factor of 1 ± so
    # much, hue by ± a share of the circle.
    light: Share = 0.4
    contrast: Share = 0.4
    colourfulness: Share = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    # What scores are divided by: the pupil's; the teacher's, at first and after its warm-up.
    temperature: Positive = 0.1
    teacher_temperatures: tuple[Positive, Positive] = (0.04, 0.04)
    warmup: Share = 0.1
    # The teacher's memory at first, which rises to 1.
    momentum: Memory = 0.996
    # What keeps its outputs apart: a centre, with this memory, is taken from its scores; or they
    # are shared out evenly over each batch.
    balance: Literal["centre", "sinkhorn"] = "centre"
    centre: Decay = 0.9

    @pydantic.model_validator(mode="after")
    def _agree(self):
        for name in ("global_area", "local_area"):
            least, most = getattr(self, name)
            if least > most:
                raise ValueError(f"{name} must not fall: {least}, {most}")
        return self
