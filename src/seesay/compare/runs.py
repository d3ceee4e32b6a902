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
from typing import Any

from seesay import writing
from seesay.compare import cost
from seesay.compare.measuring import Measured, Yardstick
from seesay.compare.plan import Job
from seesay.errors import CheckpointError, SeesayError
from seesay.model import checkpoint

# What a run came to, in its folder.
RESULT = "compared.json"
# Lines of standard error that tell why a run failed.
TOLD = 6


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: its compute and its scores, or why it failed.

    compute: by name, what `cost.NAMES` has.
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
        taken = {name: stored["compute"][name] for name in cost.NAMES}
        return Outcome(job, taken, Measured.of(stored))
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
        made = Outcome(job, cost.compute(job.folder), yardstick.measure(job.folder))
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
        spent, settings = cost.clock(made), checkpoint.open_config(made)["recipe"]["train"]
    except CheckpointError:
        return False
    if "steps" in settings:
        return spent["step"] >= settings["steps"]
    return spent["seconds"] >= settings["minutes"] * 60


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
