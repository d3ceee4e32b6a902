"""Finder: what a cell of a picture column says -> a picture or a video inside the data folder, or
why not."""

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

from seesay.data import tape, video
from seesay.data.decode import HEAD, not_a_picture, sniff
from seesay.data.within import Lying
from seesay.errors import DataError, PictureError
from seesay.footage import VideoConfig
from seesay.records import Frame, Picture, Within

MAX_HELD = 8 * 2**30  # bytes of pictures that are held in memory

# A picture, or those of a video that are looked at.
Shown = Picture | tuple[Frame, ...]
# Names whose pictures are remembered, and pictures whose places are: rows on one picture mostly
# follow each other.
MAX_NAMES = 100_000


class Refused(Exception):
    """Why a row is broken; it becomes a `Broken` and goes no further."""


class Finder:
    """Finds pictures by name under `root`, and keeps one copy of those that come as bytes; of those
    that lie in a larger file, where they lie.

    Each is looked at once: that it is there, is inside `root`, is not empty and starts like a
    picture. Whether it decodes is for `check` and for training to see. Without `hold`, what comes
    as bytes is passed on and not kept. Of a video, or a folder of frames, those looked at are
    chosen as `footage` says; `moving`: what may be either is a video.
    """

    def __init__(
        self,
        root: Path,
        *,
        where: str,
        hold: bool = True,
        footage: VideoConfig | None = None,
        moving: bool = False,
    ) -> None:
        self.footage, self.moving = footage or VideoConfig(), moving
        self.root = os.path.abspath(root)
        self.real = os.path.realpath(root)
        self.where = where
        self.hold, self.held = hold, 0
        self._named: dict[str, tuple[Shown, str] | str] = {}
        self._folders: dict[str, str] = {}
        self._listed: dict[str, dict[str, str]] = {}
        self._bytes: dict[str, Shown] = {}
        self._within: dict[str, Within] = {}

    def find(self, cell: Any) -> tuple[tuple[Shown, ...], str]:
        """The pictures of a cell (one or a list) and the name that they share with other rows.

        Raises:
            Refused: with the reason.
        """
        if isinstance(cell, str):
            picture, group = self._by_name(cell)
            return (picture,), group
        cells = cell if isinstance(cell, list) else [cell]
        if not cells:
            raise Refused("no picture: an empty list")
        found = [self._one(each) for each in cells]
        return tuple(picture for picture, _ in found), "|".join(group for _, group in found)

    def _one(self, cell: Any) -> tuple[Shown, str]:
        if isinstance(cell, dict):  # Hugging Face's image column
            cell = cell.get("bytes") if cell.get("bytes") is not None else cell.get("path")
        if isinstance(cell, str):
            return self._by_name(cell)
        if isinstance(cell, bytes):
            return self._by_bytes(cell)
        if cell is None or cell != cell:  # NaN, pandas' empty cell
            raise Refused("no picture: an empty cell")
        raise Refused(f"a picture column holds a {type(cell).__name__}: {str(cell)[:40]}")

    def _by_bytes(self, data: bytes) -> tuple[Shown, str]:
        moves = self._moves(len(data), data[:64])
        group = hashlib.blake2b(data, digest_size=12).hexdigest()
        if isinstance(data, Lying) and not moves:
            if group not in self._within:
                if len(self._within) >= MAX_NAMES:
                    self._within.clear()
                self._within[group] = replace(data.at, digest=group)
            return self._within[group], group
        if not self.hold:
            return self._frames(data, group) if moves else data, group
        if group not in self._bytes:
            self._count(len(data))
            self._bytes[group] = self._frames(data, group) if moves else data
        return self._bytes[group], group

    def _count(self, size: int) -> None:
        self.held += size
        if self.held > MAX_HELD:
            raise DataError(
                f"its pictures take more than {MAX_HELD} bytes of memory",
                where=self.where,
                fix="unpack them into a folder: files are read as they are needed",
            )

    def _by_name(self, name: str) -> tuple[Shown, str]:
        found = self._named.get(name)
        if found is None:
            try:
                found = self._looked_up(name)
            except Refused as why:
                found = str(why)
            if len(self._named) >= MAX_NAMES:
                self._named.clear()
            self._named[name] = found
        if isinstance(found, str):
            raise Refused(found)
        return found

    def _looked_up(self, name: str) -> tuple[Shown, str]:
        if not name.strip():
            raise Refused("no picture: an empty cell")
        if name.startswith(("http://", "https://")):
            raise Refused(f"'{name}' is a web address: download it and name the file")
        path = os.path.normpath(os.path.join(self.root, name.strip()))
        if "\\" in name and not os.path.exists(path):
            path = os.path.normpath(os.path.join(self.root, name.strip().replace("\\", "/")))
        self._inside(path, name)
        group = os.path.relpath(path, self.root)
        if os.path.isdir(path):
            return self._folder(path, group), group
        moves = self._moves(*self._looked_into(path, name))
        return self._frames(Path(path), group) if moves else Path(path), group

    def _moves(self, size: int, head: bytes) -> bool:
        """Whether what begins so is a video; what is neither that nor a picture is refused."""
        if size and tape.sniff(head) and (self.moving or not sniff(head)):
            return True
        _looks_right(size, head)
        return False

    def _frames(self, source: Path | bytes, group: str) -> tuple[Frame, ...]:
        try:
            return video.sample(source, self.footage, name=group)
        except PictureError as error:
            raise Refused(f"a video that cannot be read: {error.what}") from None

    def _folder(self, path: str, group: str) -> tuple[Frame, ...]:
        """The pictures looked at of a folder of frames, each of them inside the data folder."""
        try:
            frames = video.folder(os.listdir(path), self.footage)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise Refused(f"a folder '{group}' that is no video: {why}") from None
        made = []
        for name, time in frames:
            inner = os.path.join(path, name)
            self._inside(inner, os.path.join(group, name))
            _looks_right(*self._looked_into(inner, os.path.join(group, name)))
            made.append(Frame(Path(inner), time, group))
        return tuple(made)

    def _inside(self, path: str, name: str) -> None:
        folder = os.path.dirname(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        real = os.path.join(self._folders[folder], os.path.basename(path))
        if os.path.islink(real):
            real = os.path.realpath(real)
        if not real.startswith(os.path.join(self.real, "")):
            raise Refused(f"'{name}' is outside of the data folder {self.root}")

    def _looked_into(self, path: str, name: str) -> tuple[int, bytes]:
        try:
            # A pipe would be waited for: what it is comes before what is in it.
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                raise Refused(f"'{name}' is not a file")
            with open(path, "rb") as file:
                return status.st_size, file.read(max(HEAD, 64))
        except FileNotFoundError:
            raise Refused(f"no picture '{name}'{self._hint(path)}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise Refused(f"'{name}' cannot be opened: {why}") from None

    def _hint(self, path: str) -> str:
        """A file of the same folder whose name differs in capitals or in the extension alone."""
        folder = os.path.dirname(path)
        if folder not in self._listed:
            names = os.listdir(folder) if os.path.isdir(folder) else []
            self._listed[folder] = {_stem(name): name for name in names}
        near = self._listed[folder].get(_stem(os.path.basename(path)))
        return f" (there is '{near}')" if near else ""


def _stem(name: str) -> str:
    return os.path.splitext(name)[0].lower()


def _looks_right(size: int, head: bytes) -> None:
    if size == 0:
        raise Refused("an empty picture: 0 bytes")
    if sniff(head) is None:
        raise Refused(not_a_picture(head))
