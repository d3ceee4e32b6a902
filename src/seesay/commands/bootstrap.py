"""`seesay bootstrap`: cleaner captions of the same pictures."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import Columns, count_pictures, mapped, print_json


def bootstrap(
    run: str,
    /,
    *,
    data: str,
    out: Path,
    captioner: str | None = None,
    given_only: bool = False,
    threshold: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.5,
    samples: Annotated[int, Parameter(validator=Number(gte=1))] = 1,
    temperature: Annotated[float, Parameter(validator=Number(gte=0))] = 1.0,
    top_p: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 0.9,
    columns: Columns = None,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    limit_broken: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.05,
    seed: int = 0,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Weed the captions of a data set by a model that judges them, and add new ones it trusts.

    As in BLIP (CapFilt): a captioner says what is in each picture, a filter drops whatever it does
    not hold true, of what was given and of what was said; what is left is a data set to train on.

    Args:
        run: A run or checkpoint that judges captions (it has learned `matching`).
        data: The captioned pictures, in any layout that `seesay train --data` takes.
        out: The folder to write, new or empty: captions.jsonl and a copy of each picture.
        captioner: Another run that says captions; by default the one that judges.
        given_only: Only weed what is given; say nothing new.
        threshold: Keep captions that are held true with this probability or more.
        samples: New captions of each picture.
        temperature: Above 0, new captions are drawn; 0 says the likeliest.
        top_p: Drawn only from the likeliest words that make up this probability.
        columns: Which column is which, where names do not say: --map image=file caption=text.
        limit: Only this many captions, drawn by --seed.
        limit_broken: Share of the rows, and of their pictures, that may be broken: they are left
            out and named.
        seed: Seed of what is drawn.
        json: Print the counts as one JSON object.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay import bootstrap as boot
    from seesay import predict, writing
    from seesay.commands import measure

    writing.check_free(out)
    judge, says = predict.load(run, precision="auto"), None
    if not given_only:
        drawing = predict.Decoding(temperature=temperature, top_p=top_p, seed=seed)
        says = predict.load(captioner or run, precision="auto", decoding=drawing)
    examples = measure.examples(
        data,
        columns=mapped(columns),
        limit=limit,
        limit_broken=limit_broken,
        seed=seed,
        quiet=quiet,
        task="caption",
    )
    made = boot.bootstrap(
        examples,
        filter=judge,
        captioner=says,
        samples=samples,
        progress=None if quiet or not sys.stderr.isatty() else count_pictures,
    )
    counts = boot.write(made, out, threshold=threshold)
    if json:
        print_json({"table": out / boot.TABLE} | dataclasses.asdict(counts))
        return
    print(f"captions given: {counts.given_kept:,} of {counts.given:,} kept")
    print(f"captions made:  {counts.made_kept:,} of {counts.made:,} kept")
    print(f"pictures:       {counts.pictures_left:,} of {counts.pictures:,} have one")
    print(f"train on them:  seesay train --data {out / boot.TABLE} --minutes 10")

