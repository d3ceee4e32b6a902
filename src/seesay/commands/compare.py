"""`seesay compare`: several recipes, trained on equal terms and measured side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import Columns, console, mapped, pairs, print_json, say, silent
from seesay.errors import RecipeError

if TYPE_CHECKING:
    from seesay.compare import Comparison, Contender, Yardstick
    from seesay.config import DataConfig

Whole = Parameter(validator=Number(gte=1))
# Of those in scenes/world.py, the ones that have everything to be measured on; a test holds them.
Split = Literal["dev", "test", "combinations"]
# Pictures drawn to be measured on, where nothing else is said.
DRAWN = 200
# What --budget and --seeds say.
OURS = ("train.minutes", "train.steps", "train.seed")


def compare(
    *recipes: str,
    budget: str,
    seeds: Annotated[int, Whole] = 3,
    points: Annotated[int, Whole] = 1,
    out: Path = Path("runs/compare"),
    data: str | None = None,
    dev: str | None = None,
    columns: Columns = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    split: Split = "dev",
    count: Annotated[int | None, Whole] = None,
    json: bool = False,
    quiet: bool = False,
) -> int | None:
    """Train several recipes on the same budget, and compare them on the same examples.

    Runs follow each other, each in a process of its own. The same command, given again, keeps the
    runs that are finished and goes on with one that was stopped. While it runs, compare.html in
    --out shows how it stands. It ends with exit code 1 where a run has failed.

    Args:
        recipes: Recipes (TOML), or names of `seesay recipes`.
        budget: What each run may take: time (5m, 90s, 1h), pictures ('100k pictures'), operations
            (2PFLOP, 1e15flops) or steps ('2000 steps').
        seeds: Runs of each recipe, from seeds 0, 1, 2 and so on; what is measured on stays.
        points: With 2, also on half of the budget, with 3 also on a quarter, and so on: each a run
            of its own, to set scores against compute.
        out: The folder of all runs, and of compare.html and compare.json.
        data: Train all on this instead of on each recipe's own sources; needs --dev.
        dev: Measure all on this, instead of on drawn pictures.
        columns: Which column is which in --data and --dev: --map image=file answer=label.
        set_: Override one value of all recipes, as a.b=c. Repeat for each.
        split: Which drawn pictures to measure on, none of them trained on; combinations has pairs
            of colour and shape that training never shows.
        count: How many pictures to draw for that, 200 if not given; of --dev, the most examples,
            all if not given.
        json: Print everything as one JSON object: rows, runs and recipes.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay import compare as library
    from seesay.commands import measure

    wanted = library.parse(budget)
    contenders = _contenders(recipes, data=data, dev=dev, columns=columns, set_=set_)
    plan = library.Plan(contenders, wanted, out, seeds=seeds, points=points)
    if dev is None or dev == "scenes":
        yardstick = _drawn(contenders, split, count or DRAWN)
    else:
        yardstick = _read(dev, columns, count, trained=_data(contenders), quiet=quiet)
    tell = silent if quiet else say
    try:
        made = library.compare(plan, yardstick, command=measure.command(), say=tell)
    except KeyboardInterrupt:
        say("stopped; the same command goes on")
        return 130
    _show(made, out, json=json, quiet=quiet)
    return 1 if made.failed else None


def _contenders(
    recipes: tuple[str, ...],
    *,
    data: str | None,
    dev: str | None,
    columns: list[str] | None,
    set_: list[str] | None,
) -> "list[Contender]":
    """The recipes as they are to be trained, but for their end and seed."""
    from seesay import catalogue, config
    from seesay.commands.train import with_options
    from seesay.compare import Contender

    if not recipes:
        fix = "name some of `seesay recipes`, or give files of your own"
        raise RecipeError("0 recipes to compare", where="RECIPES", fix=fix)
    if data not in (None, "scenes") and dev is None:
        fix = "give --dev too, for all are to be measured on the same examples"
        raise RecipeError("--data without --dev", where="--data", fix=fix)
    for key in pairs(set_, option="--set"):
        if key in OURS:
            fix = "leave it out: --budget and --seeds say it for all"
            raise RecipeError(f"'{key}' cannot be set here", where="--set", fix=fix)
    found = []
    for given in recipes:
        path = catalogue.find(given)
        table = config.override(config.load(path), set_ or ())
        table = with_options(table, data=data, dev=dev, columns=columns)
        found.append(Contender(path.stem, _unseeded(table)))
        config.recipe(found[-1].table, where=given)
    return found


def _unseeded(table: dict[str, Any]) -> dict[str, Any]:
    settings = {k: v for k, v in table.get("train", {}).items() if f"train.{k}" not in OURS}
    return {**table, "train": settings}


def _drawn(contenders: "list[Contender]", split: str, count: int) -> "Yardstick":
    """Drawn pictures in the language that all are trained in."""
    from seesay.compare import Yardstick
    from seesay.config import SourceConfig
    from seesay.train import auto

    every = [source for each in contenders for source in each.recipe.data.sources]
    drawn = {source.language: source for source in every if source.path == "scenes"}
    if len(drawn) != 1:
        raise RecipeError(
            f"the recipes are trained on drawn pictures in {len(drawn)} languages",
            where="--dev",
            fix="give --dev: what all of them are to be measured on",
        )
    (source,) = drawn.values()
    plain = SourceConfig(language=source.language)
    examples = auto.drawn(plain, seed=0, split=split, count=count)
    return Yardstick(examples, f"{count} drawn pictures, {split}")


def _data(contenders: "list[Contender]") -> "DataConfig":
    """What the recipes say of data: of videos, all must look at the same frames."""
    ways = {each.recipe.data.video for each in contenders}
    if len(ways) > 1:
        raise RecipeError(
            f"the recipes look at the frames of videos in {len(ways)} ways",
            where="data.video",
            fix="set one for all, such as --set data.video.frames=8",
        )
    return contenders[0].recipe.data


def _read(
    dev: str,
    columns: list[str] | None,
    limit: int | None,
    *,
    trained: "DataConfig",
    quiet: bool,
) -> "Yardstick":
    from seesay.commands import measure
    from seesay.compare import Yardstick

    found = measure.examples(
        dev,
        columns=mapped(columns),
        limit=limit,
        limit_broken=0.05,
        seed=0,
        quiet=quiet,
        trained=trained,
    )
    return Yardstick(found, Path(dev).name)


def _show(made: "Comparison", out: Path, *, json: bool, quiet: bool) -> None:
    """The table, or everything, on standard output; what failed, on standard error."""
    if json:
        print_json(made.as_dict())
    else:
        console().print(made.table())
    if not quiet:
        say(f"report: {out / 'compare.html'}")
        return
    for outcome in made.failed:  # Else it was said when it happened.
        job = outcome.job
        say(f"{job.contender.name}, {job.budget}, seed {job.seed} failed: {outcome.failed}")
