"""What a recipe says of the vision side, and of pictures looked at in their own shapes."""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field
from pydantic.dataclasses import dataclass

from seesay.fields import STRICT, Activation, Count, Norm, NormOrNone, Positive, Size, divides

# Connectors that make tokens of patches one by one, or square by square, however many there are.
NATIVE_CONNECTORS = ("linear", "mlp", "pixel_shuffle")
# Qwen2-VL's (preprocessor_config.json).
MIN_PIXELS, MAX_PIXELS = 56 * 56, 14 * 14 * 4 * 1280
Pixels = Annotated[int, Field(ge=1, le=10**8)]


@dataclass(config=STRICT, frozen=True, kw_only=True)
class VisionConfig:
    """The vision side. `stem_widths` sets the patch of a `conv` stem: 2 ** their number."""

    kind: Literal["vit", "resnet", "regions"] = "vit"
    image_size: Size | tuple[Size, Size] = 64
    width: Size = 192
    depth: Annotated[int, Field(ge=0, le=1000)] = 2
    num_heads: Size = 4
    mlp_ratio: Positive = 3.0
    stem: Literal["patch", "conv"] = "conv"
    patch: Size = 8
    stem_widths: Annotated[tuple[Size, ...], Field(min_length=1, max_length=8)] = (32, 64, 128)
    stem_residuals: tuple[Count, ...] = (1, 1, 1)
    # Of a `conv` stem: a batch norm at its end, without which positions drown in what it gives.
    stem_norm: bool = True
    # Of a `vit`: a table of places, learned; or none, and attention turns by row and column.
    positions: Literal["learned", "rotary"] = "learned"
    # How large those of a table begin, sines and cosines of so much.
    position_scale: Positive = 0.25
    # Of a `vit`: one more token before the patches, which sums the picture up.
    class_token: bool = False
    activation: Activation = "relu_squared"
    norms: Norm = "plain"
    head_norm: NormOrNone = "plain"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    deviation: tuple[Positive, Positive, Positive] = (0.5, 0.5, 0.5)

    # Of `regions`: pixels along a side of what is cut out, and boxes along a side of the grid that
    # stands in where nobody says what the boxes are.
    crop: Size = 16
    grid: Size = 4

    @property
    def regions(self) -> int:
        """Boxes along a side of that grid; 0 where patches are looked at."""
        return self.grid if self.kind == "regions" else 0

    @property
    def patch_side(self) -> int:
        """Pixels along a side of a patch."""
        if self.kind == "vit" and self.stem == "patch":
            return self.patch
        return 2 ** len(self.stem_widths)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        side = self.image_size
        return (side, side) if isinstance(side, int) else side

    @pydantic.model_validator(mode="after")
    def _agree(self):
        divides(self.width, self.num_heads, "width", "num_heads")
        widths, residuals = len(self.stem_widths), len(self.stem_residuals)
        if widths != residuals:
            raise ValueError(f"{widths} stem_widths but {residuals} stem_residuals: give one each")
        if self.kind != "vit" and self.class_token:
            raise ValueError(f"{self.kind} has no class_token: only a vit has")
        self._check_rotary()
        if self.kind == "resnet" and 0 in self.stem_residuals[1:]:
            raise ValueError("a resnet's stage without a block cannot halve the grid: of "
                             "stem_residuals, only the first may be 0")  # fmt: skip
        if self.kind == "regions" and self.stem == "patch" and self.crop < self.patch:
            raise ValueError(f"crop is {self.crop}, but a patch is {self.patch} wide: what is cut "
                             "out must hold one")  # fmt: skip
        return self

    def _check_rotary(self) -> None:
        if self.positions != "rotary":
            return
        if self.kind != "vit":
            raise ValueError(f"{self.kind} has no places to turn by: positions = 'rotary' is of a "
                             "vit")  # fmt: skip
        head_width = self.width // self.num_heads
        if head_width % 4:
            raise ValueError("rotary positions turn half of a head's pairs by the row, half by the "
                             f"column, but a head is {head_width} wide: make width / num_heads a "
                             "multiple of 4")  # fmt: skip


def square(model: Any) -> int:
    """Pixels along a side of the square of a picture that becomes one token, of a `ModelConfig`."""
    fold = model.connector.factor if model.connector.kind == "pixel_shuffle" else 1
    return model.vision.patch_side * fold


def most_squares(model: Any, data: Any) -> int:
    """Most squares of a picture in its own shape, and so its most tokens; 0 where there is no room
    for one. Of a `ModelConfig` and a `DataConfig`.
    """
    budgets = filter(None, (data.picture_budget, data.sequence_budget))
    return min((data.max_pixels // square(model) ** 2, *budgets))


def check_native(model: Any, data: Any) -> None:
    """Raise ValueError where pictures are to be looked at in their own shapes, and cannot be."""
    allowed: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "model.family": (model.family, ("prefix",)),
        "model.vision.kind": (model.vision.kind, ("vit",)),
        "model.vision.positions": (model.vision.positions, ("rotary",)),
        "model.vision.class_token": (model.vision.class_token, (False,)),
        "model.connector.kind": (model.connector.kind, NATIVE_CONNECTORS),
        "data.fit": (data.fit, ("stretch",)),
    }
    for name, (given, able) in allowed.items():
        if given not in able:
            one = " or ".join(repr(each) for each in able)
            raise ValueError(f"tiles = 'native' gives each picture a grid of its own shape, and "
                             f"{name} = {given!r} knows one for all: write {one}")  # fmt: skip
    most, side = most_squares(model, data), square(model)
    if not most:
        raise ValueError(f"max_pixels is {data.max_pixels}, less than a token's {side}×{side}")
    if most + 2 > data.row_tokens:
        raise ValueError(f"a picture may take {most} tokens of {side}×{side} pixels (max_pixels = "
                         f"{data.max_pixels}), and row_tokens is {data.row_tokens}: lower "
                         "max_pixels, set picture_budget, or raise row_tokens")  # fmt: skip
