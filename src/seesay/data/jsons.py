"""JSON files: lists of objects, objects line by line, annotation sets -> rows by column name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seesay.data import annotations
from seesay.data.tables import Row, Table, decoded, plain
from seesay.errors import DataError
from seesay.records import Origin


def lines(path: Path, root: Path | None = None) -> Table:
    """The rows of a file with one object a line."""
    return _from_lines(path, decoded(path.read_bytes(), str(path)), root)


def _from_lines(path: Path, text: str, root: Path | None) -> Table:
    # Not `splitlines`: JSON text may hold the other line ends that it splits at.
    rows = [
        (Origin(str(path), number), _object(line))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    return _of_objects(path, rows, "JSONL", root)


def _object(line: str) -> Mapping[str, Any] | str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if isinstance(value, dict):
        return value
    return f"a JSON {type(value).__name__}; expected an object with named columns"


def _of_objects(path: Path, rows: list[Row], format: str, root: Path | None) -> Table:
    names: dict[str, None] = {}
    for _, row in rows:
        if not isinstance(row, str):
            names.update(dict.fromkeys(row))
    known = annotations.of_rows(path, rows, tuple(names), root)
    return known or plain(path, tuple(names), rows, format=format, root=root or path.parent)


def values(path: Path, root: Path | None = None) -> Table:
    """The rows of a JSON file: a list of objects, or an annotation set, told by its keys.

    Raises:
        DataError: not JSON, or neither.
    """
    text = decoded(path.read_bytes(), str(path))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Many tools write one object a line and call it `.json`.
        if "Extra data" in str(error) and text.lstrip().startswith("{"):
            return _from_lines(path, text, root)
        raise DataError(f"not JSON: {error}", where=str(path), fix="write it again") from None
    if isinstance(found, dict) and (known := annotations.of_object(path, found, root)):
        return known
    if not isinstance(found, list):
        raise DataError(
            f"a JSON {type(found).__name__}; expected a list of objects",
            where=str(path),
            fix='write [{"image": ..., "caption": ...}, ...], or one object a line as .jsonl; '
            f"known by their keys: {annotations.KNOWN}",
        )
    rows: list[Row] = [
        (Origin(str(path), number), value if isinstance(value, dict) else "not an object")
        for number, value in enumerate(found, 1)
    ]
    return _of_objects(path, rows, "JSON", root)
