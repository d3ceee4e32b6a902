"""`seesay eval`: score a model on a data set, beside its blind controls."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import pairs


def evaluate(
    run: str,
    /,
    *,
    data: str,
    columns: list[str] | None = None,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    limit_broken: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.05,
    report: Path | None = None,
    seed: int = 0,
    json: bool = False,
    quiet: bool = False,
) -> int | None:
    """Score a model on a data set, beside its blind controls.

    Args:
        run: A run's folder or a checkpoint folder.
        data: The data set, in any layout that `seesay train --data` takes; or `scenes`, drawn
            pictures never trained on.
        columns: Which column is which, as role=name, where names do not say. Repeat for each.
        limit: Only this many examples, drawn by --seed.
        limit_broken: Share of the rows, and of the examples' pictures, that may be broken: they are
            left out and named.
        report: Also write an HTML report to this file.
        seed: Seed of the examples drawn and of the shuffled control.
        json: Print scores, controls and slices as one JSON object.
        quiet: No progress on standard error, only warnings and errors.
    """
    from seesay import predict
    from seesay.commands import measure

    named = pairs(columns, option="--columns")
    examples = measure.examples(
        data, columns=named, limit=limit, limit_broken=limit_broken, seed=seed, quiet=quiet
    )
    predictor = predict.load(run, precision="auto")
    made = measure.measure(predictor, {"": examples}, seed=seed, quiet=quiet)
    if report is not None:
        measure.write_report(made, Path(run), path=report)
    measure.show(made, json=json)
    return None
