"""Arrow: Parquet files, Arrow files, and folders that `datasets` saved -> rows by column name."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seesay.data import within
from seesay.data.tables import Row, Table, joined, json_object
from seesay.errors import DataError
from seesay.records import Cell, Origin, Span, Stamp, Within

if TYPE_CHECKING:
    import pyarrow

# Some rows, and where a picture of theirs lies: by its column, its row among them, and its place in
# the cell, where that is a list.
_Batch = tuple["pyarrow.RecordBatch", Callable[[str, int, int | None], Within | None]]
# What `save_to_disk` leaves: beside one data set, and beside folders of several.
STATE, SPLITS = "state.json", "dataset_dict.json"
AT_ONCE = 256  # rows that are in memory at a time
_AGAIN = "write or download it again"


def parquet(path: Path, root: Path | None = None) -> Table:
    """The rows of a Parquet file, which is read a few rows at a time.

    Raises:
        DataError: it is none, or broken.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        held = within.stamp(path)
        # By pieces: a row group of pictures may be large.
        file = pyarrow.parquet.ParquetFile(path, buffer_size=1 << 20)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"not Parquet: {error}", where=str(path), fix=_AGAIN) from None

    def batches(wanted: Collection[str]) -> Iterator[_Batch]:
        for group in range(file.num_row_groups):
            first = 0
            for batch in file.iter_batches(AT_ONCE, row_groups=[group], columns=list(wanted)):
                yield batch, lambda name, i, place, group=group, first=first: Cell(
                    held, name, group, first + i, place
                )
                first += len(batch)

    return _table(path, "Parquet", file.schema_arrow, batches, root)


def arrow(path: Path, root: Path | None = None) -> Table:
    """The rows of an Arrow file, which is mapped to memory and read as it is needed.

    Raises:
        DataError: it is none, or broken.
    """
    import pyarrow

    try:
        held, schema = within.stamp(path), _stream(path)[1].schema
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"not Arrow: {error}", where=str(path), fix=_AGAIN) from None

    def batches(wanted: Collection[str]) -> Iterator[_Batch]:
        base, stream = _stream(path)
        for batch in stream:
            chosen = batch.select(list(wanted))
            for start in range(0, len(chosen), AT_ONCE):
                piece = chosen.slice(start, AT_ONCE)
                pictured = [name for name in wanted if _holds_bytes(schema.field(name).type)]
                places = {name: _spans(piece.column(name), base, held) for name in pictured}
                yield piece, lambda name, i, place, places=places: places[name](i, place)

    return _table(path, "Arrow", schema, batches, root)


def _stream(path: Path) -> "tuple[pyarrow.Buffer, pyarrow.RecordBatchReader]":
    """The whole file, mapped to memory, and its batches: of the stream that `datasets` writes, or
    of an Arrow (Feather) file.
    """
    import pyarrow

    mapped = pyarrow.memory_map(str(path)).read_buffer()
    if mapped[:6].to_pybytes() != b"ARROW1":
        return mapped, pyarrow.ipc.open_stream(mapped)
    reader = pyarrow.ipc.open_file(mapped)
    return mapped, pyarrow.RecordBatchReader.from_batches(
        reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches))
    )


def _spans(
    column: "pyarrow.Array", base: "pyarrow.Buffer", file: Stamp
) -> Callable[[int, int | None], Span | None]:
    """Where in its file each picture of a column lies; None where it does not, for it was
    compressed.
    """
    from pyarrow import types

    listed = column.offsets.to_numpy() if hasattr(column, "offsets") else np.arange(0)
    inner = column.values if len(listed) else column
    inner = inner.field("bytes") if types.is_struct(inner.type) else inner
    wide = np.int64 if types.is_large_binary(inner.type) else np.int32
    _, offsets, data = inner.buffers()
    begin = data.address - base.address if data else -1
    if not 0 <= begin <= base.size:
        return lambda row, place: None
    bounds = np.frombuffer(offsets, wide)[inner.offset :]

    def at(row: int, place: int | None) -> Span:
        number = row if place is None else int(listed[row]) + place
        start, end = int(bounds[number]), int(bounds[number + 1])
        return Span(file, begin + start, end - start)

    return at


