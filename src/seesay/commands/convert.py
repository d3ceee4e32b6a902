"""`seesay data convert` and `seesay data split`: a data set written anew, as one or in parts."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import Columns, counting, mapped, print_json, say, silent

# As in data/convert.py, which is too heavy to import for a --help; a test holds them equal.
Layout = Literal["jsonl", "parquet", "tar", "imagefolder", "llava"]
Share = Annotated[float, Parameter(validator=Number(gte=0, lt=1))]
Megabytes = Annotated[float, Parameter(validator=Number(gt=0))]
SHOWN = 5  # broken rows that are named


def convert(
    source: str,
    /,
    *,
    to: Layout,
    out: Path,
    columns: Columns = None,
    task: str | None = None,
    root: Path | None = None,
    shard_size: Megabytes = 500.0,
    limit_broken: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.05,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Write a data set in another layout, which is read again without a flag as the same examples.

    Pictures are not decoded, and stay as they are, byte by byte. Files of pictures get a second
    name in the new folder (a hard link) where that can be, and are copied where it cannot.

    Args:
        source: Data in any layout that `seesay train --data` takes.
        to: jsonl: a table that names pictures beside it. parquet: pictures inside, as Hugging Face
            has them. tar: webdataset shards, with an index beside each. imagefolder: metadata.jsonl
            beside pictures, as Hugging Face has it. llava: a JSON list of conversations, in which
            classes, options and votes are lost.
        out: The folder to write; it must be new or empty.
        columns: Which column is which, where names do not say: --map image=file question=text.
        task: Read the rows for this task: caption, vqa, ground, classify or dialogue.
        root: Where pictures are named from; by default the folder of the file.
        shard_size: Megabytes of a tar shard or a Parquet file, about.
        limit_broken: Share of the rows that may be broken: they are left out and named.
        json: Print what was written as one JSON object.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay.data.convert import convert as write

    made = write(
        source,
        out,
        to=to,
        columns=mapped(columns) or None,
        task=task,
        root=root,
        shard=round(shard_size * 2**20),
        limit_broken=limit_broken,
        say=silent if quiet else say,
        seen=counting(quiet=quiet),
    )
    if json:
        print_json(made.as_dict())
        return
    _name_broken(made.broken)
    _name_lost(made.lost)
    files = made.files[0] + (f" to {made.files[-1]}" if len(made.files) > 1 else "")
    print(f"{out}: {made.rows:,} rows, {made.pictures:,} pictures, in {files}")


def split(
    source: str,
    /,
    *,
    out: Path,
    dev: Share = 0.05,
    test: Share = 0.0,
    by: str | None = None,
    to: Layout | None = None,
    near: Annotated[int, Parameter(validator=Number(gte=0, lte=12))] = 8,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    columns: Columns = None,
    task: str | None = None,
    root: Path | None = None,
    shard_size: Megabytes = 500.0,
    limit_broken: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.05,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Part a data set to train and to measure on; what looks the same is never on two sides.

    Pictures with the same bytes, or that look nearly the same by a perceptual hash, stay together,
    with all their rows.

    Args:
        source: Data in any layout that `seesay train --data` takes.
        out: The folder to write: new or empty; or the one that the pictures are in, or one above
            it, where tables then name them as they lie.
        dev: Share of the rows to measure on while the model is made, about.
        test: Share of the rows to measure on once it is made, about.
        by: A column whose values are not parted either, such as the film that a picture is from.
        to: The layout of the parts; if not given, tar shards and Parquet stay so, Arrow and what
            comes from the hub become Parquet, and all else JSONL. Take `seesay data convert --help`
            for what they are.
        near: Bits of 64 that the hashes of pictures may differ in which are kept together.
        seed: Seed of the lots that are drawn.
        columns: Which column is which, where names do not say: --map image=file question=text.
        task: Read the rows for this task: caption, vqa, ground, classify or dialogue.
        root: Where pictures are named from; by default the folder of the file.
        shard_size: Megabytes of a tar shard or a Parquet file, about.
        limit_broken: Share of the rows that may be broken: they are left out and named.
        json: Print what went where as one JSON object.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay.data.split import split as part

    made = part(
        source,
        out,
        dev=dev,
        test=test,
        by=by,
        seed=seed,
        near=near,
        to=to,
        columns=mapped(columns) or None,
        task=task,
        root=root,
        shard=round(shard_size * 2**20),
        limit_broken=limit_broken,
        say=silent if quiet else say,
        seen=counting(quiet=quiet),
    )
    if json:
        print_json(made.as_dict())
        return
    _name_broken(made.broken)
    _name_lost(made.lost)
    print(
        f"{made.rows:,} rows, {made.pictures:,} pictures in {made.groups:,} groups; {made.same:,} "
        f"have the bytes of another, {made.near:,} look nearly the same as another"
    )
    if made.unread:
        print(f"{made.unread:,} pictures do not decode: `seesay data check` names them")
    for each in made.parts:
        files = each.files[0] + (f" to {each.files[-1]}" if len(each.files) > 1 else "")
        print(f"{each.name:<6}{each.rows:>10,} rows {each.pictures:>10,} pictures "
              f"{each.groups:>10,} groups  {out / files}")  # fmt: skip
        if each.lacking:
            print(f"      without {len(each.lacking)} classes: {', '.join(each.lacking[:SHOWN])}")


def _name_broken(broken: list[Any]) -> None:
    for each in broken[:SHOWN]:
        say(f"left out: {each.origin}: {each.why}")
    if len(broken) > SHOWN:
        say(f"  and {len(broken) - SHOWN} more")


def _name_lost(columns: list[str]) -> None:
    if columns:
        say(f"left out, for they would be read as something else: columns {', '.join(columns)}")
