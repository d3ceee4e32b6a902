"""Crops: views of pictures drawn at random: cut out, flipped, jittered, grey, blurred. Plain torch.

Shapes: N pictures, M views (all views of number 0 first), C H W channels and pixels, h w a view's.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from seesay.views import SelfDistillConfig

# Light of red, green and blue (BT.601), as JPEG weighs it.
LUMA = (0.299, 0.587, 0.114)
# A blur's width in shares of a picture's side: up to 2 pixels of 224 (arXiv:2002.05709).
WIDEST = 2 / 224


def views(
    pictures: UInt8[Tensor, "N C H W"],
    *,
    count: int,
    size: tuple[int, int],
    area: tuple[float, float],
    how: SelfDistillConfig,
) -> UInt8[Tensor, "M C h w"]:
    """`count` views of each picture, of `size`, that show a share of it within `area`.

    Multi-crop (SwAV, arXiv:2006.09882, section 3.2; BYOL's jitter, arXiv:2006.07733, appendix B).
    What is drawn comes from torch's own generator on the CPU, whatever the device.
    """
    many = pictures.repeat(count, 1, 1, 1).float() / 255
    seen = resized(many, size=size, area=area, aspect=how.aspect, flip=how.flip)
    seen = torch.where(_some(seen, how.jitter), jittered(seen, how=how), seen)
    seen = torch.where(_some(seen, how.grey), luma(seen).expand_as(seen), seen)
    if how.blur:
        seen = torch.where(_some(seen, how.blur), blurred(seen), seen)
    return (seen * 255).round().clamp(0, 255).to(torch.uint8)


def resized(
    x: Float[Tensor, "M C H W"],
    *,
    size: tuple[int, int],
    area: tuple[float, float],
    aspect: float,
    flip: float,
) -> Float[Tensor, "M C h w"]:
    """A part of each picture drawn at random, bilinearly brought to `size`, mirrored or not."""
    number = len(x)
    share_M = torch.empty(number).uniform_(*area)
    bend_M = torch.empty(number).uniform_(-math.log(aspect), math.log(aspect)).exp()
    wide_M = (share_M * bend_M).sqrt().clamp(max=1)
    high_M = (share_M / bend_M).sqrt().clamp(max=1)
    # Middles such that nothing beyond the edge is shown; -1 and 1 are the picture's edges.
    x_M = (torch.rand(number) * 2 - 1) * (1 - wide_M)
    y_M = (torch.rand(number) * 2 - 1) * (1 - high_M)
    side_M = torch.where(torch.rand(number) < flip, -1.0, 1.0)
    zero_M = torch.zeros(number)
    rows = (wide_M * side_M, zero_M, x_M, zero_M, high_M, y_M)
    theta = torch.stack(rows, dim=1).view(number, 2, 3).to(x.device)
    grid = F.affine_grid(theta, [number, x.shape[1], *size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def jittered(x: Float[Tensor, "M C h w"], *, how: SelfDistillConfig) -> Float[Tensor, "M C h w"]:
    """Light moved, contrast and colourfulness by a factor each, hue turned about the greys.

    Light is added, as in SimCLR (arXiv:2002.05709): a factor would leave a black ground black, and
    what is behind things the easiest of all to agree on.
    """
    x = (x + _factors(x, how.light) - 1).clamp(0, 1)
    middle = luma(x).mean(dim=(2, 3), keepdim=True)
    x = torch.lerp(middle.expand_as(x), x, _factors(x, how.contrast)).clamp(0, 1)
    x = torch.lerp(luma(x).expand_as(x), x, _factors(x, how.colourfulness)).clamp(0, 1)
    return _turned(x, how.hue).clamp(0, 1) if how.hue else x


def luma(x: Float[Tensor, "M C h w"]) -> Float[Tensor, "M 1 h w"]:
    """The light of each pixel."""
    return (x * x.new_tensor(LUMA).view(3, 1, 1)).sum(dim=1, keepdim=True)


def blurred(x: Float[Tensor, "M C h w"]) -> Float[Tensor, "M C h w"]:
    """Gaussian blur, each view by a width of its own."""
    widest = WIDEST * max(x.shape[2:])
    reach = max(1, math.ceil(2 * widest))
    wide_M = torch.empty(len(x)).uniform_(0.05 * widest, widest)
    place = torch.arange(-reach, reach + 1)
    kernel = (-0.5 * (place / wide_M[:, None]) ** 2).exp()
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).to(x.device).repeat_interleave(3, dim=0)
    flat = F.pad(x, (reach,) * 4, mode="replicate").flatten(0, 1)[None]
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=kernel.shape[0])
    return F.conv2d(flat, kernel[:, None, None, :], groups=kernel.shape[0]).view_as(x)


def _turned(x: Tensor, most: float) -> Tensor:
    """Colours turned by up to that share of the circle: Rodrigues' rotation about (1, 1, 1)."""
    angle_M = torch.empty(len(x)).uniform_(-most, most) * 2 * math.pi
    cos, sin = angle_M.cos()[:, None, None], angle_M.sin()[:, None, None] / 3**0.5
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    turn_MCC = cos * torch.eye(3) + sin * cross + (1 - cos) / 3
    return torch.einsum("mdc,mchw->mdhw", turn_MCC.to(x.device), x)


def _factors(x: Tensor, most: float) -> Tensor:
    """A factor for each view of 1 ± most."""
    return torch.empty(len(x), 1, 1, 1).uniform_(1 - most, 1 + most).to(x.device)


def _some(x: Tensor, share: float) -> Tensor:
    """Which views are chosen, each by chance."""
    return (torch.rand(len(x), 1, 1, 1) < share).to(x.device)
