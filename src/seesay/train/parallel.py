"""Several processes (torchrun): each takes its share of every batch, and gradients are averaged."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which process this is, of how many."""

    rank: int = 0
    total: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and talks."""
        return self.rank == 0


def talks() -> bool:
    """Whether this process is the one that talks, asked before they join."""
    return os.environ.get("RANK", "0") == "0"


def join() -> Ranks:
    """Join the processes torchrun started; alone where it did not."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Ranks()
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    """Leave the group, where one was joined."""
    if dist.is_initialized():
        dist.destroy_process_group()


def counts(own: int, device: torch.device) -> list[int]:
    """A number of each process, in their order."""
    if not dist.is_initialized():
        return [own]
    several = torch.empty(dist.get_world_size(), dtype=torch.int64, device=device)
    dist.all_gather_into_tensor(several, torch.tensor([own], device=device))
    return several.tolist()


class _Gathered(torch.autograd.Function):
    """The rows of all processes; the gradient is that of all their losses, which are one and the
    same: as many times what this process's own has.
    """

    @staticmethod
    def forward(ctx, own: Tensor) -> Tensor:
        sizes, rank = counts(len(own), own.device), dist.get_rank()
        # Messages are of one size: shorter ones are filled up.
        padded = own.new_zeros((max(sizes), *own.shape[1:]))
        padded[: len(own)] = own
        several = own.new_empty((len(sizes) * len(padded), *own.shape[1:]))
        dist.all_gather_into_tensor(several, padded)
        before = sum(sizes[:rank])
        ctx.own, ctx.ranks = slice(before, before + len(own)), len(sizes)
        parts = several.view(len(sizes), *padded.shape)
        return torch.cat([part[:n] for part, n in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> Tensor:
        return gradients[0][ctx.own] * ctx.ranks


def gather(tensor: Tensor) -> Tensor:
    """The rows of all processes, in their order; gradients reach this process's own.

    For a loss that all processes compute alike: averaged over them, its gradients are then those of
    one process with all the rows.
    """
    if not dist.is_initialized():
        return tensor
    return _Gathered.apply(tensor)  # type: ignore[return-value]


def average(tensors: list[Tensor]) -> None:
    """Mean over processes, in place, as one message."""
    if not dist.is_initialized() or not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def total(value: float, device: torch.device) -> float:
    """Sum over processes."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(shared)
    return float(shared)


def agree(value: float, device: torch.device) -> float:
    """The first process's value, so that all go by one clock."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return float(shared)
