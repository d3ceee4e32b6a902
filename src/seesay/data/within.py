"""Within: pictures that lie in larger files (tars, Arrow, Parquet), read when they are wanted.

Each process opens files for itself, and keeps few open; of Parquet it keeps the row groups that it
read last, as many as there is room for.
"""

import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay.errors import DataError, PictureError
from seesay.records import Cell, Span, Stamp, Within

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

FILES = 64  # that are open at a time
ROOM = 256 << 20  # bytes of row groups that are kept
TRIES = 3
PAUSE = 0.2  # seconds before the second try; twice as long before the next


class Lying(bytes):
    """Bytes that were read, and where in their file they lie."""

    at: Within


def placed(cell: Any, at: Callable[[int | None], Within | None]) -> Any:
    """A cell of pictures (bytes, Hugging Face's objects, or a list of such) with where each lies.

    `at`: of the one at a place in a list, or of the only one; None where it lies nowhere.
    """
    if isinstance(cell, list):
        return [placed(each, lambda _, place=i: at(place)) for i, each in enumerate(cell)]
    if isinstance(cell, dict):
        return {name: placed(each, at) for name, each in cell.items()}
    place = at(None) if isinstance(cell, bytes) else None
    return cell if place is None else lying(cell, place)


def lying(data: bytes, at: Within) -> Lying:
    """Bytes that lie there."""
    made = Lying(data)
    made.at = at
    return made


def stamp(path: str | Path) -> Stamp:
    """A file as it is now."""
    return _stamp(str(path), os.stat(path))


def _stamp(path: str, status: os.stat_result) -> Stamp:
    return Stamp(path, status.st_size, status.st_mtime_ns)


def read(picture: Within, *, where: str) -> bytes:
    """The encoded bytes of a picture. What fails is tried again.

    Raises:
        PictureError: in the end, its file cannot be read.
        DataError: the file has changed since its stamp was taken.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return _opened().read(picture)
        except (OSError, ValueError) as error:  # as pyarrow's are
            _opened().forget(picture.file)
            if attempt == TRIES or isinstance(error, FileNotFoundError):
                raise _unread(picture, error, attempt, where) from None
            time.sleep(PAUSE * 2 ** (attempt - 1))
    raise AssertionError


def _unread(picture: Within, error: Exception, tries: int, where: str) -> PictureError:
    why = getattr(error, "strerror", None) or str(error).split("\n")[0]
    again = f" in {tries} tries" if tries > 1 else ""
    fix = "see that the file is there, and write or download it again"
    return PictureError(f"{picture} cannot be read{again}: {why}", where=where, fix=fix)


def _changed(before: Stamp, now: Stamp) -> DataError:
    return DataError(
        f"it has changed since it was read: {_said(before)} then, {_said(now)} now",
        where=before.path,
        fix="start again (of a run, with --resume): it is then read anew",
    )


def _said(file: Stamp) -> str:
    written = datetime.fromtimestamp(file.written / 1e9).isoformat(" ", "milliseconds")
    return f"{file.size} bytes of {written}"


class _Handle:
    """An open file. It is closed when nobody reads it any more."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.number)


class _Opened:
    """What a process has open."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.lock = threading.RLock()
        self.handles: OrderedDict[str, _Handle] = OrderedDict()
        self.tables: OrderedDict[str, pyarrow.parquet.ParquetFile] = OrderedDict()
        self.groups: OrderedDict[tuple[str, str, int], pyarrow.ChunkedArray] = OrderedDict()

    def read(self, picture: Within) -> bytes:
        return self._span(picture) if isinstance(picture, Span) else self._cell(picture)

    def forget(self, file: Stamp) -> None:
        """Open it anew the next time."""
        with self.lock:
            self.handles.pop(file.path, None)
            self.tables.pop(file.path, None)
            for key in [key for key in self.groups if key[0] == file.path]:
                del self.groups[key]

    def _span(self, picture: Span) -> bytes:
        with self.lock:
            handle = _kept(self.handles, picture.file.path, _Handle, most=FILES)
        self._check(picture.file, os.fstat(handle.number))
        data = os.pread(handle.number, picture.size, picture.start)
        if len(data) < picture.size:
            raise OSError(f"{len(data)} of {picture.size} bytes are there")
        return data

    def _cell(self, picture: Cell) -> bytes:
        # The whole of it: a file of Parquet is read by one thread at a time.
        with self.lock:
            self._check(picture.file, os.stat(picture.file.path))
            cell = self._value(picture).as_py()
        found = cell if picture.place is None else cell[picture.place]
        return found["bytes"] if isinstance(found, dict) else found

    def _check(self, before: Stamp, status: os.stat_result) -> None:
        now = _stamp(before.path, status)
        if now != before:
            self.forget(before)
            raise _changed(before, now)

    def _value(self, picture: Cell) -> "pyarrow.Scalar":
        """The cell of a picture, of its row group: of one that there is no room for, alone."""
        path, key = picture.file.path, (picture.file.path, picture.column, picture.group)
        table = _kept(self.tables, path, _parquet, most=FILES)
        size = 0 if key in self.groups else _size(table, picture)
        if size <= ROOM // 2:
            self._make_room(size)
            return _kept(self.groups, key, lambda _: _group(table, picture))[picture.row]
        passed = 0
        alone = {"row_groups": [picture.group], "columns": [picture.column], "use_threads": False}
        for batch in table.iter_batches(16, **alone):
            if picture.row < passed + len(batch):
                return batch.column(0)[picture.row - passed]
            passed += len(batch)
        raise OSError(f"{passed} rows are there")

    def _make_room(self, size: int) -> None:
        while self.groups and size + sum(each.nbytes for each in self.groups.values()) > ROOM:
            self.groups.popitem(last=False)


_here: _Opened | None = None


def _opened() -> _Opened:
    """What this process has open: nothing of what the one has that it was forked from."""
    global _here
    if _here is None or _here.process != os.getpid():
        _here = _Opened()
    return _here


def _kept(several: OrderedDict, key: Any, make: Callable[[Any], Any], *, most: int = 0) -> Any:
    """What is kept under a key, or made and kept; of more than `most`, the oldest goes."""
    if key not in several:
        several[key] = make(key)
    several.move_to_end(key)
    if most and len(several) > most:
        several.popitem(last=False)
    return several[key]


def _parquet(path: str) -> "pyarrow.parquet.ParquetFile":
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20)


def _group(table: "pyarrow.parquet.ParquetFile", picture: Cell) -> "pyarrow.ChunkedArray":
    # A forked process has none of the threads that pyarrow would share the work among.
    columns = [picture.column]
    return table.read_row_group(picture.group, columns=columns, use_threads=False).column(0)


def _size(table: "pyarrow.parquet.ParquetFile", picture: Cell) -> int:
    """Bytes that a column of a row group takes in memory, about."""
    group = table.metadata.row_group(picture.group)
    columns = (group.column(i) for i in range(group.num_columns))
    inner = picture.column + "."
    own = (c for c in columns if c.path_in_schema == picture.column
           or c.path_in_schema.startswith(inner))  # fmt: skip
    return sum(column.total_uncompressed_size for column in own)
