"""Patterns: `train-{000..009}.tar` and `train-*.tar` -> the names that they stand for."""

import glob
import re
from pathlib import Path

from seesay.errors import DataError

# The innermost braces that hold a range or a choice.
_BRACES = re.compile(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)$")
MOST = 100_000  # names that a pattern may stand for


def expanded(pattern: str) -> list[str]:
    """The names that braces stand for, as in a shell: `{000..009}` keeps its zeros, `{a,b}` is two.

    Raises:
        DataError: more names than could be meant.
    """
    # In order, and each once: braces within braces would name some twice.
    names: dict[str, None] = {pattern: None}
    while any(map(_BRACES.search, names)):
        names = dict.fromkeys(each for name in names for each in _once(name))
        if len(names) > MOST:
            what = f"{len(names)} names; more than {MOST} cannot be meant"
            raise DataError(what, where=pattern, fix="give a shorter range")
    return list(names)


def _once(name: str) -> list[str]:
    """The names that the first innermost braces stand for."""
    found = _BRACES.search(name)
    if found is None:
        return [name]
    before, after = name[: found.start()], name[found.end() :]
    return [before + each + after for each in _choices(found[1])]


def _choices(inner: str) -> list[str]:
    span = _RANGE.match(inner)
    if span is None:
        return inner.split(",")
    first, last = int(span[1]), int(span[2])
    if abs(last - first) >= MOST:
        what = f"{abs(last - first) + 1} names; more than {MOST} cannot be meant"
        raise DataError(what, where=f"{{{inner}}}", fix="give a shorter range")
    padded = any(len(end) > 1 and end.startswith("0") for end in span.groups())
    width = max(map(len, span.groups())) if padded else 0
    step = 1 if first <= last else -1
    return [f"{number:0{width}d}" for number in range(first, last + step, step)]


def is_pattern(text: str) -> bool:
    """Whether a name stands for others."""
    return glob.has_magic(text) or bool(_BRACES.search(text))


def files(pattern: str) -> list[Path]:
    """The files that a pattern stands for: those that braces name, those that a `*` matches."""
    found: list[Path] = []
    for name in expanded(pattern):
        matched = sorted(glob.glob(name)) if glob.has_magic(name) else [name]
        found += map(Path, matched)
    return list(dict.fromkeys(found))
