"""Small training runs for tests: pictures, recipes, runs here and in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from seesay import config
from seesay import train as training
from seesay.config import Recipe
from seesay.model import checkpoint
from seesay.train import Run, history, setup
from seesay.train.progress import Progress

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 160, 30),
    "blue": (30, 60, 220),
    "yellow": (230, 220, 40),
    "black": (10, 10, 10),
    "white": (245, 245, 245),
}

# Thousands of weights; a convolutional stem, so that batch normalisation's averages count too.
VISION = {
    "image_size": 16,
    "width": 16,
    "depth": 1,
    "num_heads": 2,
    "stem": "conv",
    "stem_widths": [8, 16],
    "stem_residuals": [0, 1],
}
PATCHES = {**VISION, "stem": "patch", "patch": 4, "stem_widths": [8], "stem_residuals": [0]}
TEXT = {"width": 16, "depth": 1, "num_heads": 2, "context": 96, "dropout": 0.1}
SCENES = {"path": "scenes", "objects": [1, 3], "questions": 3, "captions": 1}

# Runs a recipe in a process of its own: PROGRAM, the recipe as JSON, the folder, "resume" or "new".
PROGRAM = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from seesay import config, machine, train
from seesay.train import setup
setup.SCENES_READ = 20
machine.measure_matmul = lambda *args, **kwargs: 1e12
recipe = config.recipe(json.loads(sys.argv[1]))
resume = sys.argv[3] == "resume"
try:
    train.train(recipe, out=Path(sys.argv[2]), resume=resume, quiet=True, device="cpu")
except train.Interrupted:
    sys.exit(130)
"""


def pictures(folder: Path, count: int = 37) -> Path:
    """A folder of small pictures with a text of one to three words beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(COLOURS)
    for number in range(count):
        left, right = names[number % 6], names[number // 6 % 6]
        picture = Image.new("RGB", (16, 16), COLOURS[left])
        picture.paste(COLOURS[right], (8, number % 5, 16, 16))
        picture.save(folder / f"{number:03}.png")
        words = [left] if number % 3 == 0 else [left, "beside", right]
        (folder / f"{number:03}.txt").write_text(" ".join(words))
    return folder


def table(source: Path | str = "scenes", *, data=None, model=None, **train) -> dict:
    """A recipe as plain tables; `train` as in the recipe."""
    given = SCENES if str(source) == "scenes" else {"path": str(source)}
    small = {"steps": 12, "batch": 4, "preflight": 0, "log_every": 3, "save_every": 1e9}
    small["check_memory"] = False  # tests/train/test_estimate.py looks at it
    return {
        "model": {"vision": VISION, "connector": {"factor": 2}, "text": TEXT, **(model or {})},
        "data": {"sources": [given], "row_tokens": 96, "vocabulary": 320, **(data or {})},
        "train": {**small, "precision": "float32", **train},
    }


def recipe(source: Path | str = "scenes", **settings) -> Recipe:
    """The recipe that `table` describes."""
    return config.recipe(table(source, **settings))


def prepare(out: Path, settings: Recipe) -> Run:
    """A run ready for `fit`, on the CPU."""
    return setup.prepare(settings, out=out, device="cpu")


def train(out: Path, settings: Recipe, **options) -> Run:
    """A whole run in this process."""
    return training.train(settings, out=out, quiet=True, device="cpu", **options)


def fit(run: Run, *, resume: Path | None = None) -> Run:
    """`loop.fit` with its log."""
    progress = Progress(run.out, quiet=True)
    try:
        training.fit(run, progress, resume=resume)
    finally:
        progress.close()
    return run


def start(settings: dict, out: Path, how: str = "new", **options) -> subprocess.Popen:
    """A run in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(settings), str(out), how]
    return subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, **options)


def environment() -> dict[str, str]:
    """One thread, and no process that starts itself anew."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "SEESAY_NO_TUNABLES": "1"}


def finished(process: subprocess.Popen, code: int = 0) -> str:
    """Wait for its end; what it said on standard error."""
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == code, said
    return said


def state(out: Path) -> dict[str, torch.Tensor]:
    """Everything the run's last checkpoint holds: saved model, weights, optimisers, random state.

    By name; the clock without its seconds, and the log without its rates, are numbers too.
    """
    last = checkpoint.find(out)
    saved = checkpoint.open_tensors(last / "model.safetensors")
    held = checkpoint.open_tensors(last / "resume" / "state.safetensors")
    stored = json.loads((last / "resume" / "state.json").read_text())
    del stored["clock"]["seconds"]
    row, since, weights, counts = stored["clock"].pop("place")
    stored["clock"]["place"] = [row, since, *weights, *counts]
    numbers = {f"clock.{k}": torch.tensor(v) for k, v in stored["clock"].items()}
    numbers["average"] = torch.tensor(stored["average_count"])
    return {f"model.{k}": v for k, v in saved.items()} | held | numbers | logged(out)


def logged(out: Path) -> dict[str, torch.Tensor]:
    """The log's losses and what else does not depend on the time."""
    names = ("step", "progress", "loss", "gradient_norm", "rate", "pictures")
    rows = [row for row in history(out) if "loss" in row]
    return {f"log.{n}": torch.tensor([row[n] for row in rows], dtype=torch.double) for n in names}


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """Names whose tensors are not the same, bit for bit."""
    return [
        name
        for name in sorted(one.keys() | other.keys())
        if name not in one or name not in other or not torch.equal(one[name], other[name])
    ]
