"""Weights from elsewhere: a folder of safetensors, whole or in shards, opened with suspicion.

Nothing is believed before it is checked against the files: names stay within the folder, headers
agree with the files' lengths, and values are finite. Nothing is unpickled and no code is run.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from seesay.errors import CheckpointError

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# How the names of files end that run code when they are opened.
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# Bytes of one value, by the types that safetensors files name.
SIZES = {
    **{"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1},
    **{"U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4},
    **{"U64": 8, "I64": 8, "F64": 8},
}
FLOATS = ("F16", "BF16", "F32", "F64")
# More than any header, index or configuration needs.
_MOST_JSON = 100_000_000
# So much is read of a file before it is opened anew: what was read of it, and has since been
# changed into other tensors, is memory until then.
_REOPEN = 16_000_000


class Stored(NamedTuple):
    """A tensor in a file: where, of which type (as safetensors names it), of which shape."""

    path: Path
    dtype: str
    shape: tuple[int, ...]


class Weights:
    """The tensors of a folder, by name: known from the files' headers, read one at a time.

    Raises:
        CheckpointError: there are none, not all of them, or not what the files' headers say; names
            that lead out of the folder; pickles.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.stored: dict[str, Stored] = _stored(self.folder)
        self._open: tuple[Path, Any] | None = None
        self._read = 0

    @property
    def bytes(self) -> int:
        """How much all of them take as they are stored."""
        return sum(math.prod(each.shape) * SIZES[each.dtype] for each in self.stored.values())

    def read(self, name: str) -> Tensor:
        """One tensor, as it is stored; it lies in the file until it is written to.

        Raises:
            CheckpointError: it is not of floats, or not all of them are finite.
        """
        stored = self.stored[name]
        if stored.dtype not in FLOATS:
            raise CheckpointError(
                f"'{name}' is stored as {stored.dtype}; what is read here is {', '.join(FLOATS)}",
                where=str(stored.path),
                fix="save the model in one of these, without quantisation",
            )
        try:
            tensor = self._file(stored.path).get_tensor(name)
        except (OSError, SafetensorError, ValueError) as error:
            raise _not_whole(stored.path, str(error)) from None
        self._read += tensor.nbytes
        _check_finite(tensor, name, stored.path)
        return tensor

    def close(self) -> None:
        """Let go of the files; tensors that still lie in one keep it."""
        self._open, self._read = None, 0

    def _file(self, path: Path) -> Any:
        if self._open is None or self._open[0] != path or self._read > _REOPEN:
            self.close()
            self._open = path, safe_open(path, framework="pt")
        return self._open[1]


def _check_finite(tensor: Tensor, name: str, path: Path) -> None:
    if not tensor.numel():
        return
    # Not isfinite().all(): that makes another tensor of as many values.
    low, high = tensor.aminmax()
    if not (torch.isfinite(low) and torch.isfinite(high)):
        count = int((~torch.isfinite(tensor)).sum())
        raise CheckpointError(
            f"{count:,} of the {tensor.numel():,} values of '{name}' are not finite",
            where=str(path),
            fix="download it again; where it stays so, the model was saved broken",
        )


def _stored(folder: Path) -> dict[str, Stored]:
    if not folder.is_dir():
        raise CheckpointError(
            "there is no such folder",
            where=str(folder),
            fix="download the model first (hf download OWNER/NAME --local-dir FOLDER) and give "
            "that folder",
        )
    if (folder / WHOLE).exists():
        return _header(_within(folder, WHOLE))
    if (folder / INDEX).exists():
        return _sharded(folder)
    raise _no_weights(folder)


def _no_weights(folder: Path) -> CheckpointError:
    names = sorted(path.name for path in folder.iterdir())
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles:
        return CheckpointError(
            f"{pickles[0]} is a pickle, which runs whatever code it holds when it is opened; it "
            "was not opened",
            where=str(folder),
            fix="take the model's safetensors, or, where you trust who made it, convert it: python "
            "-c \"import torch, safetensors.torch as s; w = torch.load('"
            f"{pickles[0]}', map_location='cpu', weights_only=True); s.save_file({{k: v.clone() "
            f"for k, v in w.items()}}, '{WHOLE}')\"",
        )
    others = [name for name in names if name.endswith(".safetensors")]
    what = f"holds neither {WHOLE} nor {INDEX}"
    return CheckpointError(
        f"the folder {what}" + (f", but {', '.join(others[:3])}" if others else ""),
        where=str(folder),
        fix="give the folder of a whole model, as `save_pretrained` or `hf download` leaves it",
    )


