"""Cost: what a run took, and what the runs took whose weights it began with."""

import json
from pathlib import Path
from typing import Any

from seesay import config
from seesay.errors import CheckpointError, SeesayError
from seesay.model import checkpoint
from seesay.train import history
from seesay.train.estimate import UNKNOWABLE, Estimate
from seesay.train.init import recipe_of, sources

# `tokens` are positions of text, `trained` the most parameters at once, `flops` None where they
# cannot be counted, `memory` the most bytes (None where no row was logged); `before_seconds` and
# `before_flops` what was spent on what it began with, None where that is not known.
NAMES = (
    "seconds",
    "steps",
    "pictures",
    "tokens",
    "parameters",
    "trained",
    "flops",
    "memory",
    "before_seconds",
    "before_flops",
)


def compute(folder: Path) -> dict[str, float | None]:
    """What a run took, from what it left, by the names of `NAMES`.

    Raises:
        CheckpointError: it left no whole state.
    """
    made = checkpoint.find(folder)
    spent = clock(made)
    rows = [row for row in history(folder) if "loss" in row]
    weights = checkpoint.open_tensors(made / checkpoint.WEIGHTS)
    seconds, flops = before(made)
    return {
        "seconds": spent["seconds"],
        "steps": spent["step"],
        "pictures": spent["pictures"],
        "tokens": spent["tokens"],
        "parameters": rows[-1]["parameters"] if rows else sum(w.numel() for w in weights.values()),
        "trained": max(row["trained"] for row in rows) if rows else None,
        "flops": _operations(made, spent),
        "memory": max((row["memory"] for row in rows if row.get("memory")), default=None),
        "before_seconds": seconds,
        "before_flops": flops,
    }


def clock(made: Path) -> dict[str, Any]:
    """How far the run of a checkpoint came: seconds, steps, pictures, tokens.

    Raises:
        CheckpointError: it does not say.
    """
    try:
        return json.loads((made / "resume" / "state.json").read_text(encoding="utf-8"))["clock"]
    except (OSError, ValueError, KeyError) as error:
        fix = "remove this folder: the same command trains it anew"
        what = f"how far it came cannot be read: {error}"
        raise CheckpointError(what, where=str(made), fix=fix) from None


def before(made: Path) -> tuple[float | None, float | None]:
    """Seconds and operations of the runs that a checkpoint began with or learned from, and of
    those that these began with: each once. None where one is not there, or not ours.
    """
    try:
        spent = [(clock(each), each) for each in _begun_with(made)]
    except SeesayError:
        return None, None
    flops = [_operations(each, spent_there) for spent_there, each in spent]
    known = [each for each in flops if each is not None]
    return sum(c["seconds"] for c, _ in spent), sum(known) if len(known) == len(flops) else None


def _begun_with(made: Path) -> list[Path]:
    """The checkpoints that one began with, near and far."""
    found: dict[Path, None] = {}
    left = [made]
    while left:
        recipe = recipe_of(left.pop())
        near = [source.folder for source in sources(recipe.model.init)]
        if recipe.train.teacher.run:
            near.append(checkpoint.find(recipe.train.teacher.run))
        new = [each for each in dict.fromkeys(p.resolve() for p in near) if each not in found]
        found |= dict.fromkeys(new)
        left += new
    return list(found)


def _operations(made: Path, spent: dict[str, Any]) -> int | None:
    stored = checkpoint.open_config(made)
    recipe = config.recipe(stored["recipe"])
    try:
        estimate = Estimate(recipe, vocabulary=stored["vocabulary"])
        looked = spent.get("looked") or spent["pictures"]
        return estimate.learning(pictures=looked, positions=spent["tokens"])
    except UNKNOWABLE:
        return None
