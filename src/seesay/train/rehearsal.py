"""Rehearsal: a training step on tensors that have shapes and no numbers, whatever their size.

Its model takes no memory and its pictures are never looked at. What modules read the values of, the
tokens and what follows from them alone, is real: a few rows, drawn, or made up where the recipe's
sources are files. So no data are needed.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from seesay.config import Recipe
from seesay.data.augment import Augment
from seesay.data.fit import Fit
from seesay.data.text import learn
from seesay.model import adapt, families
from seesay.model.contract import Model
from seesay.records import Batch, Box, Example, Origin, Turn
from seesay.train import optim, self_distillation, setup, teacher
from seesay.train.counting import Counted, counted
from seesay.train.loop import Run
from seesay.train.losses import loss_of
from seesay.train.parallel import Ranks
from seesay.train.parts import Parts

# Drawn pictures whose texts the tokenizer is trained on: all words have come up by then.
SCENES_READ = 200
# Pictures are drawn at this size, for only their shape counts.
DRAWN = (16, 16)
# Of rows longer than this, what is real but has more numbers than this is imitated too: masks grow
# with the square.
LONG, MOST = 4096, 1 << 24


@dataclass(frozen=True, slots=True)
class Look:
    """One row seen without learning, by name of the module ("" is the model).

    shapes: of what it gives, where that is a tensor. flops: operations in it and below.
    """

    shapes: dict[str, tuple[int, ...]]
    flops: dict[str, int]
    pictures: int
    positions: int


@dataclass(frozen=True, slots=True)
class Step:
    """A training step, its update apart.

    memory: most bytes that forward and backward hold at once, weights and gradients aside.
    """

    rows: int
    memory: int
    flops: int
    pictures: int
    positions: int


@dataclass(frozen=True, slots=True)
class Update:
    """What optimizers keep from step to step, and most of what they hold beside it; in bytes."""

    kept: int
    memory: int


class Rehearsal:
    """A run as `setup.prepare` makes it, without its data, its numbers and its memory.

    Args:
        vocabulary: tokens of a tokenizer that is there already; None: as many as there may be.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: torch.device,
        dtype: torch.dtype,
        vocabulary: int | None = None,
    ) -> None:
        self.recipe = recipe
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        # Others than these two, torch cannot imitate.
        self.device = device if device.type == "cuda" else torch.device("cpu")
        self.dtype = dtype
        self.text = _text(recipe)
        drawn = all(source.path == "scenes" for source in recipe.data.sources)
        most = len(self.text) if drawn else max(len(self.text), recipe.data.vocabulary)
        self.vocabulary = vocabulary or most
        # Whether that is the vocabulary it will have, or the data may give fewer.
        self.vocabulary_is_known = drawn or vocabulary is not None
        with self.fake, self.device:
            self.model = adapt.apply(self._built(recipe), recipe.train.tune)
            Parts(self.model, recipe.train)  # What it freezes needs no gradient.
            self.teacher = teacher.rehearsed(recipe, self._built)
            self.self_teacher = self_distillation.begin(self.model, recipe, build=self._built)

    def _built(self, recipe: Recipe) -> Model:
        shape = {"vocabulary": self.vocabulary, "picture_token": self.text.picture}
        return families.build(recipe.model, **shape)

    @property
    def weights(self) -> int:
        """Bytes of the weights."""
        return held(_own(self.model))

    @property
    def teaching(self) -> int:
        """Bytes of the teachers' weights."""
        return held(value for model in self._teachers for value in _own(model))

    @property
    def _teachers(self) -> list[Model]:
        return [made.model for made in (self.teacher, self.self_teacher) if made is not None]

    @property
    def gradients(self) -> int:
        """Bytes of the gradients."""
        return held(p for p in self.model.parameters() if p.requires_grad)

    def look(self) -> Look:
        """One row, seen without learning."""
        run, batch = self._run(1)
        model = self.model.eval()
        counter = _counter()
        with self._imitating(), counter, _shapes(model) as shapes:
            Counted(run, batch, model)()
        flops = counted(counter.get_flop_counts()) | {"": counter.get_total_flops()}
        return Look(shapes, flops, len(batch.pictures_NCHW), batch.tokens_BT.numel())

    def step(self, rows: int, *, count: bool = False) -> Step:
        """Forward and backward over some rows; their operations too, if told to `count`."""
        run, batch = self._run(rows)
        model = self.model.train()
        counter = _counter()
        counting = counter if count else contextlib.nullcontext()
        with self._imitating() as made, counting, _dropping_gradients(model):
            loss_of(run, batch, model).backward()
        return Step(
            rows=rows,
            memory=made.most,
            flops=counter.get_total_flops(),
            pictures=len(batch.pictures_NCHW),
            positions=batch.tokens_BT.numel(),
        )

    def update(self) -> Update:
        """What the optimizers add."""
        made = optim.optimizers(self.model, self.recipe.train)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        for parameter in trained:
            parameter.grad = parameter.detach()  # only its shape is looked at
        with self._imitating() as step:
            for optimizer in made:
                optimizer.step()
        for parameter in trained:
            parameter.grad = None
        states = [state for optimizer in made for state in optimizer.state.values()]
        kept = held(tensor for tensor in tree_leaves(states) if isinstance(tensor, Tensor))
        return Update(kept, max(0, step.most - kept))

    def _run(self, rows: int) -> tuple[Run, Batch]:
        """A run whose batches have so many rows, and the batch that it would end on."""
        recipe = replace(
            self.recipe,
            train=replace(self.recipe.train, batch=rows),
            # What changes pictures and words at random changes no shape.
            data=replace(self.recipe.data, **dataclasses.asdict(Augment()), captions="all"),
        )
        fit = replace(setup.fit(recipe, self.model), size=DRAWN)
        examples = [_examples(source.path, fit) for source in recipe.data.sources]
        stream = setup.stream(recipe, examples, self.text, fit, Ranks())
        fused = recipe.train.fused
        run = Run(
            recipe=recipe,
            out=Path(),
            text=self.text,
            stream=stream,
            model=self.model,
            device=self.device,
            dtype=self.dtype,
            fused=self.device.type != "cpu" if fused is None else fused,
            ranks=Ranks(),
        )
        run.teacher, run.self_teacher = self.teacher, self.self_teacher
        return run, self._batch(stream.step(0, 1.0))

    def _batch(self, batch: Batch) -> Batch:
        """The batch with pictures of the model's size."""
        size = (len(batch.pictures_NCHW), 3, *self.recipe.model.vision.size)
        with self.fake, self.device:
            pictures = torch.empty(size, dtype=torch.uint8)
        if self.recipe.train.box_weight:
            batch = _boxed(batch)
        return replace(batch.to(self.device), pictures_NCHW=pictures)

    def _imitating(self) -> "Imitation":
        own = [value for model in (self.model, *self._teachers) for value in _own(model)]
        long = self.recipe.data.row_tokens > LONG
        return Imitation(self.fake, known=own, long=long)


