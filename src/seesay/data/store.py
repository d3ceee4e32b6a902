"""Store: examples on disk, read one at a time, so that a million of them take no memory."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import weakref
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from seesay.errors import DataError
from seesay.records import Box, Cell, Example, Frame, Origin, Picture, Span, Stamp, Turn, Within

# As many examples as this are kept on disk.
MOST = 100_000
# What an example may hold, by the name it is written under.
KINDS = {
    each.__name__: each for each in (Example, Turn, Box, Origin, Stamp, Span, Cell, Frame)
}
_WHAT = "="  # the key of a kind's name: no field has it


class Stored(Sequence[Example]):
    """Examples of a file that `Writer` wrote; `finish` changes each as it is read.

    Each is read from the file anew, so that processes share nothing and hold nothing.
    """

    def __init__(
        self,
        path: Path,
        places: np.ndarray,
        *,
        finish: Callable[[Example], Example] | None = None,
        digest: str = "",
    ) -> None:
        self.path, self.places, self.finish, self.digest = path, places, finish, digest
        self._file: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.places) - 1

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Chosen": ...
    def __getitem__(self, index: int | slice) -> "Example | Chosen":
        if isinstance(index, slice):
            return Chosen(self, np.arange(*index.indices(len(self))))
        index = range(len(self))[index]
        start, end = int(self.places[index]), int(self.places[index + 1])
        made = back(json.loads(os.pread(self._open(), end - start, start)))
        return self.finish(made) if self.finish else made

    def _open(self) -> int:
        """This process's own handle on the file."""
        if self._file is None or self._file[0] != os.getpid():
            handle = os.open(self.path, os.O_RDONLY)
            self._file = os.getpid(), handle
            weakref.finalize(self, os.close, handle)
        return self._file[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}


class Chosen(Sequence[Example]):
    """Some examples of a longer sequence, by their places in it."""

    def __init__(self, whole: Sequence[Example], places: np.ndarray) -> None:
        self.whole, self.places = whole, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Chosen": ...
    def __getitem__(self, index: int | slice) -> "Example | Chosen":
        if isinstance(index, slice):
            return Chosen(self.whole, self.places[index])
        return self.whole[int(self.places[range(len(self))[index]])]


class Changed(Sequence[Example]):
    """Examples of another sequence, each changed as it is read."""

    def __init__(self, whole: Sequence[Example], change: Callable[[Example], Example]) -> None:
        self.whole, self.change = whole, change

    def __len__(self) -> int:
        return len(self.whole)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "Chosen": ...
    def __getitem__(self, index: int | slice) -> "Example | Chosen":
        if isinstance(index, slice):
            return Chosen(self, np.arange(*index.indices(len(self))))
        return self.change(self.whole[index])


def chosen(examples: Sequence[Example], places: Sequence[int] | np.ndarray) -> Sequence[Example]:
    """The examples at these places: a list of a list, else a view."""
    if isinstance(examples, list):
        return [examples[i] for i in places]
    return Chosen(examples, np.asarray(places, np.int64))


