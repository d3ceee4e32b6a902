"""What several commands read and write alike: `key=value` options, ranges, lines, JSON."""

import dataclasses
import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from seesay.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

# `--map question=Q answer=A`; `--columns question=Q`, once for each, is its older name.
Columns = Annotated[list[str] | None, Parameter(name=("--map", "--columns"))]
# Columns of a line that a file or another program reads: nothing is to be broken there.
ENDLESS = 100_000


def pairs(values: Sequence[str] | None, *, option: str) -> dict[str, str]:
    """`["a.b=c", …]`, as a repeated option gives it, to `{"a.b": "c", …}`.

    Raises:
        RecipeError: no `=`, nothing before it, or the same key twice.
    """
    found: dict[str, str] = {}
    for value in values or ():
        key, equals, text = value.partition("=")
        key = key.strip()
        if not equals or not key:
            fix = f"write it as {option} key=value"
            raise RecipeError(f"'{value}' is not key=value", where=option, fix=fix)
        if key in found:
            what = f"'{key}' given twice: '{found[key]}' and '{text}'"
            raise RecipeError(what, where=option, fix="keep one of them")
        found[key] = text
    return found


def mapped(columns: Sequence[str] | None) -> dict[str, str]:
    """What `--map` says: role -> column.

    Raises:
        RecipeError: as `pairs`.
    """
    return pairs(columns, option="--map")


def span(text: str, *, option: str) -> tuple[int, int]:
    """`"1-6"` to `(1, 6)`, `"3"` to `(3, 3)`.

    Raises:
        RecipeError: not whole numbers, or the last below the first.
    """
    first, dash, last = text.partition("-")
    low, high = first.strip(), (last if dash else first).strip()
    if not (low.isdecimal() and high.isdecimal()):
        fix = f"write it as {option} 1-6, or {option} 3"
        raise RecipeError(f"'{text}' is not a range of whole numbers", where=option, fix=fix)
    if int(high) < int(low):
        fix = f"did you mean {high}-{low}?"
        raise RecipeError(f"the range ends at {high}, below {low}", where=option, fix=fix)
    return int(low), int(high)


def say(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


def count_pictures(done: int, total: int) -> None:
    """Say on standard error how many pictures are done, in place of what was said before."""
    end = "\n" if done == total else ""
    print(f"\r{done} of {total} pictures", end=end, file=sys.stderr, flush=True)


def silent(text: str) -> None:
    """`say`, where nothing is to be said."""


def say_how_to_resume(out: Path) -> None:
    """That a run was stopped, and the command that goes on with it."""
    say(f"stopped and saved; go on with: seesay train --resume --out {shlex.quote(str(out))}")


def console() -> "Console":
    """Where tables are printed: as wide as the terminal, and without an end where there is none."""
    from rich.console import Console

    shown = Console()
    return shown if shown.is_terminal else Console(width=ENDLESS)


def print_json(result: Any) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(plain(result), ensure_ascii=False, indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """Dataclasses, paths, tuples, numpy numbers and NaN as what JSON has (NaN: null)."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # numpy and torch
        return plain(value.tolist())
    return str(value)
