"""Counted: which examples make up each row of a source, kept in the user's cache between runs.

What is kept goes by what it was counted of: the examples themselves, the tokenizer and its
template, and what the model takes in.
"""

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import seesay
from seesay.data.fit import Fit
from seesay.data.groups import Groups
from seesay.data.remote import cache
from seesay.data.store import digest
from seesay.data.text import Text
from seesay.records import Example

LEAST = 10_000  # fewer examples are counted anew: that takes a second or two
KEPT = 64  # files; of more, those go that were not used for longest
_FORM = 1  # of what is kept, and how it is counted


@dataclass(frozen=True, slots=True)
class Counted:
    """Which examples, by number, share each row; and which captions take turns, of which the first
    stands for all.
    """

    rows: Groups
    turns: Groups


def place(examples: Sequence[Example], *, text: Text, fit: Fit, **how: Any) -> Path | None:
    """Where what is counted of these is kept; None where it is not, as of drawn examples.

    how: whatever else changes what is counted.
    """
    if len(examples) < LEAST:
        return None
    given = digest(examples)
    if given is None:
        return None
    words = [text.tokenizer.to_str(), repr(text.template)]
    stamps = _stamps(examples) if fit.measures else ""
    made = [seesay.__version__, str(_FORM)]
    parts = [given, *words, repr(fit), repr(sorted(how.items())), stamps, *made]
    key = hashlib.blake2b("\0".join(parts).encode(), digest_size=16)
    return cache() / "counted" / f"{key.hexdigest()}.npz"


def _stamps(examples: Sequence[Example]) -> str:
    """The sizes and times of all pictures that are files: on theirs, what becomes of them hangs."""
    found = hashlib.blake2b(digest_size=16)
    for example in examples:
        for picture in example.images:
            if isinstance(picture, Path):
                found.update(_stamp(picture))
    return found.hexdigest()


def _stamp(path: Path) -> bytes:
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        return f"{status.st_size} {status.st_mtime_ns} ".encode()
    return b"- "


def load(path: Path, count: int) -> Counted | None:
    """What is kept there of `count` examples; None where nothing is, or nothing whole."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
            rows, turns = (
                _groups(held[f"{name}_members"], held[f"{name}_starts"], count)
                for name in ("rows", "turns")
            )
        os.utime(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Counted(rows, turns)


def _groups(members: np.ndarray, starts: np.ndarray, count: int) -> Groups:
    """Groups of these; ValueError where they cannot be any of so many examples."""
    whole = all(each.ndim == 1 and each.dtype.kind == "i" for each in (members, starts))
    if not whole or starts[:1].tolist() != [0] or int(starts[-1]) != len(members):
        raise ValueError("no groups")
    if (np.diff(starts) <= 0).any() or (np.bincount(members, minlength=1) > 1).any():
        raise ValueError("no groups")
    if len(members) and int(members.max()) >= count:
        raise ValueError("no groups")
    return Groups(members, starts)


def save(path: Path, counted: Counted) -> None:
    """Keep it: whole, or, where the disk does not take it, not at all."""
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(draft, "wb") as file:
            np.savez(file, **_arrays(counted))
        os.replace(draft, path)
        _prune(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _arrays(counted: Counted) -> dict[str, Any]:
    several = {"rows": counted.rows, "turns": counted.turns}
    return {
        f"{name}_{part}": getattr(groups, part).astype(np.int32)
        for name, groups in several.items()
        for part in ("members", "starts")
    }


def _prune(folder: Path) -> None:
    kept = sorted(folder.glob("*.npz"), key=os.path.getmtime, reverse=True)
    for path in kept[KEPT:]:
        path.unlink(missing_ok=True)
