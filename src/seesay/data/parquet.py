"""Parquet: rows -> Parquet files with Hugging Face's image column, which its `datasets` opens.

What a column holds is known when its last row has come. One that comes to hold more than before (a
list where there was a text) is widened: what is written of it is written anew.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay.data import images
from seesay.data.beside import Beside
from seesay.data.writers import SHARD
from seesay.records import Picture

if TYPE_CHECKING:
    import pyarrow

# A row group has so many bytes or rows, whichever comes first: a reader holds one at a time.
GROUP_BYTES, GROUP_ROWS = 16 * 2**20, 1000
NUMBERS = ("whole", "number")
LARGE = 2**63  # what whole numbers stay below


class Parquet:
    """Parquet files of `shard` bytes, `STEM-00000-of-00003.parquet`.

    columns: that rows may have. One that is not among them is one more.
    """

    def __init__(self, folder: Path, *, stem: str, beside: Beside, columns: Sequence[str] = (),
                 shard: int = SHARD) -> None:  # fmt: skip
        del beside
        self.folder, self.stem, self.shard = folder, stem, shard
        self.kinds = {"image": "picture"} | dict.fromkeys(columns, "nothing")
        self.rows: list[dict[str, Any]] = []
        self.count, self.held, self.begun = 0, 0, 0
        self.file: Any = None
        self.files: list[Path] = []

    def add(self, pictures: Sequence[Picture], row: Mapping[str, Any], *, where: str) -> None:
        """One more row."""
        cells = []
        for number, picture in enumerate(pictures):
            data, ending = images.as_file(picture, where=where)
            made = f"{self.count}-{number}{ending}"
            name = picture.name if isinstance(picture, Path) else made
            cells.append({"bytes": data, "path": name})
            self.held += len(data)
        self.count += 1
        self.rows.append({"image": cells, **row})
        if self.held >= GROUP_BYTES or len(self.rows) >= GROUP_ROWS:
            self._flush()

    def finish(self) -> list[str]:
        """Close the last file, and number them by how many they are."""
        self._flush()
        self.stop()
        named = [f"{self.stem}-{i:05}-of-{len(self.files):05}.parquet"
                 for i in range(len(self.files))]  # fmt: skip
        for path, name in zip(self.files, named, strict=True):
            os.replace(path, self.folder / name)
        return named

    def stop(self) -> None:
        """Close what is open."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def _flush(self) -> None:
        """Write the rows that are held as a row group."""
        if not self.rows:
            return
        wider = _kinds(self.rows, self.kinds)
        if self.files and not _schema(wider).equals(_schema(self.kinds)):
            self._widen(wider)
        self.kinds = wider
        self._begun().write_table(_table(self.rows, self.kinds))
        self.begun += self.held
        self.rows, self.held = [], 0
        if self.begun >= self.shard:
            self.stop()

    def _begun(self) -> Any:
        """The file that is written now."""
        import pyarrow.parquet

        if self.file is None:
            self.begun = 0
            self.files.append(self.folder / f".{self.stem}-{len(self.files):05}.part")
            self.file = pyarrow.parquet.ParquetWriter(self.files[-1], _schema(self.kinds))
        return self.file

    def _widen(self, wider: Mapping[str, str]) -> None:
        """Write what is there anew, in columns that hold more."""
        import pyarrow.parquet

        self.stop()
        for path in self.files:
            draft = path.with_suffix(".wider")
            with pyarrow.parquet.ParquetWriter(draft, _schema(wider)) as file:
                for rows in _groups(path):
                    file.write_table(_table(rows, wider))
            os.replace(draft, path)


def _groups(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The rows of a file that was written here, a row group at a time."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            for row in (rows := file.read_row_group(number).to_pylist()):
                cell = row["image"]
                row["image"] = cell if isinstance(cell, list) else [cell]
            yield rows


def _kinds(rows: Sequence[Mapping[str, Any]], before: Mapping[str, str]) -> dict[str, str]:
    """What each column holds, with what it held before."""
    found = dict(before)
    for row in rows:
        for name, value in row.items():
            found[name] = _either(found.get(name, "nothing"), _kind(name, value))
    return found


def _kind(name: str, value: Any) -> str:
    """What a column must be to hold a value."""
    if name == "image":
        return "picture" if len(value) == 1 else "pictures"
    if name == "conversations":
        return "turns"
    if name == "objects" and isinstance(value, dict) and "bbox" in value:
        return "objects"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "texts"
    if isinstance(value, int) and abs(value) >= LARGE:
        return "text"
    plain = {int: "whole", float: "number", type(None): "nothing"}
    return plain.get(type(value), "text")  # What is nested is written as JSON.


def _either(one: str, other: str) -> str:
    """What a column must be to hold both."""
    if one == other or "nothing" in (one, other):
        return other if one == "nothing" else one
    if one in ("picture", "pictures"):
        return "pictures"
    if one in NUMBERS and other in NUMBERS:
        return "number"
    return "texts" if "texts" in (one, other) else "text"


def _types() -> dict[str, "pyarrow.DataType"]:
    import pyarrow as pa

    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return {
        "picture": picture,
        "pictures": pa.list_(picture),
        "turns": pa.list_(pa.struct({"from": pa.string(), "value": pa.string()})),
        "objects": pa.struct(
            {
                "bbox": pa.list_(pa.list_(pa.float64())),
                "categories": pa.list_(pa.string()),
                "iscrowd": pa.list_(pa.int64()),
            }
        ),
        "truth": pa.bool_(),
        "whole": pa.int64(),
        "number": pa.float64(),
        "texts": pa.list_(pa.string()),
        "text": pa.string(),
        "nothing": pa.string(),
    }


def _value(dtype: str) -> dict[str, str]:
    return {"dtype": dtype, "_type": "Value"}


_PICTURE, _TEXT = {"_type": "Image"}, _value("string")
# What Hugging Face's `datasets` calls them.
FEATURES: dict[str, Any] = {
    "picture": _PICTURE,
    "pictures": [_PICTURE],
    "turns": [{"from": _TEXT, "value": _TEXT}],
    "objects": {
        "bbox": [[_value("float64")]],
        "categories": [_TEXT],
        "iscrowd": [_value("int64")],
    },
    "truth": _value("bool"),
    "whole": _value("int64"),
    "number": _value("float64"),
    "texts": [_TEXT],
    "text": _TEXT,
    "nothing": _TEXT,
}


def _schema(kinds: Mapping[str, str]) -> "pyarrow.Schema":
    import pyarrow as pa

    types = _types()
    features = {name: FEATURES[kind] for name, kind in kinds.items()}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema({name: types[kind] for name, kind in kinds.items()}, metadata=told)


def _table(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str]) -> "pyarrow.Table":
    import pyarrow as pa

    columns = {
        name: [_cell(row.get(name), kind) for row in rows] for name, kind in kinds.items()
    }
    return pa.table(columns, schema=_schema(kinds))


def _cell(value: Any, kind: str) -> Any:
    """A value as its column holds it."""
    if value is None:
        return None
    if kind == "picture":
        return value[0]
    if kind == "texts":
        return [_text(each) for each in value] if isinstance(value, list) else [_text(value)]
    if kind == "text":
        return _text(value)
    return float(value) if kind == "number" else value


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as it was before the column held fractions too
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
