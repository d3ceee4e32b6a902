"""Overrides: `--set a.b=c` laid over the tables of a recipe."""

import copy
import tomllib
from collections.abc import Sequence
from typing import Any

from seesay.errors import RecipeError


def override(table: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """A copy of a table with `a.b=c` assignments laid over it.

    Values are read as TOML, else as plain text; a number in a key is a place in a list
    (`data.sources.0.path=photos`).
    """
    table = copy.deepcopy(table)
    for assignment in assignments:
        key, found, value = assignment.partition("=")
        key = key.strip()
        names = [name.strip() for name in key.split(".")]
        if not found or not all(names):
            raise RecipeError("not an assignment", where=assignment, fix="write --set a.b=value")
        place: Any = table
        for name in names[:-1]:
            place = _enter(place, name, key)
        _put(place, names[-1], _value(value.strip()), key)
    return table


def _enter(place: Any, name: str, key: str) -> Any:
    """The table or list of that name, made where a table lacks it."""
    if isinstance(place, list):
        return place[_index(place, name, key)]
    child = place.setdefault(name, {}) if isinstance(place, dict) else None
    if not isinstance(child, dict | list):
        raise RecipeError(f"'{name}' is not a table", where=key, fix="name a key inside a table")
    return child


def _put(place: Any, name: str, value: Any, key: str) -> None:
    if isinstance(place, list):
        place[_index(place, name, key)] = value
    elif isinstance(place, dict):
        place[name] = value
    else:
        fix = "name a key inside a table"
        raise RecipeError(f"'{name}' has no table around it", where=key, fix=fix)


def _index(place: list[Any], name: str, key: str) -> int:
    if name.isdecimal() and int(name) < len(place):
        return int(name)
    what = f"'{name}' is no place in a list of {len(place)} that the recipe itself writes out"
    raise RecipeError(what, where=key, fix="give the list whole: --set data.sources='[{...}]'")


def _value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # also numbers of thousands of digits
        return text
    # A name such as 2024-01-01 reads as a date, and text of several lines as several keys.
    plain = isinstance(value["value"], str | int | float | list | dict)
    return value["value"] if plain and len(value) == 1 else text