def saved(folder: Path, root: Path | None = None) -> Table:
    """The data set that `save_to_disk` of Hugging Face's `datasets` wrote to a folder.

    Raises:
        DataError: files are missing, or were written by a version that kept an index beside.
    """
    state = json_object(folder / STATE)
    if state.get("_indices_data_files"):
        what = "saved with an index of the rows that count, as old versions of `datasets` did"
        fix = "load it with `datasets` and save it again"
        raise DataError(what, where=str(folder), fix=fix)
    named = [str(each.get("filename")) for each in state.get("_data_files") or ()]
    paths = [folder / Path(name).name for name in named]
    missing = [path.name for path in paths if not path.is_file()]
    if missing or not paths:
        what = f"{len(paths) - len(missing)} of {len(paths)} data files are there"
        lacks = f": no {missing[0]}" if missing else ""
        raise DataError(what + lacks, where=str(folder), fix="copy or download it again")
    return joined([arrow(path, root or folder) for path in paths])


def splits_of(folder: Path) -> dict[str, list[Path]]:
    """The folders of a dictionary of data sets that `save_to_disk` wrote, by their names."""
    names = [str(name) for name in json_object(folder / SPLITS).get("splits") or ()]
    return {name: [folder / Path(name).name] for name in names}


def _table(
    path: Path,
    format: str,
    schema: "pyarrow.Schema",
    batches: "Callable[[Collection[str]], Iterable[_Batch]]",
    root: Path | None,
) -> Table:
    import pyarrow

    pictured = {field.name for field in schema if _holds_bytes(field.type)}

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        number = 0
        try:
            for batch, at in batches(wanted):
                for i, row in enumerate(batch.to_pylist()):
                    number += 1
                    for name in pictured & row.keys():
                        row[name] = within.placed(row[name], partial(at, name, i))
                    yield Origin(str(path), number), row
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            what = f"cannot be read after row {number}: {error}"
            raise DataError(what, where=str(path), fix=_AGAIN) from None

    return Table(
        str(path),
        format,
        tuple(schema.names),
        rows,
        root or path.parent,
        class_names(_features(schema.metadata or {})),
        _types(schema),
    )


def _holds_bytes(kind: "pyarrow.DataType") -> bool:
    """Whether it is bytes, Hugging Face's image column, or a list of such."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        return _holds_bytes(kind.value_type)
    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return types.is_binary(kind) or types.is_large_binary(kind)


def _types(schema: "pyarrow.Schema") -> dict[str, str]:
    from pyarrow import types

    found = {}
    for field in schema:
        if types.is_integer(field.type) or types.is_floating(field.type):
            found[field.name] = "numbers"
        elif types.is_string(field.type) or types.is_large_string(field.type):
            found[field.name] = "text"
    return found


def _features(metadata: Mapping[bytes, bytes]) -> Any:
    try:
        return json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}


def class_names(features: Any, name: str = "") -> dict[str, tuple[str, ...]]:
    """The names of Hugging Face's ClassLabel columns; of one within another, by `outer.inner`."""
    if isinstance(features, list):
        return class_names(features[0], name) if features else {}
    if not isinstance(features, dict):
        return {}
    kind = features.get("_type")
    if kind == "ClassLabel":
        return {name: tuple(map(str, features.get("names") or ()))}
    if isinstance(kind, str):  # a list of something, or a plain value
        return class_names(features.get("feature"), name)
    found: dict[str, tuple[str, ...]] = {}
    for key, inner in features.items():
        found |= class_names(inner, f"{name}.{key}" if name else key)
    return found
