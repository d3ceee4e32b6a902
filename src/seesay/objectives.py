"""Objectives: pure functions of tensors.

Shapes: M positions with a target, Y vocabulary.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def caption(logits: Float[Tensor, "M Y"], targets: Int[Tensor, "M"]) -> Float[Tensor, ""]:
    """Mean −log p(next token) over the positions that have a target, in nats."""
    return F.cross_entropy(logits.float(), targets)
