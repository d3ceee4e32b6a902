"""`seesay train`: train a model on a data set."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

Positive = Parameter(validator=Number(gt=0))


def train(
    *,
    data: str | None = None,
    dev: str | None = None,
    minutes: Annotated[float | None, Positive] = None,
    steps: Annotated[int | None, Positive] = None,
    out: Path | None = None,
    recipe: Path | None = None,
    resume: bool = False,
    columns: list[str] | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    seed: int | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int | None:
    """Train a model on your own pictures and text.

    Args:
        data: What to learn from: a folder of pictures (with .txt beside them, or one folder a
            class), or a CSV, TSV, JSONL or Parquet file with a picture column and text columns.
        dev: What to measure on, in the same layouts; without it, a part of --data is held out.
        minutes: Stop after this many minutes of training.
        steps: Stop after this many steps.
        out: The run's folder: checkpoint, log, report, and what --resume needs.
        recipe: A recipe (TOML) to start from; see recipes/.
        resume: Go on from the last state saved in --out.
        columns: Which column is which, as kind=name, where names do not say: --columns image=file
            --columns answer=label. Repeat for each.
        set_: Override one recipe value, as a.b=c. Repeat for each.
        seed: Seed of weights, data order and sampling.
        json: Print the scores as one JSON object on standard output.
        quiet: No progress on standard error, only warnings and errors.
    """
    raise NotImplementedError("train")
