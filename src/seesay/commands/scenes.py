"""`seesay scenes export`: pictures and text of the built-in world, as files."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import print_json, span

# As in scenes/world.py, which is too heavy to import for a --help; a test holds them equal.
Split = Literal["train", "dev", "test", "combinations", "questions"]
Language = Literal["en", "zh"]


def export(
    folder: Path,
    /,
    *,
    count: Annotated[int, Parameter(validator=Number(gte=1))] = 1000,
    split: list[Split] | None = None,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    resolution: Annotated[int, Parameter(validator=Number(gte=16, lte=4096))] = 64,
    language: Language = "en",
    objects: str = "1-6",
    frames: Annotated[int, Parameter(validator=Number(gte=0, lte=64))] = 0,
    json: bool = False,
) -> None:
    """Write pictures and text of the built-in world to a folder.

    Args:
        folder: The folder to write; it must be new or empty.
        count: Pictures to draw of each split.
        split: Which part of the world, train if not given; combinations has pairs of colour and
            shape that training never shows, questions has forms of question that it never asks.
            Repeat for several.
        seed: Which world: the same seed draws the same pictures on every machine.
        resolution: Width and height in pixels, 16 to 4096.
        language: English or Chinese.
        objects: Objects a picture, as a range or a number, at most 6.
        frames: Scenes that move, in so many frames each, 6 or more: folders of numbered pictures.
            They have at most 4 objects.
        json: Print what was written as one JSON object.
    """
    from seesay.scenes.export import export as write
    from seesay.scenes.world import World

    low, high = span(objects, option="--objects")
    worlds = [
        World(seed=seed, split=one, objects=(low, high), language=language)
        for one in split or ["train"]
    ]
    written = write(folder, worlds, count, resolution=resolution, frames=frames)
    if json:
        print_json(written)
    else:
        print(f"{folder}: " + ", ".join(f"{number} {what}" for what, number in written.items()))
