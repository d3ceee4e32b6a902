"""`seesay demo`: train on the built-in world, measure, show."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import say, say_how_to_resume

if TYPE_CHECKING:
    from seesay.records import Example

# Pictures measured on, of each kind.
SEEN, HELD_OUT = 500, 300


def demo(
    *,
    out: Path = Path("runs/demo"),
    minutes: Annotated[float, Parameter(validator=Number(gt=0))] = 5.0,
    seed: int = 0,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    json: bool = False,
    quiet: bool = False,
) -> int | None:
    """Train a model from nothing on the built-in world, measure it, and show it.

    Args:
        out: The run's folder; a demo that stands there already is replaced.
        minutes: Minutes of training.
        seed: Seed of weights, pictures and their order.
        set_: Override one recipe value, as a.b=c. Repeat for each.
        json: Print the scores as one JSON object on standard output.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay import config
    from seesay import train as training
    from seesay.commands import measure
    from seesay.train import estimate, parallel

    table = config.load(config.shipped("demo"))
    settings = [f"train.minutes={minutes}", f"train.seed={seed}", *(set_ or ())]
    recipe = config.recipe(config.override(table, settings))
    estimate.check(recipe)  # before what stands there is gone
    parts = _tests(seed, resolution=recipe.resolution)
    _clear(out)
    try:
        run = training.train(
            recipe, out=out, quiet=quiet, sampler=lambda run: measure.sampler(run, parts[""])
        )
    except training.Interrupted:
        if parallel.talks():
            say_how_to_resume(out)
        return 130
    if run.ranks.first:
        measure.report(run, parts, json=json, quiet=quiet)
        _leave_pictures(out, parts[""])
        if not (quiet or json):
            _say_how_to_ask(out)
    return None


def _tests(seed: int, *, resolution: int = 64) -> "dict[str, list[Example]]":
    """Pictures never trained on: like those trained on, and with colour-shape pairs held out."""
    from seesay.config import SourceConfig
    from seesay.train import auto

    draw = partial(auto.drawn, SourceConfig(), seed=seed, resolution=resolution)
    held = draw(split="combinations", count=HELD_OUT)
    return {
        "": draw(split="test", count=SEEN),
        "held_out": [example for example in held if example.task == "vqa"],
    }


def _clear(out: Path) -> None:
    """Make room for a new demo: of what is there, only what a demo writes goes."""
    import shutil

    for name in ("checkpoints", "tensorboard"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("log.jsonl", "eval.json", "report.html"):
        (out / name).unlink(missing_ok=True)


def _leave_pictures(out: Path, examples: "list[Example]") -> None:
    """A few pictures to ask about."""
    import numpy as np
    from PIL import Image

    folder = out / "pictures"
    folder.mkdir(exist_ok=True)
    pictures = {example.group: example.images[0] for example in examples}
    for number, pixels in enumerate(list(pictures.values())[:4]):
        assert isinstance(pixels, np.ndarray)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def _say_how_to_ask(out: Path) -> None:
    place = shlex.quote(str(out))
    say(f"ask it yourself: seesay ask {place} {place}/pictures/0.png")
    say(f"  or: seesay ask {place} {place}/pictures/0.png 'how many things are there'")
