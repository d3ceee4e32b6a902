"""`seesay train`: train a model on a data set."""

import itertools
from collections.abc import Callable
from json import dumps as quoted
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import Columns, mapped, say, say_how_to_resume, silent
from seesay.errors import CheckpointError, RecipeError

Positive = Parameter(validator=Number(gt=0))

# Where neither --dev nor the recipe names data to measure on, this share of the pictures is kept.
HELD_BACK = 0.05
# A run is measured on at most so many examples when it ends; `seesay eval` asks them all.
MEASURED = 2000


def train(
    *,
    data: str | None = None,
    dev: str | None = None,
    minutes: Annotated[float | None, Positive] = None,
    steps: Annotated[int | None, Positive] = None,
    out: Path | None = None,
    recipe: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    resume: bool = False,
    columns: Columns = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    seed: int | None = None,
    no_eval: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int | None:
    """Train a model on your own pictures and text.

    Args:
        data: What to learn from: a folder of pictures (with .txt beside them, or one folder a
            class), a CSV, TSV, JSON, JSONL or Parquet file with a picture column and text columns,
            annotations (COCO, RefCOCO, VQA, GQA, NLVR), a folder that `datasets` saved, tar shards
            ('train-*.tar'); or an address: 'https://…/{000..009}.tar', hf://datasets/owner/name.
        dev: What to measure on, in the same layouts; without it, a part of --data is held out.
        minutes: Stop after this many minutes of training. A run needs an end: this, --steps, or one
            in its recipe.
        steps: Stop after this many steps; where minutes are given too, steps decide.
        out: The run's folder: checkpoint, log, report, and what --resume needs. If not given, a new
            one: runs/001, runs/002 and so on.
        recipe: A recipe (TOML) to start from, or the name of one of `seesay recipes`.
        from_: A run or checkpoint to begin with: its weights, its tokenizer, and its architecture
            where the recipe says nothing else. Short for model.init.all.
        resume: Go on from the last state saved in --out.
        columns: Which column is which, where names do not say: --map image=file answer=label.
        set_: Override one recipe value, as a.b=c. Repeat for each.
        seed: Seed of weights, data order and sampling.
        no_eval: Do not measure the model when it is trained.
        json: Print the scores as one JSON object on standard output.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay import config
    from seesay.train import init, parallel

    if resume and out is None:
        fix = "say which run to go on with: --out and its folder"
        raise RecipeError("--resume without --out", where="--resume", fix=fix)
    if resume and from_ is not None:
        fix = "give --out alone: a run goes on from its own last state"
        raise RecipeError("--resume with --from", where="--from", fix=fix)
    out = out or _fresh(Path("runs"))
    table = _resumed(out) if resume else _begun(out, recipe)
    table = with_options(table, data=data, dev=dev, columns=columns)
    if minutes is not None and steps is None:
        table.get("train", {}).pop("steps", None)  # What is asked here counts, not the recipe's.
    settings = {"minutes": minutes, "steps": steps, "seed": seed}
    given = [f"train.{key}={value}" for key, value in settings.items() if value is not None]
    if from_ is not None:
        given.append(f"model.init.all={quoted(from_, ensure_ascii=False)}")
    table = config.override(table, [*given, *(set_ or ())])
    tell = silent if quiet or not parallel.talks() else say
    if not resume:
        table = init.inherit(table, say=tell)
    return _run(table, out, resume=resume, measured=not no_eval, json=json, quiet=quiet, say=tell)


def _run(
    table: dict[str, Any],
    out: Path,
    *,
    resume: bool,
    measured: bool,
    json: bool,
    quiet: bool,
    say: Callable[[str], None],
) -> int | None:
    """Read the data, train and measure, as a recipe's table says."""
    from seesay import train as training
    from seesay.commands import measure
    from seesay.data import store
    from seesay.evaluate import How
    from seesay.model import families
    from seesay.train import auto, parallel

    plan, examples = auto.settle(table, say=say)
    trained, held = auto.hold_back(plan, examples, share=HELD_BACK, say=say)
    known = auto.labelled(plan, trained)
    held = auto.readable(store.some(held, MEASURED, seed=plan.train.seed), say=say)
    try:
        run = training.train(
            plan,
            out=out,
            examples=trained,
            resume=resume,
            quiet=quiet,
            sampler=lambda run: measure.sampler(run, held),
        )
    except training.Interrupted:
        if parallel.talks():
            say_how_to_resume(out)
        return 130
    if not measured:
        return None
    if not families.words(plan.model):
        held = [example for example in held if example.task == "classify"] if known else []
    if run.ranks.first and held:
        measure.report(run, {"": held}, json=json, quiet=quiet, how=How(dev=known))
    elif run.ranks.first:
        say("not measured: the data has no classes that a model without words can be measured by")
    return None


def _fresh(folder: Path) -> Path:
    """The first of runs/001, runs/002 … that is not there yet."""
    return next(
        path for number in itertools.count(1) if not (path := folder / f"{number:03}").exists()
    )


def _resumed(out: Path) -> dict[str, Any]:
    """The recipe of the run in a folder."""
    from seesay import train as training
    from seesay.model import checkpoint

    return checkpoint.open_config(training.last(out))["recipe"]


def _begun(out: Path, recipe: str | None) -> dict[str, Any]:
    """The recipe of a new run, whose folder must hold none yet."""
    from seesay import catalogue, config

    if (out / "checkpoints").exists():
        raise CheckpointError(
            "this folder holds a run already",
            where=str(out),
            fix="go on with it by --resume, or give another --out",
        )
    return config.load(catalogue.find(recipe)) if recipe is not None else {}


def with_options(
    table: dict[str, Any], *, data: str | None, dev: str | None, columns: list[str] | None
) -> dict[str, Any]:
    """A recipe's table with what --data, --dev and --map say.

    Raises:
        RecipeError: nothing to train on, or columns of no data.
    """
    place = table.setdefault("data", {})
    if data is not None:
        named = mapped(columns)
        place["sources"] = [{"path": data, "columns": named}]
    elif columns:
        raise RecipeError("--map without --data", where="--map", fix="give --data too")
    elif "sources" not in place:
        raise RecipeError("nothing to train on", where="data", fix="give --data or --recipe")
    if dev is not None:
        place["dev"] = dev
    return table
