"""Folders: which data a folder holds: a table, tar shards, pictures with captions, or classes."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from seesay.data import arrow, coco, jsons, shards, tables, video, vqa
from seesay.data.decode import EXTENSIONS
from seesay.data.spool import Spool
from seesay.data.tables import Row, Table
from seesay.errors import DataError
from seesay.records import Origin

LAYOUTS = (
    "a table (.csv, .tsv, .jsonl, .json, .parquet, .arrow) with a picture column and a text "
    "column, pictures with a .txt beside each, a folder for each class, or webdataset .tar shards"
)
# Not read, but their being there is told.
UNREADABLE = (".heic", ".heif", ".avif", ".svg", ".pdf")
PICTURES = (*EXTENSIONS, *video.EXTENSIONS, *UNREADABLE)
SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")
ASIDE = ("readme", "license", "licence", "notice", "changelog", "requirements", "classes", "labels")
# What frameworks leave beside the data.
NO_TABLES = (
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json",
    "package.json",
)  # fmt: skip
PICKLES = (".p", ".pkl", ".pickle")
READERS: dict[str, Callable[[Path, Path | None], Table]] = {
    ".csv": tables.separated,
    ".tsv": tables.separated,
    ".jsonl": jsons.lines,
    ".ndjson": jsons.lines,
    ".json": jsons.values,
    ".parquet": arrow.parquet,
    ".arrow": arrow.arrow,
}

_NUMBERED = re.compile(r"(^|[-_])\d{2,}(-of-\d+)?$")


def table(folder: Path, root: Path | None = None) -> Table:
    """The one data set that a folder holds; pictures are named from `root`, if not from its own.

    Raises:
        DataError: none, or several, which are named.
    """
    names = _visible(folder)
    found = _tables(folder)
    if not found and not _pictures(names):
        inner = [folder / name for name in names if (folder / name).is_dir()]
        for child in inner:
            found |= _tables(child, prefix=child.name)
        found = {name: found[name] for name in _without_answers(found)}
        found = found or _splits(inner)
    if len(found) > 1:
        listed = ", ".join(found)
        raise DataError(
            f"it holds {len(found)} data sets: {listed}",
            where=str(folder),
            fix=f"say which, such as {folder / min(found, key=_training)}",
        )
    if found:
        return opened(next(iter(found.values())), root)
    return _of_pictures(folder, root)


def opened(paths: Sequence[Path], root: Path | None = None) -> Table:
    """The table in files of one kind, or in a folder: one that was saved, or one of pictures."""
    if (paths[0] / arrow.STATE).is_file():
        return arrow.saved(paths[0], root)
    if paths[0].is_dir():
        return _of_pictures(paths[0], root)
    if paths[0].suffix.lower() == ".tar":
        return shards.table(paths, root)
    return tables.joined([_opened(path, root) for path in paths])


def _opened(path: Path, root: Path | None) -> Table:
    if path.stat().st_size == 0:
        raise DataError("empty: 0 bytes", where=str(path), fix="write or download it again")
    return READERS[path.suffix.lower()](path, root)


def _training(name: str) -> tuple[bool, str]:
    return not Path(name).name.startswith("train"), name


def _visible(folder: Path) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"cannot be listed: {error.strerror}", where=str(folder)) from None
    return [name for name in names if not name.startswith((".", "__MACOSX"))]


def _pictures(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.lower().endswith(PICTURES)]


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _tables(folder: Path, *, prefix: str = "") -> dict[str, list[Path]]:
    """The tables and shards right in a folder, by the name to ask for them with."""
    if (folder / arrow.STATE).is_file():
        return {prefix or folder.name: [folder]}
    if (folder / arrow.SPLITS).is_file():
        saved = arrow.splits_of(folder)
        return {os.path.join(prefix, name): paths for name, paths in saved.items()}
    names = _visible(folder)
    stems = {_stem(name) for name in _pictures(names)}
    kinds = (*READERS, ".tar")
    found: dict[str, list[str]] = {}
    for name in _leading(folder, names):
        beside = name in NO_TABLES or (name.endswith(".json") and _stem(name) in stems)
        if not beside and name.lower().endswith(kinds):
            found.setdefault(_NUMBERED.sub(r"\1*", _stem(name)) + _ending(name), []).append(name)
    return {
        os.path.join(prefix, key if len(files) > 1 else files[0]): [folder / file for file in files]
        for key, files in found.items()
    }


def _leading(folder: Path, names: Sequence[str]) -> list[str]:
    """The files without those that go with another: VQA's annotations, RefCOCO's instances."""
    refs = [name for name in names if name.lower().startswith("refs")]
    if refs and all(_ending(name) in PICKLES for name in refs):
        raise DataError(
            f"'{refs[0]}' is a pickle, which could run any program: it is not opened",
            where=str(folder),
            fix=coco.CONVERT,
        )
    return [
        name for name in _without_answers(names) if not (refs and name.startswith("instances"))
    ]


def _without_answers(names: Collection[str]) -> list[str]:
    """The files without the annotations of VQA whose questions are there: these find them."""
    halves = {name: vqa.pair(os.path.basename(name)) for name in names}
    asked = {key for key, half in halves.values() if half == "questions"}
    return [
        name for name, (key, half) in halves.items() if half != "annotations" or key not in asked
    ]


def _splits(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Folders of pictures, data sets if all are named as splits are (`train` may be a class)."""
    filled = [folder for folder in folders if any(_walked(folder))]
    are_splits = all(folder.name.lower() in SPLITS for folder in filled)
    return {folder.name: [folder] for folder in filled} if are_splits else {}


