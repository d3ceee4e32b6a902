"""`seesay ask`: caption a picture, or answer a question about it."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number


def ask(
    run: str,
    picture: Path,
    question: str | None = None,
    /,
    *,
    beams: Annotated[int, Parameter(validator=Number(gte=1))] = 1,
    temperature: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
    top_p: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 1.0,
    max_tokens: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    seed: int = 0,
    json: bool = False,
) -> int | None:
    """Caption a picture, or answer a question about it.

    Args:
        run: A run's folder or a checkpoint folder.
        picture: The picture file.
        question: What to ask; without it, the model captions.
        beams: Beams to search with; 1 is greedy.
        temperature: Above 0, sample instead, the more freely the higher.
        top_p: When sampling, only among the likeliest tokens that make up this probability.
        max_tokens: Longest answer, in tokens; by default what the model's context has room for.
        seed: Seed of the sampling.
        json: Print the answer and its probabilities as one JSON object.
    """
    raise NotImplementedError("ask")
