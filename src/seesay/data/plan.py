"""Plan: how one picture is brought to what the vision side takes in, tile by tile.

A size is (height, width) in pixels; a box says x first.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from seesay.coordinates import Sides
from seesay.data.geometry import Affine
from seesay.errors import DataError, nearest

Size = tuple[int, int]
FITS = ("stretch", "pad", "crop")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one picture is brought to what the vision side takes in.

    size: of the picture. canvas: of what it becomes, all tiles together. shown: the part of the
    picture that is shown, in its pixels; content: where on the canvas that lies; around it are
    margins. grid: rows and columns that the canvas is cut into; where these are several, a small
    one of the whole comes after them. tile_tokens: picture tokens of one tile.
    """

    size: Size
    canvas: Size
    shown: Sides
    content: Sides
    fit: str = "stretch"
    grid: Size = (1, 1)
    tile_tokens: int = 1

    @property
    def tile(self) -> Size:
        """Of one tile, which is what the vision side looks at."""
        return self.canvas[0] // self.grid[0], self.canvas[1] // self.grid[1]

    @property
    def num_tiles(self) -> int:
        """How many pictures the vision side looks at, the small one included."""
        return num_tiles(self.grid)

    @property
    def tokens(self) -> int:
        """Picture tokens of all of them."""
        return self.num_tiles * self.tile_tokens

    @property
    def map(self) -> Affine:
        """From the picture's pixels to those of the canvas."""
        return Affine.between(self.shown, self.content)

    @property
    def shares(self) -> Affine:
        """The same map, in shares of the picture and of the canvas."""
        if self.fit == "stretch" and self.shown == sides_of(self.size):
            return Affine()
        return self.map.shares(self.size, self.canvas)

    @property
    def maps(self) -> tuple[Affine, ...]:
        """From the picture's pixels to those of each tile."""
        (rows, columns), (height, width) = self.grid, self.tile
        places = [(r, c) for r in range(rows) for c in range(columns)]
        cut = [self.map.then(Affine.moved(-c * width, -r * height)) for r, c in places]
        if len(cut) == 1:
            return tuple(cut)
        shown, content = place(self.canvas, self.tile, fit=overview_fit(self.fit))
        return (*cut, self.map.then(Affine.between(shown, content)))

    @property
    def tiles(self) -> tuple[Sides, ...]:
        """The box of each tile in the picture, in its pixels; margins lie outside of it."""
        whole = sides_of(self.tile)
        return tuple(each.inverse().sides(whole) for each in self.maps)

    def within(self, part: Sides) -> "Plan":
        """The same canvas and tiles, of a part of the picture (in shares) alone."""
        height, width = self.size
        left, top, right, bottom = (
            share * side for share, side in zip(part, (width, height) * 2, strict=True)
        )
        shown, content = place((bottom - top, right - left), self.canvas, fit=self.fit)
        moved = (shown[0] + left, shown[1] + top, shown[2] + left, shown[3] + top)
        return replace(self, shown=moved, content=content)


def num_tiles(grid: Size) -> int:
    """How many pictures become of one that is cut into rows and columns, and a small one of it."""
    count = grid[0] * grid[1]
    return count if count == 1 else count + 1


def overview_fit(fit: str) -> str:
    """How the small one is made of the whole canvas: nothing of it may be cut off."""
    return "pad" if fit == "pad" else "stretch"


def sides_of(size: Size) -> Sides:
    """The box of a whole picture, in its pixels."""
    return 0.0, 0.0, float(size[1]), float(size[0])


def place(size: tuple[float, float], canvas: Size, *, fit: str) -> tuple[Sides, Sides]:
    """Which part of a picture is shown, and where on the canvas it then lies.

    Raises:
        DataError: an unknown fit.
    """
    (height, width), (high, wide) = size, canvas
    whole, full = (0.0, 0.0, float(width), float(height)), sides_of(canvas)
    if fit == "stretch":
        return whole, full
    if fit == "pad":
        scale = min(wide / width, high / height)
        w, h = min(wide, max(1, round(width * scale))), min(high, max(1, round(height * scale)))
        left, top = (wide - w) // 2, (high - h) // 2
        return whole, (float(left), float(top), float(left + w), float(top + h))
    if fit == "crop":
        scale = min(width / wide, height / high)
        left, top = max(0.0, (width - wide * scale) / 2), max(0.0, (height - high * scale) / 2)
        return (left, top, width - left, height - top), full
    raise DataError(f"unknown fit '{fit}'", fix=nearest(fit, FITS))


@lru_cache(maxsize=4096)
def fixed(
    size: Size, *, tile: Size, grid: Size = (1, 1), fit: str = "stretch", tokens: int = 1
) -> Plan:
    """The same grid of tiles for every picture; of one tile, the picture as a whole."""
    canvas = (tile[0] * grid[0], tile[1] * grid[1])
    shown, content = place(size, canvas, fit=fit)
    return Plan(size, canvas, shown, content, fit, grid, tokens)
