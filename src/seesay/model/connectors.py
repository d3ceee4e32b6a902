"""Connectors: picture features -> tokens of the text side's width.

Shapes: N pictures, P patches, V vision width, Q picture tokens, D text width.
"""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class Linear(nn.Module):
    """One linear map a patch (LLaVA, arXiv:2304.08485, equation 1)."""

    def __init__(self, *, vision_width: int, text_width: int) -> None:
        super().__init__()
        self.project = nn.Linear(vision_width, text_width)

    def forward(self, patches: Float[Tensor, "N P V"]) -> Float[Tensor, "N P D"]:
        return self.project(patches)


class Perceptron(nn.Module):
    """Two linear maps with a GELU between (LLaVA 1.5, arXiv:2310.03744)."""

    def __init__(self, *, vision_width: int, text_width: int) -> None:
        super().__init__()
        self.up = nn.Linear(vision_width, text_width)
        self.down = nn.Linear(text_width, text_width)

    def forward(self, patches: Float[Tensor, "N P V"]) -> Float[Tensor, "N P D"]:
        return self.down(F.gelu(self.up(patches)))


class PixelShuffle(nn.Module):
    """Fold each factor × factor square of patches into one token, then project (Idefics3,
    arXiv:2408.12637; SmolVLM, arXiv:2504.05299): factor² times fewer tokens, nothing averaged away.
    """

    def __init__(
        self, *, vision_width: int, text_width: int, factor: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        self.factor, self.grid = factor, grid
        self.project = nn.Linear(vision_width * factor**2, text_width, bias=False)

    def forward(self, patches: Float[Tensor, "N P V"]) -> Float[Tensor, "N Q D"]:
        folded = rearrange(
            patches,
            "N (h a w b) V -> N (h w) (a b V)",
            w=self.grid[1] // self.factor,
            a=self.factor,
            b=self.factor,
        )
        return self.project(folded)
