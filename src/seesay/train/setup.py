"""Setting a run up: data, tokenizer, model and machine, from a recipe."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from seesay import machine
from seesay.config import Recipe, SourceConfig, StageConfig
from seesay.data import boxes
from seesay.data import sources as files
from seesay.data.augment import Augment
from seesay.data.fit import Fit
from seesay.data.rows import FileRows, SceneRows
from seesay.data.shots import ShotRows
from seesay.data.store import evenly, some
from seesay.data.stream import Stream
from seesay.data.text import Text, learn
from seesay.errors import RecipeError
from seesay.model import adapt, families
from seesay.model.contract import Model
from seesay.model.parts import patch_grid
from seesay.records import Example
from seesay.sight import square
from seesay.train import init, losses, parallel, self_distillation, teacher
from seesay.train.loop import Run
from seesay.train.parts import Parts

# Drawn pictures whose texts a tokenizer is trained on: every word comes up many times.
SCENES_READ = 2000
# Of files, examples whose words a tokenizer is learned from.
TEXTS_READ = 200_000
# Kinds of drawn questions whose answers are in one place of the picture.
LOCATED = ("ground", "refer")


def prepare(
    recipe: Recipe,
    *,
    out: Path,
    examples: Sequence[Sequence[Example]] | None = None,
    text: Text | None = None,
    resume: bool = False,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """A run ready for `fit`.

    Args:
        examples: of each file source, in the recipe's order, where they are read already.
        text: the tokenizer of the checkpoint gone on from; where None, that of the checkpoint the
            first weights come from (`model.init`) or that of the teacher, or else one learned from
            the data.
        resume: the weights come from where the run stood.
    """
    _check_drawn(recipe)
    _check_regions(recipe)
    ranks = parallel.join()
    torch.manual_seed(recipe.train.seed)
    given = list(examples) if examples is not None else read(recipe)
    _check_boxes(recipe, given)
    text = text or tokenizer(recipe, given)
    place = machine.device(device)
    dtype = machine.precision(place, wish=WISHES[recipe.train.precision])
    model = families.build(recipe.model, vocabulary=len(text), picture_token=text.picture)
    given_fit = fit(recipe, model)
    losses.check(recipe.train.objectives, model.can, family=recipe.model.family)
    if resume:
        adapt.apply(model, recipe.train.tune)
    else:
        init.begin(model, recipe, say=say)
    fused = recipe.train.fused
    run = Run(
        recipe=recipe,
        out=out,
        text=text,
        stream=stream(recipe, given, text, given_fit, ranks, say=say),
        model=model.to(place),
        device=place,
        dtype=dtype,
        # On CPUs, attention written out was measured to be the faster one at these lengths.
        fused=place.type != "cpu" if fused is None else fused,
        ranks=ranks,
    )
    run.teacher = teacher.prepare(recipe, run.model, text)
    run.self_teacher = self_distillation.begin(run.model, recipe)
    parts = Parts(run.model, recipe.train)
    run.facts |= {"parameters": parts.total, "trained": parts.trained}
    run.facts["machine"] = machine.describe().cpu
    with contextlib.suppress(RuntimeError):
        run.facts["peak_flops"] = machine.measure_matmul(place, dtype, seconds=0.2)
    say(describe(run))
    return run


def tokenizer(recipe: Recipe, examples: Sequence[Sequence[Example]]) -> Text:
    """That of the checkpoint that first weights come from, or that of the teacher, or else one
    learned from the data.
    """
    return init.text(recipe) or teacher.text(recipe) or learn_text(recipe, examples)


def fit(recipe: Recipe, model: Model) -> Fit:
    """What the recipe's model takes in, and what is labelled for it."""
    named, regions = _taught(recipe, "patch"), recipe.model.vision.regions
    asked = recipe.train.objectives.keys()
    spoken, claimed = bool(losses.SPOKEN & asked), bool(losses.CLAIMED & asked)
    return Fit.of(
        recipe.data,
        **families.taken(recipe.model, native=recipe.data.native),
        patches=_labelled(recipe) if named and not regions else None,
        about=_taught(recipe, "object"),
        located=bool(recipe.train.box_weight),
        spoken=spoken,
        claimed=claimed,
        # What is held against pictures, or filled in, has a row to itself.
        packed=recipe.data.pack and model.packs and asked <= {"caption"},
        interleaved=model.interleaves,
        instructed=model.instructed,
        regions=regions,
        things=named and bool(regions),
        pool=recipe.model.time.pool,
    )


def _labelled(recipe: Recipe) -> tuple[int, int]:
    """The grid of patches that are labelled, of what is looked at at once."""
    if not recipe.data.native:
        return patch_grid(recipe.model.vision)
    side = square(recipe.model) // recipe.model.vision.patch_side
    return side, side


