"""Connectors: picture features -> tokens of the text side's width.

Shapes: N pictures, P patches, V vision width, Q picture tokens, D text width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from seesay.errors import RecipeError
from seesay.model import layers
from seesay.model.layers import MLP, Attention, Record, keeper


class Linear(nn.Module):
    """One linear map a patch (LLaVA, arXiv:2304.08485, equation 1)."""

    def __init__(self, *, vision_width: int, text_width: int) -> None:
        super().__init__()
        self.project = nn.Linear(vision_width, text_width)

    def forward(self, patches: Float[Tensor, "N P V"], **_: object) -> Float[Tensor, "N P D"]:
        return self.project(patches)


class Perceptron(nn.Module):
    """Two linear maps with a GELU between (LLaVA 1.5, arXiv:2310.03744)."""

    def __init__(self, *, vision_width: int, text_width: int) -> None:
        super().__init__()
        self.up = nn.Linear(vision_width, text_width)
        self.down = nn.Linear(text_width, text_width)

    def forward(self, patches: Float[Tensor, "N P V"], **_: object) -> Float[Tensor, "N P D"]:
        return self.down(F.gelu(self.up(patches)))


class PixelShuffle(nn.Module):
    """Fold each factor × factor square of patches into one token, then project (Idefics3,
    arXiv:2408.12637; SmolVLM, arXiv:2504.05299): factor² times fewer tokens, nothing averaged away.

    Args:
        grid: patches of a picture down and across; None where squares alone are given.
    """

    def __init__(
        self, *, vision_width: int, text_width: int, factor: int, grid: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.factor, self.grid = factor, grid
        self.project = nn.Linear(vision_width * factor**2, text_width, bias=False)

    def forward(self, patches: Float[Tensor, "N P V"], **_: object) -> Float[Tensor, "N Q D"]:
        across = self.factor  # of pictures in their own shapes, each square comes by itself
        if self.grid is not None and patches.shape[1] != self.factor**2:
            across = self.grid[1]
        folded = rearrange(
            patches,
            "N (h a w b) V -> N (h w) (a b V)",
            w=across // self.factor,
            a=self.factor,
            b=self.factor,
        )
        return self.project(folded)


class PerceiverBlock(nn.Module):
    """Queries look at patches and at each other at once, then think (Flamingo, arXiv:2204.14198,
    appendix A.1.1): x ← x + attention(q = x, kv = [patches; x]), x ← x + mlp(x), norms before each.
    """

    def __init__(
        self,
        *,
        attention: Attention,
        query_norm: nn.Module,
        patch_norm: nn.Module,
        mlp: nn.Module,
        mlp_norm: nn.Module,
    ) -> None:
        super().__init__()
        self.attention, self.query_norm, self.patch_norm = attention, query_norm, patch_norm
        self.mlp, self.mlp_norm = mlp, mlp_norm

    def forward(
        self,
        x_NQV: Float[Tensor, "N Q V"],
        *,
        patches: Float[Tensor, "N P V"],
        fused: bool = False,
        record: Record | None = None,
        name: str = "block",
    ) -> Float[Tensor, "N Q V"]:
        """The queries after it; recorded attention has columns for patches, then for queries."""
        q_NQV = self.query_norm(x_NQV)
        x_NQV = x_NQV + self.attention(
            q_NQV,
            context=torch.cat((self.patch_norm(patches), q_NQV), dim=1),
            fused=fused,
            record=keeper(record, f"{name}.attention"),
        )
        x_NQV = x_NQV + self.mlp(self.mlp_norm(x_NQV))
        if record is not None:
            record[f"{name}.features"] = x_NQV
        return x_NQV


class Resampler(nn.Module):
    """Summarise P patches in Q learned queries (Flamingo, arXiv:2204.14198, section 3.1.1).

    Args:
        queries: what they are at the start, (Q, V). Near one in size they drown what they saw, near
            zero no token is told from the next; at 0.2 both count.
        blocks: as `perceiver_blocks` gives them.
        project: to the text side's width, where that is another.
    """

    def __init__(
        self,
        *,
        queries: Float[Tensor, "Q V"],
        blocks: Sequence[PerceiverBlock] | nn.ModuleList,
        norm: nn.Module,
        project: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(queries)
        self.blocks, self.norm = nn.ModuleList(blocks), norm
        self.project = project or nn.Identity()

    def forward(
        self,
        patches: Float[Tensor, "N P V"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N Q D"]:
        x_NQV = self.queries.expand(len(patches), -1, -1)
        for i, block in enumerate(self.blocks):
            # Cost grows with P·Q, not P²: the reason to prefer this over self-attention of patches.
            x_NQV = block(
                x_NQV, patches=patches, fused=fused, record=record, name=f"connector.blocks.{i}"
            )
        return self.project(self.norm(x_NQV))


def perceiver_blocks(
    *,
    depth: int,
    width: int,
    num_heads: int,
    head_width: int | None = None,
    mlp_inner: int,
    activation: str = "relu_squared",
    norms: str = "layer",
    epsilon: float = 1e-5,
    head_norm: str | None = None,
) -> nn.ModuleList:
    """The blocks of a `Resampler`; no map has a bias.

    Flamingo's activation is `relu_squared`, Idefics' `relu`.
    """

    def block() -> PerceiverBlock:
        return PerceiverBlock(
            attention=Attention(
                width=width, num_heads=num_heads, head_width=head_width, head_norm=head_norm
            ),
            query_norm=layers.norm(norms, width, epsilon=epsilon),
            patch_norm=layers.norm(norms, width, epsilon=epsilon),
            mlp=MLP(width=width, inner=mlp_inner, activation=activation, bias=False),
            mlp_norm=layers.norm(norms, width, epsilon=epsilon),
        )

    return nn.ModuleList(block() for _ in range(depth))


def sincos(grid: tuple[int, int], *, width: int) -> Float[Tensor, "P D"]:
    """Fixed positions of a grid's places, row by row: sines and cosines of the column, then of the
    row, each from wavelength 2π to 2π·10,000 places (arXiv:1706.03762, section 3.5, in 2-D as MAE).
    """
    if width % 4:
        what = f"sines and cosines of 2 directions do not divide a width of {width}"
        raise RecipeError(what, fix="choose a multiple of 4")
    steps = 10_000.0 ** (-torch.arange(width // 4) / (width // 4))
    rows, columns = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    angles = [places.flatten()[:, None] * steps for places in (columns, rows)]
    return torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)


class PositionResampler(nn.Module):
    """One cross-attention from a grid of learned queries that know where they and the patches are
    (Qwen-VL, arXiv:2308.12966, section 2.1; MiniCPM-V, arXiv:2408.01800).

    Both grids lie over the same picture: a patch's position is the queries' bicubically between.

    Args:
        grid: of the patches; query_grid: of the picture tokens given out.
    """

    query_positions: Tensor
    patch_positions: Tensor

    def __init__(
        self,
        *,
        vision_width: int,
        text_width: int,
        num_heads: int,
        grid: tuple[int, int],
        query_grid: tuple[int, int],
        epsilon: float = 1e-6,
    ) -> None:
        super().__init__()
        positions_QD = sincos(query_grid, width=text_width)
        # Normed before use, so that their size is of no matter but to their gradient.
        self.queries = nn.Parameter(torch.randn_like(positions_QD))
        same = vision_width == text_width
        self.patch_project = (
            nn.Identity() if same else nn.Linear(vision_width, text_width, bias=False)
        )
        self.query_norm, self.patch_norm, self.norm = (
            layers.norm("layer", text_width, epsilon=epsilon) for _ in range(3)
        )
        self.attention = Attention(width=text_width, num_heads=num_heads, bias=True)
        self.project = nn.Linear(text_width, text_width, bias=False)
        self.register_buffer("query_positions", positions_QD, persistent=False)
        self.register_buffer(
            "patch_positions", _between(positions_QD, query_grid, grid), persistent=False
        )

    def forward(
        self,
        patches: Float[Tensor, "N P V"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N Q D"]:
        q_QD = self.query_norm(self.queries) + self.query_positions
        x_NQD = self.attention(
            q_QD.expand(len(patches), -1, -1),
            context=self.patch_norm(self.patch_project(patches)),
            context_positions=self.patch_positions,
            fused=fused,
            record=keeper(record, "connector.attention"),
        )
        return self.project(self.norm(x_NQD))


def _between(positions_QD: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Positions of a grid's places for the places of another grid over the same picture."""
    if grid == wanted:
        return positions_QD.clone()
    table = rearrange(positions_QD, "(h w) D -> 1 D h w", h=grid[0])
    between = F.interpolate(table, size=wanted, mode="bicubic", align_corners=False)
    return rearrange(between, "1 D h w -> (h w) D")
