"""Render: scenes to pixels, masks and boxes; exact integers, so the same on every machine.

Shapes: H W the picture's height and width, h w a sprite's, S samples along a pixel's side.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from seesay.errors import SeesayError
from seesay.records import Box
from seesay.scenes.world import BACKGROUNDS, RADII, SPAN, Object, Scene

RGB = {
    "red": (222, 32, 36),
    "green": (28, 158, 58),
    "blue": (36, 72, 222),
    "yellow": (246, 218, 30),
    "purple": (132, 42, 172),
    "orange": (248, 132, 16),
    "pink": (250, 148, 196),
    "cyan": (54, 208, 226),
    "white": (250, 250, 250),
    "grey": (128, 128, 128),
    "black": (18, 18, 18),
    "beige": (224, 208, 178),
}
_CORE = 86  # % of the radius that stripes and dots may darken
_SHADE = 34  # % of a colour's light that its stripes and dots keep

# Corners in hundredths of the radius, right and down.
_POLYGONS = {
    "square": ((-86, -86), (86, -86), (86, 86), (-86, 86)),
    "triangle": ((0, -98), (104, 82), (-104, 82)),
    "diamond": ((0, -112), (80, 0), (0, 112), (-80, 0)),
    "star": (
        *((0, -108), (29, -38), (104, -33), (47, 16), (64, 88)),
        *((0, 48), (-64, 88), (-47, 16), (-104, -33), (-29, -38)),
    ),
    "cross": (
        *((-36, -100), (36, -100), (36, -36), (100, -36), (100, 36), (36, 36)),
        *((36, 100), (-36, 100), (-36, 36), (-100, 36), (-100, -36), (-36, -36)),
    ),
    "heart": ((-95, -16), (-52, -44), (0, -40), (52, -44), (95, -16), (0, 100)),
}
# (x, y, radius) of discs added to the outline, in hundredths of the radius.
_DISCS = {
    "circle": ((0, 0, 98),),
    "ring": ((0, 0, 104),),
    "heart": ((-52, -42, 51), (52, -42, 51)),
}
_HOLES = {"ring": (0, 0, 50)}
_REACH = 115  # hundredths of the radius that hold every shape


class _Sprite(NamedTuple):
    """Coverage of one look at one offset inside a pixel, in 256ths, cut to what it covers."""

    left: int  # of its first pixel, from the pixel the centre is in
    top: int
    colour_hw: np.ndarray  # of the plain colour
    shade_hw: np.ndarray  # of its darker stripes or dots
    mask_hw: np.ndarray  # bool: pixels covered by half or more
    box: tuple[int, int, int, int]  # left, top, right, bottom of the mask


class _Ink(NamedTuple):
    """A sprite in its colour, ready to blend: what it adds and what it leaves, uint16 (h, w, 3)."""

    left: int
    top: int
    height: int
    width: int
    adds_hwC: np.ndarray
    leaves_hwC: np.ndarray


def draw(scene: Scene, resolution: int = 64) -> np.ndarray:
    """The picture: uint8, (resolution, resolution, 3), RGB."""
    picture_HWC = _ground(scene.background, resolution).copy()
    steps = _steps(resolution)
    ink = _kept_ink if resolution <= 256 else _ink  # larger ones would fill the memory
    for thing in scene.objects:
        x, y = thing.x * resolution * steps // SPAN, thing.y * resolution * steps // SPAN
        left, top, height, width, adds_hwC, leaves_hwC = ink(
            thing.shape,
            thing.size,
            thing.texture,
            resolution,
            x % steps,
            y % steps,
            thing.colour,
        )
        left += x // steps
        top += y // steps
        right, bottom = left + width, top + height
        if left < 0 or top < 0 or right > resolution or bottom > resolution:
            shown = _shown(left, top, height, width, resolution=resolution)
            adds_hwC, leaves_hwC = adds_hwC[shown], leaves_hwC[shown]
            left, top = max(left, 0), max(top, 0)
        patch = picture_HWC[top:bottom, left:right]
        mixed = patch * leaves_hwC
        mixed += adds_hwC
        mixed >>= 8
        patch[...] = mixed
    return picture_HWC


def _shown(left: int, top: int, height: int, width: int, *, resolution: int) -> tuple[slice, slice]:
    """The part of a sprite that lies in the picture, as slices of the sprite."""
    rows = slice(max(-top, 0), max(min(height, resolution - top), 0))
    columns = slice(max(-left, 0), max(min(width, resolution - left), 0))
    return rows, columns


def masks(scene: Scene, resolution: int = 64) -> np.ndarray:
    """The visible pixels of each object: bool, (objects, resolution, resolution)."""
    visible = full_masks(scene, resolution)
    for i in range(len(visible)):
        for j in range(i + 1, len(visible)):
            visible[i] &= ~visible[j]
    return visible


def full_masks(scene: Scene, resolution: int = 64) -> np.ndarray:
    """The pixels of each object as if nothing were in front: bool, (objects, H, W)."""
    full = np.zeros((len(scene.objects), resolution, resolution), dtype=bool)
    for i, thing in enumerate(scene.objects):
        left, top, mask_hw = _placed(thing, resolution)
        height, width = mask_hw.shape
        shown = _shown(left, top, height, width, resolution=resolution)
        full[i, max(top, 0) : top + height, max(left, 0) : left + width] = mask_hw[shown]
    return full


def boxes(scene: Scene, resolution: int = 64) -> tuple[Box, ...]:
    """A tight box around the whole of each object, in pixels, labelled "red circle" and so on."""
    return tuple(
        Box(*bounds(thing, resolution), label=f"{thing.colour} {thing.shape}")
        for thing in scene.objects
    )


def bounds(thing: Object, resolution: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the whole of an object in pixels."""
    sprite, x, y = _at(thing, resolution)
    left, top, right, bottom = sprite.box
    return x + left, y + top, x + right, y + bottom


