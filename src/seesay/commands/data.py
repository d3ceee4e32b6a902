"""`seesay data check` and `seesay data stats`: what is in a data set, and what is broken in it."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import Columns, console, counting, mapped, print_json, say, silent


def check(
    source: str,
    /,
    *,
    columns: Columns = None,
    task: str | None = None,
    root: Path | None = None,
    against: str | None = None,
    recipe: str | None = None,
    sheet: Path | None = None,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Count, measure and preview a data set, and name what is broken or odd in it.

    Args:
        source: A folder of pictures (with .txt beside them, or one folder a class), a CSV, TSV,
            JSON, JSONL or Parquet file, annotations (COCO, RefCOCO, VQA, GQA, NLVR), a folder that
            `datasets` saved, tar shards ('train-*.tar'); or an address: 'https://…/{000..009}.tar',
            hf://datasets/owner/name.
        columns: Which column is which, where names do not say: --map image=file question=text.
        task: Read the rows for this task: caption, vqa, ground, classify or dialogue.
        root: Where pictures are named from; by default the folder of the file.
        against: Other data that must have nothing in common with it, such as those to measure on:
            name the pictures, near copies and questions that are in both.
        recipe: A recipe (TOML), or the name of one that comes with Seesay: also name what does not
            fit its rows.
        sheet: Also write a contact sheet of pictures and their text to this PNG file.
        json: Print the report as one JSON object.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay.data.check import check as examine

    seen = counting(quiet=quiet)
    reading: dict[str, Any] = {}
    if recipe is not None:
        fed = _fed(source, recipe=recipe, columns=columns, set_=None, quiet=True)
        reading = {"text": fed.text, "fit": fed.fit}
    report = examine(
        source,
        columns=mapped(columns) or None,
        task=task,
        root=root,
        sheet=sheet,
        against=against,
        say=silent if quiet else say,
        seen=lambda done, total: seen("pictures", done, total),
        **reading,
    )
    if json:
        print_json(report.as_dict())
    else:
        report.render(console())


# Batches of training that rows are counted in.
STEPS = 16


def stats(
    source: str,
    /,
    *,
    recipe: str | None = None,
    columns: Columns = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    steps: Annotated[int, Parameter(validator=Number(gte=1))] = STEPS,
    decode: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Say in numbers what a data set holds: examples, lengths in tokens, how full rows are.

    Args:
        source: Data in any layout that `seesay train --data` takes, or scenes.
        recipe: A recipe (TOML), or the name of one that comes with Seesay: its tokenizer, its
            pictures, its rows. Without it, what `seesay train` does by itself.
        columns: Which column is which, where names do not say: --map image=file question=text.
        set_: Override one recipe value, as a.b=c. Repeat for each.
        steps: Batches of training that rows are counted in.
        decode: Also decode every picture, for their sizes and formats.
        json: Print the numbers as one JSON object.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay.data import looked
    from seesay.data.stats import stats as measure

    seen = counting(quiet=quiet)
    fed = _fed(source, recipe=recipe, columns=columns, set_=set_, quiet=quiet)
    examples, batches = _batches(fed, steps)
    facts = None
    if decode:
        pictures = looked.look(examples, seen=lambda d, total: seen("pictures", d, total))
        facts = [one.facts for one in pictures.values() if one.facts is not None]
    made = measure(
        examples,
        source=source,
        text=fed.text,
        fit=fed.fit,
        batches=batches,
        facts=facts,
        seen=seen,
    )
    if json:
        print_json(made.as_dict())
    else:
        made.render(console())


def _fed(source: str, *, recipe: str | None, columns: Columns, set_: list[str] | None,
         quiet: bool) -> Any:  # fmt: skip
    from seesay.commands.show import fed_with

    tell = silent if quiet else say
    return fed_with(source, recipe=recipe, columns=columns, set_=set_, held_back=False, say=tell)


def _batches(fed: Any, steps: int) -> tuple[Any, Any]:
    """The examples to count, and some batches of them; drawn ones are those of the batches."""
    from dataclasses import replace

    examples = fed.examples[0]
    plain = replace(fed, fit=replace(fed.fit, blank=True))
    stream = plain.stream(batch=fed.recipe.train.batch)
    if examples:
        return examples, (stream.step(step, 1.0) for step in range(steps))
    places = (stream.place(step, 1.0) for step in range(steps))
    rows = [row for place in places for row in stream.rows(place, stream.stage(1.0))[0]]
    size = stream.batch
    batches = [stream.batched(rows[at : at + size]) for at in range(0, len(rows), size)]
    return [example for row in rows for example in row.examples], batches
