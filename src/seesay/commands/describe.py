"""`seesay describe`: a recipe's model, part by part, and what it costs."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import console, print_json


def describe(
    recipe: str,
    /,
    *,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    depth: Annotated[int, Parameter(validator=Number(gte=0))] = 3,
    json: bool = False,
) -> None:
    """Draw a recipe's model part by part, with what it costs to train and to ask.

    No data are needed, and no model is made: sizes and operations are counted on shapes alone, over
    rows as long as the recipe allows.

    Args:
        recipe: A recipe (TOML), the name of one that comes with Seesay, or the folder of a run or
            checkpoint.
        set_: Override one recipe value, as a.b=c. Repeat for each.
        depth: Levels of parts to draw.
        json: Print it all, every level, as one JSON object.
    """
    from seesay import config
    from seesay.describe import describe as examine
    from seesay.train.estimate import Estimate

    table, vocabulary, share = _opened(recipe)
    table = config.override(table, set_ or ())
    plan = config.recipe(table, where=recipe)
    drawn = all(source.path == "scenes" for source in plan.data.sources)
    sized = drawn or "image_size" in table.get("model", {}).get("vision", {})
    estimate = Estimate(plan, vocabulary=vocabulary)
    made = examine(estimate, name=recipe, sized=sized, share=share)
    if json:
        print_json(made.as_dict())
    else:
        made.render(console(), depth=depth)


def _opened(given: str) -> tuple[dict[str, Any], int | None, float | None]:
    """A recipe's table; of a run also its vocabulary, and what share of the peak it reached."""
    from seesay import catalogue, config
    from seesay.model import checkpoint
    from seesay.train import history

    if not Path(given).is_dir():
        return config.load(catalogue.find(given)), None, None
    stored = checkpoint.open_config(checkpoint.find(given))
    shares = [row["peak_share"] for row in history(Path(given)) if row.get("peak_share")]
    return stored["recipe"], stored["vocabulary"], shares[-1] if shares else None
