"""`seesay eval`: score a model on a data set, beside its blind controls."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import Columns, mapped

# As `TASKS` has them; a test holds it. `seesay --help` must not wait for what that imports.
Task = Literal["caption", "vqa", "dialogue", "match", "classify", "retrieve", "moderate", "ground"]


def evaluate(
    run: str,
    /,
    *,
    data: str,
    task: Task | None = None,
    columns: Columns = None,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    limit_broken: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.05,
    boxes: Literal["thousandths", "pixels"] = "thousandths",
    templates: list[str] | None = None,
    dev: str | None = None,
    shots: Annotated[int | None, Parameter(validator=Number(gte=0))] = None,
    retrieve: str | None = None,
    rerank: Annotated[int | None, Parameter(validator=Number(gte=2))] = None,
    report: Path | None = None,
    seed: int = 0,
    json: bool = False,
    quiet: bool = False,
) -> int | None:
    """Score a model on a data set, beside its blind controls.

    Args:
        run: A run's folder or a checkpoint folder.
        data: The data set, in any layout that `seesay train --data` takes; or `scenes`, drawn
            pictures never trained on; or `scenes:bind`, things with made-up names that only the
            --shots before them tell; or `scenes:named`, where the names are the same throughout,
            and other pictures, --dev scenes:named, tell them; or `scenes:panels`, statements on
            boxes side by side; or `scenes:grid`, questions from cell to cell; or `scenes:motion`,
            scenes that move.
        task: Ask the data's examples as this task: retrieve, of captions, finds each picture's
            among all and the other way round; moderate, of classes, flags all but the allowed one.
            Those that do not fit it are left out.
        columns: Which column is which, where names do not say: --map image=file answer=label.
        limit: Only this many examples, drawn by --seed.
        limit_broken: Share of the rows, and of the examples' pictures, that may be broken: they are
            left out and named.
        boxes: What the data's texts say boxes in: thousandths of a picture's sides, or its pixels.
        templates: Tell classes by embedding them in this sentence, with {} for the class, or in
            each line of this file. Repeat for each; their vectors are averaged.
        dev: Other labelled data in the same layout (or `scenes`), to learn from without training:
            the threshold of moderate; for classify, the nearest mean of a class, the nearest
            pictures and a linear probe (of scenes, it is drawn by itself); and what --shots shows.
        shots: Show so many examples from --dev, with their answers, before each that is asked, by
            --seed. Where a model embeds, so many of each class are learned from.
        retrieve: A run or checkpoint of a model that embeds (CLIP): the examples shown are those
            whose pictures it finds nearest, the nearest last.
        rerank: In retrieve, rank so many of the nearest anew by reading picture and text together,
            where a model can do both.
        report: Also write an HTML report to this file.
        seed: Seed of the examples drawn and of the shuffled control.
        json: Print scores, controls and slices as one JSON object.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay import predict
    from seesay.commands import measure
    from seesay.config import DRAWN, SourceConfig
    from seesay.evaluate import How
    from seesay.train import auto

    # Drawn pictures are as large as the model takes them in.
    scenes = data.startswith("scenes") or (dev or "").startswith("scenes")
    predictor = predict.load(run, precision="auto") if scenes else None
    resolution = max(DRAWN, *predictor.fit.whole) if predictor else DRAWN
    read = partial(
        measure.examples,
        shots=shots,
        resolution=resolution,
        trained=measure.recipe_of(run).data,
        task=task,
        columns=mapped(columns),
        limit_broken=limit_broken,
        boxes=boxes,
        seed=seed,
        quiet=quiet,
    )
    examples = read(data, limit=limit)
    known = read(dev, limit=None, split="dev") if dev else ()
    if task == "classify" and (dev or data) == "scenes":
        known = auto.labels_of_scenes(SourceConfig(), seed=seed, resolution=resolution)
    how = How(
        templates=measure.templates(templates or ()),
        dev=known,
        shots=shots or 0,
        rerank=rerank or 0,
        nearest=predict.load(retrieve, precision="auto") if retrieve else None,
    )
    predictor = predictor or predict.load(run, precision="auto")
    made = measure.measure(predictor, {"": examples}, seed=seed, quiet=quiet, how=how)
    if report is not None:
        measure.write_report(made, Path(run), path=report)
    measure.show(made, json=json, quiet=quiet)
    return None
