"""Squares: pictures of many sizes as one sequence of patches, and where in its picture each is.

A picture is cut into squares, row by row, each of which is to become one token; what is looked at
is the squares of all pictures. So patches stand square by square: those of a 2 × 2 square side by
side, as Qwen2-VL has them (arXiv:2409.12191, section 2.1).

Shapes: N squares of all pictures, P patches of one, T patches in all.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int
from torch import Tensor

from seesay.errors import LengthError
from seesay.model.layers import Runs

# (rows, columns) of squares, or of patches.
Grid = tuple[int, int]


def places(grid: Grid, *, square: Grid = (1, 1)) -> Int[np.ndarray, "T 2"]:
    """The row and the column of each patch of a grid of patches, square by square."""
    return rearrange(np.indices(grid), "d (r a) (c b) -> (r c a b) d", a=square[0], b=square[1])


class Squares(NamedTuple):
    """The squares of some pictures, pictures with as many of them side by side.

    order, back: (N,), where each comes from, and where it went. runs: the patches of each picture.
    places: the row and column of each patch.
    """

    order: Int[Tensor, " N"]
    back: Int[Tensor, " N"]
    runs: Runs
    places: Int[Tensor, "T 2"]

    @classmethod
    def of(
        cls, grids: Sequence[Grid], *, square: Grid, num_squares: int, device: torch.device
    ) -> "Squares":
        """Of pictures of these rows and columns of squares, each of so many patches.

        Raises:
            LengthError: they are not as many squares as are given.
        """
        counts = [rows * columns for rows, columns in grids]
        if sum(counts) != num_squares:
            raise LengthError(
                f"{len(counts)} pictures have {sum(counts)} squares, but {num_squares} are given",
                fix="cut the pictures by this model's own size, and tell the rows and columns",
            )
        ends = np.cumsum([0, *counts])
        alike = sorted(range(len(counts)), key=lambda i: counts[i])
        order_N = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in alike])
        found_T2 = np.concatenate([_kept(grids[i], square) for i in alike])
        patches = square[0] * square[1]
        order = torch.from_numpy(order_N).to(device)
        return cls(
            order,
            order.argsort(),
            Runs(tuple(counts[i] * patches for i in alike)),
            torch.from_numpy(found_T2).to(device),
        )

    def packed(self, x_NPV: Tensor) -> Tensor:
        """Patches of the squares, (N, P, V), as one sequence, (1, T, V)."""
        return x_NPV[self.order].flatten(0, 1)[None]

    def apart(self, x_1TV: Tensor, *, patches: int) -> Tensor:
        """The way back."""
        return x_1TV[0].unflatten(0, (-1, patches))[self.back]


@lru_cache(maxsize=4096)
def _kept(grid: Grid, square: Grid) -> Int[np.ndarray, "T 2"]:
    return places((grid[0] * square[0], grid[1] * square[1]), square=square)
