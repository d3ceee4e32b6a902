"""The vision side: a vision transformer with a patch or convolutional stem, and a small ResNet.

Shapes: N pictures, C channels, H W pixels, P patches (rows of the grid, left to right), V width.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from seesay.model.blocks import Block
from seesay.model.layers import MLP, Attention, GridRotary, Record, Runs, mask_bias
from seesay.model.squares import Grid, Squares, places


class Normalise(nn.Module):
    """Bytes 0-255 to floats with the given mean and deviation a channel (of values from 0 to 1)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1), persistent=False)

    def forward(self, pixels: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        return (pixels.float() / 255 - self.mean) / self.deviation


class PatchStem(nn.Module):
    """One linear map a patch (ViT, arXiv:2010.11929, equation 1)."""

    def __init__(self, *, patch: int, width: int, bias: bool = True) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Conv2d(3, width, patch, stride=patch, bias=bias)

    def forward(self, pixels: Float[Tensor, "N C H W"]) -> Float[Tensor, "N V h w"]:
        # Weights of another precision (bf16 from a file) take pictures of theirs.
        return self.project(pixels.to(self.project.weight.dtype))


class Convolution(nn.Module):
    """A convolution whose kernels are kept as the rows of a matrix, (out, in · size²).

    A matrix is what Muon can orthogonalise; with AdamW these kernels learn shapes many times more
    slowly.
    """

    def __init__(self, *, width_in: int, width: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.size, self.stride = size, stride
        self.weight = nn.Parameter(torch.empty(width, width_in * size**2))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N c h w"]:
        kernels = rearrange(self.weight, "c (C a b) -> c C a b", a=self.size, b=self.size)
        return F.conv2d(x, kernels, stride=self.stride, padding=self.size // 2)


class Residual(nn.Module):
    """Two 3×3 convolutions beside a residual path (ResNet's basic block, arXiv:1512.03385).

    Batch normalisation takes the mean over pictures away: with a norm over channels instead, what
    all pictures share swallows what tells them apart, and the stem goes blind within a few steps.
    """

    def __init__(self, *, width_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width_in), nn.BatchNorm2d(width)
        self.conv1 = Convolution(width_in=width_in, width=width, stride=stride)
        self.conv2 = Convolution(width_in=width, width=width)
        same = width_in == width and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else Convolution(width_in=width_in, width=width, size=1, stride=stride)
        )

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N c h w"]:
        h = F.relu(self.norm1(x))
        return self.shortcut(x) + self.conv2(F.relu(self.norm2(self.conv1(h))))


class ConvStem(nn.Module):
    """Stride-2 3×3 convolutions down to the patch grid ("Early convolutions", arXiv:2106.14881).

    Args:
        widths: channels after each halving; their number sets the patch: 2 ** len(widths).
        width: of the patches given out, by a final 1×1 convolution.
        residuals: residual blocks after each halving.
        normed: whether what it gives is as large as the positions that are added to it, by a batch
            norm: convolutions grow, and would drown them.
    """

    def __init__(
        self, *, widths: Sequence[int], width: int, residuals: Sequence[int], normed: bool = True
    ) -> None:
        super().__init__()
        self.patch = 2 ** len(widths)
        steps: list[nn.Module] = []
        width_in = 3
        for channels, count in zip(widths, residuals, strict=True):
            steps += [
                Convolution(width_in=width_in, width=channels, stride=2),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
            steps += [Residual(width_in=channels, width=channels) for _ in range(count)]
            width_in = channels
        self.steps = nn.Sequential(*steps)
        self.project = Convolution(width_in=width_in, width=width, size=1)
        self.norm = nn.BatchNorm2d(width) if normed else nn.Identity()

    def forward(self, pixels: Float[Tensor, "N C H W"]) -> Float[Tensor, "N V h w"]:
        x_NVhw = self.steps(pixels.contiguous(memory_format=torch.channels_last))
        return self.norm(self.project(x_NVhw))


class VisionTransformer(nn.Module):
    """Patches through bidirectional blocks (ViT, arXiv:2010.11929).

    Args:
        normalise, stem: bytes -> floats -> grid of patches.
        positions: learned (1 + P or P, V) table, or None; the first row is the class token's. Best
            begun with sines and cosines: "Better plain ViT baselines", arXiv:2205.01580.
        grid: patches down and across that the table is for; for pictures of other sizes it is
            stretched (DINO, arXiv:2104.14294). None: there are none.
        rotary: of the blocks' attention, in place of a table (Qwen2-VL, arXiv:2409.12191, section
            2.1), or None. A class token is at the first patch's place.
        class_token: (V,) summary token put before the patches (CLIP, ViT), or None (SigLIP).
        pre_norm: before the blocks (CLIP). `norm`: after them.
    """

    def __init__(
        self,
        *,
        normalise: nn.Module,
        stem: nn.Module,
        blocks: Sequence[Block] | nn.ModuleList,
        norm: nn.Module,
        positions: Tensor | None = None,
        grid: tuple[int, int] | None = None,
        rotary: GridRotary | None = None,
        class_token: Tensor | None = None,
        pre_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.normalise, self.stem, self.grid, self.rotary = normalise, stem, grid, rotary
        self.positions = nn.Parameter(positions) if positions is not None else None
        self.class_token = nn.Parameter(class_token) if class_token is not None else None
        self.pre_norm = pre_norm or nn.Identity()
        self.blocks, self.norm = nn.ModuleList(blocks), norm

    def forward(
        self,
        pixels: UInt8[Tensor, "N C H W"],
        *,
        grids: Sequence[Grid] = (),
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N P V"]:
        """The patches of each picture.

        `grids`: rows and columns of squares of each picture, where pictures have shapes of their
        own; `pixels` and patches are then those of each square.

        Raises:
            LengthError: squares that are not those of the grids.
        """
        x_NVhw = self.stem(self.normalise(pixels))
        grid, x_NPV = (x_NVhw.shape[2], x_NVhw.shape[3]), rearrange(x_NVhw, "N V h w -> N (h w) V")
        if grids:
            how = {"square": grid, "num_squares": len(x_NPV), "device": x_NPV.device}
            squares = Squares.of(grids, **how)
            x_1TV = self._blocks(
                squares.packed(x_NPV), squares.places, runs=squares.runs, fused=fused, record=record
            )
            return squares.apart(x_1TV, patches=x_NPV.shape[1])
        if self.class_token is not None:
            x_NPV = torch.cat((self.class_token.expand(len(x_NPV), 1, -1), x_NPV), dim=1)
        if self.positions is not None:
            x_NPV = x_NPV + self._positions(self.positions, grid)
        return self._blocks(x_NPV, self._places(grid, x_NPV), fused=fused, record=record)

    def _blocks(
        self, x_NPV: Tensor, places_P2: Tensor | None, *, runs: Runs | None = None, **how: Any
    ) -> Tensor:
        x_NPV, angles = self.pre_norm(x_NPV), None
        if self.rotary is not None and places_P2 is not None:
            angles = self.rotary.angles(places_P2[None])
        for i, block in enumerate(self.blocks):
            x_NPV = block(x_NPV, bias=runs, angles=angles, name=f"vision.blocks.{i}", **how)
        return self.norm(x_NPV)

    def _places(self, grid: Grid, like: Tensor) -> Tensor | None:
        """Where the patches of a grid are, and the class token before them, (P, 2)."""
        if self.rotary is None:
            return None
        found_P2 = torch.from_numpy(places(grid)).to(like.device)
        return F.pad(found_P2, (0, 0, 1, 0)) if self.class_token is not None else found_P2

    def _positions(self, table_PV: Tensor, grid: tuple[int, int]) -> Tensor:
        """The table of positions, stretched where the picture has another grid of patches."""
        if self.grid is None or grid == self.grid:
            return table_PV
        first = len(table_PV) - self.grid[0] * self.grid[1]
        own = rearrange(table_PV[first:], "(h w) V -> 1 V h w", h=self.grid[0])
        made = F.interpolate(own, size=grid, mode="bicubic", align_corners=False)
        return torch.cat((table_PV[:first], rearrange(made, "1 V h w -> (h w) V")))


class ResNet(nn.Module):
    """A small residual network (arXiv:1512.03385, pre-activation); its last grid is the patches.

    Args:
        widths: channels of each stage; every stage but the first halves the grid.
        depths: blocks in each stage.
        stride: of the first convolution.
    """

    def __init__(
        self,
        *,
        normalise: nn.Module,
        widths: Sequence[int],
        depths: Sequence[int],
        stride: int,
        norm: nn.Module,
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.stem = Convolution(width_in=3, width=widths[0], stride=stride)
        blocks: list[nn.Module] = []
        width_in = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for i in range(depth):
                step = 2 if stage > 0 and i == 0 else 1
                blocks.append(Residual(width_in=width_in, width=width, stride=step))
                width_in = width
        self.blocks, self.norm = nn.Sequential(*blocks), norm

    def forward(
        self,
        pixels: UInt8[Tensor, "N C H W"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N P V"]:
        x = self.stem(self.normalise(pixels).contiguous(memory_format=torch.channels_last))
        x_NPV = self.norm(rearrange(self.blocks(x), "N V h w -> N (h w) V"))
        if record is not None:
            record["vision.features"] = x_NPV
        return x_NPV


class Pool(nn.Module):
    """Patches as one vector: their mean, the class token, or what a learned probe attends to.

    Of several pictures, `each` so many patches, the mean of their class tokens.

    `attention` is SigLIP's head (arXiv:2303.15343; "Scaling vision transformers",
    arXiv:2106.04560): x = attention(probe, patches); x + mlp(norm(x)).
    """

    def __init__(
        self,
        kind: str,
        *,
        width: int,
        num_heads: int,
        epsilon: float = 1e-6,
        mlp_inner: int | None = None,
        activation: str = "gelu_tanh",
    ) -> None:
        super().__init__()
        self.kind = kind
        if kind == "attention":
            self.probe = nn.Parameter(torch.randn(1, width) / width**0.5)
            self.attention = Attention(width=width, num_heads=num_heads, bias=True)
            self.norm = nn.LayerNorm(width, eps=epsilon)
            inner = mlp_inner or 4 * width
            self.mlp = MLP(width=width, inner=inner, activation=activation, bias=True)

    def forward(
        self,
        patches: Float[Tensor, "N P V"],
        real: Bool[Tensor, "N P"],
        *,
        each: int | None = None,
    ) -> Float[Tensor, "N V"]:
        if self.kind == "class":
            each = each or patches.shape[1]
            patches, real = patches[:, ::each], real[:, ::each]
        if self.kind in ("class", "mean"):
            weights = real.to(patches.dtype) / real.sum(dim=1, keepdim=True).clamp(min=1)
            return (patches * weights[..., None]).sum(dim=1)
        bias = mask_bias(real[:, None, None, :], patches.dtype)
        probe = self.probe.expand(len(patches), 1, -1)
        found = self.attention(probe, context=patches, bias=bias)[:, 0]
        return found + self.mlp(self.norm(found))
