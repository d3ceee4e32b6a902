"""The recipes that come with Seesay: found by name, and what their first lines say of them."""

import re
from dataclasses import dataclass
from pathlib import Path

from seesay import config
from seesay.errors import RecipeError

# The lines a recipe begins with, in this order; what it is follows them, in sentences.
LINES = ("Command", "Cost", "Score")


@dataclass(frozen=True, slots=True)
class Entry:
    """A recipe as its first comment describes it; `about` is the first sentence of what it is."""

    name: str
    path: Path
    about: str
    command: str
    cost: str
    score: str


def entries() -> list[Entry]:
    """The recipes that come with Seesay, by name."""
    return [entry(path) for path in sorted(config.shipped("demo").parent.glob("*.toml"))]


def entry(path: Path) -> Entry:
    """What a recipe says of itself.

    Raises:
        RecipeError: one of the three lines is missing, or what it is.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    said = [line.removeprefix("#").strip() for line in lines[:end]]
    found = dict(line.split(": ", 1) for line in said[: len(LINES)] if ": " in line)
    about = re.split(r"(?<=[.?!])\s", " ".join(said[len(LINES) :]), maxsplit=1)[0]
    if tuple(found) != LINES or not about:
        raise RecipeError(
            f"it begins with {', '.join(found) or 'no comment'}, not with {', '.join(LINES)} and "
            "what it is",
            where=str(path),
            fix="begin it with comments: # Command: …, # Cost: …, # Score: …, then what it is",
        )
    return Entry(path.stem, path, about, found["Command"], found["Cost"], found["Score"])


def find(given: Path | str) -> Path:
    """The recipe that is meant: a file's path, or the name of one that comes with Seesay.

    Raises:
        RecipeError: a bare name that neither a file has nor a recipe.
    """
    path = Path(given)
    bare = path.name == str(given) and not path.suffix
    return config.shipped(path.name) if bare and not path.is_file() else path
