"""What a recipe leaves open, settled by looking at the data: picture size, what to measure on."""

import contextlib
import math
import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from seesay import config
from seesay.config import Recipe
from seesay.data import images, sources, video
from seesay.data.clusters import Clusters
from seesay.data.groups import mark
from seesay.data.store import chosen, evenly
from seesay.errors import DataError, PictureError, RecipeError
from seesay.model import families
from seesay.records import Clip, Example, Frame, Picture, Within, identity
from seesay.train import setup

# Pictures are brought to sides that are multiples of this, and to at most so many pixels.
STEP, MOST_PIXELS = 16, 96 * 96
# Drawn pictures with classes, for nearest neighbours and a linear probe.
LABELLED = 1000
# Pictures whose sizes are looked at.
LOOKED = 200


def settle(
    table: dict[str, Any], *, say: Callable[[str], None]
) -> tuple[Recipe, list[Sequence[Example]]]:
    """A checked recipe and the examples of each of its sources (none for drawn ones).

    The picture size is taken from the data where the recipe does not give one.
    """
    train = config.recipe(table).train
    if train.minutes is None and train.steps is None:
        raise RecipeError(
            "no end is set", where="train", fix="give --minutes or --steps (train.minutes)"
        )
    return look(table, say=say)


def look(
    table: dict[str, Any], *, say: Callable[[str], None]
) -> tuple[Recipe, list[Sequence[Example]]]:
    """`settle`, for a recipe that nothing is trained by: it needs no end."""
    recipe = config.recipe(table)
    given = [_read(source, recipe, say) for source in recipe.data.sources]
    some = [example for examples in given for example in evenly(examples, LOOKED)]
    sized = recipe.data.native or "image_size" in table.get("model", {}).get("vision", {})
    if some and not sized:
        vision = replace(recipe.model.vision, image_size=picture_size(some))
        recipe = replace(recipe, model=replace(recipe.model, vision=vision))
        height, width = vision.size
        say(f"pictures are brought to {width}×{height} pixels (model.vision.image_size)")
    return recipe, given


def _read(
    source: config.SourceConfig, recipe: Recipe, say: Callable[[str], None]
) -> Sequence[Example]:
    if source.path == "scenes":
        return []
    found = setup.source(source, recipe, say=say)
    say(found.summary)
    for broken in found.broken[:5]:
        say(f"  left out: {broken.origin}: {broken.why}")
    return found.examples


