"""Optimisers by parameter group, the learning-rate schedule, and the running average of weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seesay.config import TrainConfig
from seesay.model import adapt
from seesay.model.vision import Convolution
from seesay.train import parts


def optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of blocks and convolutions and AdamW for the rest, or AdamW for all.

    Each group keeps its own peak rate as `peak`; `schedule` multiplies it. Embeddings, positions,
    heads, norms and biases are AdamW's always: Muon (arXiv:2502.16982) is for hidden matrices. So
    is what fine-tuning put in. Parts with `spans` of their own are in groups of their own.
    """
    spans = parts.spans(model, config)
    few = {id(p) for _, p in adapt.added(model)}
    kernels = {id(part.weight) for part in model.modules() if isinstance(part, Convolution)}
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    said = {id(p): spans[name] for name, p in trained}
    mixed = {id(p) for name, p in trained if p.ndim == 2 and not _is_table(name)} - few
    hidden = [p for _, p in trained if id(p) in mixed]
    tables = [p for _, p in trained if p.ndim >= 2 and id(p) not in mixed]
    flat = [p for _, p in trained if p.ndim < 2]
    rate, decay = config.adamw_learning_rate, config.weight_decay
    rest = [*_groups(tables, rate, decay, said), *_groups(flat, rate, 0.0, said)]
    made: list[torch.optim.Optimizer] = []
    if config.optimizer == "muon":
        stem = [p for p in hidden if id(p) in kernels]
        inside = [p for p in hidden if id(p) not in kernels]
        groups = [
            *_groups(inside, config.learning_rate, decay, said),
            *_groups(stem, config.convolution_learning_rate, decay, said),
        ]
        if groups:
            made.append(Muon(groups, momentum=config.momentum))
    else:
        rest += _groups(hidden, rate, decay, said)
    if rest:
        fused = all(p.device.type in ("cuda", "cpu") for _, p in trained)
        made.append(torch.optim.AdamW(rest, betas=config.betas, fused=fused))
    return made


class Muon(torch.optim.Muon):
    """torch's Muon with matrices of one shape taken together: many are small, and wait alone.

    Its settings and state are torch's own; rates are adjusted to shapes as by default there.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Move the weights: momentum, then each matrix's update made orthogonal."""
        assert closure is None
        for group in self.param_groups:
            weights, gradients, momenta = [], [], []
            self._init_group(group, weights, gradients, momenta)
            updates = momenta
            for gradient, momentum in zip(gradients, momenta, strict=True):
                momentum.lerp_(gradient, 1 - group["momentum"])
            if group["nesterov"]:
                pairs = zip(gradients, momenta, strict=True)
                updates = [gradient.lerp(moved, group["momentum"]) for gradient, moved in pairs]
            for members in _by_shape(updates):
                several = orthogonal(
                    torch.stack([_wide(updates[i]) for i in members]),
                    coefficients=group["ns_coefficients"],
                    steps=group["ns_steps"],
                    epsilon=group["eps"],
                )
                for i, update in zip(members, several, strict=True):
                    rows, columns = weights[i].shape
                    rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                    weights[i].mul_(1 - group["lr"] * group["weight_decay"])
                    weights[i].add_(update.T if rows > columns else update, alpha=-rate)


def _wide(matrix: Tensor) -> Tensor:
    return matrix.T if matrix.shape[0] > matrix.shape[1] else matrix


def _by_shape(matrices: Sequence[Tensor]) -> list[list[int]]:
    """Places of the matrices of one shape, lying or standing."""
    found: dict[torch.Size, list[int]] = {}
    for i, matrix in enumerate(matrices):
        found.setdefault(_wide(matrix).shape, []).append(i)
    return list(found.values())


def orthogonal(
    wide_NIO: Tensor, *, coefficients: Sequence[float], steps: int, epsilon: float
) -> Tensor:
    """Wide matrices with their singular values near one (arXiv:2502.16982, equation 2).

    Newton-Schulz in bfloat16, as torch.optim.Muon has it, over a stack.
    """
    a, b, c = coefficients
    x = wide_NIO.bfloat16()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=epsilon)
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _groups(
    parameters: list[nn.Parameter], rate: float, decay: float, said: Mapping[int, parts.Spans]
) -> list[dict[str, Any]]:
    """Parameters with one peak rate, those together of which the same is said."""
    found: dict[parts.Spans, list[nn.Parameter]] = {}
    for parameter in parameters:
        found.setdefault(said[id(parameter)], []).append(parameter)
    return [
        {"params": those, "lr": rate, "peak": rate, "weight_decay": decay, "spans": spans}
        for spans, those in found.items()
    ]


def _is_table(name: str) -> bool:
    """Embeddings, positions, queries, heads: rows are looked up or scored, not mixed."""
    tables = ("embedding", "positions", "queries", "probe", "prototypes", "head.weight")
    return any(word in name for word in tables)


def schedule(progress: float, *, warmup: float, decay: float, final: float) -> float:
    """The share of the peak rate at a share of training: a linear rise, a level, a linear fall.

    The fall takes the last `decay` of training and ends at `final` ("WSD", arXiv:2404.06395).
    """
    if progress < warmup:
        return max(progress / warmup, 0.01)
    left = (1 - progress) / decay if decay > 0 else 1.0
    return final + (1 - final) * min(1.0, max(0.0, left))


def set_rate(made: list[torch.optim.Optimizer], factor: float, *, progress: float = 0.0) -> None:
    """Give every group its peak rate times a factor, and times its part's own at this time."""
    for optimizer in made:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor * parts.factor(group["spans"], progress)


class Average:
    """The exponential moving average of weights: ema ← decay·ema + (1 − decay)·weights.

    Its first steps use a shorter memory, (1 + n) / (10 + n), so that it forgets where it began.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.count = decay, 0
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's present weights."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)


@torch.no_grad()
def clip(gradients: Sequence[Tensor], most: float) -> Tensor:
    """Scale gradients down to a total norm of `most` (0: leave them); the norm before."""
    norm = nn.utils.get_total_norm(gradients)
    if most > 0:
        scale = (most / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale)
    return norm
