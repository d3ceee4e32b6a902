"""Estimates, before a run begins: its memory, its arithmetic and its time; refused if too large."""

import os
from dataclasses import dataclass
from functools import cached_property

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)

from seesay import machine
from seesay.config import Recipe
from seesay.errors import RecipeError
from seesay.model.blocks import Block
from seesay.model.qformer import QueryBlock
from seesay.train import preflight, setup
from seesay.train.counting import seeing
from seesay.train.rehearsal import Look, Rehearsal, Step

# Rows of the step that is rehearsed; a larger batch takes as much more as it has more rows.
ROWS = 4
# An answer, for its cost: a question of so many tokens, and so many said.
ASKED, SAID = 16, 16
# Bytes that Python, torch and the data hold where training is on a CPU, as a run begins. In a long
# one, oneDNN keeps kernels for each shape of a batch, which may come to as much again, or more.
PROGRAM = 600_000_000
# The share of the measured matrix product that a training step reaches on CPUs, waiting for data
# included (`make demo` prints it).
USUAL_SHARE = 0.33
# What a module may ask of tensors that only numbers can answer.
UNKNOWABLE: tuple[type[Exception], ...] = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that training holds, on the device it is on: `peak` is the most at once.

    program: what there is beside tensors. weights: a teacher's too. optimizer: what optimizers
    keep, and the running average of the weights. activations: what forward and backward hold at
    most, beside the rest.
    """

    program: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int


@dataclass(frozen=True, slots=True)
class Serving:
    """Bytes that answering holds: weights, and the keys and values of a whole context."""

    weights: int
    cache_per_position: int
    context: int
    cache: int


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Floating-point operations, two a multiplication and addition.

    step: of a training step. picture, position: seeing one, and reading or saying one, without
    learning. answer: one picture, `ASKED` tokens of a question and `SAID` of an answer.
    """

    step: int
    picture: int
    position: int
    answer: int


@dataclass(frozen=True, slots=True)
class Speed:
    """What a step takes here: `rate` is the measured matrix product's, `share` what is had of it.

    steps: that fit in the recipe's minutes, or that it asks for; None where it sets no end.
    minutes: that these take.
    """

    rate: float
    share: float
    seconds: float
    steps: int | None
    minutes: float | None


