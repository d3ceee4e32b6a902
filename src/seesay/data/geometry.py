"""Geometry: affine maps of the plane, which points, boxes, masks and pictures go through.

x goes right and y down from the top left corner of a picture. In pixels, the first pixel reaches
from 0 to 1, and its middle is at a half; as shares, the whole picture reaches from 0 to 1.

Shapes: K points, H W pixels.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from seesay.coordinates import Sides
from seesay.errors import DataError
from seesay.records import Box

WHOLE: Sides = (0.0, 0.0, 1.0, 1.0)  # of a picture, as shares


@dataclass(frozen=True, slots=True)
class Affine:
    """x' = xx·x + xy·y + x0, and y' = yx·x + yy·y + y0. Without arguments, nothing moves."""

    xx: float = 1.0
    xy: float = 0.0
    x0: float = 0.0
    yx: float = 0.0
    yy: float = 1.0
    y0: float = 0.0

    @classmethod
    def scaled(cls, across: float, down: float) -> "Affine":
        """Lengths multiplied, about the corner."""
        return cls(xx=across, yy=down)

    @classmethod
    def moved(cls, right: float, down: float) -> "Affine":
        """All moved by as much."""
        return cls(x0=right, y0=down)

    @classmethod
    def between(cls, old: Sides, new: Sides) -> "Affine":
        """One box brought onto another: what a resize, a crop and a margin are."""
        across = (new[2] - new[0]) / (old[2] - old[0])
        down = (new[3] - new[1]) / (old[3] - old[1])
        return cls(xx=across, x0=new[0] - old[0] * across, yy=down, y0=new[1] - old[1] * down)

    @classmethod
    def mirrored(cls, width: float) -> "Affine":
        """Left and right change places in a picture of that width."""
        return cls(xx=-1.0, x0=width)

    @classmethod
    def quarter(cls, width: float) -> "Affine":
        """A picture of that width turned to the left by a quarter: what was right is then above."""
        return cls(xx=0.0, xy=1.0, yx=-1.0, yy=0.0, y0=width)

    @classmethod
    def turned(cls, degrees: float) -> "Affine":
        """Turned to the left about the corner."""
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return cls(xx=cos, xy=sin, yx=-sin, yy=cos)

    def about(self, x: float, y: float) -> "Affine":
        """The same about another place than the corner."""
        return Affine.moved(-x, -y).then(self).then(Affine.moved(x, y))

    def then(self, other: "Affine") -> "Affine":
        """This map and after it the other."""
        return Affine(
            xx=other.xx * self.xx + other.xy * self.yx,
            xy=other.xx * self.xy + other.xy * self.yy,
            x0=other.xx * self.x0 + other.xy * self.y0 + other.x0,
            yx=other.yx * self.xx + other.yy * self.yx,
            yy=other.yx * self.xy + other.yy * self.yy,
            y0=other.yx * self.x0 + other.yy * self.y0 + other.y0,
        )

    def inverse(self) -> "Affine":
        """The map back.

        Raises:
            DataError: it brings the plane onto a line, from which nothing comes back.
        """
        area = self.xx * self.yy - self.xy * self.yx
        if not area:
            raise DataError(f"{self} has no way back", fix="scale by more than 0")
        xx, xy, yx, yy = self.yy / area, -self.xy / area, -self.yx / area, self.xx / area
        x0, y0 = -(xx * self.x0 + xy * self.y0), -(yx * self.x0 + yy * self.y0)
        return Affine(xx, xy, x0, yx, yy, y0)

    def shares(self, old: tuple[int, int], new: tuple[int, int]) -> "Affine":
        """Of a map in pixels the same in shares, of pictures of these sizes (height, width)."""
        pixels = Affine.scaled(old[1], old[0])
        return pixels.then(self).then(Affine.scaled(1 / new[1], 1 / new[0]))

    def points(self, points_K2: np.ndarray) -> np.ndarray:
        """Points (K, 2), x and y, where they then are."""
        x, y = np.asarray(points_K2, float).reshape(-1, 2).T
        across = self.xx * x + self.xy * y + self.x0
        return np.stack((across, self.yx * x + self.yy * y + self.y0), axis=1)

    def sides(self, sides: Sides) -> Sides:
        """The box around where the corners of a box then are."""
        left, top, right, bottom = sides
        x, y = self.points(np.array([(left, top), (right, top), (left, bottom), (right, bottom)])).T
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def box(self, box: Box) -> Box:
        """The same of a box with its label."""
        left, top, right, bottom = self.sides((box.left, box.top, box.right, box.bottom))
        return replace(box, left=left, top=top, right=right, bottom=bottom)

    def mask(self, mask_HW: np.ndarray, *, size: tuple[int, int]) -> np.ndarray:
        """A mask in a picture of another size (height, width): at each pixel, what was where its
        middle comes from; nothing (0) where that is outside. For a map in pixels.
        """
        height, width = mask_HW.shape
        y, x = np.mgrid[: size[0], : size[1]] + 0.5
        back = self.inverse().points(np.stack((x.ravel(), y.ravel()), axis=1))
        # A middle that lies on an edge but for the last digit must not fall to its neighbour.
        column, row = np.floor(back + 1e-6).astype(int).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        made = np.zeros(size[0] * size[1], mask_HW.dtype)
        made[inside] = mask_HW[row[inside], column[inside]]
        return made.reshape(size)

    def picture(self, pixels: np.ndarray, *, fill: tuple[int, int, int]) -> np.ndarray:
        """Pixels (H, W, 3) moved within their frame, bilinear; `fill` shows where nothing is."""
        back = self.inverse()
        how = (back.xx, back.xy, back.x0, back.yx, back.yy, back.y0)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        method = Image.Transform.AFFINE
        smooth = Image.Resampling.BILINEAR
        return np.array(image.transform(image.size, method, how, smooth, fillcolor=fill))


def clipped(sides: Sides, *, within: Sides = WHOLE) -> Sides | None:
    """What of a box lies within another; None where nothing does."""
    left, top = max(sides[0], within[0]), max(sides[1], within[1])
    right, bottom = min(sides[2], within[2]), min(sides[3], within[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def is_cut(sides: Sides, *, within: Sides, by: tuple[float, float]) -> bool:
    """Whether a box reaches out of another by more than so much, across or down."""
    beyond = [max(within[i] - sides[i], sides[i + 2] - within[i + 2]) for i in (0, 1)]
    return beyond[0] > by[0] or beyond[1] > by[1]
