"""Hub: data sets of Hugging Face's hub, streamed -> rows by column name."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seesay.data.arrow import class_names
from seesay.data.remote import ENDINGS, INSTALL, cache
from seesay.data.tables import Row, Table
from seesay.errors import DataError
from seesay.records import Origin

if TYPE_CHECKING:
    import datasets

BEGIN = "hf://datasets/"
_NAMED = re.compile(
    r"(?P<name>\w[\w.-]*(/\w[\w.-]*)?)(@(?P<revision>[\w.-]+))?(/(?P<config>[\w.-]+))?"
    r"(:(?P<split>[\w.-]+)(\[:(?P<most>\d+)\])?)?$"
)


@dataclass(frozen=True, slots=True)
class _Address:
    """owner/name[@revision][/configuration][:split[[:rows]]]"""

    name: str
    revision: str | None
    config: str | None
    split: str | None
    most: int | None


def is_address(source: str) -> bool:
    """Whether a source is a data set of the hub, and not one file there."""
    return source.startswith(BEGIN) and not source.lower().endswith(ENDINGS)


def table(source: str, root: Path | None = None) -> Table:
    """The rows of `hf://datasets/owner/name:split`, fetched as they are read.

    Raises:
        DataError: the package `datasets` or the network is missing, there is no such data set, or
            which split (or configuration) is meant is not said.
    """
    wished = _parsed(source)
    stream = _stream(wished, source)
    first = next(iter(islice(stream, 1)), {}) if stream.features is None else stream.features
    classes = class_names(stream.features.to_dict()) if stream.features else {}

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        number = 0
        try:
            for number, row in enumerate(islice(stream, wished.most), 1):
                kept = {key: _with_bytes(row.get(key)) for key in wanted}
                yield Origin(source, number), kept
        except Exception as error:
            raise _failed(source, error, after=number) from None

    # Pictures that are named in text are not looked for among whatever lies here.
    place = root or cache() / "hub"
    return Table(source, "Hugging Face hub", tuple(first), rows, place, classes)


def _parsed(source: str) -> _Address:
    found = _NAMED.match(source.removeprefix(BEGIN))
    if found is None:
        fix = "write hf://datasets/owner/name, or hf://datasets/owner/name:train"
        raise DataError("no name of a data set on the hub", where=source, fix=fix)
    if Path(found["name"]).exists():  # which `datasets` would take for it
        what, fix = f"there is a folder {found['name']} here too", "go to another folder"
        raise DataError(what, where=source, fix=fix)
    parts = found.groupdict()
    most = parts.pop("most")
    return _Address(**parts, most=int(most) if most else None)


def _stream(wished: _Address, source: str) -> "datasets.IterableDataset":
    try:
        import datasets
    except ImportError:
        what = "the hub is read by the package 'datasets', which is not installed"
        raise DataError(what, where=source, fix=INSTALL) from None
    try:
        loaded: Any = datasets.load_dataset(
            wished.name, wished.config, revision=wished.revision, streaming=True
        )
    except Exception as error:
        raise _failed(source, error, after=0) from None
    names = [str(name) for name in loaded]
    if wished.split is None and len(names) > 1:
        what = f"it holds {len(names)} splits: {', '.join(names)}"
        raise DataError(what, where=source, fix=f"say which, such as {source}:{names[0]}")
    split = wished.split or names[0]
    if split not in names:
        what, fix = f"no split '{split}'", f"there are: {', '.join(names)}"
        raise DataError(what, where=source, fix=fix)
    return loaded[split].decode(False)


def _failed(source: str, error: Exception, *, after: int) -> DataError:
    if isinstance(error, DataError):
        return error
    why = f"{type(error).__name__}: {error}".split("\n")[0]
    what = f"cannot be read after row {after}: {why}" if after else f"cannot be opened: {why}"
    name = source.removeprefix(BEGIN)
    return DataError(
        what,
        where=source,
        fix="it needs the network (and HF_HUB_OFFLINE unset); or download it where there is one "
        f"(hf download --repo-type dataset {name.partition(':')[0]}) and give the folder",
    )


def _with_bytes(cell: Any) -> Any:
    """A picture of the data set's own that is elsewhere on the hub, with its bytes."""
    if isinstance(cell, list):
        return [_with_bytes(each) for each in cell]
    path = cell.get("path") if isinstance(cell, Mapping) else None
    if not isinstance(path, str) or cell.get("bytes") is not None:
        return cell
    if not path.rpartition("::")[2].startswith("hf://"):
        return cell
    import fsspec

    opened: Any = fsspec.open(path, "rb")
    with opened as file:
        return {"bytes": file.read(), "path": path}