def picture_size(examples: Sequence[Example]) -> tuple[int, int]:
    """(height, width) for pictures like these: their median shape, in steps, not too large."""
    some = examples[:: max(1, len(examples) // LOOKED)]
    sizes = []
    for example in some:
        for picture, *_ in video.runs(example.images):
            with contextlib.suppress(PictureError):
                width, height = images.load(picture).size
                sizes.append((height, width))
    if not sizes:
        raise DataError(
            f"none of {len(some)} pictures looked at can be read",
            where=str(some[0].origin),
            fix="run `seesay data check` on the data",
        )
    height, width = np.median(np.array(sizes), axis=0)
    shrink = min(1.0, math.sqrt(MOST_PIXELS / (height * width)))
    return tuple(max(2, round(side * shrink / STEP)) * STEP for side in (height, width))  # type: ignore[return-value]


def readable(examples: Sequence[Example], *, say: Callable[[str], None]) -> list[Example]:
    """The examples whose pictures decode, so that measuring does not fail after the training."""
    why: dict[object, str] = {}
    kept = []
    for example in examples:
        several = {tuple(map(_key, run)): run for run in video.runs(example.images)}
        for key, run in several.items():
            if key not in why:
                why[key] = _why_not(run)
                if why[key]:
                    say(f"  not measured on: {why[key]}")
        if not any(why[key] for key in several):
            kept.append(example)
    if not kept:
        raise DataError(
            f"none of the {len(examples)} examples to measure on has pictures that can be read",
            where=str(examples[0].origin) if examples else "",
            fix="run `seesay data check` on the data",
        )
    return kept


def _why_not(pictures: Sequence[Picture]) -> str:
    try:
        for picture in video.decoded(pictures):
            images.load(picture)
    except PictureError as error:
        return str(error).splitlines()[0]
    return ""


def hold_back(
    recipe: Recipe, given: Sequence[Sequence[Example]], *, share: float, say: Callable[[str], None]
) -> tuple[list[Sequence[Example]], Sequence[Example]]:
    """The examples to train on, and those to measure on.

    Those of `data.dev` where it is named; else a share of the pictures of each file source, never
    one picture on both sides; of drawn pictures, the split `dev`. A family without words is
    measured on classes.
    """
    if recipe.data.dev is not None and recipe.data.dev != "scenes":
        # It is written as what is learned from.
        columns = next((s.columns for s in recipe.data.sources if s.columns), None)
        files = [s for s in recipe.data.sources if s.path != "scenes"]
        found = sources.read(
            recipe.data.dev,
            columns=columns or None,
            limit_broken=recipe.data.limit_broken,
            footage=recipe.data.video,
            say=say,
        )
        say(f"to measure on: {found.summary}")
        dev = setup.told_in(files[0], found.examples) if files else found.examples
        return list(given), dev
    kept: list[Sequence[Example]] = []
    held: list[Example] = []
    sides: dict[int, bool] = {}
    for source, examples, marks in zip(recipe.data.sources, given, _apart(given), strict=True):
        if source.path == "scenes":
            draw = drawn if families.words(recipe.model) else drawn_classes
            held += draw(source, seed=recipe.train.seed, resolution=recipe.resolution)
            kept.append([])
            continue
        _choose(marks, share, recipe.train.seed, sides=sides, where=source.path)
        apart = np.fromiter((sides[mark] for mark in marks), bool, len(marks))
        kept.append(chosen(examples, np.flatnonzero(~apart)))
        held += chosen(examples, np.flatnonzero(apart))
    say(f"to measure on: {len(held)} examples held back (data.dev)")
    return kept, held


def _choose(
    marks: Sequence[int], share: float, seed: int, *, sides: dict[int, bool], where: str
) -> None:
    """Say of each mark that no earlier source has whether it is held back."""
    if len(set(marks)) < 2:
        raise DataError(
            f"{len(set(marks))} picture is too few to train and to measure on",
            where=where,
            fix="give more pictures, or --dev",
        )
    new = sorted(set(marks) - sides.keys())
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(new))
    count = max(1, round(share * len(new)))
    sides |= {new[place]: rank < count for rank, place in enumerate(order)}


def _apart(given: Sequence[Sequence[Example]]) -> list[Sequence[int]]:
    """A mark for each example of each source: the same where two have a picture in common."""
    numbers: dict[object, int] = {}
    clusters = Clusters()

    def marked(example: Example) -> int:
        keys = [_key(picture) for picture in example.images]
        for key in keys:
            if key not in numbers:
                numbers[key] = clusters.add()
        return clusters.join(numbers[key] for key in keys)

    first = [array("q", map(marked, examples)) for examples in given]
    return [array("q", map(clusters.first, marks)) for marks in first]


def _key(picture: Picture) -> object:
    """What tells a picture from others, whichever way a table names it."""
    if isinstance(picture, Clip):
        return tuple(_key(frame) for frame in picture.frames)
    if isinstance(picture, Frame):
        return _key(picture.source), picture.at
    if isinstance(picture, Path):
        return _real(picture)
    return mark(picture.digest) if isinstance(picture, Within) else identity(picture)


@lru_cache(maxsize=100_000)
def _real(path: Path) -> int:
    return mark(os.path.realpath(path))


def drawn(
    source: config.SourceConfig,
    *,
    seed: int,
    split: str = "dev",
    count: int = 200,
    resolution: int = config.DRAWN,
) -> list[Example]:
    """Drawn examples of a split: captions, questions and pairs on `count` pictures, and things
    with made-up names where these are learned; nothing else where nothing else is. Of boxes side by
    side, statements; of grids, questions; of scenes that move, captions and questions on as many
    films.
    """
    from seesay import scenes

    world = scenes.World(seed=seed, split=split, objects=source.objects, language=source.language)
    made: list[Example] = []
    if source.frames:
        films = (
            scenes.moving(world, index, resolution=resolution, frames=source.frames)
            for index in range(count)
        )
        return [example for several in films for example in several]
    for index in range(count):
        if source.panels:
            made += scenes.judged(
                world, index, boxes=source.panels, statements=6, height=resolution
            )
            continue
        if source.grid:
            made += scenes.asked(world, index, side=source.grid, questions=6, height=resolution)
            continue
        if source.bind < 1 or not source.shots[0]:
            made += scenes.examples(world, index, questions=6, captions=1, resolution=resolution)
            made += scenes.matches(world, index, n=2, resolution=resolution)
        if source.bind:
            shots = source.shots[1]
            made.append(scenes.bound(world, index, shots=shots, resolution=resolution))
    return [scenes.told(e, language=source.language) for e in made] if source.told else made


def drawn_classes(
    source: config.SourceConfig,
    *,
    seed: int,
    split: str = "dev",
    count: int = 500,
    resolution: int = config.DRAWN,
) -> list[Example]:
    """Drawn examples of a split: the shape and the colour of the one thing on `count` pictures."""
    from seesay import scenes

    world = scenes.World(seed=seed, split=split, language=source.language)
    several = (scenes.classes(world, i, resolution=resolution) for i in range(count))
    return [example for examples in several for example in examples]


def labelled(recipe: Recipe, trained: Sequence[Sequence[Example]]) -> list[Example]:
    """Classes known of pictures trained on: what a family without words can be measured by."""
    if families.words(recipe.model):
        return []
    found = [example for several in trained for example in several if example.task == "classify"]
    drawn = next((s for s in recipe.data.sources if s.path == "scenes"), None)
    how = {"seed": recipe.train.seed, "resolution": recipe.resolution}
    return found + (labels_of_scenes(drawn, **how) if drawn else [])


def labels_of_scenes(
    source: config.SourceConfig, *, seed: int, resolution: int = config.DRAWN
) -> list[Example]:
    """Labelled pictures to tell drawn ones by, none of which is measured on."""
    return drawn_classes(source, seed=seed, split="train", count=LABELLED, resolution=resolution)
