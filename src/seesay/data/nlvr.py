"""NLVR and NLVR2: sentences about pictures that their identifiers name (arXiv:1811.00491)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.data.album import Album, root_of, splits_in
from seesay.data.finder import Refused
from seesay.data.tables import Row, Table, plain

ORDERS = 6  # of the three boxes in a picture of NLVR, each a picture of its own


def table(path: Path, rows: Sequence[Row], root: Path | None) -> Table:
    """A row for each sentence on each picture: of NLVR one in up to six orders, of NLVR2 a pair."""
    root = root or root_of(path)
    album, split = Album(root), next(iter(splits_in(path.stem)), path.stem)
    made = [each for row in rows for each in _rows(row, album, split)]
    columns = ("image", "sentence", "label", "directory")
    return plain(path, columns, made, format="NLVR", root=root)


def _rows(row: Row, album: Album, split: str) -> list[Row]:
    origin, cells = row
    if isinstance(cells, str):
        return [row]
    named = {key: cells.get(key) for key in ("sentence", "label", "directory")}
    try:
        pictures = _pictures(cells, album, split)
    except Refused as why:
        return [(origin, str(why))]
    return [(origin, {"image": image, **named}) for image in pictures]


def _pictures(cells: Mapping[str, Any], album: Album, split: str) -> list[list[str]]:
    """The pictures of each row that a line makes."""
    name, directory = str(cells.get("identifier", "")), str(cells.get("directory", ""))
    parts = name.split("-")
    if len(parts) == 4:  # NLVR2: split, set, pair, sentence
        stems = [f"{'-'.join(parts[:3])}-img{side}" for side in (0, 1)]
        return [[album.find(stem, near=(parts[0], directory)) for stem in stems]]
    if len(parts) != 2:
        raise Refused(f"'{name}' is no identifier of NLVR (72-0) or NLVR2 (train-10171-0-0)")
    orders = [f"{split}-{name}-{order}" for order in range(ORDERS)]
    there = [order for order in orders if album.has(order)] or orders[:1]
    return [[album.find(order, near=(split, directory))] for order in there]
