"""Tables: rows by column name, each with its origin; CSV and TSV files as such."""

import codecs
import csv
import json
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from seesay.data.finder import Refused
from seesay.errors import DataError
from seesay.records import Origin

# A row that cannot be read is the reason why, as text.
Row = tuple[Origin, Mapping[str, Any] | str]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows, before anything is known of what they mean.

    `rows` is called with the columns that are wanted. `root` is the folder that pictures are named
    from, and must lie in. `classes` are the names of columns that hold class numbers (Hugging
    Face's ClassLabel; of a column within another, by `objects.category`). `types` says of columns
    whether they hold text or numbers, where the file does. `split` is the column whose values are
    splits that must not be mixed.
    """

    path: str
    format: str
    columns: tuple[str, ...]
    rows: Callable[[Collection[str]], Iterable[Row]]
    root: Path
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    split: str = ""


def plain(path: Path, columns: tuple[str, ...], rows: list[Row], *, format: str,
          root: Path) -> Table:  # fmt: skip
    """A table of rows that are already there."""
    return Table(str(path), format, columns, lambda wanted: rows, root)


def listed(
    path: Path,
    entries: Iterable[Any],
    make: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]],
) -> list[Row]:
    """Rows made of the objects that a file lists, the first of which is row 1.

    `make` may raise `Refused`: its object is then a broken row.
    """
    rows: list[Row] = []
    for number, entry in enumerate(entries, 1):
        origin = Origin(str(path), number)
        try:
            if not isinstance(entry, dict):
                raise Refused("not an object")
            rows += [(origin, row) for row in list(make(entry))]
        except Refused as why:
            rows.append((origin, str(why)))
    return rows


def id_in(entry: Mapping[str, Any], key: str) -> int | str | None:
    """What an entry of an annotation set goes by: a number or a text; None for anything else."""
    found = entry.get(key)
    return found if isinstance(found, (int, str)) else None


def joined(tables: Sequence[Table]) -> Table:
    """Tables of the same columns, one after another.

    Raises:
        DataError: columns or folders that differ.
    """
    first = tables[0]
    for other in tables[1:]:
        if what := _differs(first, other):
            raise DataError(what, where=other.path, fix="read them one by one")

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        for each in tables:
            yield from each.rows(wanted)

    path = first.path if len(tables) == 1 else f"{first.path} and {len(tables) - 1} more"
    return replace(first, path=path, rows=rows)


def _differs(first: Table, other: Table) -> str:
    """What is not the same of two tables that are to be one."""
    if set(other.columns) != set(first.columns):
        ours, theirs = ", ".join(first.columns), ", ".join(other.columns)
        return f"columns {theirs}; {first.path} has {ours}"
    for name, kind in other.types.items():
        if first.types.get(name, kind) != kind:
            return f"column '{name}' holds {kind}; in {first.path} {first.types[name]}"
    for name in dict.fromkeys((*first.classes, *other.classes)):
        ours, theirs = first.classes.get(name, ()), other.classes.get(name, ())
        if ours != theirs:
            return (
                f"the classes of '{name}' are {', '.join(theirs) or 'none'}; "
                f"{first.path} has {', '.join(ours) or 'none'}"
            )
    return f"beside other pictures than {first.path}" if other.root != first.root else ""


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


def json_object(path: Path) -> Mapping[str, Any]:
    """The one object that a JSON file holds.

    Raises:
        DataError: it is not JSON, or holds something else.
    """
    fix = "write or download it again"
    try:
        value = json.loads(decoded(path.read_bytes(), str(path)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", where=str(path), fix=fix) from None
    if isinstance(value, dict):
        return value
    what = f"a JSON {type(value).__name__}; expected an object"
    raise DataError(what, where=str(path), fix=fix)


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


def separated(path: Path, root: Path | None = None) -> Table:
    """The rows of a CSV or TSV file."""
    with opened_text(path) as file:
        head = file.readline()
    delimiter = max(",;\t", key=head.count) if path.suffix.lower() == ".csv" else "\t"

    def records() -> Iterator[tuple[int, list[str] | str]]:
        with opened_text(path) as file:
            yield from _records(csv.reader(file, delimiter=delimiter, strict=True), str(path))

    _, columns = next(records(), (0, []))
    if isinstance(columns, str) or not any(columns):
        raise DataError("no header row", where=f"{path}:1", fix="write the columns' names first")
    names = tuple(name.strip() for name in columns)

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        # Read anew each time, row by row: a million of them are not to be held.
        yield from _named(islice(records(), 1, None), names, str(path))

    format = "CSV" if path.suffix.lower() == ".csv" else "TSV"
    return Table(str(path), format, names, rows, root or path.parent)


@contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """A file of UTF-8 text, to be read a line at a time; line ends as they are.

    Raises:
        DataError: another encoding, as `decoded`, where it is come upon.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as text:
            yield text
    except UnicodeDecodeError:
        decoded(path.read_bytes(), str(path))
        raise


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
