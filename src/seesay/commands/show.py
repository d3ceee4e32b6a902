"""`seesay data show`: examples exactly as a model will see them, on one page."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import Columns, mapped, print_json, say, silent
from seesay.errors import RecipeError

Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]


def show(
    source: str,
    /,
    *,
    recipe: str | None = None,
    run: str | None = None,
    out: Path = Path("show.html"),
    count: Annotated[int, Parameter(validator=Number(gte=1, lte=1000))] = 24,
    at: Share = 1.0,
    columns: Columns = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    seed: int | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Show examples exactly as a model will see them: tiles, tokens, loss mask, boxes.

    They are the first rows that training on this data takes in, from the code that makes its
    batches. One HTML file, which needs nothing else.

    Args:
        source: Data in any layout that `seesay train --data` takes, or scenes.
        recipe: A recipe (TOML), or the name of one that comes with Seesay: what it makes of the
            data. Without it, what `seesay train` does by itself.
        run: A run or checkpoint: how its model reads the data, with its own tokenizer.
        out: The HTML file to write.
        count: Rows to show.
        at: The share of training that is over, where a curriculum has stages.
        columns: Which column is which, where names do not say: --map image=file question=text.
        set_: Override one recipe value, as a.b=c. Repeat for each.
        seed: Seed of the order, of drawn scenes and of what is held back.
        json: Also print what is on the page as one JSON object.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay import preview
    from seesay.report import surroundings

    tell = silent if quiet else say
    fed = fed_with(source, recipe=recipe, run=run, columns=columns, set_=set_, seed=seed, say=tell)
    made = preview.preview(fed, source=source, count=count, at=at)
    command = shlex.join(["seesay", *sys.argv[1:]])
    preview.write(out, made, command=command, environment=surroundings())
    if json:
        print_json({"page": out} | made.as_dict())
    else:
        print(out)


def fed_with(
    source: str,
    *,
    recipe: str | None,
    run: str | None = None,
    columns: Columns = None,
    set_: list[str] | None = None,
    seed: int | None = None,
    held_back: bool = True,
    say: Any = silent,
) -> Any:
    """What a recipe, or a run's, makes of a source.

    held_back: without the pictures that training keeps to measure on, where it keeps any.

    Raises:
        RecipeError: a recipe and a run.
    """
    from seesay import catalogue, config
    from seesay.commands.train import HELD_BACK
    from seesay.data.text import Text
    from seesay.model import checkpoint
    from seesay.train.feed import feed

    if recipe is not None and run is not None:
        raise RecipeError("--recipe with --run", where="--run", fix="a run has its own: give one")
    text, share = None, HELD_BACK if held_back else None
    table: dict[str, Any] = {}
    if run is not None:
        folder = checkpoint.find(run)
        table, text, share = checkpoint.open_config(folder)["recipe"], Text.open(folder), None
    elif recipe is not None:
        table = config.load(catalogue.find(recipe))
    given = [] if seed is None else [f"train.seed={seed}"]
    table = config.override(_of(table, source, columns), [*given, *(set_ or ())])
    return feed(table, text=text, held_back=share, say=say)


def _of(table: dict[str, Any], source: str, columns: Columns) -> dict[str, Any]:
    """A recipe's table with this source alone, with the settings that the recipe has for it.

    Drawn scenes stay, for the words and labels that they give; their rows do not come.
    """
    data = table.setdefault("data", {})
    every = [{"path": "scenes"} | each for each in data.get("sources", ())]
    drawn = [each for each in every if each["path"] == "scenes"]
    read = [each for each in every if each["path"] != "scenes"]
    own = drawn if source == "scenes" else [e for e in read if e["path"] == source] or read
    # Stages weigh the sources by their places.
    for stage in data.get("stages", ()):
        stage.pop("weights", None)
    first = (own[0] if own else {}) | {"path": source, "weight": 1.0}
    if columns:
        first["columns"] = mapped(columns)
    rest = [] if source == "scenes" else [each | {"weight": 0.0} for each in drawn]
    data["sources"] = [first, *rest]
    return table
