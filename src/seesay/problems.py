"""Problems of a recipe: what is wrong where, and the nearest right name."""

import dataclasses
import reprlib
from collections.abc import Sequence
from typing import Any

from seesay.errors import RecipeError, nearest


def told(problem: Any, table: Any, *, of: type, where: str) -> RecipeError:
    """A problem that pydantic found in a table which is to become `of`, in Seesay's terms."""
    path = _path(problem, table)
    key = ".".join(str(part) for part in path)
    kind = problem["type"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        fix = nearest(str(path[-1]), _known(path[:-1], of))
        return RecipeError(f"unknown key '{key}'", where=where, fix=fix)
    if kind.startswith("missing"):
        return RecipeError(f"'{key}' is missing", where=where, fix="give it a value")
    if kind == "value_error":
        at = f"{where}: {key}" if key else where
        return RecipeError(str(problem["ctx"]["error"]), where=at, fix="change one of the two")
    said = f"'{key or 'recipe'}' is {reprlib.repr(problem.get('input'))}: {problem['msg']}"
    return RecipeError(said, where=where, fix="give a value of that kind, and in that range")


def _path(problem: Any, table: Any) -> list[Any]:
    """Where in the table a problem is; pydantic also names the alternatives of a union it tried."""
    path, at = [], table
    for part in problem["loc"]:
        inside = isinstance(at, list) and isinstance(part, int) and part < len(at)
        if inside or (isinstance(at, dict) and part in at):
            path.append(part)
            at = at[part]
    last = problem["loc"][-1:]
    named = problem["type"].startswith(("missing", "unexpected", "extra"))
    return [*path, *last] if named and path[-1:] != list(last) else path


def _known(path: Sequence[Any], of: type) -> list[str]:
    """The keys that may stand at a place of a recipe."""
    at: Any = of
    for part in path:
        if isinstance(part, str):
            hint = {f.name: f.type for f in dataclasses.fields(at)}[part]
            at = next((a for a in _inside(hint) if dataclasses.is_dataclass(a)), at)
    return [f.name for f in dataclasses.fields(at)]


def _inside(hint: Any) -> list[Any]:
    """A type hint and the hints within it (`tuple[X, ...]` holds X)."""
    return [hint, *(inner for arg in getattr(hint, "__args__", ()) for inner in _inside(arg))]
