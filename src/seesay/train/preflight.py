"""Preflight: can the model learn one batch by heart? If not, training longer will not help."""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from seesay.data.collate import ROUND
from seesay.model.contract import Model
from seesay.records import Batch
from seesay.train import optim
from seesay.train.counting import Counted, counted, seeing
from seesay.train.leaks import leaks
from seesay.train.losses import Step, loss_of
from seesay.train.parts import Parts

if TYPE_CHECKING:
    from seesay.train.loop import Run

# A batch learned by heart falls to below this share of where its loss began.
ENOUGH = 0.6
ROWS = 8


def check(run: "Run", batch: Batch, *, steps: int) -> tuple[float, float]:
    """Overfit a few rows on a copy of the model: the first loss and the last.

    Also counts the arithmetic of a training step, and looks for masks that leak in what was
    learned, both into `run.facts`. The run's own weights and
    random state stay as they were.
    """
    few = rows(batch, ROWS, owners=Step(run, batch, run.model).rows).to(run.device)
    model = copy.deepcopy(run.model).train()
    losses: list[float] = []
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        held = Parts(model, run.recipe.train)
        held.hold(0.0)
        made = optim.optimizers(model, run.recipe.train)
        optim.set_rate(made, 0.5)
        for _ in range(steps):
            loss = loss_of(run, few, model)
            held.check_reached(loss)
            loss.backward()
            optim.clip([p.grad for p in model.parameters() if p.grad is not None], 1.0)
            for optimizer in made:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            losses.append(float(loss.detach()))
        run.facts |= arithmetic(run, few, model)
        run.facts["leaks"] = leaks(run, model, few)
    return losses[0], losses[-1]


def arithmetic(run: "Run", batch: Batch, model: Model) -> dict[str, float]:
    """Operations of a training step: for each picture on the vision side, for each text position.

    Apart, because a curriculum changes how much is asked about a picture. The parts' shares are
    those of the forward pass: of the backward, counters do not know whose it is.
    """
    whole, forward = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with whole:
        Counted(run, batch, model)().backward()
    model.zero_grad(set_to_none=True)
    with forward:
        Counted(run, batch, model)()
    by_part = counted(forward.get_flop_counts())
    total = whole.get_total_flops()
    share = seeing(model, by_part) / max(1, forward.get_total_flops())
    pictures, positions = len(batch.pictures_NCHW), batch.tokens_BT.numel()
    return {
        "flops_per_picture": total * share / max(1, pictures),
        "flops_per_position": total * (1 - share) / positions,
    }


def rows(batch: Batch, count: int, *, owners: Tensor) -> Batch:
    """The first rows of a batch, with their pictures, padding cut; `owners`: each picture's row."""
    longest = 1 + int((batch.groups_BT[:count] >= 0).any(dim=0).nonzero().max())
    width = min(batch.tokens_BT.shape[1], -(-longest // ROUND) * ROUND)
    pictures = int((owners < count).sum())
    return batch.rows(slice(count), width=width, pictures=slice(pictures))


def verdict(first: float, last: float, steps: int) -> str | None:
    """A warning where the batch was not learned; None where it was."""
    if last < ENOUGH * first:
        return None
    return (
        f"warning: {steps} steps on one batch took the loss only from {first:.2f} to {last:.2f}: "
        "look at the data (`seesay data check`), the learning rates and the model's size"
    )
