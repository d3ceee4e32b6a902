"""`seesay scenes export`: pictures and text of the built-in world, as files."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import print_json, span


def export(
    folder: Path,
    /,
    *,
    count: Annotated[int, Parameter(validator=Number(gte=1))] = 1000,
    split: Literal["train", "dev", "test", "combinations", "questions"] = "train",
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    resolution: Annotated[int, Parameter(validator=Number(gte=8, lte=4096))] = 64,
    language: Literal["en", "zh"] = "en",
    objects: str = "1-6",
    json: bool = False,
) -> None:
    """Write pictures and text of the built-in world to a folder.

    Args:
        folder: The folder to write; it must be new or empty.
        count: Pictures to draw.
        split: Which part of the world; combinations has pairs of colour and shape that training
            never shows, questions has forms of question that it never asks.
        seed: Which world: the same seed draws the same pictures on every machine.
        resolution: Width and height in pixels.
        language: English or Chinese.
        objects: Objects a picture, as a range or a number.
        json: Print what was written as one JSON object.
    """
    from seesay.scenes.export import export as write
    from seesay.scenes.world import World

    low_high = span(objects, option="--objects")
    world = World(seed=seed, split=split, objects=low_high, language=language)
    written = write(world, folder, count=count, resolution=resolution)
    if json:
        print_json(written)
    else:
        print(written)