def _taught(recipe: Recipe, kind: str) -> bool:
    """Whether the classes of patches, or of objects, are taught too: only drawn ones are known."""
    if not getattr(recipe.train, f"{kind}_weight"):
        return False
    from seesay import scenes

    boxed = any(source.panels for source in recipe.data.sources)
    if kind == "patch" and not recipe.model.vision.regions:
        drawn, things = scenes.PANEL_CLASSES if boxed else scenes.PATCH_CLASSES, "patches"
    else:
        drawn, things = scenes.PANEL_OBJECTS if boxed else scenes.OBJECT_CLASSES, "objects"
    classes = getattr(recipe.model, f"{kind}_classes")
    if classes != drawn:
        raise RecipeError(
            f"{kind}_classes are {classes}, but drawn ones have {drawn}",
            where=f"model.{kind}_classes",
            fix=f"write {kind}_classes = {list(drawn)}",
        )
    if not any(source.path == "scenes" for source in recipe.data.sources):
        raise RecipeError(
            f"no source says what its {things} are: only drawn pictures do",
            where=f"train.{kind}_weight",
            fix="set it to 0, or add the source `scenes`",
        )
    if kind == "object" and recipe.model.num_objects != scenes.MOST_ABOUT:
        raise RecipeError(
            f"num_objects is {recipe.model.num_objects}, but drawn questions are about "
            f"{scenes.MOST_ABOUT} at most",
            where="model.num_objects",
            fix=f"write num_objects = {scenes.MOST_ABOUT}",
        )
    return True


def _check_boxes(recipe: Recipe, given: Sequence[Sequence[Example]]) -> None:
    """See that there are boxes to learn, told beside words."""
    weight, data = recipe.train.box_weight, recipe.data
    if not weight:
        return
    if "caption" not in recipe.train.objectives:
        raise RecipeError(
            f"box_weight is {weight}, but boxes are told where answers begin, and no answers are "
            "learned",
            where="train.box_weight",
            fix="set it to 0, or learn by 'caption' too (train.objectives)",
        )
    pairs = zip(data.sources, given, strict=True)
    if not any(_has_boxes(*pair, data.stages) for pair in pairs):
        raise RecipeError(
            "no source says where its answers are: questions of drawn pictures of the kinds "
            f"{' and '.join(LOCATED)} do, and answers that are boxes",
            where="train.box_weight",
            fix="set it to 0, or add the source `scenes` with kinds = {ground = 1}",
        )


def _has_boxes(
    source: SourceConfig, examples: Sequence[Example], stages: Sequence[StageConfig]
) -> bool:
    if source.shots[0]:
        return False  # Behind shots, none is told.
    if source.path != "scenes":
        return any(boxes.sides(example) for example in examples)
    # Where no kinds are named, all but `ground` are asked.
    kinds = [source.kinds, *(stage.kinds for stage in stages if stage.kinds is not None)]
    asked = any(own is None or any(own.get(kind) for kind in LOCATED) for own in kinds)
    return asked and source.pictures


def _check_drawn(recipe: Recipe) -> None:
    """Drawn pictures are square: brought to another shape, all must be there that words say."""
    (height, width), fit = recipe.picture_size, recipe.data.fit
    if height == width or not any(source.path == "scenes" for source in recipe.data.sources):
        return
    if fit == "crop" or (fit == "pad" and recipe.train.patch_weight):
        lost = "cuts off things that words tell of" if fit == "crop" else "moves named patches"
        raise RecipeError(
            f"drawn pictures are square, and '{fit}' to {height}×{width} {lost}",
            where="data.fit",
            fix="write fit = 'stretch', or make model.vision.image_size square",
        )


def _check_regions(recipe: Recipe) -> None:
    """Boxes are shares of a whole picture."""
    if not recipe.model.vision.regions:
        return
    if recipe.data.fit == "crop":
        raise RecipeError(
            "'crop' cuts off things that boxes of regions are around",
            where="data.fit",
            fix="write fit = 'stretch' or 'pad'",
        )
    if recipe.data.chosen or recipe.data.grid != (1, 1):
        raise RecipeError(
            f"pictures are cut into {recipe.data.tiles} tiles, and regions are of the whole",
            where="data.tiles",
            fix="write tiles = 1",
        )


# What a recipe calls precisions, as `machine.precision` does.
WISHES = {"auto": "auto", "float32": "fp32", "bfloat16": "bf16"}


