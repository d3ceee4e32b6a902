"""Parts of the model that are frozen, or learn at rates of their own, through spans of training."""

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from seesay.config import TrainConfig
from seesay.errors import RecipeError, TrainingError
from seesay.model import adapt
from seesay.tuning import PartConfig

# What is said of a parameter, the last to decide. Equal ones share a group of an optimiser.
Spans = tuple[PartConfig, ...]


def factor(spans: Spans, progress: float) -> float:
    """The factor on a parameter's learning rate at a share of training."""
    return next((span.rate for span in reversed(spans) if span.holds(progress)), 1.0)


def spans(model: nn.Module, config: TrainConfig) -> dict[str, Spans]:
    """What the recipe says of each parameter and buffer, by name.

    A fine-tuning method speaks first, so that `train.parts` can have the last word.

    Raises:
        RecipeError: a part's name is none of the model's.
    """
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    names = [name for name, _ in named]
    for number, part in enumerate(config.parts):
        if not any(adapt.begins(part.match, name) for name in names):
            where = f"train.parts.{number}.match"
            raise RecipeError(
                f"'{part.match}' names no part of the model",
                where=where,
                fix=near(part.match, names),
            )
    # What is tied goes by several names, and is held to what is said of any of them.
    called: dict[int, list[str]] = {}
    for name, value in named:
        called.setdefault(id(value), []).append(name)
    rules = [*adapt.rules(model, config.tune), *config.parts]
    return {name: _of(called[id(value)], rules) for name, value in named}


def _of(names: Sequence[str], rules: Sequence[PartConfig]) -> Spans:
    said: list[PartConfig] = []
    for rule in rules:
        if any(adapt.begins(rule.match, name) for name in names):
            # What holds throughout makes all before it void.
            always = rule.after == 0 and rule.until == 1
            said = [*([] if always else said), _nameless(rule)]
    return tuple(said)


def _nameless(rule: PartConfig) -> PartConfig:
    return PartConfig(match="*", rate=rule.rate, after=rule.after, until=rule.until)


def near(match: str, names: Sequence[str]) -> str:
    """The names that are nearest to one that is none, as long as it is; else the largest parts."""
    words = match.count(".") + 1
    known = sorted({".".join(name.split(".")[:words]) for name in names})
    close = difflib.get_close_matches(match, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(name) for name in close)}?"
    return f"known: {', '.join(sorted({name.split('.')[0] for name in names}))}"


class Parts:
    """Which parts of a model are trained when; the rest is held still, and seen to be.

    What is frozen throughout needs no gradient from here on. `hold` does the same for a moment.

    Raises:
        RecipeError: a part's name is none of the model's, or nothing is trained at some time.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model, self.spans = model, spans(model, config)
        said = {span for those in self.spans.values() for span in those}
        edges = {0.0, *(s.after for s in said), *(s.until for s in said if s.until < 1)}
        self.edges = sorted(edges)
        self.parameters = dict(model.named_parameters())
        trained = {name for edge in self.edges for name in self._moving(edge)}
        self.total = sum(p.numel() for p in self.parameters.values())
        self.trained = sum(self.parameters[name].numel() for name in trained)
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in trained)
        # How many parameters are trained at this moment.
        self.now = 0
        self._marks: dict[str, int] = {}
        self._still: list[nn.Module] = []
        self._edge: float | None = None

    def _moving(self, progress: float) -> list[str]:
        moving = [n for n in self.parameters if factor(self.spans[n], progress) > 0]
        if not moving:
            raise RecipeError(
                f"from {progress:.0%} of training on, 0 of {len(self.parameters)} tensors are "
                "trained",
                where="train.parts",
                fix="give a part a rate above 0 there",
            )
        return moving

    def hold(self, progress: float) -> None:
        """Freeze what is frozen at this share of training, and only that.

        Running statistics of frozen normalisations stand still too; dropout goes on.
        """
        edge = max(edge for edge in self.edges if edge <= progress)
        if edge != self._edge:
            self._edge = edge
            self._change(edge)
        for part in self._still:
            part.eval()

    def _change(self, progress: float) -> None:
        moving = set(self._moving(progress))
        self.now = sum(self.parameters[name].numel() for name in moving)
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in moving)
        for part in self._still:
            part.train()
        self._still = [
            part
            for name, part in self.model.named_modules()
            if isinstance(part, _NormBase) and part.running_mean is not None
            if factor(self.spans[f"{name}.running_mean"], progress) == 0
        ]
        frozen = [name for name, those in self.spans.items() if factor(those, progress) == 0]
        held = self._tensors()
        self._marks = {
            name: self._marks[name] if name in self._marks else _mark(held[name]) for name in frozen
        }

    def _tensors(self) -> dict[str, Tensor]:
        named = [*self.model.named_parameters(remove_duplicate=False), *self.model.named_buffers()]
        return dict(named)

    def check(self, step: int) -> None:
        """See that nothing frozen has moved.

        Raises:
            TrainingError: it has.
        """
        held = self._tensors()
        moved = [name for name, mark in self._marks.items() if _mark(held[name]) != mark]
        if moved:
            raise TrainingError(
                f"{len(moved)} of {len(self._marks)} frozen tensors have moved by step {step}, "
                f"'{moved[0]}' first",
                where="train.parts",
                fix="this is a fault of the program: please report it; the last checkpoint is good",
            )

    def check_reached(self, loss: Tensor) -> None:
        """See that the loss depends on something that is trained.

        Raises:
            TrainingError: it does not.
        """
        if not loss.requires_grad:
            raise TrainingError(
                "nothing that is trained now has a part in the loss",
                where="train.parts",
                fix="train a part that this data asks about, or change the stage",
            )


def _mark(tensor: Tensor) -> int:
    """A sum over the bits: a whole number, so that no order of adding changes it."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = tensor.detach().contiguous().view(kinds[tensor.element_size()])
    return int(bits.sum(dtype=torch.int64))
