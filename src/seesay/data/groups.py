"""Groups: which examples share a row, as arrays, so that a million of them take a few megabytes."""

import hashlib
from array import array
from collections.abc import Sequence
from typing import overload

import numpy as np

from seesay.data.packing import split


class Groups(Sequence[list[int]]):
    """The members of each group: `members[starts[i] : starts[i + 1]]`, in order."""

    def __init__(self, members: np.ndarray, starts: np.ndarray) -> None:
        self.members, self.starts = members, starts

    @classmethod
    def of(cls, several: Sequence[Sequence[int]]) -> "Groups":
        """Groups of these members."""
        members = np.fromiter((i for own in several for i in own), np.int64)
        return cls(members, np.cumsum([0, *map(len, several)]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        return self.members[self.starts[index] : self.starts[index + 1]].tolist()


def mark(name: str) -> int:
    """A number of 64 bits for a name: two names of a million have the same by 1 in 10 million."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def grouped(marks: np.ndarray) -> Groups:
    """What has one mark (uint64), in the order in which marks first come."""
    _, first, inverse = np.unique(marks, return_index=True, return_inverse=True)
    ranks = first[inverse]
    members = np.argsort(ranks, kind="stable")
    begins = np.flatnonzero(np.diff(ranks[members], prepend=-1))
    return Groups(members, np.append(begins, len(members)))


def parted(groups: Groups, lengths: np.ndarray, rooms: np.ndarray) -> Groups:
    """Groups whose members' lengths do not exceed the room that they share, in order.

    lengths, rooms: of each example; those of one group have the same room.

    Raises:
        LengthError: an example is longer than its room.
    """
    starts = array("q", [0])
    for begin, end in zip(groups.starts, groups.starts[1:], strict=False):
        own = groups.members[begin:end]
        for row in split(lengths[own].tolist(), room=int(rooms[own[0]])):
            starts.append(starts[-1] + len(row))
    return Groups(groups.members, np.array(starts))
