"""Operations: what is done to a picture at random, by name and amount, and what it leaves true.

Those of RandAugment (arXiv:1909.13719) but `solarize`, which makes what is light dark, and those of
colour jitter. What a picture shows stays in its place, or moves as `moving` says.

Shapes: H W pixels.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from seesay.data.geometry import Affine
from seesay.data.images import PADDING


class Operation(NamedTuple):
    """What one does, and how far it goes at most, one way or the other (`signed`).

    spoils: the field of `wording.Says` for what a text must not speak of (`boxes`: that it has
    any) where this is done. A text that says boxes has none that are tilted.
    """

    most: float
    signed: bool
    spoils: frozenset[str]


_TONE, _TINT = frozenset({"lights"}), frozenset({"lights", "colours"})
_TILT, _MOVE = frozenset({"places", "boxes"}), frozenset({"places", "counts"})
# As far as RandAugment goes at its magnitude of 10.
OPERATIONS: Mapping[str, Operation] = {
    "identity": Operation(0.0, False, frozenset()),
    "brightness": Operation(0.9, True, _TONE),
    "contrast": Operation(0.9, True, _TONE),
    "autocontrast": Operation(1.0, False, _TONE),
    "sharpness": Operation(0.9, True, frozenset()),
    "colour": Operation(0.9, True, _TINT),
    "hue": Operation(0.25, True, _TINT),  # of the circle; in colour jitter alone
    "equalize": Operation(1.0, False, _TINT),
    "posterize": Operation(4.0, False, _TINT),  # bits of 8 that are dropped
    "rotate": Operation(30.0, True, _TILT),  # degrees
    "shear_x": Operation(0.3, True, _TILT),
    "shear_y": Operation(0.3, True, _TILT),
    "translate_x": Operation(0.45, True, _MOVE),  # shares of the picture
    "translate_y": Operation(0.45, True, _MOVE),
}
RAND_AUGMENT = tuple(name for name in OPERATIONS if name != "hue")
# Those that may move something out of the picture.
CUTTING = ("translate_x", "translate_y", "rotate", "shear_x", "shear_y")


def moving(name: str, amount: float, *, size: tuple[int, int]) -> Affine | None:
    """Where an operation brings what is in a picture of that size (height, width), in pixels; None
    for one that leaves it in its place.
    """
    height, width = size
    made = {
        "rotate": lambda: Affine.turned(amount),
        "shear_x": lambda: Affine(xy=amount),
        "shear_y": lambda: Affine(yx=amount),
        "translate_x": lambda: Affine.moved(amount * width, 0.0),
        "translate_y": lambda: Affine.moved(0.0, amount * height),
    }.get(name)
    return None if made is None else made().about(width / 2, height / 2)


def applied(pixels: np.ndarray, name: str, amount: float) -> np.ndarray:
    """Pixels (H, W, 3) after one operation."""
    moves = moving(name, amount, size=(pixels.shape[0], pixels.shape[1]))
    if moves is not None:
        return moves.picture(pixels, fill=PADDING)
    if name == "identity":
        return pixels
    return np.array(_TONES[name](Image.fromarray(np.ascontiguousarray(pixels)), amount))


def _enhanced(
    how: Callable[[Image.Image], ImageEnhance._Enhance],
) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, amount: how(image).enhance(1 + amount)


def _turned_hue(image: Image.Image, amount: float) -> Image.Image:
    hue, *others = image.convert("HSV").split()
    turned = hue.point([(value + round(amount * 256)) % 256 for value in range(256)])
    return Image.merge("HSV", (turned, *others)).convert("RGB")


_TONES: Mapping[str, Callable[[Image.Image, float], Image.Image]] = {
    "brightness": _enhanced(ImageEnhance.Brightness),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "colour": _enhanced(ImageEnhance.Color),
    "hue": _turned_hue,
    # By its light alone: each channel by itself would make a tint of its own.
    "autocontrast": lambda image, _: ImageOps.autocontrast(image, preserve_tone=True),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "posterize": lambda image, amount: ImageOps.posterize(image, 8 - round(amount)),
}
