"""Writing: a file or a folder appears whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seesay.errors import DataError


def replace(path: Path, text: str) -> Path:
    """Write a file whole or not at all, in place of what was there; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def check_free(folder: Path) -> None:
    """See that a folder is new or empty.

    Raises:
        DataError: it is neither.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            "exists and is not an empty folder",
            where=str(folder),
            fix="choose a new folder, or delete this one first",
        )


@contextmanager
def more_files(folder: Path) -> Iterator[Path]:
    """Another folder to write files in, which all come into this one at the end, or none.

    Raises:
        DataError: one of that name is there already, or they cannot be written.
    """
    unfinished, moved = folder / f".{os.getpid()}.tmp", []
    try:
        unfinished.mkdir()
        yield unfinished
        made = sorted(path for path in unfinished.rglob("*") if path.is_file())
        for path in made:
            place = folder / path.relative_to(unfinished)
            check_new(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
            moved.append(place)
    except BaseException as error:
        for place in moved:
            place.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from error
        raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_new(path: Path) -> None:
    """See that there is no such file.

    Raises:
        DataError: there is.
    """
    if path.exists():
        fix = "choose another folder, or delete this one first"
        raise DataError("is there already", where=str(path), fix=fix)


def _unwritable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"the folder cannot be written: {error.strerror or error}",
        where=str(folder),
        fix="choose a folder you may write to, on a disk with room",
    )


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Another folder to write in, which takes this one's place at the end, if nothing went wrong.

    Raises:
        DataError: it is there already and not empty, or cannot be written.
    """
    check_free(folder)
    unfinished = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
