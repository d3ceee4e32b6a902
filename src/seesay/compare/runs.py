"""Runs: one of a comparison trained in a process of its own, and what it came to."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seesay import writing
from seesay.compare.measuring import Measured, Yardstick
from seesay.compare.plan import Job
from seesay.errors import CheckpointError, SeesayError
from seesay.model import checkpoint
from seesay.train import history
from seesay.train.estimate import UNKNOWABLE, Estimate

# What a run came to, in its folder.
RESULT = "compared.json"
# Lines of standard error that tell why a run failed.
TOLD = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: its compute and its scores, or why it failed.

    compute: `seconds`, `steps`, `pictures`, `tokens` (positions of text), `parameters`, `trained`
    (most of them at once), `flops` (None where they cannot be counted), `memory` (most bytes; None
    where no row was logged).
    """

    job: Job
    compute: dict[str, float | None] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    failed: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        known = {
            "recipe": self.job.contender.name,
            "budget": str(self.job.budget),
            "seed": self.job.seed,
            "folder": str(self.job.folder),
        }
        if self.failed:
            return known | {"failed": self.failed}
        return known | {"compute": self.compute, **self.measured.as_dict()}


def known(job: Job, yardstick: Yardstick) -> Outcome | None:
    """A finished run's outcome, where it was measured on these examples."""
    try:
        stored = json.loads((job.folder / RESULT).read_text(encoding="utf-8"))
        if stored["examples"] != yardstick.digest:
            return None
        return Outcome(job, stored["compute"], Measured.of(stored))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run(job: Job, yardstick: Yardstick) -> Outcome:
    """Train what is not trained yet, measure it, and keep what it came to.

    A run that was stopped goes on where it stood, as does one that failed and has saved.
    """
    # Of a run that failed once it was trained, only its own scores are missing: here are others.
    if not trained(job) and (why := train(job)) and not trained(job):
        return Outcome(job, failed=why)
    try:
        made = Outcome(job, compute(job.folder), yardstick.measure(job.folder))
    except SeesayError as error:
        return Outcome(job, failed=str(error))
    stored = made.as_dict() | {"examples": yardstick.digest}
    writing.replace(job.folder / RESULT, json.dumps(stored, indent=2, allow_nan=False))
    return made


# Training.


def trained(job: Job) -> bool:
    """Whether a run has come to its end."""
    try:
        made = checkpoint.find(job.folder)
        clock, settings = _clock(made), checkpoint.open_config(made)["recipe"]["train"]
    except CheckpointError:
        return False
    if "steps" in settings:
        return clock["step"] >= settings["steps"]
    return clock["seconds"] >= settings["minutes"] * 60


def command(job: Job) -> list[str]:
    """What trains a run, or goes on with it."""
    # All are measured alike, on other examples than their own.
    out = ["--out", str(job.folder), "--quiet", "--no-eval"]
    begin = ["--recipe", str(job.recipe), "--seed", str(job.seed)]
    try:
        checkpoint.find(job.folder)
        begin = ["--resume"]
    except CheckpointError:  # Stopped before it saved at all, or not begun.
        shutil.rmtree(job.folder, ignore_errors=True)
    return [sys.executable, "-m", "seesay", "train", *begin, *out]


def train(job: Job) -> str:
    """Train a run to its end; why it failed, where it did.

    Raises:
        KeyboardInterrupt: it was stopped, and has saved if it had begun.
    """
    with _stoppable():
        process = subprocess.Popen(
            command(job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        try:
            _, said = process.communicate()
        except BaseException:
            _stop(process)
            raise
    if process.returncode in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    return _why(process.returncode, said) if process.returncode else ""


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Being ended is as Ctrl-C: no run may be left behind that nobody waits for."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(process: "subprocess.Popen[str]") -> None:
    """Let it save; a second Ctrl-C ends it at once."""
    # Ctrl-C has reached it too, and of two it would not save.
    process.terminate()
    try:
        process.communicate()
    finally:
        process.kill()


def _why(code: int, said: str) -> str:
    """What it said last, and of what kind its end was."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name} (was there too little memory?)"
    _, mark, told = f"\n{said}".rpartition("\nseesay: ")
    lines = (told if mark else said).strip().splitlines()
    return "\n".join(lines[:TOLD] if mark else lines[-TOLD:]) or f"exit code {code}"


# What it took.


def compute(folder: Path) -> dict[str, float | None]:
    """What a run took, from what it left.

    Raises:
        CheckpointError: it left no whole state.
    """
    made = checkpoint.find(folder)
    clock = _clock(made)
    rows = [row for row in history(folder) if "loss" in row]
    weights = checkpoint.open_tensors(made / checkpoint.WEIGHTS)
    return {
        "seconds": clock["seconds"],
        "steps": clock["step"],
        "pictures": clock["pictures"],
        "tokens": clock["tokens"],
        "parameters": rows[-1]["parameters"] if rows else sum(w.numel() for w in weights.values()),
        "trained": max(row["trained"] for row in rows) if rows else None,
        "flops": _operations(made, pictures=clock["pictures"], positions=clock["tokens"]),
        "memory": max((row["memory"] for row in rows if row.get("memory")), default=None),
    }


def _clock(made: Path) -> dict[str, Any]:
    try:
        return json.loads((made / "resume" / "state.json").read_text(encoding="utf-8"))["clock"]
    except (OSError, ValueError, KeyError) as error:
        fix = "remove this folder: the same command trains it anew"
        what = f"how far it came cannot be read: {error}"
        raise CheckpointError(what, where=str(made), fix=fix) from None


def _operations(made: Path, *, pictures: int, positions: int) -> int | None:
    from seesay import config

    stored = checkpoint.open_config(made)
    recipe = config.recipe(stored["recipe"])
    try:
        estimate = Estimate(recipe, vocabulary=stored["vocabulary"])
        return estimate.learning(pictures=pictures, positions=positions)
    except UNKNOWABLE:
        return None
