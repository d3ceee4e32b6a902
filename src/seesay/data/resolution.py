"""Resolution: which plan suits a picture of any size, and a budget of picture tokens.

Pure functions of sizes, (height, width) in pixels.

    best((800, 600), tile=(448, 448), max_tiles=4)    LLaVA-NeXT: the grid that loses the least
    split((800, 600), tile=(512, 512), max_tiles=16)  SmolVLM, Idefics3: as many as it is large
    native((561, 278), unit=28)                       Qwen2-VL: a grid of the picture's own shape
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from seesay.data.plan import Plan, Size, fixed, num_tiles, place
from seesay.errors import DataError, LengthError, PictureError

# (rows, columns) that LLaVA-NeXT chooses among (llava-v1.6, image_grid_pinpoints).
PINPOINTS: tuple[Size, ...] = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
# Idefics3 makes no picture larger than this a side.
IDEFICS_LONGEST = 4096
# What `together` plans by.
Shown = TypeVar("Shown")
# Qwen2-VL refuses pictures that are longer than so many times their other side.
QWEN_OBLONG = 200


@lru_cache(maxsize=64)
def grids(max_tiles: int) -> tuple[Size, ...]:
    """All (rows, columns) of at most so many tiles, the fewest tiles first."""
    sides = range(1, max_tiles + 1)
    every = [(r, c) for r in sides for c in sides if r * c <= max_tiles]
    return tuple(sorted(every, key=lambda grid: (grid[0] * grid[1], grid)))


def best_fit(size: Size, *, tile: int | Size, grids: Sequence[Size] = PINPOINTS) -> Size:
    """The size, among those of grids of tiles, that loses the least of a picture.

    That is the one where most of its pixels remain when it is brought there whole, proportions
    kept; of equals, the one with the smallest margins (LLaVA-NeXT, `select_best_resolution`).
    """
    high, wide = (tile, tile) if isinstance(tile, int) else tile
    height, width = size

    def worth(grid: Size) -> tuple[int, int]:
        h, w = grid[0] * high, grid[1] * wide
        scale = min(w / width, h / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - h * w

    rows, columns = max(grids, key=worth)  # of equals, the first
    return rows * high, columns * wide


@lru_cache(maxsize=4096)
def best(
    size: Size,
    *,
    tile: Size,
    max_tiles: int,
    fit: str = "stretch",
    tokens: int = 1,
    budget: int | None = None,
) -> Plan:
    """The grid of at most `max_tiles` that `best_fit` finds, within a budget of picture tokens.

    Raises:
        LengthError: one tile alone takes more than the budget.
    """
    within = [grid for grid in grids(max_tiles) if _keeps(num_tiles(grid) * tokens, budget)]
    if not within:
        raise _too_small(tokens, budget)
    height, width = best_fit(size, tile=tile, grids=within)
    grid = (height // tile[0], width // tile[1])
    return fixed(size, tile=tile, grid=grid, fit=fit, tokens=tokens)


def split_size(size: Size, *, tile: int, longest: int | None = None) -> Size:
    """The size, in whole tiles, that a picture is brought to before it is split.

    Its longer side is first brought to `longest` (None: left as it is), then both up to multiples
    of a tile (Idefics3, arXiv:2408.12637, section 3; `resize`, `resize_for_vision_encoder`).
    """
    height, width = size if longest is None else _rescaled(size, longest)
    aspect = width / height
    if width >= height:
        width = math.ceil(width / tile) * tile
        return math.ceil(int(width / aspect) / tile) * tile, width
    height = math.ceil(height / tile) * tile
    return height, math.ceil(int(height * aspect) / tile) * tile


def _rescaled(size: Size, longest: int) -> Size:
    """The longer side brought to `longest`, the other made even."""
    height, width = size
    aspect = width / height
    if width >= height:
        height, width = _even(int(longest / aspect)), longest
    else:
        height, width = longest, _even(int(longest * aspect))
    height, width = max(height, 1), max(width, 1)
    if max(height, width) <= IDEFICS_LONGEST:
        return height, width
    aspect = width / height
    if width >= height:
        return max(int(IDEFICS_LONGEST / aspect), 1), IDEFICS_LONGEST
    return IDEFICS_LONGEST, max(int(IDEFICS_LONGEST * aspect), 1)


def _even(side: int) -> int:
    return side + side % 2


@lru_cache(maxsize=4096)
def split(
    size: Size,
    *,
    tile: Size,
    max_tiles: int,
    fit: str = "stretch",
    tokens: int = 1,
    budget: int | None = None,
) -> Plan:
    """As many square tiles as a picture is large, up to `max_tiles` and a budget of tokens.

    Its longer side takes as many tiles as it reaches into; where these are too many, it is made
    smaller by whole tiles.

    Raises:
        LengthError: one tile alone takes more than the budget.
        DataError: tiles that are not square.
    """
    side = tile[0]
    if side != tile[1]:
        raise DataError(f"tiles of {tile[0]}×{tile[1]} to split into", fix="give square ones")
    if not _keeps(tokens, budget):
        raise _too_small(tokens, budget)
    most = min(max_tiles, math.ceil(max(size) / side), max(1, IDEFICS_LONGEST // side))
    for count in range(most, 0, -1):
        height, width = split_size(size, tile=side, longest=count * side)
        # What is very oblong is a tile high all the same, and an odd side is no tile too many.
        grid = (min(count, max(1, height // side)), min(count, max(1, width // side)))
        if grid[0] * grid[1] <= max_tiles and _keeps(num_tiles(grid) * tokens, budget):
            return fixed(size, tile=tile, grid=grid, fit=fit, tokens=tokens)
    raise AssertionError("one tile keeps any budget that was let through")


def smart_resize(
    height: int,
    width: int,
    factor: int = 28,
    min_pixels: int = 56 * 56,
    max_pixels: int = 14 * 14 * 4 * 1280,
) -> Size:
    """Sides that `factor` divides, near the picture's own shape, of so many pixels at least and at
    most (Qwen2-VL, arXiv:2409.12191, section 2.1; `smart_resize`).

    Raises:
        PictureError: one side is more than 200 times the other.
    """
    if max(height, width) > QWEN_OBLONG * min(height, width):
        raise PictureError(
            f"a picture of {height}×{width}: one side is more than {QWEN_OBLONG} times the other",
            fix="cut it into pieces, or leave it out",
        )
    high, wide = round(height / factor) * factor, round(width / factor) * factor
    if high * wide > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        high = max(factor, math.floor(height / shrink / factor) * factor)
        wide = max(factor, math.floor(width / shrink / factor) * factor)
    elif high * wide < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        high = math.ceil(height * grow / factor) * factor
        wide = math.ceil(width * grow / factor) * factor
    return high, wide


@lru_cache(maxsize=64)
def fullest(most: int) -> Size:
    """Rows and columns of the grid of at most so many places that has the most of them, and of such
    the one nearest to a square, none too oblong for `smart_resize`."""
    rows = range(1, math.isqrt(most) + 1)
    found = [(r, min(most // r, r * QWEN_OBLONG)) for r in rows]
    return max(found, key=lambda grid: (grid[0] * grid[1], grid[0]))


@lru_cache(maxsize=4096)
def native(
    size: Size,
    *,
    unit: int,
    min_pixels: int = 56 * 56,
    max_pixels: int = 14 * 14 * 4 * 1280,
    budget: int | None = None,
) -> Plan:
    """One tile of nearly the picture's own shape, a token for each `unit` × `unit` pixels of it.

    unit: a patch's side times that of the square of patches which is folded into one token. Within
    a budget of tokens, what is very oblong is cut short at its longer side.

    Raises:
        LengthError: a budget of less than a token.
        PictureError: as `smart_resize`.
    """
    if budget is not None:
        max_pixels = min(max_pixels, budget * unit * unit)
        min_pixels = min(min_pixels, max_pixels // 4)  # what is brought up to it is rounded up
    if max_pixels < unit * unit:
        raise _too_small(1, max_pixels // (unit * unit))
    height, width = smart_resize(*size, unit, min_pixels, max_pixels)
    high, wide = height // unit, width // unit
    if budget is not None and high * wide > budget:
        # One of the two is 1 here, which is no less.
        high, wide = min(high, budget), min(wide, budget)
    canvas = (high * unit, wide * unit)
    shown, content = place(size, canvas, fit="stretch")
    return Plan(size, canvas, shown, content, tile_tokens=high * wide)


def together(
    sizes: Sequence[Shown],
    plan: Callable[[Shown, int | None], Plan],
    *,
    budget: int | None,
    where: str = "",
) -> tuple[Plan, ...]:
    """Plans of the pictures of one sequence whose tokens keep a budget together.

    `plan` is asked for each size, or what else it goes by, with most tokens that a picture may
    take, the same for all: the largest that does.

    Raises:
        LengthError: even with the fewest tokens each, they take more.
    """
    made = tuple(plan(size, None) for size in sizes)
    fewest = sum(each.tokens for each in made)
    if budget is None or fewest <= budget:
        return made
    low, high, found = 1, max(each.tokens for each in made), None
    while low <= high:
        cap = (low + high) // 2
        try:
            made = tuple(plan(size, cap) for size in sizes)
        except LengthError:  # of a picture that cannot be so small
            low = cap + 1
            continue
        total = sum(each.tokens for each in made)
        fewest = min(fewest, total)
        if total <= budget:
            found, low = made, cap + 1
        else:
            high = cap - 1
    if found is None:
        raise LengthError(
            f"{len(sizes)} pictures take {fewest} tokens at the least, more than the {budget} of "
            "data.sequence_budget",
            where=where,
            fix="raise it, or give fewer pictures",
        )
    return found


def _keeps(tokens: int, budget: int | None) -> bool:
    return budget is None or tokens <= budget


def _too_small(tokens: int, budget: int | None) -> LengthError:
    return LengthError(
        f"a picture takes {tokens} tokens at the least, more than a budget of {budget}",
        fix="raise data.picture_budget, or model.connector.factor",
    )