class Writer:
    """Writes examples one after another to a file that is gone when nothing reads it any more.

    Raises:
        DataError: the disk is full, or the folder cannot be written to.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="seesay-", dir=folder))
        self.path = self.folder / "examples.jsonl"
        self._file = open(self.path, "wb", buffering=1 << 20)
        self._places = array("q", [0])
        self._digest = hashlib.blake2b(digest_size=16)

    def __len__(self) -> int:
        return len(self._places) - 1

    def add(self, example: Example) -> None:
        """Write one more."""
        line = _line(example)
        self._digest.update(line)
        try:
            size = self._file.write(line)
        except OSError as error:
            self.discard()
            raise DataError(
                f"examples cannot be kept on disk: {error.strerror}",
                where=str(self.folder),
                fix="make room there, or name another folder with TMPDIR",
            ) from None
        self._places.append(self._places[-1] + size)

    def done(self, finish: Callable[[Example], Example] | None = None) -> Stored:
        """All of them, to be read."""
        self._file.close()
        places, digest = np.array(self._places, np.int64), self._digest.hexdigest()
        made = Stored(self.path, places, finish=finish, digest=digest)
        weakref.finalize(made, _removed, self.folder, os.getpid())
        return made

    def discard(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError):
            self._file.close()
        _removed(self.folder, os.getpid())


class Kept:
    """Examples that are added one by one: a list of few, on disk where there are `MOST`.

    Those whose pictures come as bytes are in memory anyway, and stay there.
    """

    def __init__(self) -> None:
        self._list: list[Example] = []
        self._writer: Writer | None = None

    def add(self, example: Example) -> None:
        """Keep one more."""
        if self._writer is not None:
            self._writer.add(example)
            return
        self._list.append(example)
        if len(self._list) == MOST and all(map(_is_named, self._list)):
            self._writer = Writer()
            for each in self._list:
                self._writer.add(each)
            self._list = []

    def done(self, finish: Callable[[Example], Example] | None = None) -> Sequence[Example]:
        """All of them, each changed by `finish`."""
        if self._writer is not None:
            return self._writer.done(finish)
        return self._list if finish is None else [finish(each) for each in self._list]


def _is_named(example: Example) -> bool:
    return all(isinstance(_source(picture), Path | Within) for picture in example.images)


def _source(picture: Picture) -> object:
    """A picture, or the video or file that a frame is of."""
    return picture.source if isinstance(picture, Frame) else picture


def _removed(folder: Path, process: int) -> None:
    # Workers that were forked hold it too, and end before.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _line(example: Example) -> bytes:
    """An example as it is written."""
    line = json.dumps(plain(example), ensure_ascii=False, separators=(",", ":"))
    return line.encode() + b"\n"


def digest(examples: Sequence[Example]) -> str | None:
    """What is the same for the same examples; None where that cannot be told, as of drawn ones.

    Pictures that are files go by their names.
    """
    found = hashlib.blake2b(digest_size=16)
    if isinstance(examples, Chosen):
        if (whole := digest(examples.whole)) is None:
            return None
        found.update(whole.encode() + examples.places.astype(np.int64).tobytes())
    elif isinstance(examples, Stored):
        if (changed := _said(examples.finish)) is None:
            return None
        found.update(f"{examples.digest} {changed}".encode())
    else:
        try:
            for example in examples:
                found.update(_line(example))
        except (TypeError, UnicodeEncodeError):
            return None
    return found.hexdigest()


def _said(finish: Callable[[Example], Example] | None) -> str | None:
    """What is the same for changes that are the same; None where that cannot be told."""
    if finish is None:
        return ""
    own = getattr(finish, "__self__", None)
    if isinstance(finish, partial):
        name, told = finish.func.__qualname__, [finish.args, finish.keywords]
    elif is_dataclass(own) and not isinstance(own, type):
        name, told = getattr(finish, "__qualname__", ""), asdict(own)
    else:
        return None
    try:
        return name + json.dumps(told, sort_keys=True)
    except (TypeError, ValueError):
        return None


def plain(value: Any) -> Any:
    """A value of an example as JSON holds it; fields that are as they come are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        held = {
            each.name: plain(own)
            for each in fields(value)
            if not _is_default(own := getattr(value, each.name), each)
        }
        return {_WHAT: type(value).__name__} | held
    if isinstance(value, bytes):
        return {_WHAT: "bytes", "base64": b64encode(value).decode()}
    if isinstance(value, Path):
        return {_WHAT: "Path", "path": str(value)}
    if isinstance(value, Mapping):
        return {_WHAT: "Mapping", "items": [[plain(k), plain(v)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be kept on disk")


def _is_default(value: Any, field: Field) -> bool:
    default = field.default
    if field.default_factory is not MISSING:
        default = field.default_factory()
    return default is not MISSING and type(value) is type(default) and value == default


def back(value: Any) -> Any:
    """What `plain` made of a value, as it was; lists are tuples."""
    if isinstance(value, list):
        return tuple(back(each) for each in value)
    if not isinstance(value, dict):
        return value
    kind = value.pop(_WHAT)
    if kind == "bytes":
        return b64decode(value["base64"])
    if kind == "Path":
        return Path(value["path"])
    if kind == "Mapping":
        return {back(k): back(v) for k, v in value["items"]}
    return KINDS[kind](**{name: back(own) for name, own in value.items()})


def some(examples: Sequence[Example], count: int | None, *, seed: int) -> Sequence[Example]:
    """At most `count` of the examples (None: all), drawn at random, in their own order.

    Not the first ones: folders and tables are often sorted by what is to be told apart.
    """
    if count is None or count >= len(examples):
        return examples
    places = np.random.Generator(np.random.PCG64(seed)).permutation(len(examples))[:count]
    return chosen(examples, np.sort(places))


def evenly(examples: Sequence[Example], most: int) -> Iterator[Example]:
    """At most so many of the examples, evenly from all of them."""
    step = max(1, -(-len(examples) // most))
    return (examples[i] for i in range(0, len(examples), step))
