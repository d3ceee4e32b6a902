"""Arrow: Parquet files, Arrow files, and folders that `datasets` saved -> rows by column name."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay.data.tables import Row, Table, joined, json_object
from seesay.errors import DataError
from seesay.records import Origin

if TYPE_CHECKING:
    import pyarrow

# What `save_to_disk` leaves: beside one data set, and beside folders of several.
STATE, SPLITS = "state.json", "dataset_dict.json"
AT_ONCE = 256  # rows that are in memory at a time
_AGAIN = "write or download it again"


def parquet(path: Path, root: Path | None = None) -> Table:
    """The rows of a Parquet file.

    Raises:
        DataError: it is none, or broken.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"not Parquet: {error}", where=str(path), fix=_AGAIN) from None

    def batches(wanted: Collection[str]) -> "Iterable[pyarrow.RecordBatch]":
        return file.iter_batches(AT_ONCE, columns=list(wanted))

    return _table(path, "Parquet", file.schema_arrow, batches, root)


def arrow(path: Path, root: Path | None = None) -> Table:
    """The rows of an Arrow file, which is mapped to memory and read as it is needed.

    Raises:
        DataError: it is none, or broken.
    """
    import pyarrow

    try:
        schema = _stream(path).schema
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"not Arrow: {error}", where=str(path), fix=_AGAIN) from None

    def batches(wanted: Collection[str]) -> "Iterator[pyarrow.RecordBatch]":
        for batch in _stream(path):
            chosen = batch.select(list(wanted))
            for start in range(0, len(chosen), AT_ONCE):
                yield chosen.slice(start, AT_ONCE)

    return _table(path, "Arrow", schema, batches, root)


def _stream(path: Path) -> "pyarrow.RecordBatchReader":
    """Its batches: of the stream that `datasets` writes, or of an Arrow (Feather) file."""
    import pyarrow

    with open(path, "rb") as file:
        is_file = file.read(6) == b"ARROW1"
    mapped = pyarrow.memory_map(str(path))
    if not is_file:
        return pyarrow.ipc.open_stream(mapped)
    reader = pyarrow.ipc.open_file(mapped)
    return pyarrow.RecordBatchReader.from_batches(
        reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches))
    )


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
    batches: "Callable[[Collection[str]], Iterable[pyarrow.RecordBatch]]",
    root: Path | None,
) -> Table:
    import pyarrow

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        number = 0
        try:
            for batch in batches(wanted):
                for row in batch.to_pylist():
                    number += 1
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