def overlap(back: Object, front: Object) -> int:
    """How many pixels of a 64 by 64 picture both objects claim."""
    reach = (back.radius + front.radius) * _REACH // 100
    if max(abs(back.x - front.x), abs(back.y - front.y)) >= reach:
        return 0
    (left_a, top_a, a_hw), (left_b, top_b, b_hw) = _placed(back, 64), _placed(front, 64)
    left, top = max(left_a, left_b), max(top_a, top_b)
    right = min(left_a + a_hw.shape[1], left_b + b_hw.shape[1])
    bottom = min(top_a + a_hw.shape[0], top_b + b_hw.shape[0])
    if left >= right or top >= bottom:
        return 0
    both = a_hw[top - top_a : bottom - top_a, left - left_a : right - left_a]
    both = both & b_hw[top - top_b : bottom - top_b, left - left_b : right - left_b]
    return int(both.sum())


def _at(thing: Object, resolution: int) -> tuple[_Sprite, int, int]:
    """An object's sprite and the pixel its centre is in."""
    steps = _steps(resolution)
    x, y = thing.x * resolution * steps // SPAN, thing.y * resolution * steps // SPAN
    sprite = _sprite(thing.shape, thing.size, thing.texture, resolution, x % steps, y % steps)
    return sprite, x // steps, y // steps


def _placed(thing: Object, resolution: int) -> tuple[int, int, np.ndarray]:
    """The left, the top and the mask of the whole of an object."""
    sprite, x, y = _at(thing, resolution)
    return x + sprite.left, y + sprite.top, sprite.mask_hw


@lru_cache(maxsize=64)
def _ground(background: str, resolution: int) -> np.ndarray:
    if resolution < 16:
        raise SeesayError(
            f"a picture of {resolution} pixels is too small: 16 is the least",
            where="scenes.render",
            fix="draw at 64 pixels or more; shapes are hard to tell apart below that",
        )
    if background not in BACKGROUNDS:
        raise SeesayError(f"no background {background!r}", where="Scene.background")
    return np.full((resolution, resolution, 3), RGB[background], dtype=np.uint8)


