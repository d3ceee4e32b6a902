"""`seesay recipes`: the recipes that come with Seesay."""

from seesay.commands.options import console, print_json


def recipes(*, json: bool = False) -> None:
    """List the recipes that come with Seesay: what they are, what they cost, what they reached.

    Each can be named where a recipe is asked for: seesay train --recipe demo.

    Args:
        json: Print them as one JSON list, with their paths and commands.
    """
    from seesay import catalogue

    found = catalogue.entries()
    if json:
        print_json(found)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("recipe", "cost", "score", "what it is"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "recipe")
    for each in found:
        table.add_row(each.name, each.cost, each.score, each.about)
    console().print(table, markup=False)
