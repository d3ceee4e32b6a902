"""Writers: examples' rows -> files of one layout, one after another and never all in memory.

Each has a folder, which appears only when all is written; `writing.new_folder` sees to that.
"""

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

from seesay.data import images
from seesay.data.beside import Beside
from seesay.records import Picture

# Bytes of a file, where one layout has several.
SHARD = 500 * 2**20
# Samples of a shard are numbered with so many digits, so that their order is that of their names.
DIGITS = 9


@runtime_checkable
class Writer(Protocol):
    """Rows to files: `add` one after another, then `finish` for the names of the files."""

    def add(self, pictures: Sequence[Picture], row: Mapping[str, Any], *, where: str) -> None:
        """One more row; `where` it came from, for errors."""
        ...

    def finish(self) -> list[str]:
        """Close all, and the names of the tables or shards, from the folder."""
        ...

    def stop(self) -> None:
        """Close what is open, whole or not."""
        ...


def one_or_all(names: Sequence[Any]) -> Any:
    """A cell: what is in it, where that is one thing, and else the list."""
    return names[0] if len(names) == 1 else list(names)


class Lines:
    """JSONL that names pictures beside it; Hugging Face's imagefolder, where `folder_of` says so.

    There the picture is a `file_name`; or `file_names` in all rows, where one has several.
    """

    def __init__(self, folder: Path, *, stem: str, beside: Beside, columns: Sequence[str] = (),
                 shard: int = SHARD, folder_of: bool = False) -> None:  # fmt: skip
        del columns, shard
        self.folder, self.beside, self.folder_of = folder, beside, folder_of
        self.table = "metadata.jsonl" if folder_of else f"{stem}.jsonl"
        self.several = False
        self.file = (folder / self.table).open("w", encoding="utf-8")

    def add(self, pictures: Sequence[Picture], row: Mapping[str, Any], *, where: str) -> None:
        """A line."""
        names = [self.beside.name(picture, where=where) for picture in pictures]
        self.several |= len(names) != 1
        column = "file_name" if self.folder_of else "image"
        _write_line(self.file, {column: one_or_all(names), **row})

    def finish(self) -> list[str]:
        """Close it."""
        self.file.close()
        if self.folder_of and self.several:
            self._name_several()
        return [self.table]

    def stop(self) -> None:
        """Close it."""
        self.file.close()

    def _name_several(self) -> None:
        draft = self.folder / f".{self.table}"
        with (self.folder / self.table).open(encoding="utf-8") as lines, draft.open(
            "w", encoding="utf-8"
        ) as file:
            for line in lines:
                row = json.loads(line)
                cell = row.pop("file_name")
                _write_line(file, {"file_names": cell if isinstance(cell, list) else [cell]} | row)
        os.replace(draft, self.folder / self.table)


def _write_line(file: TextIO, row: Mapping[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


class Llava:
    """One JSON list of conversations, as LLaVA's data is."""

    def __init__(self, folder: Path, *, stem: str, beside: Beside, columns: Sequence[str] = (),
                 shard: int = SHARD) -> None:  # fmt: skip
        del columns, shard
        self.beside, self.table, self.rows = beside, f"{stem}.json", 0
        self.file = (folder / self.table).open("w", encoding="utf-8")
        self.file.write("[")

    def add(self, pictures: Sequence[Picture], row: Mapping[str, Any], *, where: str) -> None:
        """One more item of the list, numbered where it has no id."""
        names = [self.beside.name(picture, where=where) for picture in pictures]
        item = {"id": str(self.rows), "image": one_or_all(names), **row}
        self.file.write(",\n" if self.rows else "\n")
        self.file.write(json.dumps(item, ensure_ascii=False))
        self.rows += 1

    def finish(self) -> list[str]:
        """Close the list."""
        self.file.write("\n]\n")
        self.file.close()
        return [self.table]

    def stop(self) -> None:
        """Close it as it is."""
        self.file.close()


class Shards:
    """Webdataset tar shards of `shard` bytes, and beside each an index of where its files lie.

    A sample is `000000000.png` and `000000000.json`; of several pictures, `000000000.00.png` and so
    on. The index is as NVIDIA DALI's `wds2idx` makes it: a line "v1.2 SAMPLES", then one a sample,
    of "ending offset bytes name" for each of its files.
    """

    def __init__(self, folder: Path, *, stem: str, beside: Beside, columns: Sequence[str] = (),
                 shard: int = SHARD) -> None:  # fmt: skip
        del beside, columns
        self.folder, self.stem, self.shard = folder, stem, shard
        self.samples, self.names, self.index = 0, [], []
        self.tar: tarfile.TarFile | None = None

    def add(self, pictures: Sequence[Picture], row: Mapping[str, Any], *, where: str) -> None:
        """One more sample."""
        files = [images.as_file(picture, where=where) for picture in pictures]
        width = max(2, len(str(len(files))))
        parts = [
            (ending if len(files) == 1 else f".{i:0{width}}{ending}", data)
            for i, (data, ending) in enumerate(files)
        ]
        parts.append((".json", json.dumps(row, ensure_ascii=False).encode()))
        tar = self._open()
        lines = [_put(tar, f"{self.samples:0{DIGITS}}", *part) for part in parts]
        self.index.append(" ".join(lines))
        self.samples += 1
        if tar.offset >= self.shard:
            self._close()

    def _open(self) -> tarfile.TarFile:
        if self.tar is None:
            self.names.append(f"{self.stem}-{len(self.names):05}.tar")
            self.tar = tarfile.open(self.folder / self.names[-1], "w", format=tarfile.GNU_FORMAT)
        return self.tar

    def _close(self) -> None:
        if self.tar is None:
            return
        self.tar.close()
        self.tar = None
        text = "\n".join([f"v1.2 {len(self.index)}", *self.index]) + "\n"
        (self.folder / self.names[-1]).with_suffix(".idx").write_text(text, encoding="utf-8")
        self.index = []

    def finish(self) -> list[str]:
        """Close the last."""
        self._close()
        return self.names

    def stop(self) -> None:
        """Close the last, whole or not."""
        if self.tar is not None:
            self.tar.close()


def _put(tar: tarfile.TarFile, key: str, ending: str, data: bytes) -> str:
    """Put a file into a tar; its place in the index."""
    member = tarfile.TarInfo(key + ending)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
    blocks = -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return f"{ending[1:]} {tar.offset - blocks} {member.size} {member.name}"
