"""Regions: boxes in a picture instead of patches, each as what is in it and where it is.

Shapes: N pictures, C channels, H W pixels, R boxes of one picture, M boxes that are there, s pixels
along a side of a crop, V width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from seesay.coordinates import cells
from seesay.model.blocks import Block
from seesay.model.layers import Record, compute_type, mask_bias


class Regions(nn.Module):
    """Boxes as vectors (VinVL, arXiv:2101.00529; Oscar, arXiv:2004.06165, section 3.1).

    x = blocks(mean(stem(crop(picture, box))) + place([left, top, right, bottom, width, height]))

    Boxes come from a detector, or from whoever knows them; a grid stands in where nobody does.

    Args:
        normalise, stem: bytes -> floats; a crop -> a grid of features.
        place: the six numbers, as shares of the picture -> the same width.
        crop: pixels along a side of what is cut out, however large the box is.
        grid: boxes along a side of the grid for pictures without any.
    """

    grid: Tensor

    def __init__(
        self,
        *,
        normalise: nn.Module,
        stem: nn.Module,
        place: nn.Module,
        blocks: Sequence[Block] | nn.ModuleList,
        norm: nn.Module,
        crop: int,
        grid: int,
    ) -> None:
        super().__init__()
        self.normalise, self.stem, self.place = normalise, stem, place
        self.blocks, self.norm, self.crop = nn.ModuleList(blocks), norm, crop
        self.register_buffer("grid", torch.tensor(cells(grid)), persistent=False)

    def forward(
        self,
        pixels: UInt8[Tensor, "N C H W"],
        *,
        boxes: Float[Tensor, "N R 4"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N R V"]:
        """What is in each box: left, top, right, bottom as shares of the picture, -1 for none."""
        boxes = self.grid.expand(len(pixels), -1, -1) if boxes is None else boxes
        real_NR = there(boxes)
        crops_NRCss = crops(self.normalise(pixels), boxes, side=self.crop)
        # Only what is there: padding would have a part in a stem's batch statistics.
        seen_MV = self.stem(crops_NRCss[real_NR]).mean(dim=(-2, -1))
        size_NR2 = boxes[..., 2:] - boxes[..., :2]
        placed_NRV = self.place(torch.cat((boxes, size_NR2), dim=-1))
        x_NRV = torch.zeros_like(placed_NRV).index_put((real_NR,), seen_MV.to(placed_NRV.dtype))
        x_NRV = x_NRV + placed_NRV
        bias = mask_bias(real_NR[:, None, None], compute_type(x_NRV))
        for i, block in enumerate(self.blocks):
            x_NRV = block(x_NRV, bias=bias, fused=fused, record=record, name=f"vision.blocks.{i}")
        return self.norm(x_NRV)


def there(boxes: Float[Tensor, "N R 4"]) -> Bool[Tensor, "N R"]:
    """Which are boxes, and not padding."""
    return boxes[..., 0] >= 0


def crops(
    pictures: Float[Tensor, "N C H W"], boxes: Float[Tensor, "N R 4"], *, side: int
) -> Float[Tensor, "N R C s s"]:
    """What is in boxes, brought to one size: bilinear in the middle of each cell (RoIAlign,
    arXiv:1703.06870, section 3), nothing rounded.
    """
    steps_s = (torch.arange(side, device=boxes.device) + 0.5) / side
    left, top, right, bottom = boxes[..., None].unbind(dim=2)
    x_NRs, y_NRs = left + (right - left) * steps_s, top + (bottom - top) * steps_s
    shape = (*boxes.shape[:2], side, side)
    points = torch.stack(
        (x_NRs[:, :, None, :].expand(shape), y_NRs[:, :, :, None].expand(shape)), dim=-1
    )
    cut = F.grid_sample(
        pictures,
        rearrange(points * 2 - 1, "N R s t xy -> N (R s) t xy").to(pictures.dtype),
        padding_mode="border",
        align_corners=False,
    )
    return rearrange(cut, "N C (R s) t -> N R C s t", s=side)