class Estimate:
    """What a recipe asks of a machine.

    Args:
        vocabulary: tokens, where a tokenizer is there already; else as many as there may be.
        device, dtype: where it is to be trained and in what; by default as `train` would choose.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        vocabulary: int | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.recipe = recipe
        self.device = device or machine.device()
        wish = setup.WISHES[recipe.train.precision]
        self.dtype = dtype or machine.precision(self.device, wish=wish)
        self.rehearsal = Rehearsal(
            recipe, device=self.device, dtype=self.dtype, vocabulary=vocabulary
        )

    @cached_property
    def least(self) -> int:
        """Bytes that training holds even of the smallest batch."""
        made = self.rehearsal
        # Each weight has one number of the optimizer's at least.
        return made.weights + made.teaching + made.gradients * 2

    @cached_property
    def memory(self) -> Memory:
        """Bytes that training holds."""
        made, settings = self.rehearsal, self.recipe.train
        weights, gradients, update = made.weights, made.gradients, made.update()
        kept = update.kept + (weights if settings.ema else 0)
        teaching = made.teaching
        activations = self.activations(settings.batch)
        # Before the first step, a few rows are learned by heart on a copy; and where a model is on
        # the CPU, it is copied once more to be saved.
        rows = min(settings.batch, preflight.ROWS)
        copy = weights + self.activations(rows) if settings.preflight else 0
        on_cpu = self.device.type == "cpu"
        saving, program = (weights + kept - gradients, PROGRAM) if on_cpu else (0, 0)
        passing = max(activations, update.memory, copy, saving)
        peak = program + weights + teaching + gradients + kept + passing
        return Memory(program, weights + teaching, gradients, kept, activations, peak)

    def activations(self, rows: int) -> int:
        """Bytes that forward and backward hold at most, over so many rows."""
        made = self._step
        # Weights are cast once, however many rows there are.
        cast = self.rehearsal.weights // 2 if self.dtype != torch.float32 else 0
        each = max(0, made.memory - cast) / made.rows
        return round(made.memory + each * (rows - made.rows))

    @cached_property
    def _step(self) -> Step:
        return self.rehearsal.step(min(ROWS, self.recipe.train.batch))

    @cached_property
    def serving(self) -> Serving:
        """Bytes that answering holds."""
        model = self.rehearsal.model
        # Where queries and words share their blocks, these are the queries'.
        text = getattr(model, "qformer", model.text) or model
        blocks = [part for part in text.modules() if isinstance(part, Block | QueryBlock)]
        heads = [block.attention for block in blocks]
        size = torch.finfo(self.dtype).bits // 8
        each = sum(2 * size * a.num_kv_heads * a.head_width for a in heads)
        context = self.recipe.model.text.context
        return Serving(self.rehearsal.weights, each, context, each * context)

    @cached_property
    def look(self) -> Look:
        """One row seen without learning: shapes and operations by module."""
        return self.rehearsal.look()

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """Operations of a step and of an answer."""
        settings, look, learned = self.recipe.train, self.look, self._learned
        step = learned.flops * settings.batch * settings.accumulate // learned.rows
        seeing = self._seeing
        position = (look.flops[""] - seeing) // look.positions
        # Where pictures differ in their tiles, of one with the most.
        plan = setup.fit(self.recipe, self.rehearsal.model).largest
        picture = seeing // max(1, look.pictures) * plan.num_tiles
        answer = picture + position * (plan.tokens + ASKED + SAID)
        return Arithmetic(step, picture, position, answer)

    def learning(self, *, pictures: int, positions: int) -> int:
        """Operations of training on what passed: so many pictures, and positions of text.

        A row of a step costs what `arithmetic` says of it; one with less text, as early in a
        curriculum, costs less. What is learned by heart before the first step is not in it.
        """
        step, look = self._learned, self.look
        seeing = self._seeing / max(1, look.flops[""])
        passed = seeing * pictures / max(1, step.pictures)
        passed += (1 - seeing) * positions / step.positions
        return round(step.flops * passed)

    @cached_property
    def _learned(self) -> Step:
        return self.rehearsal.step(min(ROWS, self.recipe.train.batch), count=True)

    @property
    def _seeing(self) -> int:
        """Operations of seeing one row's pictures."""
        return seeing(self.rehearsal.model, self.look.flops)

    def speed(self, *, share: float | None = None) -> Speed:
        """What a step takes here; `share` where it was measured."""
        settings = self.recipe.train
        rate = machine.measure_matmul(self.device, self.dtype, seconds=0.2)
        share = share or USUAL_SHARE
        seconds = self.arithmetic.step / (rate * share)
        steps = settings.steps
        if steps is None and settings.minutes is not None:
            steps = int(settings.minutes * 60 / seconds)
        return Speed(rate, share, seconds, steps, None if steps is None else steps * seconds / 60)


def check(recipe: Recipe, *, vocabulary: int | None = None, device: str = "auto") -> None:
    """Refuse a run that memory is too small for, before anything large is made.

    Raises:
        RecipeError: with what it needs, what is free, and what to set.
    """
    place = machine.device(device)
    free = machine.free_memory(place)
    if not recipe.train.check_memory or not free:
        return
    # On CPUs the processes that torchrun starts here share the memory.
    here = 1 if place.type == "cuda" else int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    made = Estimate(recipe, vocabulary=vocabulary, device=place)
    if made.least * here > free:
        raise _too_large(made.least * here, free, fix="lower the width or depth of model.text or "
                         "model.vision")  # fmt: skip
    try:
        need = made.memory.peak * here
    except UNKNOWABLE:  # The weights fit; more cannot be known.
        return
    if need > free:
        raise _too_large(need, free, fix=_mend(made, free // here))


def _too_large(need: int, free: int, *, fix: str) -> RecipeError:
    return RecipeError(
        f"training would need {size(need)} of memory, and {size(free)} are free",
        where="train",
        fix=f"{fix}; or go on all the same: --set train.check_memory=false",
    )


def _mend(made: Estimate, free: int) -> str:
    """What to set so that it fits."""
    settings, memory = made.recipe.train, made.memory
    rest = memory.peak - memory.activations
    fitting = settings.batch
    while fitting > 1 and rest + made.activations(fitting) > free:
        fitting //= 2
    others = "data.row_tokens, model.text.depth or model.vision.image_size"
    if rest + made.activations(fitting) > free or fitting == settings.batch:
        return f"lower {others}"
    times = -(-settings.batch * settings.accumulate // fitting)
    return f"set train.batch = {fitting} with train.accumulate = {times}, or lower {others}"


def size(count: float) -> str:
    """Bytes as people write them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.0f} TB"