def _sharded(folder: Path) -> dict[str, Stored]:
    """The tensors of all shards that an index names, which must be just those it says."""
    where = str(folder / INDEX)
    index = read_json(_within(folder, INDEX)).get("weight_map")
    if not isinstance(index, dict) or not index or not _texts(index):
        raise CheckpointError(
            "it has no table 'weight_map' of tensors and files", where=where, fix=_AGAIN
        )
    files = sorted(set(index.values()))
    paths = {name: _within(folder, name, where=where) for name in files}
    missing = [name for name in files if not paths[name].is_file()]
    if missing:
        raise CheckpointError(
            f"{len(files) - len(missing)} of {len(files)} shards are here; {missing[0]} is not",
            where=where,
            fix="download the missing ones too",
        )
    found = {name: _header(path) for name, path in paths.items()}
    _check_index(index, found, where)
    return {name: stored for each in found.values() for name, stored in each.items()}


def _check_index(index: Mapping[str, str], found: Mapping[str, dict], where: str) -> None:
    for name, file in index.items():
        if name not in found[file]:
            raise CheckpointError(
                f"'{name}' should be in {file}, which has {len(found[file])} others",
                where=where,
                fix=_AGAIN,
            )
    for file, each in found.items():
        for name in each:
            if index.get(name) != file:
                raise CheckpointError(
                    f"{file} holds '{name}', which the index has in {index.get(name, 'no file')}",
                    where=where,
                    fix=_AGAIN,
                )


def _texts(table: Mapping[Any, Any]) -> bool:
    return all(isinstance(value, str) for value in table.values())


_AGAIN = "download the folder again, whole"


def _within(folder: Path, name: str, *, where: str = "") -> Path:
    """A file of the folder; links may lead to its own files, or a hub cache's blobs beside it."""
    where = where or str(folder / name)
    plain = name not in ("", ".", "..") and PurePosixPath(name).name == name and "\\" not in name
    if not plain or not name.endswith((".safetensors", ".json")) or "\0" in name:
        raise CheckpointError(
            f"{name!r} is not the name of a safetensors file of this folder",
            where=where,
            fix="names of shards have no folders in them; do not use this download",
        )
    path, roots = folder / name, [folder.resolve()]
    if folder.resolve().parent.name == "snapshots":
        roots.append(folder.resolve().parent.parent / "blobs")
    try:
        end = path.resolve()
    except (OSError, RuntimeError) as error:  # A link that leads to itself.
        raise CheckpointError(f"it cannot be followed: {error}", where=where, fix=_AGAIN) from None
    if not any(end.is_relative_to(root) for root in roots):
        raise CheckpointError(
            f"{name} is a link to {end}, outside the folder",
            where=where,
            fix="put the file itself there",
        )
    return path


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds a table.

    Raises:
        CheckpointError: it is none, or cannot be read.
    """
    try:
        if not path.is_file():  # A pipe would be waited on for ever.
            raise ValueError("no file")
        size = path.stat().st_size
        if size > _MOST_JSON:
            raise ValueError(f"{size:,} bytes, and at most {_MOST_JSON:,} are read")
        table = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise ValueError("not a table at its top")
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"it cannot be read as JSON: {error}", where=str(path), fix=_AGAIN
        ) from None
    return table


def _not_whole(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"not a whole safetensors file: {why}", where=str(path), fix=_AGAIN)


def _header(path: Path) -> dict[str, Stored]:
    """The tensors of a file, once its header agrees with its length."""
    try:
        if not path.is_file():  # A pipe would be waited on for ever.
            raise _not_whole(path, "no file")
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _MOST_JSON):
                raise _not_whole(
                    path, f"its header should have {length:,} bytes, the file has {size:,} in all"
                )
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise _not_whole(path, f"its header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise _not_whole(path, "its header is no table")
    header.pop("__metadata__", None)
    found = {name: _entry(path, name, entry) for name, entry in header.items()}
    end = 8 + length + max((stop for _, stop in found.values()), default=0)
    if end != size:
        raise _not_whole(path, f"its tensors end at byte {end:,}, the file at {size:,}")
    return {name: stored for name, (stored, _) in found.items()}


def _entry(path: Path, name: str, entry: Any) -> tuple[Stored, int]:
    """A tensor as a header has it, and where in the file it ends."""
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        counts = [*shape, start, stop]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("counts that are none")
        needed = math.prod(shape) * SIZES[dtype]
    except (KeyError, TypeError, ValueError) as error:
        raise _not_whole(path, f"'{name}' is described by {entry!r:.200} ({error})") from None
    if needed != stop - start:
        raise _not_whole(
            path,
            f"'{name}' is of shape {tuple(shape)} in {dtype}, {needed:,} bytes, but has "
            f"{stop - start:,}",
        )
    return Stored(path, dtype, tuple(shape)), stop
