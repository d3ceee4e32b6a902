"""Packing: which documents, and which groups of pictures with theirs, share a row of tokens."""

from collections.abc import Sequence

from seesay.data.text import Document
from seesay.errors import LengthError


def split(lengths: Sequence[int], *, room: int, most: int | None = None) -> list[list[int]]:
    """Documents of these lengths, in order, into rows of at most `room` tokens.

    `most`: at most so many documents a row.

    Raises:
        LengthError: a document is longer than a row.
    """
    if lengths and max(lengths) > room:
        raise LengthError(
            f"a document takes {max(lengths)} tokens but a row has room for {room}",
            fix="shorten it, or raise data.row_tokens",
        )
    rows: list[list[int]] = [[]]
    used = 0
    for i, length in enumerate(lengths):
        if rows[-1] and (used + length > room or len(rows[-1]) == most):
            rows.append([])
            used = 0
        rows[-1].append(i)
        used += length
    return [row for row in rows if row]


def fill(documents: Sequence[Document], *, room: int) -> list[int]:
    """Which documents fit, in order of preference: one that does not is passed over."""
    taken: list[int] = []
    for i, document in enumerate(documents):
        if document.num_inputs <= room:
            taken.append(i)
            room -= document.num_inputs
    return taken


def packed(lengths: Sequence[int], *, room: int) -> list[list[int]]:
    """Which of some lengths share a row of `room` positions: best fit, the longest first.

    At most 11/9 of the fewest rows there could be, and one more (Johnson, 1974). What is longer
    than a row has one to itself.
    """
    bins: list[list[int]] = []
    left: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fits = [(over - lengths[i], b) for b, over in enumerate(left) if over >= lengths[i]]
        if fits:
            best = min(fits)[1]
            bins[best].append(i)
            left[best] -= lengths[i]
        else:
            bins.append([i])
            left.append(room - lengths[i])
    return sorted(sorted(each) for each in bins)
