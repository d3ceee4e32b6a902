"""What `train`, `eval` and `demo` do once there is a model: ask it, score it, write the report."""

import json as json_format
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seesay import config, predict, writing
from seesay import evaluate as evaluation
from seesay import report as reports
from seesay.commands.options import console, print_json, say, silent
from seesay.data.shots import conversation
from seesay.errors import DataError, RecipeError
from seesay.evaluate import Evaluation, How
from seesay.evaluate.asking import regions
from seesay.model import checkpoint
from seesay.model.contract import Model
from seesay.predict import Prompt, SeesayPredictor
from seesay.records import Example
from seesay.tasks.recast import recast
from seesay.train import Run, auto, card, history

if TYPE_CHECKING:
    from seesay.data import sources

# Drawn pictures whose things are to be boxed, and those whose things have made-up names.
BOXED, BOUND = 200, 1000
# Examples shown before those, where it is not said how many.
BOUND_SHOTS = 4
# Names of drawn data that are neither of things anywhere nor of made-up names.
OTHER_WORLDS = {
    "scenes:panels": config.SourceConfig(panels=3),
    "scenes:grid": config.SourceConfig(grid=3),
}


def command() -> str:
    """The command that is running, as it can be typed again."""
    return shlex.join(["seesay", *sys.argv[1:]])