def _steps(resolution: int) -> int:
    """How many offsets inside a pixel are told apart: positions count in 1/256 of the picture."""
    return max(1, 256 // resolution)


def _ink(
    shape: str, size: str, texture: str, resolution: int, offset_x: int, offset_y: int, colour: str
) -> _Ink:
    return _mixed(_sprite(shape, size, texture, resolution, offset_x, offset_y), colour)


_kept_ink = lru_cache(maxsize=6144)(_ink)  # every look and offset at 64 pixels


def _mixed(sprite: _Sprite, colour: str) -> _Ink:
    plain = np.array(RGB[colour], dtype=np.uint16)
    shade = plain * np.uint16(_SHADE) // np.uint16(100)
    colour_hw1, shade_hw1 = sprite.colour_hw[..., None], sprite.shade_hw[..., None]
    # At most 255 * 256 + 128, which fits 16 bits; the 128 rounds to nearest.
    adds_hwC = colour_hw1 * plain + shade_hw1 * shade + np.uint16(128)
    leaves_hw1 = np.uint16(256) - colour_hw1 - shade_hw1
    height, width = sprite.mask_hw.shape
    leaves_hwC = np.repeat(leaves_hw1, 3, axis=2)
    return _Ink(sprite.left, sprite.top, height, width, adds_hwC, leaves_hwC)


@lru_cache(maxsize=4096)
def _sprite(
    shape: str, size: str, texture: str, resolution: int, offset_x: int, offset_y: int
) -> _Sprite:
    samples = 8 if resolution <= 128 else 4
    radius = RADII[size]
    scale = 2 * samples * resolution  # one unit of the world, in units of the sample grid
    half = radius * _REACH * resolution // (100 * SPAN) + 1  # pixels beside the middle one
    line = (2 * np.arange((2 * half + 1) * samples, dtype=np.int64) + 1) * SPAN
    steps = _steps(resolution)
    middle = half * SPAN * 2 * samples  # left edge of the middle pixel
    pixel = SPAN * 2 * samples
    x_1W = (line - middle - pixel * (2 * offset_x + 1) // (2 * steps))[None, :]
    y_H1 = (line - middle - pixel * (2 * offset_y + 1) // (2 * steps))[:, None]
    inside = _inside(shape, x_1W, y_H1, radius * scale)
    # A rim of the plain colour keeps the outline, on black too.
    core = _inside(shape, x_1W, y_H1, radius * scale * _CORE // 100)
    shaded = inside & core & _shaded(texture, x_1W, y_H1, scale)
    share = 256 // (samples * samples)
    colour_hw = _pooled(inside & ~shaded, samples) * np.uint16(share)
    shade_hw = _pooled(shaded, samples) * np.uint16(share)
    left, top, right, bottom = _extent(colour_hw + shade_hw > 0)
    colour_hw = colour_hw[top:bottom, left:right]
    shade_hw = shade_hw[top:bottom, left:right]
    left, top = left - half, top - half
    mask_hw = colour_hw + shade_hw >= 128
    a, b, c, d = _extent(mask_hw)
    return _Sprite(left, top, colour_hw, shade_hw, mask_hw, (left + a, top + b, left + c, top + d))


def _extent(mask_hw: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is set."""
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _pooled(samples_HW: np.ndarray, samples: int) -> np.ndarray:
    """How many samples of each pixel are set: uint16."""
    side = len(samples_HW) // samples
    blocks = samples_HW.reshape(side, samples, side, samples)
    return blocks.sum(axis=(1, 3), dtype=np.uint16)


def _inside(shape: str, x_1W: np.ndarray, y_H1: np.ndarray, radius: int) -> np.ndarray:
    """Which samples a shape covers; all in integers, hundredths of the radius."""
    inside = np.zeros(np.broadcast_shapes(x_1W.shape, y_H1.shape), dtype=bool)
    for disc in _DISCS.get(shape, ()):
        inside |= _disc(disc, x_1W, y_H1, radius)
    if shape in _HOLES:
        inside &= ~_disc(_HOLES[shape], x_1W, y_H1, radius)
    if shape in _POLYGONS:
        inside |= _polygon(_POLYGONS[shape], x_1W, y_H1, radius)
    return inside


def _disc(
    disc: tuple[int, int, int], x_1W: np.ndarray, y_H1: np.ndarray, radius: int
) -> np.ndarray:
    x, y, reach = (part * radius for part in disc)
    return (x_1W * 100 - x) ** 2 + (y_H1 * 100 - y) ** 2 <= reach * reach


def _polygon(
    corners: tuple[tuple[int, int], ...], x_1W: np.ndarray, y_H1: np.ndarray, radius: int
) -> np.ndarray:
    """Even-odd rule: inside, a ray crosses the outline an odd number of times."""
    inside = np.zeros(np.broadcast_shapes(x_1W.shape, y_H1.shape), dtype=bool)
    x_1W, y_H1 = x_1W * 100, y_H1 * 100
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ax, ay, bx, by = ax * radius, ay * radius, bx * radius, by * radius
        between = (ay > y_H1) != (by > y_H1)
        side = (bx - ax) * (y_H1 - ay) - (x_1W - ax) * (by - ay)
        inside ^= between & ((side > 0) == (by > ay))
    return inside


def _shaded(texture: str, x_1W: np.ndarray, y_H1: np.ndarray, scale: int) -> np.ndarray:
    """Which samples a texture darkens."""
    if texture == "striped":
        period = 88 * scale
        return (x_1W + y_H1 + 22 * scale) % period < period // 2
    if texture == "dotted":
        period = 66 * scale
        x_1W, y_H1 = (x_1W + period // 2) % period, (y_H1 + period // 2) % period
        return (x_1W - period // 2) ** 2 + (y_H1 - period // 2) ** 2 <= (19 * scale) ** 2
    return np.zeros((1, 1), dtype=bool)
