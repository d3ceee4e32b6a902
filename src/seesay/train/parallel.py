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