def sampler(run: Run, examples: Sequence[Example]) -> Callable[[Model], Mapping[str, str]] | None:
    """What asks the model one of the examples now and then, another each time."""
    can = run.model.can
    examples = [example for example in examples if example.question or "caption" in can]
    if not examples or "answer" not in can:
        return None
    step = max(1, len(examples) // 97)
    turn = iter(range(0, 10**9, step))

    def sample(model: Model) -> Mapping[str, str]:
        example = examples[next(turn) % len(examples)]
        whole = conversation(example)
        boxes = regions(example) if whole is example else ()
        prompt = Prompt(whole.images, _before_truth(whole), boxes)
        answer = predictor_of(run).answer([prompt])[0]
        return {"question": example.question, "answer": answer.text, "truth": example.answer}

    return sample


def _before_truth(example: Example):
    last = max(i for i, turn in enumerate(example.turns) if turn.role == "assistant")
    return example.turns[:last]


def predictor_of(run: Run) -> SeesayPredictor:
    """The run's model, as it stands in memory, ready to be asked."""
    return predict.predictor(
        run.model, run.text, recipe=run.recipe, dtype=run.dtype, name=str(run.out)
    )


def measure(
    predictor: SeesayPredictor,
    parts: Mapping[str, Sequence[Example]],
    *,
    seed: int = 0,
    quiet: bool = False,
    how: How | None = None,
) -> Evaluation:
    """Scores of several sets of examples, each with its suffix, as one.

    Captions that a model cannot say but has vectors to compare by are retrieved by.
    """
    can = predictor.model.can
    if "embed" in can and "caption" not in can:
        parts = {suffix: _retrieved(examples) for suffix, examples in parts.items()}
    made = [
        evaluation.evaluate(
            predictor,
            examples,
            seed=seed,
            suffix=suffix,
            command=command(),
            progress=None if quiet else _progress,
            how=how,
        )
        for suffix, examples in parts.items()
    ]
    return evaluation.merge(made) if len(made) > 1 else made[0]


def _retrieved(examples: Sequence[Example]) -> list[Example]:
    """The examples, captions asked as what is to be retrieved by."""
    return [replace(e, task="retrieve") if e.task == "caption" else e for e in examples]


def examples(
    data: str,
    *,
    columns: Mapping[str, str],
    limit: int | None,
    limit_broken: float,
    seed: int,
    quiet: bool = False,
    task: str | None = None,
    split: str = "test",
    shots: int | None = None,
    resolution: int = config.DRAWN,
    boxes: Literal["thousandths", "pixels"] = "thousandths",
    trained: config.DataConfig | None = None,
) -> Sequence[Example]:
    """The examples of a data set, or `limit` of them; `scenes` draws some never trained on.

    With a `task`, those that can be asked as it. `scenes:bind` draws things with made-up names that
    so many `shots` tell, `scenes:named` such as other pictures of it tell, `scenes:panels` boxes
    side by side, `scenes:grid` cells, `scenes:motion` scenes that move. `split` and `resolution`
    are of drawn pictures. `boxes`: what texts of files say them in. Which frames of videos are
    looked at, and of how many drawn ones are made, is as the model was `trained`.

    Raises:
        DataError: more than `limit_broken` of the rows, or of the examples, cannot be read; or none
            can be asked as the task.
    """
    if data == "scenes":
        return _drawn(task, seed=seed, split=split, resolution=resolution)[:limit]
    if data == "scenes:bind":
        return _bound(shots, seed=seed, split=split, resolution=resolution)[:limit]
    if data == "scenes:named":
        return _named(seed=seed, split=split, resolution=resolution)[:limit]
    if data in OTHER_WORLDS:
        source = OTHER_WORLDS[data]
        return auto.drawn(source, seed=seed, split=split, resolution=resolution)[:limit]
    trained = trained or config.DataConfig()
    if data == "scenes:motion":
        films = _filmed(trained, seed=seed, split=split, resolution=resolution)
        return recast(films, task)[:limit] if task else films[:limit]
    from seesay.data import sources, store
    from seesay.train.setup import told_in

    tell, source = silent if quiet else say, config.SourceConfig(path=data, boxes=boxes)
    how: dict[str, Any] = {
        "columns": columns or None,
        "limit_broken": limit_broken,
        "footage": trained.video,
        "say": tell,
    }
    read = sources.read(data, **how)
    every = told_in(source, read.examples)
    if task is not None:
        try:
            every = recast(every, task)
        except DataError as error:
            # Its columns may hold the task too, though what else they hold comes first.
            read, every = _read_for(data, task, how, error)
    for broken in read.broken[: sources.SHOWN]:
        tell(f"  left out: {broken.origin}: {broken.why}")
    if len(read.broken) > sources.SHOWN:
        tell(f"  left out: {len(read.broken) - sources.SHOWN} more broken rows")
    found = store.some(every, limit, seed=seed)
    kept = auto.readable(found, say=tell)
    if len(found) - len(kept) > limit_broken * len(found):
        raise DataError(
            f"{len(found) - len(kept)} of {len(found)} examples have pictures that cannot be read; "
            f"the limit is {limit_broken:.1%}",
            where=data,
            fix=f"run `seesay data check` on it, or {sources.MORE_BROKEN}",
        )
    return kept


def _bound(shots: int | None, *, seed: int, split: str, resolution: int) -> list[Example]:
    """Drawn things with made-up names, behind the examples that tell them."""
    from seesay import scenes

    world, many = scenes.World(seed=seed, split=split), BOUND_SHOTS if shots is None else shots
    return [scenes.bound(world, i, shots=many, resolution=resolution) for i in range(BOUND)]


def _named(*, seed: int, split: str, resolution: int) -> list[Example]:
    """Drawn things with made-up names that are the same in all pictures."""
    from seesay import scenes

    world = scenes.World(seed=seed, split=split)
    return [scenes.named(world, i, resolution=resolution) for i in range(BOUND)]


def _filmed(
    trained: config.DataConfig, *, seed: int, split: str, resolution: int
) -> list[Example]:
    """Captions and questions on drawn scenes that move."""
    from seesay import scenes

    films = [source for source in trained.sources if source.frames]
    plain = config.SourceConfig(objects=(1, scenes.MOST_MOVING), frames=scenes.NUM_FRAMES)
    return auto.drawn(films[0] if films else plain, seed=seed, split=split, resolution=resolution)


def _drawn(task: str | None, *, seed: int, split: str, resolution: int) -> list[Example]:
    """Drawn examples; boxes and classes are only asked for where they are wanted."""
    from seesay import scenes

    if task == "classify":
        return auto.drawn_classes(
            config.SourceConfig(), seed=seed, split=split, resolution=resolution
        )
    if task == "ground":
        world, kinds = scenes.World(seed=seed, split=split), {"ground": 1.0}
        drawn = [
            scenes.examples(world, i, captions=0, kinds=kinds, resolution=resolution)
            for i in range(BOXED)
        ]
        return [example for several in drawn for example in several]
    every = auto.drawn(config.SourceConfig(), seed=seed, split=split, resolution=resolution)
    return recast(every, task) if task else every


def _read_for(
    data: str, task: str, how: Mapping[str, Any], refused: DataError
) -> "tuple[sources.Source, list[Example]]":
    from seesay.data import sources
    from seesay.data.columns import FORMS

    reads = {"retrieve": "caption", "moderate": "classify"}.get(task, task)
    if reads not in {form.task for form in FORMS}:
        raise refused
    try:
        read = sources.read(data, **how, task=reads)
    except DataError:
        raise refused from None
    return read, recast(read.examples, task)


def recipe_of(run: Path | str) -> config.Recipe:
    """The recipe that a run, or a checkpoint, was trained by."""
    stored = checkpoint.open_config(checkpoint.find(Path(run)))
    return config.recipe(stored["recipe"])


def templates(given: Sequence[str]) -> tuple[str, ...]:
    """Prompt templates, as an option gives them: sentences with `{}`, or files of them.

    Raises:
        RecipeError: neither, or a file without any.
    """
    found: list[str] = []
    for each in given:
        if "{}" in each:
            found.append(each)
            continue
        try:
            lines = Path(each).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            what = f"'{each}' has no {{}} for the class, and is no file of such sentences: {error}"
            fix = "write --templates 'a picture of a {}'"
            raise RecipeError(what, where="--templates", fix=fix) from None
        own = [line.strip() for line in lines if line.strip()]
        if not own:
            raise RecipeError("0 templates in it", where=each, fix="write one a line, with {}")
        found += own
    return tuple(found)


def report(
    run: Run,
    parts: Mapping[str, Sequence[Example]],
    *,
    json: bool,
    quiet: bool,
    how: How | None = None,
) -> Evaluation:
    """Measure a run's saved model; leave eval.json, report.html and the model card's scores."""
    predictor = predict.load(run.out, device=run.device.type, precision="auto")
    made = measure(predictor, parts, quiet=quiet, how=how)
    write_report(made, run.out, path=run.out / "report.html")
    writing.replace(run.out / "eval.json", json_format.dumps(made.as_dict(), indent=2))
    page = checkpoint.find(run.out) / "README.md"
    text = page.read_text(encoding="utf-8")
    writing.replace(page, card.with_scores(text, made.as_dict(), command=command()))
    show(made, json=json, quiet=quiet)
    if not quiet:
        say(f"report: {run.out / 'report.html'}")
    return made


def write_report(made: Evaluation, run: Path, *, path: Path) -> None:
    """One HTML file of scores, curves and pictures."""
    reports.write(
        path,
        title=run.name,
        evaluation=made,
        history=[row for row in history(run) if "loss" in row],
        recipe=config.dump(recipe_of(run)),
    )


def show(made: Evaluation, *, json: bool, quiet: bool = False) -> None:
    """The scores, on standard output; what is to be said of them, on standard error."""
    for task, note in ({} if quiet else made.notes | made.skipped).items():
        say(f"{task}: {note}")
    if json:
        print_json(made.as_dict())
    else:
        console().print(made.table())


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rmeasuring {done} of {total}", end=end, file=sys.stderr, flush=True)
