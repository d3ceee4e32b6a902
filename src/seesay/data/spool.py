"""Spool: JSON values one after another, on disk where there are many."""

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator
from typing import Any

from seesay.errors import DataError

# As many values as this are kept on disk.
MOST = 20_000
_PIECE = 1 << 20  # bytes that are written, and read, at a time


class Spool:
    """Values that are added one by one, and read in that order as often as is wanted."""

    def __init__(self) -> None:
        self._list: list[Any] = []
        self._file: int | None = None
        self._ends = array("q")  # where each value on disk ends
        self._waiting = bytearray()  # what is to be written next

    def __len__(self) -> int:
        return len(self._list) if self._file is None else len(self._ends)

    def add(self, value: Any) -> None:
        """One more.

        Raises:
            DataError: the disk is full, or cannot be written to.
        """
        if self._file is not None:
            self._put(value)
            return
        self._list.append(value)
        if len(self._list) >= MOST:
            self._file = self._begun()
            for each in self._list:
                self._put(each)
            self._list = []

    def cut(self, count: int) -> None:
        """Forget all but the first so many."""
        del self._list[count:]
        if self._file is not None:
            self._write()
            del self._ends[count:]
            os.ftruncate(self._file, self._ends[-1] if count else 0)

    def __iter__(self) -> Iterator[Any]:
        yield from self._list
        if self._file is None:
            return
        self._write()
        place, rest, end = 0, b"", self._ends[-1] if self._ends else 0
        while place < end:
            piece = os.pread(self._file, _PIECE, place)
            place += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(json.loads, lines)

    def _begun(self) -> int:
        """A file without a name: it is gone when it is closed, and with this process."""
        try:
            number, path = tempfile.mkstemp(prefix="seesay-")
            os.unlink(path)
        except OSError as error:
            raise _full(error) from None
        weakref.finalize(self, os.close, number)
        return number

    def _put(self, value: Any) -> None:
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        self._waiting += line
        self._ends.append((self._ends[-1] if self._ends else 0) + len(line))
        if len(self._waiting) >= _PIECE:
            self._write()

    def _write(self) -> None:
        assert self._file is not None
        place = (self._ends[-1] if self._ends else 0) - len(self._waiting)
        try:
            while self._waiting:
                written = os.pwrite(self._file, self._waiting, place)
                place += written
                del self._waiting[:written]
        except OSError as error:
            raise _full(error) from None


def _full(error: OSError) -> DataError:
    return DataError(
        f"rows cannot be kept on disk: {error.strerror}",
        where=tempfile.gettempdir(),
        fix="make room there, or name another folder with TMPDIR",
    )
