"""What the values of a recipe may be: counts, shares, rates, names of norms and activations."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field

# Upper bounds are far above any use: a config.json from elsewhere must not exhaust the memory.
STRICT = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
Count = Annotated[int, Field(ge=0, le=100_000)]
Size = Annotated[int, Field(ge=1, le=100_000)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]  # of a running average: at 1 it would never move
Weights = dict[str, Annotated[float, Field(ge=0)]]
Norm = Literal["plain", "layer", "rms"]
# TOML has no null: what is to be nothing, against the default, is written "none".
NormOrNone = Annotated[
    Norm | None, pydantic.BeforeValidator(lambda given: None if given == "none" else given)
]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "relu_squared"]


def divides(whole: int, part: int, whole_name: str, part_name: str) -> None:
    """Raise ValueError where one setting does not divide another."""
    if whole % part:
        raise ValueError(f"{whole_name} is {whole}, which {part_name}, {part}, does not divide")
