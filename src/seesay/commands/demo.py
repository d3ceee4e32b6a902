"""`seesay demo`: train on the built-in world, measure, show."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number


def demo(
    *,
    out: Path = Path("runs/demo"),
    minutes: Annotated[float, Parameter(validator=Number(gt=0))] = 5.0,
    seed: int = 0,
    json: bool = False,
    quiet: bool = False,
) -> int | None:
    """Train a model from nothing on the built-in world, measure it, and show it.

    Args:
        out: The run's folder.
        minutes: Minutes of training.
        seed: Seed of weights, pictures and their order.
        json: Print the scores as one JSON object on standard output.
        quiet: No progress on standard error, only warnings and errors.
    """
    raise NotImplementedError("demo")
