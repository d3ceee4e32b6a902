"""Counting: the operations of a step, by the model's own names of its parts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from seesay.model.contract import Model
from seesay.records import Batch
from seesay.train.losses import loss_of

if TYPE_CHECKING:
    from seesay.train.loop import Run


class Counted(nn.Module):
    """A step as a module of its own, whose child `model` is: counters then know parts by name."""

    def __init__(self, run: "Run", batch: Batch, model: Model) -> None:
        super().__init__()
        self.model, self.given = model, (run, batch)

    def forward(self) -> Tensor:
        return loss_of(*self.given, self.model)


def counted(counts: Mapping[str, Mapping[object, int]]) -> dict[str, int]:
    """Operations by the model's own names of its parts, as a counter saw a `Counted` step."""
    start = "Counted.model."
    return {
        name.removeprefix(start): sum(by_kind.values())
        for name, by_kind in counts.items()
        if name.startswith(start)
    }


def seeing(model: Model, flops: Mapping[str, int]) -> int:
    """Of operations by part, those of seeing pictures."""
    sides = [part for part in (model.vision, model.connector) if part is not None]
    return sum(flops.get(name, 0) for name, part in model.named_modules() if part in sides)
