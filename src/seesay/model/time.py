"""Time: when each frame of a video is shown, and neighbouring frames as one.

Shapes: N frames, M clips, P patches, V vision width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

# Radians a second of the fastest wave: frames a quarter of a second apart differ by one.
FASTEST = 4.0


class Time(nn.Module):
    """Adds to every patch of a frame when it is shown: x + W [sin ωt, cos ωt - 1].

    The waves are those of positions (arXiv:1706.03762, section 3.5), with ω falling from `FASTEST`
    to a ten-thousandth of it. At time 0 nothing is added, so that a picture is a video's beginning.

    Args:
        scale: how large the waves are, without a map.
        project: W, a map without a bias; None: the waves as they are.
    """

    rates: Tensor

    def __init__(self, *, width: int, scale: float = 1.0, project: nn.Module | None = None) -> None:
        super().__init__()
        half = (width + 1) // 2
        rates = FASTEST * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("rates", rates, persistent=False)
        self.width, self.scale, self.project = width, scale, project or nn.Identity()

    def forward(
        self, patches: Float[Tensor, "N P V"], times: Float[Tensor, " N"]
    ) -> Float[Tensor, "N P V"]:
        angles = times.float()[:, None] * self.rates
        waves_NV = torch.cat((angles.sin(), angles.cos() - 1), dim=1)[:, : self.width]
        return patches + self.project(self.scale * waves_NV)[:, None].to(patches.dtype)


def pooled(
    patches: Float[Tensor, "N P V"], clips: Int[Tensor, " N"]
) -> Float[Tensor, "M P V"]:
    """The mean over the frames of each clip, patch by patch; `clips` rise from 0, by 1 at most."""
    count = int(clips[-1]) + 1 if len(clips) else 0
    if count == len(clips):
        return patches
    sums = patches.new_zeros(count, *patches.shape[1:]).index_add(0, clips, patches)
    return sums / clips.bincount(minlength=count).to(patches.dtype)[:, None, None]