def _walked(folder: Path) -> Iterable[tuple[Path, list[str]]]:
    """Each folder below that has pictures, with the names of all its files."""
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(n for n in inner if not n.startswith((".", "__MACOSX")))
        names = sorted(name for name in names if not name.startswith("."))
        if _pictures(names):
            yield Path(place), names


def _of_pictures(folder: Path, root: Path | None) -> Table:
    places = list(_walked(folder))
    if not places:
        what = "no pictures and no tables in it"
        raise DataError(what, where=str(folder), fix=f"needed: {LAYOUTS}")
    if any(_beside(names) for _, names in places):
        return _captioned(folder, places, root)
    classes = {place.relative_to(folder).parts[0] for place, _ in places if place != folder}
    if len(classes) > 1:
        return _classes(folder, places, root)
    number = sum(len(_pictures(names)) for _, names in places)
    raise DataError(f"{number} pictures and no text", where=str(folder), fix=f"needed: {LAYOUTS}")


def _beside(names: Sequence[str]) -> dict[str, list[str]]:
    """The text files of a folder by the picture that they are named as."""
    pictures = {_stem(name) for name in _pictures(names)}
    texts: dict[str, list[str]] = {}
    for name in names:
        if _stem(name) in pictures and name.lower().endswith(shards.ENDINGS):
            texts.setdefault(_stem(name), []).append(name)
    return texts


def _captioned(folder: Path, places: Sequence[tuple[Path, list[str]]],
               root: Path | None) -> Table:  # fmt: skip
    # Each text is a file that is opened: once is enough.
    kept, columns = Spool(), {"image": None}
    for origin, row in (row for place, names in places for row in _sidecars(folder, place, names)):
        columns.update(dict.fromkeys(row if not isinstance(row, str) else ()))
        kept.add([origin.file, row])

    def rows(wanted: Collection[str]) -> Iterator[Row]:
        for file, row in kept:
            yield Origin(file), row

    return Table(str(folder), "pictures with captions", tuple(columns), rows, root or folder)


def _sidecars(folder: Path, place: Path, names: Sequence[str]) -> Iterable[Row]:
    texts, pictures = _beside(names), _pictures(names)
    pictures_of: dict[str, list[str]] = {}
    for name in pictures:
        pictures_of.setdefault(_stem(name), []).append(name)
    for name in pictures:
        beside, same = texts.get(_stem(name)), pictures_of[_stem(name)]
        if len(same) > 1:
            yield Origin(str(place / name)), f"{len(same)} pictures of one name: {', '.join(same)}"
            continue
        if not beside:
            yield Origin(str(place / name)), f"no text beside it: expected {_stem(name)}.txt"
            continue
        readers = {_ending(text): (place / text).read_bytes for text in beside}
        row = shards.fields(readers, str(place / _stem(name)))
        image = str((place / name).relative_to(folder))
        yield Origin(str(place / name)), row if isinstance(row, str) else {**row, "image": image}
    stems = {_stem(name) for name in pictures}
    for name in names:
        if name.endswith(".txt") and _stem(name) not in stems and _stem(name).lower() not in ASIDE:
            yield Origin(str(place / name)), "no picture beside it"


def _classes(folder: Path, places: Sequence[tuple[Path, list[str]]],
             root: Path | None) -> Table:  # fmt: skip
    def rows(wanted: Collection[str]) -> Iterator[Row]:
        for place, names in places:
            yield from _classed(folder, place, names)

    return Table(str(folder), "class folders", ("image", "label"), rows, root or folder)


def _classed(folder: Path, place: Path, names: Sequence[str]) -> Iterable[Row]:
    inner = place.relative_to(folder)
    for name in _pictures(names):
        row: Mapping[str, str] | str = "in no class's folder"
        if inner.parts:
            row = {"image": str(inner / name), "label": inner.parts[0]}
        yield Origin(str(place / name)), row
