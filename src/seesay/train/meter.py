"""The meter: what passed through training since the last log row, and how fast."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seesay import machine
from seesay.records import Batch

if TYPE_CHECKING:
    from seesay.train.loop import Run


class Meter:
    """What passed through since the last log row."""

    def __init__(self, run: "Run", elapsed: Callable[[], float]) -> None:
        self.run, self.elapsed = run, elapsed
        self.peak = run.facts.get("peak_flops", 0.0)
        self._reset()
        self.losses = [torch.tensor(loss, device=run.device) for loss in run.clock.losses]

    def _reset(self) -> None:
        self.since, self.wait = self.elapsed(), 0.0
        self.pictures = self.looked = self.tokens = self.positions = 0
        self.losses: list[Tensor] = []
        self.gradient: Tensor | None = None
        self.facts: dict[str, list[Tensor]] = {}

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent in here is waiting for data."""
        start = time.perf_counter()
        yield
        self.wait += time.perf_counter() - start

    def count(self, batch: Batch, facts: Mapping[str, Tensor] | None = None) -> None:
        """A batch passed through the model; `facts` are its losses and their finds, by name."""
        for name, fact in (facts or {}).items():
            self.facts.setdefault(name, []).append(fact)
        self.pictures += batch.num_pictures
        self.looked += len(batch.pictures_NCHW)
        self.positions += batch.tokens_BT.numel()
        self.run.clock.pictures += batch.num_pictures * self.run.ranks.total
        self.run.clock.looked += len(batch.pictures_NCHW) * self.run.ranks.total
        self.run.clock.tokens += batch.tokens_BT.numel() * self.run.ranks.total

    def add(self, loss: Tensor, gradient: Tensor, factor: float) -> None:
        """A step was made, at this share of the peak learning rate."""
        self.losses.append(loss)
        self.gradient, self.factor = gradient, factor

    def row(self, done: float) -> dict[str, Any]:
        """The log row, and a fresh start."""
        assert self.gradient is not None
        spent = max(self.elapsed() - self.since, 1e-9)
        facts = self.run.facts
        flops = facts.get("flops_per_position", 0.0) * self.positions
        flops += facts.get("flops_per_picture", 0.0) * self.looked
        row = {
            "step": self.run.clock.step,
            "seconds": round(self.elapsed(), 3),
            "progress": done,
            "loss": float(torch.stack(self.losses).mean()),
            "gradient_norm": float(self.gradient),
            "rate": self.factor,
            "pictures": self.run.clock.pictures,
            "pictures_per_second": self.pictures * self.run.ranks.total / spent,
            "tokens_per_second": self.positions * self.run.ranks.total / spent,
            "waiting": self.wait / spent,
            "peak_share": flops / spent / self.peak if self.peak else None,
            "left": self.elapsed() * (1 - done) / max(done, 1e-9),
            "memory": machine.peak_memory(self.run.device),
            **{name: float(torch.stack(several).mean()) for name, several in self.facts.items()},
        }
        self._reset()
        return row
