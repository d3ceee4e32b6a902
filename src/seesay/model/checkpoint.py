"""Checkpoints: a folder anyone can open, written under a temporary name and renamed; no pickle."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from seesay.errors import CheckpointError, TrainingError

VERSION = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
# Files whose bytes are listed with their SHA-256 in config.json, where they exist.
SEALED = (WEIGHTS, "tokenizer.json", "template.json", "golden.json")
# How the name of a checkpoint ends that stepped aside for a newer one of its name.
_ASIDE = ".old"


def save(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    write: Callable[[Path], None],
) -> None:
    """Write a checkpoint: all of it or, when anything goes wrong, none.

    Args:
        folder: its final name; an older checkpoint of that name is replaced.
        write: puts whatever else belongs in it into the temporary folder it is given.

    Raises:
        TrainingError: the disk is full or cannot be written; nothing half-written is left.
    """
    making = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(making, ignore_errors=True)
    try:
        making.mkdir(parents=True)
        save_tensors(making / WEIGHTS, weights)
        write(making)
        seals = {name: _seal(making / name) for name in SEALED if (making / name).exists()}
        stored = {"seesay": VERSION, **config, "sha256": seals}
        (making / CONFIG).write_text(json.dumps(stored, indent=2), encoding="utf-8")
        _flush(making)
        _replace(making, folder)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the checkpoint could not be written: {error}",
            where=str(folder),
            fix="free some disk, then go on with --resume: the last good checkpoint is untouched",
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)  # Gone already where all went well.


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Tensors as one safetensors file."""
    whole = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    safetensors.torch.save_file(whole, path, metadata={"format": "pt"})


def _flush(folder: Path) -> None:
    """Make sure the bytes are on the disk before the name says so."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _replace(new: Path, old: Path) -> None:
    """Rename; an older folder of that name steps aside first, and comes back where that fails."""
    aside = old.with_name(f".{old.name}.{os.getpid()}{_ASIDE}")
    shutil.rmtree(aside, ignore_errors=True)
    if old.exists():
        old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        if aside.exists():
            aside.rename(old)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _seal(path: Path) -> str:
    """Its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find(run: Path | str) -> Path:
    """The newest whole checkpoint of a run's folder, or the folder itself where it is one.

    Raises:
        CheckpointError: there is none.
    """
    run = Path(run)
    if (run / CONFIG).exists():
        return run
    kept = _whole(run / "checkpoints") or _put_back(run / "checkpoints")
    if not kept:
        there = "holds no finished checkpoint" if run.exists() else "does not exist"
        raise CheckpointError(
            f"this folder {there}",
            where=str(run),
            fix="give the --out folder of a training run, or a folder with config.json in it",
        )
    return kept[-1]


def _whole(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first; their names are numbers of steps."""
    named = [p for p in folder.glob("[0-9]*") if p.name.isdecimal() and (p / CONFIG).exists()]
    return sorted(named, key=lambda p: int(p.name))


def _put_back(folder: Path) -> list[Path]:
    """Checkpoints that had stepped aside when their run was killed, under their names again."""
    for aside in folder.glob(f".[0-9]*{_ASIDE}"):
        name = aside.name.split(".")[1]
        if (aside / CONFIG).exists() and not (folder / name).exists():
            aside.rename(folder / name)
    return _whole(folder)


def open_config(folder: Path) -> dict[str, Any]:
    """The configuration of a checkpoint, once it is seen to be whole and of a version known here.

    Raises:
        CheckpointError: half-written, altered, or of another version.
    """
    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        version = stored["seesay"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"config.json cannot be read as Seesay's: {error!r}",
            where=str(folder),
            fix="copy the checkpoint folder again, whole",
        ) from None
    if version != VERSION:
        raise CheckpointError(
            f"the checkpoint is of version {version}, this Seesay reads version {VERSION}",
            where=str(folder),
            fix="use the Seesay that wrote it, or train again",
        )
    seals = stored.get("sha256")
    _check_seals(folder, seals if isinstance(seals, dict) else {})
    return stored


def _check_seals(folder: Path, seals: Mapping[str, Any]) -> None:
    where, again = str(folder), "copy the checkpoint folder again, whole"
    for name in seals:
        if name not in SEALED:
            known = ", ".join(SEALED)
            raise CheckpointError(
                f"config.json lists '{name}' under sha256; only {known} can be",
                where=where,
                fix=again,
            )
    for name in SEALED:
        path = folder / name
        if name not in seals and (path.exists() or name == WEIGHTS):
            what = f"config.json does not list {name} under sha256"
            raise CheckpointError(what, where=where, fix=again)
        if name in seals and not path.is_file():
            raise CheckpointError(f"{name} is missing", where=where, fix=again)
        if name in seals and (found := _seal(path)) != seals[name]:
            raise CheckpointError(
                f"{name} is not what was saved (SHA-256 {found[:12]}…, config.json says "
                f"{str(seals[name])[:12]}…)",
                where=where,
                fix=f"it was cut short or altered: {again}",
            )


def open_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        CheckpointError: it is not one, or is cut short.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"not a whole safetensors file: {error}", where=str(path), fix="copy it again, whole"
        ) from None


def agree(model: torch.nn.Module, weights: Mapping[str, Tensor], *, where: str) -> None:
    """Check that a model (which may be on no device) and weights have the same names and shapes.

    Raises:
        CheckpointError: naming the first that does not.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        here = tuple(own[name].shape) if name in own else "absent"
        there = tuple(weights[name].shape) if name in weights else "absent"
        if here != there:
            raise CheckpointError(
                f"'{name}' is {here} in the model config.json describes but {there} in the weights",
                where=where,
                fix="config.json and the weights are not of one checkpoint: copy both again",
            )


def fill(model: torch.nn.Module, weights: Mapping[str, Tensor], *, where: str) -> None:
    """Put weights into a model; names and shapes must agree, and all numbers be finite.

    Raises:
        CheckpointError: naming the first that does not.
    """
    agree(model, weights, where=where)
    own = model.state_dict()
    for name in sorted(own):
        kind = weights[name].dtype
        if kind.is_floating_point != own[name].is_floating_point() or kind.is_complex:
            raise CheckpointError(
                f"'{name}' is {own[name].dtype} in the model but {kind} in the weights",
                where=where,
                fix="copy the checkpoint folder again, whole",
            )
        if not torch.isfinite(weights[name].float()).all():
            raise CheckpointError(
                f"'{name}' holds values that are not finite", where=where, fix="train again"
            )
    model.load_state_dict(dict(weights))
