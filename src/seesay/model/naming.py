"""Naming: what others call our tensors and how theirs lie in ours, both ways.

Shapes: V width, O out, I in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Lies:
    """How a tensor of theirs lies in ours, both ways.

    Args:
        ours: its name; several where theirs is a stack of them, one after another (fused QKV).
        leading: how many dimensions of one theirs begins with, and ours does not.
        transposed: whether its matrices are (I, O), as GPT-2's are, where ours are (O, I).
    """

    ours: tuple[str, ...]
    leading: int = 0
    transposed: bool = False

    def split(self, theirs: Tensor) -> tuple[Tensor, ...]:
        """Theirs as ours."""
        x = theirs.reshape(theirs.shape[self.leading :])
        x = x.T if self.transposed and x.ndim == 2 else x
        whole = (x,) if len(self.ours) == 1 else x.chunk(len(self.ours))
        return tuple(each.contiguous() for each in whole)

    def join(self, ours: Sequence[Tensor]) -> Tensor:
        """Ours as theirs."""
        x = torch.cat(list(ours)) if len(ours) > 1 else ours[0]
        x = x.T.contiguous() if self.transposed and x.ndim == 2 else x
        return x.reshape((1,) * self.leading + x.shape)


Rows = dict[str, str | Lies]


class Part(NamedTuple):
    """Rows within a part of ours ("vision."), and where their files have them.

    theirs: what stands before their names: first as files are written today, then other forms.
    having: a tensor of ours without which these rows do not hold. Rows that hold go before those
        of later parts.
    """

    ours: str
    theirs: tuple[str, ...]
    rows: Rows
    having: str | None = None


class Pair(NamedTuple):
    """A tensor of theirs, the one or several of ours that it is, and how it lies in them."""

    theirs: str
    ours: tuple[str, ...]
    lies: Lies


@dataclass(frozen=True, slots=True)
class Naming:
    """The rows of a model type, where one file, or an export, has them.

    prefixes: of each part, what stands before their names.
    """

    parts: tuple[Part, ...]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, parts: tuple[Part, ...], names: Iterable[str] | None = None) -> "Naming":
        """As files of this type are written today, or as those that hold these names are."""
        if names is None:
            return cls(parts, tuple(part.theirs[0] for part in parts))
        there = set(names)
        return cls(parts, tuple(_nearest(part, there) for part in parts))

    def pairs(self, ours: Iterable[str], theirs: Iterable[str] = ()) -> list[Pair]:
        """Every tensor of ours with theirs; `theirs` are the names a file has, for old spellings.

        Raises:
            KeyError: the table has no row for one of ours.
        """
        there, ours = set(theirs), list(ours)
        parts = [
            (part, prefix)
            for part, prefix in zip(self.parts, self.prefixes, strict=True)
            if part.having is None or part.having in ours
        ]
        found: dict[str, Pair] = {}
        for name in ours:
            pair = next(_rows_of(name, parts), None)
            if pair is None:
                raise KeyError(name)
            spelled = _spelled(pair.theirs, there)
            found[spelled] = pair._replace(theirs=spelled)
        return list(found.values())


def _rows_of(name: str, parts: Iterable[tuple[Part, str]]) -> Iterator[Pair]:
    """What the table says of a tensor of ours."""
    for part, prefix in parts:
        if not name.startswith(part.ours):
            continue
        for row, lies in part.rows.items():
            lies = lies if isinstance(lies, Lies) else Lies((lies,))
            for own in lies.ours:
                if match := re.fullmatch(_pattern(own), name[len(part.ours) :]):
                    yield _pair(part.ours, prefix + row, lies, match)


def _pattern(name: str) -> str:
    return re.escape(name).replace(r"\{i\}", r"(?P<i>\d+)") + r"(?P<end>\.weight|\.bias)?"


def _pair(ours: str, theirs: str, lies: Lies, match: re.Match[str]) -> Pair:
    def filled(name: str) -> str:
        return name.replace("{i}", match.groupdict().get("i") or "") + (match["end"] or "")

    return Pair(filled(theirs), tuple(ours + filled(own) for own in lies.ours), lies)


def _nearest(part: Part, there: set[str]) -> str:
    """Of the forms that the names may have, the one that most of a file's names have."""

    def count(prefix: str) -> int:
        firsts = (prefix + row.replace("{i}", "0") for row in part.rows)
        return sum(name + end in there for name in firsts for end in ("", ".weight"))

    return max(part.theirs, key=count)


def _spelled(name: str, there: set[str]) -> str:
    """A name as a file has it, where it is of an older spelling."""
    if name in there:
        return name
    olds = (re.sub(now, old, name) for now, old in _OLD.items())
    return next((old for old in olds if old in there), name)


# The first BERTs' norms have a gamma and a beta; ViLT's head had its bias beside it.
_OLD: Mapping[str, str] = {
    r"LayerNorm\.weight$": "LayerNorm.gamma",
    r"LayerNorm\.bias$": "LayerNorm.beta",
    r"^mlm_score\.decoder\.bias$": "mlm_score.bias",
}
