"""Objectives: pure functions of tensors.

Shapes: M positions with a target or texts, B pictures, Y vocabulary, N pictures or positions, A
attributes, P patches or objects, C classes of all attributes together, G V views, K prototypes or
boxes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

# What the two parts of `box_regression` weigh.
FAR, APART = 5.0, 2.0


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


def box_regression(said: Float[Tensor, "K 4"], true: Float[Tensor, "K 4"]) -> Float[Tensor, ""]:
    """Mean of 5 |b − b'|₁ + 2 (1 − GIoU(b, b')) over boxes; 0 where there are none.

    DETR (arXiv:2005.12872, sections 3.1 and A.2; the weights are those of A.4).
    Boxes are centre x and y, width and height, as shares of the picture; true ones have some area.
    """
    far_K = (said.float() - true).abs().sum(dim=-1)
    loss_K = FAR * far_K + APART * (1 - generalised_iou(said.float(), true))
    return loss_K.sum() / max(1, len(true))


def generalised_iou(a: Float[Tensor, "K 4"], b: Float[Tensor, "K 4"]) -> Float[Tensor, " K"]:
    """IoU − (hull − union) / hull, from −1 to 1 (GIoU, arXiv:1902.09630, algorithm 1).

    The hull is the smallest box around both; boxes are centre x and y, width and height.
    """
    low_a, high_a, low_b, high_b = (
        box[:, :2] + sign * box[:, 2:] / 2 for box in (a, b) for sign in (-1, 1)
    )
    shared_K = (high_a.minimum(high_b) - low_a.maximum(low_b)).clamp(min=0).prod(dim=-1)
    hull_K = (high_a.maximum(high_b) - low_a.minimum(low_b)).prod(dim=-1)
    union_K = a[:, 2:].prod(dim=-1) + b[:, 2:].prod(dim=-1) - shared_K
    return shared_K / union_K - (hull_K - union_K) / hull_K


def contrastive(
    similarity: Float[Tensor, "B M"], positive: Bool[Tensor, "B M"]
) -> Float[Tensor, ""]:
    """Cross-entropy both ways between pictures and texts (CLIP, arXiv:2103.00020, figure 3).

    −½ [mean over pictures of log Σ p(its texts) + mean over texts of log Σ p(its pictures)], in
    nats. A text that is no picture's (a hard negative, arXiv:2210.01936) is one to choose wrongly
    for pictures, and asks for none itself; so is a picture without a text.
    """
    return (choice(similarity, positive) + choice(similarity.T, positive.T)) / 2


def choice(scores: Float[Tensor, "B M"], positive: Bool[Tensor, "B M"]) -> Float[Tensor, ""]:
    """−mean of log Σ p(what is right), over the rows for which anything is, in nats."""
    asked_B = positive.any(dim=1)
    log_BM = scores.float().log_softmax(dim=1)
    right_B = log_BM.masked_fill(~positive, -torch.inf)[asked_B].logsumexp(dim=1)
    return -right_B.sum() / asked_B.sum().clamp(min=1)


def imitation(logits: Float[Tensor, "M Y"], teacher: Float[Tensor, "M Y"]) -> Float[Tensor, ""]:
    """Mean −Σ p'(y) log p(y), p' being the teacher's (arXiv:1503.02531, section 2), in nats."""
    said_MY = teacher.float().softmax(dim=-1)
    return -(said_MY * logits.float().log_softmax(dim=-1)).sum() / max(1, len(logits))


def affinity(
    similarity: Float[Tensor, "B M"], teacher: Float[Tensor, "B M"]
) -> Float[Tensor, ""]:
    """Which texts a picture is like and which pictures a text is, as a teacher has it, in nats.

    Half of the cross-entropies both ways (TinyCLIP, arXiv:2309.12314, equations 2-5; the soft
    targets of ALBEF, arXiv:2107.07651, equation 6).
    """
    return (imitation(similarity, teacher) + imitation(similarity.T, teacher.T)) / 2


def sigmoid_contrastive(
    similarity: Float[Tensor, "B M"], positive: Bool[Tensor, "B M"]
) -> Float[Tensor, ""]:
    """−Σ log σ(±similarity) over all pairs, a picture (SigLIP, arXiv:2303.15343, algorithm 1)."""
    sign_BM = positive.float() * 2 - 1
    return -F.logsigmoid(sign_BM * similarity.float()).sum() / len(similarity)


def matching(logits: Float[Tensor, " M"], truth: Int[Tensor, " M"]) -> Float[Tensor, ""]:
    """Mean −log p(whether a text is true of its pictures) (ViLBERT, arXiv:1908.02265), in nats."""
    loss = F.binary_cross_entropy_with_logits(logits.float(), truth.float(), reduction="sum")
    return loss / max(1, len(truth))


def self_distillation(
    pupil: Float[Tensor, "V N K"], teacher: Float[Tensor, "G N K"]
) -> Float[Tensor, ""]:
    """Mean −Σ p_teacher log p_pupil over pairs of unlike views (DINO, arXiv:2104.14294, eq. 3).

    Of the pupil, scores over its temperature; of the teacher, probabilities. The pupil's first
    views are the teacher's, and none is held against itself.
    """
    log_VNK = pupil.float().log_softmax(dim=-1)
    views, shown = len(log_VNK), len(teacher)
    # Over the pupil's views first: they are many.
    every = (teacher * log_VNK.sum(dim=0)).sum()
    same = (teacher * log_VNK[:shown]).sum()
    return (same - every) / (shown * (views - 1) * teacher.shape[1])
