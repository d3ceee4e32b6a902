"""JSON files: lists of objects, objects line by line, annotation sets -> rows by column name."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seesay.data import annotations
from seesay.data.elements import Elements
from seesay.data.tables import Row, Table, opened_text
from seesay.errors import DataError
from seesay.records import Origin

_Rows = Callable[[Collection[str]], Iterable[Row]]


def lines(path: Path, root: Path | None = None) -> Table:
    """The rows of a file with one object a line, which is read anew, a line at a time."""

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        # JSON text may hold the other line ends that Python knows.
        with opened_text(path, newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield Origin(str(path), number), _object(line.removesuffix("\n"))

    return _of_objects(path, rows, "JSONL", root)


def _object(line: str) -> Mapping[str, Any] | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if isinstance(value, dict):
        return value
    return f"a JSON {type(value).__name__}; expected an object with named columns"


def _of_objects(path: Path, rows: _Rows, format: str, root: Path | None) -> Table:
    names: dict[str, None] = {}
    for _, row in rows(()):
        if not isinstance(row, str):
            names.update(dict.fromkeys(row))
    known = annotations.of_rows(path, rows(()), tuple(names), root)
    return known or Table(str(path), format, tuple(names), rows, root or path.parent)


def values(path: Path, root: Path | None = None) -> Table:
    """The rows of a JSON file: a list of objects, read one by one; or an annotation set, told by
    its keys, which is read whole.

    Raises:
        DataError: not JSON, or neither.
    """
    with opened_text(path) as file:
        elements = Elements(file, str(path))
        if elements.next() == "[":
            return _of_objects(path, lambda wanted: _listed(path), "JSON", root)
        found = elements.value()
        more = elements.next()
    if more and isinstance(found, dict):
        return lines(path, root)  # Many tools write one object a line and call it `.json`.
    if more:
        raise DataError("not JSON: Extra data", where=str(path), fix="write it again")
    if isinstance(found, dict) and (known := annotations.of_object(path, found, root)):
        return known
    raise DataError(
        f"a JSON {type(found).__name__}; expected a list of objects",
        where=str(path),
        fix='write [{"image": ..., "caption": ...}, ...], or one object a line as .jsonl; '
        f"known by their keys: {annotations.KNOWN}",
    )


def _listed(path: Path) -> Iterator[Row]:
    with opened_text(path) as file:
        for number, value in enumerate(Elements(file, str(path)).list(), 1):
            yield Origin(str(path), number), value if isinstance(value, dict) else "not an object"
