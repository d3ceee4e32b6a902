"""Training: step, log, sample, save; and going on exactly where a killed run stood."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from seesay.config import Recipe
from seesay.data.text import Text
from seesay.errors import CheckpointError
from seesay.model import checkpoint
from seesay.model.contract import Model
from seesay.records import Example
from seesay.train import estimate, parallel, preflight, setup
from seesay.train.loop import Interrupted, Run, fit
from seesay.train.progress import Progress, history

__all__ = ["Interrupted", "Run", "fit", "history", "last", "train"]


def train(
    recipe: Recipe,
    *,
    out: Path,
    examples: Sequence[Sequence[Example]] | None = None,
    resume: bool = False,
    quiet: bool = False,
    device: str = "auto",
    sampler: Callable[[Run], Callable[[Model], Mapping[str, str]] | None] = lambda run: None,
) -> Run:
    """Train as a recipe says, into a folder; the run at its end.

    Args:
        examples: of each file source, where they are read already.
        resume: go on from the folder's last checkpoint.
        sampler: makes of a run what says a sample answer now and then.

    Raises:
        RecipeError: memory is too small for it.
    """
    stood = last(out) if resume else None
    text = Text.open(stood) if stood is not None else None
    estimate.check(recipe, vocabulary=len(text) if text is not None else None, device=device)
    said: list[str] = []
    run = setup.prepare(
        recipe,
        out=out,
        examples=examples,
        text=text,
        resume=resume,
        device=device,
        say=said.append,
    )
    step = int(stood.name) if stood is not None else 0
    progress = None
    if run.ranks.first:
        tensorboard = recipe.train.tensorboard
        progress = Progress(out, quiet=quiet, tensorboard=tensorboard, resumed=step)
        for line in said:
            progress.say(line)
    try:
        if stood is None:
            _preflight(run, progress)
        run.sample = sampler(run)
        fit(run, progress, resume=stood / "resume" if stood is not None else None)
    finally:
        if progress is not None:
            progress.close()
        parallel.leave()
    return run


def last(out: Path) -> Path:
    """The checkpoint a run's folder goes on from.

    Raises:
        CheckpointError: there is none, or the folder is itself a checkpoint, not a run.
    """
    found = checkpoint.find(out)
    if found.parent != out / "checkpoints":
        step = checkpoint.open_config(found).get("step", 0)
        fix = f"copy it to RUN/checkpoints/{step:08}, then give --resume --out RUN"
        if found.parent.name == "checkpoints":
            fix = f"give the run's: --resume --out {found.parent.parent}"
        what = "this is a checkpoint, not the folder of a run"
        raise CheckpointError(what, where=str(out), fix=fix)
    return found


def _preflight(run: Run, progress: Progress | None) -> None:
    """Overfit one batch, of those that come last; its time counts as training time."""
    import time

    steps = run.recipe.train.preflight
    # What a teacher says of a batch is not to be learned by heart: it changes with its pupil.
    if not steps or run.teacher is not None:
        return
    start = time.perf_counter()
    batch = run.stream.step(0, 1.0)
    before, after = preflight.check(run, batch, steps=steps)
    warning = preflight.verdict(before, after, steps)
    if warning is not None and run.facts["trained"] < run.facts["parameters"] and after < before:
        # So few weights need not take it all in.
        warning = f"preflight: {steps} steps on one batch, loss {before:.3f} to {after:.3f}"
    if progress is not None:
        progress.say(warning or f"preflight: one batch by heart, loss {before:.2f} to {after:.3f}")
        for leak in run.facts["leaks"]:
            progress.warn(0, "leak", leak)
    run.clock.seconds += time.perf_counter() - start
