"""Tables: CSV, TSV, JSONL, JSON and Parquet files -> rows by column name, each with its origin."""

import codecs
import csv
import io
import json
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seesay.errors import DataError
from seesay.records import Origin

# A row that cannot be read is the reason why, as text.
Row = tuple[Origin, Mapping[str, Any] | str]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows, before anything is known of what they mean.

    `rows` is called with the columns that are wanted. `root` is the folder that pictures are named
    from. `classes` are the names of columns that hold class numbers (Hugging Face's ClassLabel).
    """

    path: str
    format: str
    columns: tuple[str, ...]
    rows: Callable[[Collection[str]], Iterable[Row]]
    root: Path
    classes: Mapping[str, tuple[str, ...]]


def table(path: Path) -> Table:
    """The table in a file, by its extension.

    Raises:
        DataError: empty, not UTF-8, not what the extension says, or without rows.
    """
    if path.stat().st_size == 0:
        raise DataError("empty: 0 bytes", where=str(path), fix="write or download it again")
    return READERS[path.suffix.lower()](path)


def plain(path: Path, columns: tuple[str, ...], rows: list[Row], *, format: str,
          root: Path) -> Table:  # fmt: skip
    """A table of rows that are already there."""
    return Table(str(path), format, columns, lambda wanted: rows, root, {})


def joined(tables: Sequence[Table]) -> Table:
    """Tables of the same columns, one after another.

    Raises:
        DataError: columns or folders that differ.
    """
    first = tables[0]
    for other in tables[1:]:
        if set(other.columns) != set(first.columns):
            ours, theirs = ", ".join(first.columns), ", ".join(other.columns)
            what = f"columns {theirs}; {first.path} has {ours}"
            raise DataError(what, where=other.path, fix="read them one by one")
        if other.root != first.root:
            what = f"beside other pictures than {first.path}"
            raise DataError(what, where=other.path, fix="read them one by one")

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        for each in tables:
            yield from each.rows(wanted)

    path = first.path if len(tables) == 1 else f"{first.path} and {len(tables) - 1} more"
    return replace(first, path=path, rows=rows)


def decoded(data: bytes, path: str) -> str:
    """UTF-8 text, with or without a byte order mark.

    Raises:
        DataError: another encoding, with the byte, the line and the command that converts it.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError("UTF-16, not UTF-8", where=path, fix=_converted(path, "UTF-16"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            where=f"{path}:{line}",
            fix=_converted(path, _guess(data)),
        ) from None


def _converted(path: str, encoding: str) -> str:
    return f"convert it: iconv -f {encoding} -t UTF-8 {shlex.quote(path)} > new"


def _guess(data: bytes) -> str:
    """The likeliest of the two encodings that spreadsheets write: Chinese or Western."""
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return "WINDOWS-1252"
    foreign = [letter for letter in text if ord(letter) > 127]
    chinese = sum("\u4e00" <= letter <= "\u9fff" for letter in foreign)
    return "GB18030" if 2 * chinese > len(foreign) else "WINDOWS-1252"


def _separated(path: Path) -> Table:
    text = decoded(path.read_bytes(), str(path))
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count) if path.suffix.lower() == ".csv" else "\t"
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = _records(lines, str(path))
    _, columns = next(rows, (0, []))
    if isinstance(columns, str) or not any(columns):
        raise DataError("no header row", where=f"{path}:1", fix="write the columns' names first")
    names = tuple(name.strip() for name in columns)
    format = "CSV" if path.suffix.lower() == ".csv" else "TSV"
    return plain(path, names, list(_named(rows, names, str(path))), format=format, root=path.parent)


def _records(lines: Any, path: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each record with the line that it starts on."""
    while True:
        first = lines.line_num + 1
        try:
            yield first, next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field larger" in str(error):
                # Everything after the quote has become one cell: no small share of the file.
                fix = 'close the quote, or double it (""): it swallows the rows after it'
                what = f"a quote is not closed by line {lines.line_num}"
                raise DataError(what, where=f"{path}:{first}", fix=fix) from None
            yield first, f"not a row: {error}"


def _named(rows: Iterable[tuple[int, list[str] | str]], names: tuple[str, ...],
           path: str) -> Iterator[Row]:  # fmt: skip
    width = len(names)
    for line, cells in rows:
        if len(cells) == width and not isinstance(cells, str):
            yield Origin(path, line), dict(zip(names, cells, strict=True))
        elif isinstance(cells, str):
            yield Origin(path, line), cells
        elif cells:
            yield Origin(path, line), f"{len(cells)} cells; the header has {width}"


def _lines(path: Path) -> Table:
    return _from_lines(path, decoded(path.read_bytes(), str(path)))


def _from_lines(path: Path, text: str) -> Table:
    # Not `splitlines`: JSON text may hold the other line ends that it splits at.
    rows = [
        (Origin(str(path), number), _object(line))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    return _of_objects(path, rows, "JSONL")


def _object(line: str) -> Mapping[str, Any] | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if isinstance(value, dict):
        return value
    return f"a JSON {type(value).__name__}; expected an object with named columns"


def _of_objects(path: Path, rows: list[Row], format: str) -> Table:
    names: dict[str, None] = {}
    for _, row in rows:
        if not isinstance(row, str):
            names.update(dict.fromkeys(row))
    return plain(path, tuple(names), rows, format=format, root=path.parent)


def _json(path: Path) -> Table:
    text = decoded(path.read_bytes(), str(path))
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Many tools write one object a line and call it `.json`.
        if "Extra data" in str(error) and text.lstrip().startswith("{"):
            return _from_lines(path, text)
        raise DataError(f"not JSON: {error}", where=str(path), fix="write it again") from None
    if not isinstance(values, list):
        raise DataError(
            f"a JSON {type(values).__name__}; expected a list of objects",
            where=str(path),
            fix='write [{"image": ..., "caption": ...}, ...], or one object a line as .jsonl',
        )
    rows: list[Row] = [
        (Origin(str(path), number), value if isinstance(value, dict) else "not an object")
        for number, value in enumerate(values, 1)
    ]
    return _of_objects(path, rows, "JSON")


def _parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        fix = "write or download it again"
        raise DataError(f"not Parquet: {error}", where=str(path), fix=fix) from None

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        number = 0
        try:
            for batch in file.iter_batches(256, columns=list(wanted)):
                for row in batch.to_pylist():
                    number += 1
                    yield Origin(str(path), number), row
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"cannot be read after row {number}: {error}",
                where=str(path),
                fix="write or download it again",
            ) from None

    schema = file.schema_arrow
    columns, classes = tuple(schema.names), _class_names(schema.metadata or {})
    return Table(str(path), "Parquet", columns, rows, path.parent, classes)


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            name: tuple(map(str, feature["names"]))
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError):
        return {}


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".json": _json,
    ".parquet": _parquet,
}