def read(recipe: Recipe) -> list[Sequence[Example]]:
    """The examples of each source; none for drawn ones."""
    return [
        [] if each.path == "scenes" else source(each, recipe).examples
        for each in recipe.data.sources
    ]


def told_in(source: SourceConfig, examples: Sequence[Example]) -> Sequence[Example]:
    """A source's examples with boxes in thousandths, whatever its texts say them in."""
    return boxes.in_thousandths(examples) if source.boxes == "pixels" else examples


def source(
    config: SourceConfig, recipe: Recipe, *, say: Callable[[str], None] = lambda text: None
) -> files.Source:
    """What a source of files holds, and of that, as many examples as it may give."""
    found = files.read(
        config.path,
        columns=config.columns or None,
        limit_broken=recipe.data.limit_broken,
        footage=recipe.data.video,
        say=say,
    )
    kept = some(found.examples, config.limit, seed=recipe.train.seed)
    return replace(found, examples=told_in(config, kept))


def learn_text(
    recipe: Recipe, examples: Sequence[Sequence[Example]], *, drawn: int | None = None
) -> Text:
    """A tokenizer trained on the data's own words; of scenes, on those of so many pictures.

    Of none, for a family without words.
    """
    if not families.words(recipe.model):
        return learn((), kind="character")
    texts: list[str] = []
    for source, given in zip(recipe.data.sources, examples, strict=True):
        texts += _texts(evenly(given, TEXTS_READ))
        if source.path == "scenes":
            from seesay import scenes

            world = scenes.World(seed=recipe.train.seed, language=source.language)
            draw = scenes.moving if source.frames else scenes.examples
            for index in range(SCENES_READ if drawn is None else drawn):
                if source.panels:
                    texts += _texts(scenes.judged(world, index, statements=8, captions=1))
                elif source.grid:
                    texts += _texts(scenes.asked(world, index, questions=8, captions=1))
                else:
                    texts += _texts(draw(world, index, questions=8, captions=2, resolution=16))
            for index in range(SCENES_READ if source.bind else 0):
                texts += _texts([scenes.bound(world, index, shots=0, resolution=16)])
    return learn(texts, kind=recipe.data.tokenizer, vocabulary=recipe.data.vocabulary)


def _texts(examples: Iterable[Example]) -> list[str]:
    found: list[str] = []
    for example in examples:
        found += [text for t in example.turns for text in (t.reasoning, t.text) if text]
        found += example.options if example.task == "match" else ()
    return found


def stream(
    recipe: Recipe,
    examples: Sequence[Sequence[Example]],
    text: Text,
    fit: Fit,
    ranks: parallel.Ranks,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Stream:
    """The batches of a recipe's sources, of which file sources have these examples."""
    data, seed = recipe.data, recipe.train.seed
    rows = [
        SceneRows(source, text=text, fit=fit, seed=seed)
        if source.path == "scenes"
        else FileRows(
            given,
            text=text,
            fit=fit,
            seed=seed,
            augment=Augment.of(data),
            reasoning=source.reasoning,
            mixed=data.captions,
            say=say,
        )
        for source, given in zip(data.sources, examples, strict=True)
    ]
    rows = [_with_shots(*each, fit) for each in zip(rows, data.sources, strict=True)]
    return Stream(
        rows,
        config=data,
        text=text,
        fit=fit,
        batch=recipe.train.batch,
        rank=ranks.rank,
        ranks=ranks.total,
    )


def _with_shots(
    rows: SceneRows | FileRows, source: SourceConfig, fit: Fit
) -> SceneRows | FileRows | ShotRows:
    """A source's rows, some behind shots where it asks for that."""
    if not source.shots[1]:
        return rows
    if not (fit.interleaved and fit.spoken):
        raise RecipeError(
            f"{source.shots[1]} shots are asked for, but this model reads no pictures among words",
            where="data.sources",
            fix="leave out shots, or train prefix, cross, recurrent or queries by `caption`",
        )
    return ShotRows(rows, config=source)


def describe(run: Run) -> str:
    """One line of what is about to be trained, and where."""
    total, trained = run.facts["parameters"], run.facts["trained"]
    parameters = f"{total / 1e6:.2f} M parameters"
    if trained < total:
        parameters = f"{trained:,} of {total:,} parameters trained ({trained / total:.1%})"
    peak = run.facts.get("peak_flops", 0.0) / 1e9
    kind = str(run.dtype).removeprefix("torch.")
    fit = run.stream.fit
    tokens = f"up to {fit.largest.tokens}" if fit.chosen else fit.each
    return (
        f"{parameters}, vocabulary {len(run.text)}, "
        f"{tokens} tokens a picture; {run.device} in {kind} "
        f"(matmul {peak:.0f} GFLOP/s measured)"
    )
