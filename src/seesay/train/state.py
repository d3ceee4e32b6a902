"""Training state: what a killed run needs to go on as if it had not been. Never pickle."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seesay.data.order import Place
from seesay.errors import CheckpointError
from seesay.model import checkpoint
from seesay.train.optim import Average
from seesay.train.self_distillation import SelfDistillation
from seesay.train.teacher import Teacher

_FIX = "resume with the recipe the run was started with"
# What each optimiser keeps of a parameter.
_KEYS = {"Muon": ("momentum_buffer",), "AdamW": ("step", "exp_avg", "exp_avg_sq")}


@dataclass(slots=True)
class Clock:
    """How far training has come: steps done, seconds spent, examples and tokens seen.

    `place` is where in the data the next step begins; None before the first. `losses` are those
    since the last log row, so that the next row is the mean of them all.
    """

    step: int = 0
    seconds: float = 0.0
    pictures: int = 0
    tokens: int = 0
    skipped: int = 0
    place: Place | None = None
    losses: list[float] = field(default_factory=list)


def save(
    folder: Path,
    *,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    average: Average | None,
    clock: Clock,
    teacher: Teacher | None = None,
    self_teacher: SelfDistillation | None = None,
) -> None:
    """Write `resume/` into a checkpoint folder being made."""
    folder.mkdir()
    tensors, numbers = _optimizer_state(model, optimizers)
    tensors |= {f"weights.{name}": value for name, value in model.state_dict().items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.weights.items()}
    if teacher is not None:
        tensors |= {f"teacher.{name}": value for name, value in teacher.tensors().items()}
    if self_teacher is not None:
        tensors |= {f"self_teacher.{name}": value for name, value in self_teacher.state().items()}
    checkpoint.save_tensors(folder / "state.safetensors", tensors)
    stored = {
        "clock": asdict(clock),
        "numbers": numbers,
        "average_count": average.count if average is not None else 0,
    }
    (folder / "state.json").write_text(json.dumps(stored, indent=2), encoding="utf-8")


def load(
    folder: Path,
    *,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    average: Average | None,
    teacher: Teacher | None = None,
    self_teacher: SelfDistillation | None = None,
) -> Clock:
    """Put back what `save` wrote.

    Raises:
        CheckpointError: nothing to resume from, or of another model or optimiser.
    """
    where = str(folder)
    try:
        stored = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        clock = Clock(**stored["clock"] | {"place": _place(stored["clock"]["place"])})
        numbers = stored["numbers"]
        count = stored["average_count"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"there is nothing whole to resume from: {error}",
            where=where,
            fix="start the run anew, in another --out folder",
        ) from None
    tensors = checkpoint.open_tensors(folder / "state.safetensors")
    try:
        checkpoint.fill(model, _under(tensors, "weights."), where=where)
    except CheckpointError as error:
        raise CheckpointError(error.what, where=where, fix=_FIX) from None
    _restore_optimizers(model, optimizers, _under(tensors, "optimizer."), numbers, where)
    if average is not None:
        average.weights = _under(tensors, "average.")
        if not average.weights:
            raise CheckpointError("no running average was saved (train.ema)", where=where, fix=_FIX)
        average.count = count
        device = next(model.parameters()).device
        average.weights = {name: value.to(device) for name, value in average.weights.items()}
    if teacher is not None:
        try:
            teacher.restore(_under(tensors, "teacher."))
        except CheckpointError as error:
            raise CheckpointError(error.what, where=where, fix=_FIX) from None
    if self_teacher is not None:
        self_teacher.restore(_under(tensors, "self_teacher."), where=where)
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return clock


def _place(stored: list[Any] | None) -> Place | None:
    if stored is None:
        return None
    row, since, weights, counts = stored
    return Place(row, since, tuple(weights), tuple(counts))


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _optimizer_state(
    model: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Tensors and plain numbers of the optimisers' state, by "parameter|key"."""
    names = {id(p): name for name, p in model.named_parameters()}
    tensors, numbers = {}, {}
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for key, value in state.items():
                name = f"{names[id(parameter)]}|{key}"
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{name}"] = value
                else:
                    numbers[name] = value
    return tensors, numbers


def _restore_optimizers(
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    tensors: dict[str, Tensor],
    numbers: dict[str, float],
    where: str,
) -> None:
    parameters = dict(model.named_parameters())
    groups = [(optimizer, group) for optimizer in optimizers for group in optimizer.param_groups]
    owner = {id(p): optimizer for optimizer, group in groups for p in group["params"]}
    for name, value in [*tensors.items(), *numbers.items()]:
        parameter, key = name.rsplit("|", 1)
        if parameter not in parameters or id(parameters[parameter]) not in owner:
            raise CheckpointError(
                f"the saved optimiser state is for '{parameter}', which is not trained here",
                where=where,
                fix=_FIX,
            )
        place = parameters[parameter]
        optimizer = owner[id(place)]
        if key not in _KEYS[type(optimizer).__name__]:
            raise CheckpointError(
                f"the saved state of '{parameter}' ({key}) is not one of "
                f"{type(optimizer).__name__}, which trains it here",
                where=where,
                fix=_FIX,
            )
        # AdamW counts its steps in a tensor that lives on the device only where the step is fused.
        if isinstance(value, Tensor) and (value.ndim or optimizer.defaults.get("fused")):
            value = value.to(place.device)
        optimizer.state[place][key] = value
