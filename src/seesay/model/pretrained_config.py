"""Configuration of Hugging Face models: config.json read strictly, with what it may leave out.

Files leave out what is their type's default (`pretrained_defaults`). What would change a model in a
way that is not built here is refused by name.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seesay.errors import CapabilityError, CheckpointError, nearest
from seesay.model.layers import Stretch
from seesay.model.pretrained_defaults import ACTIVATIONS, DEFAULTS, ONLY, ONLY_OF, REFUSED
from seesay.model.weights import read_json

CONFIG = "config.json"
_LLAMA3 = ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
# Larger numbers than these are of no model, and their product would not fit a count.
_MOST = 2**24
_MOST_OF = {"image_size": 2**13, "patch_size": 2**13, "num_attention_heads": 2**12,
            "num_key_value_heads": 2**12, "n_head": 2**12, "head_dim": 2**12, "mlp_ratio": 2**8,
            "scale_factor": 2**8}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """The keys of one model, or of a part of it, each checked as it is read.

    Args:
        kind: its `model_type`.
        folder: the model's. where: the file and the key, as errors name them.
        layers: how many layers it can have at most, by the number of tensors there are.
    """

    kind: str
    table: Mapping[str, Any]
    folder: Path
    where: str
    layers: int

    def get(self, key: str) -> Any:
        """A value, or the default of its type.

        Raises:
            CheckpointError: it is missing and its type has no default.
        """
        value = self.table.get(key)
        if value is None:
            defaults = DEFAULTS[self.kind]
            if key not in defaults:
                raise self._wrong(key, "is missing")
            value = defaults[key]
        return value

    def count(self, key: str) -> int:
        """A whole number above 0."""
        return self._count(key, self.get(key))

    def _count(self, key: str, value: Any) -> int:
        most = _MOST_OF.get(key, _MOST)
        if type(value) is not int or not 0 < value <= most:
            raise self._wrong(key, f"is {value!r:.80}, no whole number from 1 to {most:,}")
        return value

    def count_or(self, key: str, other: int) -> int:
        """The same, or another number where there is none."""
        return other if self.get(key) is None else self.count(key)

    def depth(self, key: str = "num_hidden_layers") -> int:
        """How many layers, which are not more than there are tensors."""
        value = self.count(key)
        if value > self.layers:
            raise self._wrong(key, f"is {value:,}, but the files hold {self.layers:,} tensors")
        return value

    def number(self, key: str) -> float:
        """A finite number above 0."""
        return self._number(key, self.get(key))

    def _number(self, key: str, value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
            raise self._wrong(key, f"is {value!r:.80}, no number above 0")
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.get(key)
        if type(value) is not bool:
            raise self._wrong(key, f"is {value!r:.80}, neither true nor false")
        return value

    def size(self, key: str) -> tuple[int, int]:
        """Height and width: one number for both, or two."""
        value = self.get(key)
        if isinstance(value, list) and len(value) == 2:
            return self._count(key, value[0]), self._count(key, value[1])
        return self.count(key), self.count(key)

    def activation(self, key: str = "hidden_act") -> str:
        """An activation, by our name."""
        value = self.get(key)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            known = nearest(str(value)[:80], list(ACTIVATIONS))
            raise self._wrong(key, f"is {value!r:.80}, which is not built here ({known})")
        return ACTIVATIONS[value]

    def part(self, key: str, kinds: Mapping[str, Any], *, default: str) -> "Settings":
        """The table of a part, whose type is one of these."""
        table = self.table.get(key)
        if table is None:
            table = {}
        if not isinstance(table, dict):
            raise self._wrong(key, "is no table")
        kind = table.get("model_type", default)
        if not isinstance(kind, str) or kind not in kinds:
            why = REFUSED.get(str(kind)) or nearest(str(kind)[:80], list(kinds))
            raise CapabilityError(
                f"a {self.kind} whose {key} is of type {kind!r:.80} is not built here",
                where=self.where,
                fix=why,
            )
        where = f"{self.where}: {key}"
        return settings(table, kind, folder=self.folder, where=where, layers=self.layers)

    def architecture(self, *known: str) -> None:
        """Check which of a type's classes it was saved from.

        Raises:
            CapabilityError: another one than these.
        """
        told = self.table.get("architectures")
        name = told[0] if isinstance(told, list) and told else None
        if name not in known:
            raise CapabilityError(
                f"of {self.kind}, {', '.join(known)} is read here, and this is {name!r:.80}",
                where=self.where,
                fix="take the model in that form",
            )

    def rope(self) -> tuple[float, Stretch | None]:
        """The base of rotary positions, and how they are stretched.

        Raises:
            CapabilityError: in a way that is not built here.
        """
        told = self.table.get("rope_parameters") or self.table.get("rope_scaling") or {}
        if not isinstance(told, dict):
            raise self._wrong("rope_parameters", "is no table")
        base = told.get("rope_theta", self.table.get("rope_theta"))
        rope = replace(self, table=told, where=f"{self.where}: rope_parameters")
        kind = told.get("rope_type", told.get("type", "default"))
        if not isinstance(kind, str) or kind not in ("default", "linear", "llama3"):
            raise CapabilityError(
                f"rotary positions of type {kind!r:.80} are not built here",
                where=self.where,
                fix="take a model whose rope_type is 'default', 'linear' or 'llama3'",
            )
        base = 10_000.0 if base is None else rope._number("rope_theta", base)
        if kind == "default":
            return base, None
        factor = rope._number("factor", told.get("factor"))
        if kind == "linear":
            return base, Stretch(factor)
        length, low, high = (rope._number(key, told.get(key)) for key in _LLAMA3)
        if low >= high:
            raise rope._wrong("low_freq_factor", f"is {low}, not below high_freq_factor, {high}")
        return base, Stretch(factor, length, low, high)

    def _wrong(self, key: str, what: str) -> CheckpointError:
        return CheckpointError(
            f"{key} {what}", where=self.where, fix="download config.json again, or mend it"
        )


def settings(
    table: Mapping[str, Any], kind: str, *, folder: Path, where: str, layers: int
) -> Settings:
    """A table of a type, once nothing in it asks for what is not built here.

    Raises:
        CapabilityError: something does.
    """
    for key, value in (ONLY | ONLY_OF.get(kind, {})).items():
        told = table.get(key)
        if told is not None and told != value:
            raise CapabilityError(
                f"{key} is {told!r:.80}; what is built here is {value!r}",
                where=where,
                fix="take another model, or run this one with transformers",
            )
    return Settings(kind, table, folder, where, layers)


def open_config(folder: Path, *, known: Mapping[str, Any], layers: int) -> Settings:
    """The config.json of a folder, of a type among `known`.

    Raises:
        CheckpointError: it is missing, broken or says no type.
        CapabilityError: its type is not known, or its weights are quantised.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(
            "there is no config.json beside the weights",
            where=str(folder),
            fix="download it too: it says what the weights are",
        )
    table = read_json(path)
    kind, where = table.get("model_type"), str(path)
    if not isinstance(kind, str):
        raise CheckpointError(
            "it does not say a model_type",
            where=where,
            fix="download config.json again; or give a model that transformers has saved",
        )
    if kind not in known:
        code = f" {code_of(table)}" if code_of(table) else ""
        raise CapabilityError(
            f"models of type '{kind:.80}' are not read here.{code}",
            where=where,
            fix=REFUSED.get(kind) or nearest(kind[:80], list(known)),
        )
    if table.get("quantization_config") is not None:
        raise CapabilityError(
            "the weights are quantised (quantization_config)",
            where=where,
            fix="take the model they were made of, in bf16, fp16 or fp32",
        )
    return settings(table, kind, folder=folder, where=where, layers=layers)


def code_of(table: Mapping[str, Any]) -> str:
    """What to say of code that a config.json asks to be run; empty where there is none."""
    if not table.get("auto_map"):
        return ""
    return "Its config.json names code of its own (auto_map); that is never run."