def _boxed(batch: Batch) -> Batch:
    """The batch with a box in each row, where by chance none was drawn."""
    if batch.boxes_BT4 is not None:
        return batch
    first_B11 = (batch.targets_BT >= 0).int().argmax(dim=1)[:, None, None]
    none_BT4 = torch.full((*batch.targets_BT.shape, 4), math.nan)
    return replace(batch, boxes_BT4=none_BT4.scatter(1, first_B11.expand(-1, -1, 4), 0.5))


def _own(model: Model) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def held(tensors: Any) -> int:
    """Bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _text(recipe: Recipe) -> setup.Text:
    """A tokenizer of drawn words, where there are any."""
    made_up = learn(["a"], kind=recipe.data.tokenizer, vocabulary=recipe.data.vocabulary)
    if not any(source.path == "scenes" for source in recipe.data.sources):
        return made_up
    none = [[] for _ in recipe.data.sources]
    return setup.learn_text(recipe, none, drawn=SCENES_READ)


def _examples(path: str, fit: Fit) -> list[Example]:
    """What a file source is taken to hold: text as long as a row allows, all of it to be said, of
    pictures that take the most tokens.
    """
    if path == "scenes":
        return []
    height, width = fit.largest.canvas
    pixels = np.zeros((height, width, 3), np.uint8)
    turns = (Turn("user", ""), Turn("assistant", "a " * fit.row_tokens))
    # Where a box is learned too, it has one.
    box = Box(0, 0, width, height)
    return [Example((pixels,), turns, Origin(path), task="caption", boxes=(box,))]


class Imitation(TorchDispatchMode):
    """Lets what is real meet what has no numbers, and counts the bytes that live: `most` at once.

    Args:
        known: tensors that are there already, and are not counted.
        long: of rows so long that what is real may grow too large: where it would, it is imitated.
    """

    def __init__(self, fake: FakeTensorMode, *, known: Iterable[Tensor], long: bool) -> None:
        super().__init__()
        self.fake, self.long = fake, long
        self.now = self.most = 0
        self._live: dict[int, Any] = {}
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten.index.Tensor and isinstance(args[0], FakeTensor):
            # How many places a real mask picks is known, but not to what has no numbers.
            args = (args[0], [place for index in args[1] for place in _places(index)])
        made = self._made(func, args, kwargs or {})
        for tensor in made if isinstance(made, list | tuple) else (made,):
            if isinstance(tensor, Tensor):
                self._take(tensor.untyped_storage())
        return made

    def _made(self, func: Any, args: Any, kwargs: Any) -> Any:
        given = tree_leaves((args, kwargs)) if self.long else []
        if self.long and not any(isinstance(each, FakeTensor) for each in given):
            with contextlib.suppress(DynamicOutputShapeException, DataDependentOutputException):
                with self.fake:
                    made = func(*args, **kwargs)
                if any(isinstance(t, Tensor) and t.numel() > MOST for t in tree_leaves(made)):
                    return made
        return func(*args, **kwargs)

    def _take(self, storage: torch.UntypedStorage) -> None:
        place, size = storage._cdata, storage.nbytes()
        if place in self._live or place in self._known:
            return

        def let_go(_: Any) -> None:
            self.now -= size
            del self._live[place]

        self._live[place] = ref(storage, let_go)
        self.now += size
        self.most = max(self.most, self.now)


def _places(index: Tensor | None) -> list[Tensor | None]:
    if index is None or isinstance(index, FakeTensor) or index.dtype != torch.bool:
        return [index]
    return list(index.nonzero(as_tuple=True))


@contextmanager
def _dropping_gradients(model: nn.Module) -> Iterator[None]:
    """Gradients are dropped as soon as they are whole, so that what is held is held beside them."""

    def drop(parameter: Tensor) -> None:
        parameter.grad = None

    handles = [
        p.register_post_accumulate_grad_hook(drop) for p in model.parameters() if p.requires_grad
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _shapes(model: nn.Module) -> Iterator[dict[str, tuple[int, ...]]]:
    """The shapes of what each module gives."""
    found: dict[str, tuple[int, ...]] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, given: Any, made: Any) -> None:
            first = next((t for t in tree_leaves(made) if isinstance(t, Tensor)), None)
            if first is not None:
                found[name] = tuple(first.shape)

        return keep

    handles = [part.register_forward_hook(hook(name)) for name, part in model.named_modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _counter() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping=RECURRENT)


def _recurrent(times: int) -> Callable[..., int]:
    """Operations of a recurrent layer over (T, N, I): each weight once a step and row."""

    def count(shape: Any, inside: Any, across: Any, *args: Any, **kwargs: Any) -> int:
        return times * 2 * math.prod(shape[:2]) * (math.prod(inside) + math.prod(across))

    return count


# torch does not count these; going back takes twice as many.
RECURRENT = {
    torch.ops.aten.mkldnn_rnn_layer: _recurrent(1),
    torch.ops.aten.mkldnn_rnn_layer_backward: _recurrent(2),
}
