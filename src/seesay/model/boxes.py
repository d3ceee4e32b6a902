"""Boxes: where in its picture an answer is, as four numbers told from what the words came to.

Shapes: K answers, D text width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class BoxHead(nn.Module):
    """b = σ(W₃ relu(W₂ relu(W₁ h))): centre x and y, width and height, as shares of the picture.

    The prediction network of DETR (arXiv:2005.12872, section 3.2), as wide as the text side.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.head = nn.Linear(width, 4)

    def forward(self, features: Float[Tensor, "K D"]) -> Float[Tensor, "K 4"]:
        # In half precision a box's sides would jump by thousandths of the picture.
        with torch.autocast(features.device.type, enabled=False):
            return self.head(self.hidden(features.float())).sigmoid()


def sides(boxes: Float[Tensor, "K 4"]) -> Float[Tensor, "K 4"]:
    """Boxes by centre and size as left, top, right and bottom."""
    middle_K2, size_K2 = boxes.chunk(2, dim=-1)
    return torch.cat((middle_K2 - size_K2 / 2, middle_K2 + size_K2 / 2), dim=-1)
