"""The loop: step, log, sample, save. Kill it at any moment and resume."""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seesay import machine
from seesay.config import Recipe
from seesay.data.order import Place
from seesay.data.stream import Stream, loader
from seesay.data.text import Text
from seesay.errors import TrainingError
from seesay.model import checkpoint
from seesay.model.contract import Model
from seesay.records import Batch
from seesay.train import chunks, optim, parallel, save, state
from seesay.train.losses import Share, loss_of
from seesay.train.meter import Meter
from seesay.train.parallel import Ranks
from seesay.train.parts import Parts
from seesay.train.progress import Progress, history
from seesay.train.self_distillation import SelfDistillation
from seesay.train.teacher import Teacher
from seesay.train.watch import Watch


@dataclass(slots=True)
class Run:
    """Everything a training run holds."""

    recipe: Recipe
    out: Path
    text: Text
    stream: Stream
    model: Model
    device: torch.device
    dtype: torch.dtype
    fused: bool
    ranks: Ranks
    clock: state.Clock = field(default_factory=state.Clock)
    sample: Callable[[Model], Mapping[str, str]] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    teacher: Teacher | None = None
    self_teacher: SelfDistillation | None = None

    def autocast(self) -> contextlib.AbstractContextManager:
        """The precision matrices are multiplied in."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


class Interrupted(Exception):
    """Training was asked to stop; what it had is saved."""


@contextlib.contextmanager
def _stop_flag() -> Iterator[list[bool]]:
    """A flag that Ctrl-C or SIGTERM raises; a second Ctrl-C stops at once."""
    flag: list[bool] = []

    def ask(number: int, frame: Any) -> None:
        if flag and number == signal.SIGINT:
            raise KeyboardInterrupt
        flag.append(True)

    try:
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: the caller handles signals
        yield flag
        return
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Loop:
    """One run's steps, and what it does between them."""

    def __init__(self, run: Run, progress: Progress | None, *, resume: Path | None) -> None:
        settings = run.recipe.train
        self.run, self.progress, self.settings = run, progress, settings
        self.parts = Parts(run.model, settings)
        self.optimizers = optim.optimizers(run.model, settings)
        self.average = optim.Average(run.model, settings.ema) if settings.ema else None
        if resume is not None:
            run.clock = state.load(
                resume,
                model=run.model,
                optimizers=self.optimizers,
                average=self.average,
                teacher=run.teacher,
                self_teacher=run.self_teacher,
            )
        self.begin = time.perf_counter() - run.clock.seconds
        if settings.compile:
            for part in run.model.children():
                part.compile()
        self.meter = Meter(run, self.elapsed)
        self.watch = Watch(run, before=history(run.out))
        self.last_save = self.last_sample = self.elapsed()
        # The last step's loss, and its batches with theirs: looked at one step late, so that a GPU
        # never waits.
        self.pending: tuple[Tensor, list[tuple[Batch, Tensor]]] | None = None

    def elapsed(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return time.perf_counter() - self.begin

    def done(self, step: int) -> float:
        """How much of training is over when `step` steps are made."""
        if self.settings.steps is not None:
            return min(1.0, step / self.settings.steps)
        budget = (self.settings.minutes or 0) * 60
        return min(1.0, parallel.agree(self.elapsed() / budget, self.run.device))

    def batches(self) -> Iterator[tuple[Place, Batch]]:
        """Batches from where the run stands, made ahead by workers, and where each one ends."""
        each = self.settings.accumulate
        steps = self.run.stream.steps(
            start=self.run.clock.step * each,
            total=self.settings.steps * each if self.settings.steps is not None else None,
            progress=lambda index: self._planned(index // each),
            place=self.run.clock.place,
        )
        workers = self.run.recipe.data.workers
        if workers is None:
            workers = int(machine.cores() > 2 or self.run.device.type != "cpu")
        return iter(loader(self.run.stream, steps, workers=workers))

    def _planned(self, step: int) -> float:
        """Progress as the data goes by; no message between processes, for workers ask ahead."""
        if self.settings.steps is not None:
            return step / self.settings.steps
        return min(1.0, self.elapsed() / ((self.settings.minutes or 0) * 60))

    def step(self, batches: Iterator[tuple[Place, Batch]]) -> None:
        """Forward, backward, update: the loss is the mean over all the step's targets."""
        factor = self._set_rate()
        with self.meter.waiting():
            several = [next(batches) for _ in range(self.settings.accumulate)]
        given = [batch for _, batch in several]
        losses: list[Tensor] = []
        for batch, share in zip(given, self._shares(given), strict=True):
            self._tell_skipped(batch)
            facts: dict[str, Tensor] = {}
            losses.append(self._learn(batch.to(self.run.device), facts, share))
            self.meter.count(batch, facts)
            self.watch.count(batch)
        total = torch.stack(losses).sum()
        gradient = self._update(total)
        self.pending = (total, list(zip(given, losses, strict=True)))
        self.meter.add(total, gradient, factor)
        self.run.clock.step += 1
        self.run.clock.place = several[-1][0]

    def _learn(self, batch: Batch, facts: dict[str, Tensor], share: Share) -> Tensor:
        """Forward and backward, in one piece or in chunks; the loss."""
        given = (self.run, batch, self.run.model, facts, share)
        if self.settings.chunk:
            return chunks.learn(*given, reached=self.parts.check_reached)
        loss = loss_of(*given)
        self.parts.check_reached(loss)
        loss.backward()
        return loss.detach()

    def _shares(self, batches: list[Batch]) -> list[Share]:
        """What each batch's means weigh, where batches and processes differ in their targets."""
        targets = [float((batch.targets_BT >= 0).sum()) for batch in batches]
        ranks = self.run.ranks.total  # Gradients are averaged over processes, not summed.
        each = parallel.total(sum(targets), self.run.device) / ranks
        # Pictures without a word weigh alike, and so do texts held against them.
        alike = 1 / len(batches)
        return [Share(count / each if each else alike, alike) for count in targets]

    def _set_rate(self) -> float:
        settings, progress = self.settings, self.done(self.run.clock.step)
        self.parts.hold(progress)
        if self.run.teacher is not None:
            self.run.teacher.hold(progress)
        if self.run.self_teacher is not None:
            self.run.self_teacher.progress = progress
        factor = optim.schedule(
            progress,
            warmup=settings.warmup,
            decay=settings.decay,
            final=settings.final,
        )
        optim.set_rate(self.optimizers, factor, progress=progress)
        return factor

    def _update(self, loss: Tensor) -> Tensor:
        """Move the weights; the gradient's norm before clipping. All processes share the loss."""
        trained = [p for p in self.run.model.parameters() if p.requires_grad]
        if self.run.ranks.total > 1:
            # What this process's batch had no labels for, another's may have.
            for parameter in trained:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in trained if p.grad is not None]
        parallel.average([*gradients, loss])
        norm = optim.clip(gradients, self.settings.clip)
        self.check_finite()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.run.model)
        if self.run.teacher is not None:
            self.run.teacher.follow(self.run.model)
        if self.run.self_teacher is not None:
            self.run.self_teacher.follow(self.run.model)
        return norm

    def between(self) -> None:
        """Log, say a sample, save: whatever is due."""
        step, settings = self.run.clock.step, self.settings
        if step % settings.log_every == 0:
            self.parts.check(step)
        if self.progress is not None and step % settings.log_every == 0:
            # No message here: only the first process logs.
            counts = {"trained": self.parts.now, "parameters": self.parts.total}
            row = self.meter.row(self._planned(step)) | counts
            self.progress.row(row)
            for name, words in self.watch.look(row, self.run.model):
                self.progress.warn(step, name, words)
            own = self.run.self_teacher
            if own is not None and (warning := own.warning(row)):
                self.progress.say(warning)
        if self.elapsed() - self.last_sample > settings.sample_every:
            self.last_sample = self.elapsed()
            self._say_sample()
        if self.elapsed() - self.last_save > settings.save_every:
            self.save()
            self.last_save = self.elapsed()

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        self.check_finite()
        self.parts.check(self.run.clock.step)
        if self.run.ranks.first:
            self.run.clock.seconds = self.elapsed()
            self.run.clock.losses = [float(loss) for loss in self.meter.losses]
            save.write(self.run, optimizers=self.optimizers, average=self.average)

    def _say_sample(self) -> None:
        if self.run.sample is None or self.progress is None:
            return
        self.run.model.eval()
        self.progress.sample(self.run.clock.step, self.run.sample(self.run.model))
        self.run.model.train()

    def _tell_skipped(self, batch: Batch) -> None:
        """Say the first few pictures that could not be read, count them all, stop at too many."""
        clock, limit = self.run.clock, self.run.recipe.data.limit_broken
        for reason in batch.skipped:
            clock.skipped += 1
            if self.progress is not None and clock.skipped <= 5:
                self.progress.say(f"skipped: {reason}")
        if batch.skipped and clock.skipped > max(20, limit * clock.pictures):
            raise TrainingError(
                f"{clock.skipped} of {clock.pictures + clock.skipped} pictures could not be read, "
                f"more than the share of {limit:.0%} that data.limit_broken allows",
                fix="run `seesay data check` on the data",
            )

    def check_finite(self) -> None:
        """Stop at a loss that is not a number, and leave the batch that made it beside the log."""
        if self.pending is None or math.isfinite(float(self.pending[0])):
            return
        total, parts = self.pending
        rank, at = self.run.ranks.rank, f"is {float(total)} at step {self.run.clock.step}"
        batch = next((batch for batch, loss in parts if not math.isfinite(float(loss))), None)
        if batch is None:
            raise TrainingError(f"the loss of another process {at}", fix="see what that one says")
        dump = self.run.out / f"bad_batch{f'.{rank}' if rank else ''}.safetensors"
        names = ("tokens_BT", "targets_BT", "positions_BT", "documents_BT", "pictures_NCHW")
        checkpoint.save_tensors(dump, {name: getattr(batch, name) for name in names})
        rows = ", ".join(dict.fromkeys(batch.origins[:4]))
        raise TrainingError(
            f"the loss {at}; rows from {rows}…",
            where=str(dump),
            fix="lower train.learning_rate, or look at that batch; the last checkpoint is good",
        )


def fit(run: Run, progress: Progress | None, *, resume: Path | None = None) -> state.Clock:
    """Train `run.model` to the end of its budget; the clock at the end.

    Raises:
        Interrupted: it was asked to stop, and has saved.
        TrainingError: the loss is not finite; the batch is dumped beside the log.
    """
    loop = Loop(run, progress, resume=resume)
    run.model.train()
    with _stop_flag() as flag:
        batches = loop.batches()
        # All processes stop at one step, though a signal reaches them at different ones.
        while not (stop := parallel.total(len(flag), run.device)) and loop.done(run.clock.step) < 1:
            loop.step(batches)
            loop.between()
        del batches
    loop.save()
    if stop:
        raise Interrupted
    return run.clock
