"""Progress: a live line on the terminal, rows of JSON in a log, TensorBoard if wanted."""

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from seesay.errors import RecipeError, TrainingError


def duration(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def line(row: Mapping[str, Any]) -> str:
    """One log row as a person reads it."""
    parts = [
        f"{row['progress']:4.0%}",
        f"step {row['step']}",
        f"loss {row['loss']:.3f}",
        f"{row['pictures_per_second']:.0f} pictures/s",
        f"{row['tokens_per_second'] / 1000:.1f}k tokens/s",
        f"waiting {row['waiting']:.0%}",
    ]
    if row.get("peak_share"):
        parts.append(f"{row['peak_share']:.0%} of peak")
    if row.get("left") is not None:
        parts.append(f"{duration(row['left'])} left")
    return "  ".join(parts)


class Progress:
    """Where training says how it goes. Rows are appended to `log.jsonl` as they come."""

    def __init__(
        self, folder: Path, *, quiet: bool = False, tensorboard: bool = False, resumed: int = 0
    ) -> None:
        self.board = _tensorboard(folder) if tensorboard else None
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.quiet = folder / "log.jsonl", quiet
        self.live = sys.stderr.isatty() and not quiet
        _cut(self.path, resumed)
        self.file: TextIO = self.path.open("a", encoding="utf-8")

    def row(self, row: Mapping[str, Any]) -> None:
        """Log a row of numbers."""
        self._write(row)
        if self.board is not None:
            for name, value in row.items():
                if isinstance(value, int | float) and name != "step":
                    self.board.add_scalar(name, value, row["step"])
        if self.live:
            sys.stderr.write("\r\x1b[2K" + line(row))
            sys.stderr.flush()
        elif not self.quiet:
            print(line(row), file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Say a line without losing the live one."""
        if self.quiet:
            return
        print(("\r\x1b[2K" if self.live else "") + text, file=sys.stderr, flush=True)

    def warn(self, step: int, name: str, text: str) -> None:
        """Log what may be wrong, and say it, quiet or not."""
        self._write({"step": step, "warning": name, "said": text})
        print(("\r\x1b[2K" if self.live else "") + text, file=sys.stderr, flush=True)

    def sample(self, step: int, sample: Mapping[str, str]) -> None:
        """Log what the model says now."""
        self._write({"step": step, "sample": dict(sample)})
        mark = "=" if sample["answer"] == sample["truth"] else "≠"
        asked = sample["question"] or "(caption)"
        self.say(f"    {asked} → {sample['answer']} {mark} {sample['truth']}")

    def close(self) -> None:
        """Close the files."""
        if self.live:
            sys.stderr.write("\n")
        with contextlib.suppress(OSError):  # Of a full disk, `_write` has told.
            self.file.close()
        if self.board is not None:
            self.board.close()

    def _write(self, row: Mapping[str, Any]) -> None:
        try:
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()
        except OSError as error:
            raise TrainingError(
                f"the log could not be written: {error}",
                where=str(self.path),
                fix="free some disk, then go on with --resume: the last good checkpoint is there",
            ) from error


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's log; a last line cut short by a kill is left out."""
    rows = []
    path = folder / "log.jsonl"
    if not path.exists():
        return rows
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(text))
        except ValueError:
            continue
    return rows


def _cut(path: Path, step: int) -> None:
    """Drop rows past the step a run goes on from, so that no step stands twice."""
    rows = [row for row in history(path.parent) if row.get("step", 0) <= step and step]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _tensorboard(folder: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise RecipeError(
            "TensorBoard is not installed",
            where="train.tensorboard",
            fix="pip install 'seesay[tensorboard]'",
        ) from None
    return SummaryWriter(str(folder / "tensorboard"))
