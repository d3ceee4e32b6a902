"""Beside: pictures put beside a table that names them, and never copied where a link will do."""

import hashlib
import os
import shutil
from pathlib import Path

from seesay.data import images
from seesay.records import Picture

FOLDER = "images"


class Beside:
    """Pictures by their names from the folder of the table.

    A file that lies in `home` already stays where it is. Any other gets a name in `images`: a
    second name of the same file (a hard link), or a copy of it where that cannot be, as on another
    disk. What is no file is written there, each picture once.

    Args:
        folder: where the table is being written.
        root: the folder that files are named from.
        home: the folder that it will be in; None where that is a new one.
    """

    def __init__(self, folder: Path, *, root: Path, home: Path | None = None) -> None:
        self.folder, self.root = folder, root
        self.home = None if home is None else os.path.realpath(home)
        self.linked, self.written = 0, 0
        self._made: set[str] = set()

    def name(self, picture: Picture, *, where: str) -> str:
        """What the table is to call a picture, which is then there.

        Raises:
            PictureError: it cannot be read.
            OSError: it cannot be written.
        """
        if not isinstance(picture, Path):
            return self._written(picture, where)
        if self.home is not None:
            place = os.path.relpath(os.path.realpath(picture), self.home)
            if not place.startswith(os.pardir):
                return Path(place).as_posix()
        return self._linked(picture)

    def _linked(self, path: Path) -> str:
        place = Path(os.path.relpath(path, self.root)).as_posix()
        name = place if place.startswith(f"{FOLDER}/") else f"{FOLDER}/{place}"
        if self._is_new(name):
            self.linked += 1
            _link(path, self.folder / name)
        return name

    def _written(self, picture: Picture, where: str) -> str:
        data, ending = images.as_file(picture, where=where)
        name = f"{FOLDER}/{hashlib.blake2b(data, digest_size=12).hexdigest()}{ending}"
        if self._is_new(name):
            self.written += 1
            (self.folder / name).write_bytes(data)
        return name

    def _is_new(self, name: str) -> bool:
        if name in self._made:
            return False
        self._made.add(name)
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        return True


def _link(path: Path, to: Path) -> None:
    # Of a link, what it leads to: a hard link to a link would be one.
    real = os.path.realpath(path)
    try:
        os.link(real, to)
    except OSError:
        shutil.copyfile(real, to)
