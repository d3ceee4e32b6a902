"""Objectives: pure functions of tensors.

Shapes: M positions with a target, Y vocabulary, N pictures or positions, A attributes, P patches or
objects, C classes of all attributes together.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def caption(logits: Float[Tensor, "M Y"], targets: Int[Tensor, " M"]) -> Float[Tensor, ""]:
    """Mean −log p(next token) over the positions that have a target, in nats; 0 where none has."""
    return F.cross_entropy(logits.float(), targets, reduction="sum") / max(1, len(targets))


def attributes(
    logits: Float[Tensor, "N P C"], labels: Int[Tensor, "N A P"], *, classes: Sequence[int]
) -> Float[Tensor, ""]:
    """Σ over attributes of the mean −log p(class) over the things where it is known, in nats.

    The things are a picture's patches, or the objects that an answer is about.

    `classes`: of each attribute, whose logits stand side by side; labels are -1 where unknown.
    """
    parts = logits.float().split(list(classes), dim=-1)
    losses = []
    for part_NPc, labels_NP in zip(parts, labels.unbind(1), strict=True):
        total = F.cross_entropy(part_NPc.mT, labels_NP, ignore_index=-1, reduction="sum")
        losses.append(total / (labels_NP >= 0).sum().clamp(min=1))
    return torch.stack(losses).sum()
