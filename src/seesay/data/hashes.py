"""Hashes: pictures told by what they look like, and which are nearly the same by that.

A picture's hash is 64 bits: whether each of the lowest frequencies of its grey is above their
middle (pHash: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).
Re-encoding, resizing, other brightness and a little cropping change few of them. Drawn pictures
that differ in one small thing may have one hash, so that a small copy in colour decides.

Shapes: N pictures, M pairs, S side of what is hashed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt64

from seesay.data.clusters import Clusters

SIDE = 32  # pixels along a side of what is hashed
BITS = 64
# Near pictures differ in at most so many bits, and by at most so many levels of 255 in the mean
# colour of every cell of 8 by 8.
NEAR, LEVELS = 8, 48
# Of the parts that a hash is cut into, near ones have so many in common.
COMMON = 3
# Pairs that are compared at a time.
AT_ONCE = 1 << 22
# A frequency below this is none: what rounding leaves of a picture of one colour.
NOTHING = 1e-3

_LUMA = np.array([0.299, 0.587, 0.114])


def _cosines() -> np.ndarray:
    """The first 8 rows of the orthonormal DCT-II of `SIDE` numbers."""
    at, frequency = np.arange(SIDE), np.arange(8)
    rows = np.cos(np.pi * (2 * at + 1) * frequency[:, None] / (2 * SIDE))
    return rows * np.sqrt(2 / SIDE)


_COSINES = _cosines()
_PLACES = np.uint64(1) << np.arange(BITS, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Print:
    """What one picture is told by: its hash, and a copy of it, 8 by 8, in colour."""

    hash: np.uint64
    small: UInt8[np.ndarray, "8 8 3"]


def fingerprint(pixels: UInt8[np.ndarray, "S S 3"]) -> Print:
    """What a picture is told by, from its pixels at `SIDE` by `SIDE`."""
    grey = pixels @ _LUMA
    found = (_COSINES @ grey @ _COSINES.T).ravel()
    found[np.abs(found) < NOTHING] = 0.0
    # The first is the mean: how bright the picture is.
    above = found > np.median(found[1:])
    cell = SIDE // 8
    means = pixels.reshape(8, cell, 8, cell, 3).mean(axis=(1, 3))
    return Print(_PLACES[above].sum(dtype=np.uint64), np.round(means).astype(np.uint8))


def near(prints: list[Print], *, distance: int = NEAR) -> Int[np.ndarray, "M 2"]:
    """Pairs of pictures that are nearly the same, as places in the list, each the lower first.

    Of pictures whose prints are equal, each is paired with the first of them alone.

    distance: bits that two hashes may differ in.
    """
    if len(prints) < 2:
        return np.empty((0, 2), np.int64)
    hashes = np.array([each.hash for each in prints], np.uint64)
    small = np.stack([each.small for each in prints]).reshape(len(prints), -1)
    whole = np.concatenate((hashes[:, None].view(np.uint8), small), axis=1)
    _, first, which = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    own = first[which.reshape(-1)]
    twins = np.stack((own, np.arange(len(prints))), axis=1)[own != np.arange(len(prints))]
    alike = first[_alike(hashes[first], small[first], distance)]
    return np.concatenate((twins, np.sort(alike, axis=1)))


def together(prints: list[Print], *, distance: int = NEAR) -> Clusters:
    """Pictures in clusters of those that are nearly the same as another of the cluster."""
    made = Clusters(len(prints))
    for pair in near(prints, distance=distance).tolist():
        made.join(pair)
    return made


def _alike(hashes: UInt64[np.ndarray, " N"], small: UInt8[np.ndarray, "N C"],
           distance: int) -> Int[np.ndarray, "M 2"]:  # fmt: skip
    """Pairs whose hashes and colours are near."""
    most = len(hashes) * (len(hashes) - 1) // 2
    found, looked_at = [np.empty((0, 2), np.int64)], 0
    for code in _codes(hashes, distance):
        order, after = _followed(code)
        looked_at += int(after.sum())
        if looked_at > most:
            # Most hashes share their parts: all pairs are fewer than those that parts give.
            order, after = _followed(np.zeros(len(hashes), np.uint64))
            return np.unique(_close(hashes, small, order, after, distance), axis=0)
        found.append(_close(hashes, small, order, after, distance))
    return np.unique(np.concatenate(found), axis=0)


def _close(hashes: UInt64[np.ndarray, " N"], small: UInt8[np.ndarray, "N C"], order: np.ndarray,
           after: np.ndarray, distance: int) -> Int[np.ndarray, "M 2"]:  # fmt: skip
    """Of things in an order, each with so many after it: the pairs that are near."""
    found = [np.empty((0, 2), np.int64)]
    for a, b in _pairs(order, after):
        close = _differing(hashes[a], hashes[b]) <= distance
        a, b = a[close], b[close]
        same = _same_colours(small, a, b)
        found.append(np.sort(np.stack((a[same], b[same]), axis=1), axis=1))
    return np.concatenate(found)


def _codes(hashes: UInt64[np.ndarray, " N"], distance: int) -> list[np.ndarray]:
    """Codes of which near hashes have at least one in common: some of the hash's bits each.

    Of d + 3 parts that a hash is cut into, d different bits leave at least 3 parts equal. Any
    three together are so many bits that few other hashes share them.
    """
    edges = np.linspace(0, BITS, distance + COMMON + 1).round().astype(int)
    parts = [_PLACES[a:b].sum(dtype=np.uint64) for a, b in zip(edges, edges[1:], strict=False)]
    return [hashes & np.bitwise_or.reduce(np.array(some)) for some in combinations(parts, COMMON)]


def _followed(code: UInt64[np.ndarray, " N"]) -> tuple[np.ndarray, np.ndarray]:
    """An order in which equal codes stand together, and how many of its own come after each."""
    order = np.argsort(code)
    begins = np.flatnonzero(np.diff(code[order], prepend=~code[order[:1]]))
    counts = np.diff(begins, append=len(code))
    return order, np.repeat(begins + counts, counts) - np.arange(len(code)) - 1


def _pairs(order: np.ndarray, after: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each thing with each of those after it, some at a time."""
    ends, start = np.cumsum(after), 0
    while start < len(order):
        done = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, done + AT_ONCE, side="right")))
        some = after[start:end]
        left = np.repeat(np.arange(start, end), some)
        ahead = np.arange(len(left)) - np.repeat(np.cumsum(some) - some, some) + 1
        yield order[left], order[left + ahead]
        start = end


def _differing(a: UInt64[np.ndarray, " M"], b: UInt64[np.ndarray, " M"]) -> np.ndarray:
    """In how many bits each pair differs."""
    bits = a ^ b
    if hasattr(np, "bitwise_count"):  # numpy 2
        return np.bitwise_count(bits)
    return np.unpackbits(bits[:, None].view(np.uint8), axis=1).sum(axis=1)


def _same_colours(small: UInt8[np.ndarray, "N C"], a: np.ndarray,
                  b: np.ndarray) -> Bool[np.ndarray, " M"]:  # fmt: skip
    if not len(a):
        return np.zeros(0, bool)
    step = max(1, AT_ONCE // small.shape[1])
    parts = [slice(at, at + step) for at in range(0, len(a), step)]
    far = [np.abs(small[a[p]].astype(np.int16) - small[b[p]]).max(axis=1) for p in parts]
    return np.concatenate(far) <= LEVELS
