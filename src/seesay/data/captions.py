"""Captions: of several captions of a picture, one at a time, or two joined."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seesay.records import Example, Turn

HOW = ("all", "one", "joined")
_ENDS = (".", "!", "?", "…", "。", "！", "？")


def alike(examples: Sequence[Example]) -> list[list[int]]:
    """The examples of one picture, by number: captions asked for in the same words together."""
    groups: dict[object, list[int]] = {}
    for i, example in enumerate(examples):
        groups.setdefault(_asked(example) or i, []).append(i)
    return list(groups.values())


def _asked(example: Example) -> tuple[Turn, ...] | None:
    """What stands before a caption; None of what is none, or shows pictures inside."""
    last = example.turns[-1] if example.turns else None
    if example.task != "caption" or last is None or last.role != "assistant":
        return None
    if any(turn.pictures for turn in example.turns):
        return None
    return (*example.turns[:-1], replace(last, text=""))


def longest(lengths: Sequence[int], *, how: str) -> int:
    """Tokens that `mixed` may take, of captions with these lengths."""
    most = sorted(lengths, reverse=True)
    # Joined, they need a full stop and a space more, and one frame less.
    return sum(most[:2]) if how == "joined" else most[0]


def mixed(captions: Sequence[Example], *seed: int, how: str) -> Example:
    """One of several captions, or two of them joined; the same for the same seed."""
    if len(captions) == 1:
        return captions[0]
    random = np.random.Generator(np.random.PCG64([*seed, _CAPTIONS]))
    first, second = (captions[int(i)] for i in random.permutation(len(captions))[:2])
    return joined(first, second) if how == "joined" else first


def joined(first: Example, second: Example) -> Example:
    """Two captions of a picture as one."""
    text, more = first.answer.rstrip(), second.answer.strip()
    if not text.endswith(_ENDS):
        text += "." if text.isascii() else "。"
    between = " " if text.isascii() else ""
    last = replace(first.turns[-1], text=f"{text}{between}{more}")
    return replace(first, turns=(*first.turns[:-1], last))


# Sets these draws apart from others of one seed and index.
_CAPTIONS = 0xCA97
