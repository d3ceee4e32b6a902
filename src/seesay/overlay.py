"""Overlay: a recipe's TOML file, the recipe it is based on, and assignments, as one plain table.

And back: a recipe as such a table, and as TOML.
"""

import copy
import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.errors import RecipeError, nearest


def load(path: Path | str) -> dict[str, Any]:
    """The table in a TOML file, unchecked: `recipe` checks it once overrides are in.

    `base` names a recipe that it is laid over: one beside it, or one that comes with Seesay.
    """
    path, seen = Path(path), []
    table = _read(path)
    while "base" in table:
        seen.append(path)
        name = table.pop("base")
        path = _base(name, path)
        if path in seen:
            chain = " → ".join(each.name for each in [*seen, path])
            raise RecipeError(f"recipes based on each other: {chain}", where=str(seen[0]))
        table = laid_over(_read(path), table)
    return table


def _base(name: Any, path: Path) -> Path:
    if not isinstance(name, str) or not name:
        fix = 'write base = "demo"'
        raise RecipeError(f"base is {name!r}, not a recipe's name", where=str(path), fix=fix)
    beside = path.parent / f"{name.removesuffix('.toml')}.toml"
    return beside if beside.is_file() else shipped(name)


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables as one: where both say something, the upper one holds; lists are taken whole."""
    made = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(made.get(key), dict)
        made[key] = laid_over(made[key], value) if both else value
    return made


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError("no such recipe", where=str(path), fix="see recipes/*.toml") from None
    except OSError as error:
        fix = "give a file that can be read"
        raise RecipeError(f"cannot be read: {error.strerror}", where=str(path), fix=fix) from None
    except (ValueError, RecursionError) as error:  # also bytes that are no text, endless numbers
        raise RecipeError(f"not TOML: {error}", where=str(path), fix="mend that line") from None


def shipped(name: str) -> Path:
    """The path of a recipe that comes with Seesay, by its name (`demo`).

    Raises:
        RecipeError: there is none of that name.
    """
    here = Path(__file__).parent
    # Beside the package in a wheel, at the root of the project in a checkout.
    folders = [here / "recipes", here.parents[1] / "recipes"]
    folder = next((f for f in folders if f.is_dir()), folders[0])
    path = folder / f"{name}.toml"
    if not path.exists():
        names = sorted(p.stem for p in folder.glob("*.toml"))
        raise RecipeError(f"no recipe '{name}'", where=str(folder), fix=nearest(name, names))
    return path


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


def as_table(settings: Any) -> dict[str, Any]:
    """A recipe (or a part of one) as tables that TOML can hold; None is left out or "none"."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            held = {f.name: (getattr(value, f.name), f.default) for f in dataclasses.fields(value)}
            return {
                name: "none" if own is None else plain(own)
                for name, (own, default) in held.items()
                if own is not None or default is not None
            }
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return plain(settings)


def dump(settings: Any) -> str:
    """A recipe as TOML text, whole: every default is written out."""
    import tomli_w

    return tomli_w.dumps(as_table(settings))
