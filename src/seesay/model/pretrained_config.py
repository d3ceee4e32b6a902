"""Configuration of Hugging Face models: config.json read strictly, with what it may leave out.

Files leave out what is their type's default; `DEFAULTS` has these, and tests hold them to be those
of `transformers`. What would change a model in a way that is not built here is refused by name.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seesay.errors import CapabilityError, CheckpointError, nearest
from seesay.model.weights import read_json

CONFIG = "config.json"
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu_squared",
    "silu": "silu",
    "swish": "silu",
}
_SIGLIP_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_IDEFICS3_VISION = _SIGLIP_VISION | {
    "hidden_size": 1152,
    "num_attention_heads": 16,
    "patch_size": 32,
}
_VIT = _SIGLIP_VISION | {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": True}
_LLAMA = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}
_QWEN = {k: v for k, v in _LLAMA.items() if k not in ("attention_bias", "mlp_bias", "head_dim")} | {
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "use_sliding_window": False,
}
_BLIP_VISION = {k: v for k, v in _VIT.items() if k != "num_channels"} | {"layer_norm_eps": 1e-6}
_IDEFICS3 = {"image_token_id": 128257, "scale_factor": 2, "tie_word_embeddings": False}
# What a config.json of a type means where it does not say.
DEFAULTS: dict[str, dict[str, Any]] = {
    "clip_vision_model": _SIGLIP_VISION
    | {"patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    "siglip_vision_model": _SIGLIP_VISION,
    "vit": _VIT,
    "dinov2": {k: v for k, v in _VIT.items() if k != "intermediate_size"}
    | {
        "patch_size": 14,
        "layer_norm_eps": 1e-6,
        "mlp_ratio": 4,
        "use_swiglu_ffn": False,
    },
    "clip_text_model": {
        "vocab_size": 49408,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    },
    "siglip_text_model": {
        "vocab_size": 32000,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 64,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "projection_size": None,
        "pad_token_id": 1,
    },
    "llama": _LLAMA,
    "qwen2": _QWEN,
    "qwen3": _QWEN | {"head_dim": 128, "attention_bias": False},
    "gpt2": {
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    },
    "bert": {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "is_decoder": False,
        "add_cross_attention": False,
    },
    "clip": {"projection_dim": 512},
    "siglip": {},
    "llava": {
        "image_token_index": 32000,
        "projector_hidden_act": "gelu",
        "vision_feature_select_strategy": "default",
        "vision_feature_layer": -2,
        "multimodal_projector_bias": True,
        "tie_word_embeddings": False,
    },
    "idefics3": _IDEFICS3,
    "idefics3_vision": _IDEFICS3_VISION,
    "smolvlm": _IDEFICS3,
    "smolvlm_vision": _IDEFICS3_VISION,
    "blip-2": {"num_query_tokens": 32, "image_token_index": None},
    "blip_2_vision_model": _BLIP_VISION
    | {
        "hidden_size": 1408,
        "intermediate_size": 6144,
        "num_hidden_layers": 39,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
    "blip_2_qformer": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "cross_attention_frequency": 2,
        "encoder_hidden_size": 1408,
        "use_qformer_text_input": False,
    },
    "opt": {
        "vocab_size": 50272,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "ffn_dim": 3072,
        "max_position_embeddings": 2048,
        "num_attention_heads": 12,
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "enable_bias": True,
        "layer_norm_elementwise_affine": True,
        "word_embed_proj_dim": None,
        "tie_word_embeddings": True,
    },
}
# What is built here for one value alone.
ONLY: dict[str, Any] = {
    "num_channels": 3,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "is_decoder": False,
    "use_sliding_window": False,
    "projector_hidden_act": "gelu",
    "multimodal_projector_bias": True,
    "position_embedding_type": "absolute",
    "do_layer_norm_before": True,
    "_remove_final_layer_norm": False,
    "enable_bias": True,
    "layer_norm_elementwise_affine": True,
    "use_qformer_text_input": False,
}
# Types that are known and not read, and what to do.
REFUSED = {
    "siglip2": "its pictures keep their own shape and resolution (NaFlex), which is not read yet: "
    "take a SigLIP 2 of a fixed resolution (siglip2-base-patch16-224 and the like)",
    "siglip2_vision_model": "its pictures keep their own shape and resolution (NaFlex), which is "
    "not read yet: take a SigLIP 2 of a fixed resolution",
}
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
        where: the file and the key, as errors name them.
        layers: how many layers it can have at most, by the number of tensors there are.
    """

    kind: str
    table: Mapping[str, Any]
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
        value, most = self.get(key), _MOST_OF.get(key, _MOST)
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
        value = self.get(key)
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
            height, width = (Settings(self.kind, {key: v}, self.where, 0).count(key) for v in value)
            return height, width
        return (self.count(key),) * 2

    def activation(self, key: str = "hidden_act") -> str:
        """An activation, by our name."""
        value = self.get(key)
        if value not in ACTIVATIONS:
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
        return settings(table, kind, where=f"{self.where}: {key}", layers=self.layers)

    def rope(self) -> float:
        """The base of rotary positions.

        Raises:
            CapabilityError: they are stretched in some way.
        """
        told = self.table.get("rope_parameters") or self.table.get("rope_scaling") or {}
        if not isinstance(told, dict):
            raise self._wrong("rope_parameters", "is no table")
        kind = told.get("rope_type", told.get("type", "default"))
        if kind != "default":
            raise CapabilityError(
                f"rotary positions of type {kind!r:.80} are not built here",
                where=self.where,
                fix="take a model whose rope_type is 'default'",
            )
        base = told.get("rope_theta", self.table.get("rope_theta"))
        base = 10_000.0 if base is None else base
        if type(base) not in (int, float) or not math.isfinite(base) or base <= 0:
            raise self._wrong("rope_theta", f"is {base!r:.80}, no number above 0")
        return float(base)

    def _wrong(self, key: str, what: str) -> CheckpointError:
        return CheckpointError(
            f"{key} {what}", where=self.where, fix="download config.json again, or mend it"
        )


def settings(table: Mapping[str, Any], kind: str, *, where: str, layers: int) -> Settings:
    """A table of a type, once nothing in it asks for what is not built here.

    Raises:
        CapabilityError: something does.
    """
    for key, value in ONLY.items():
        told = table.get(key)
        if told is not None and told != value:
            raise CapabilityError(
                f"{key} is {told!r:.80}; what is built here is {value!r}",
                where=where,
                fix="take another model, or run this one with transformers",
            )
    return Settings(kind, table, where, layers)


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
    return settings(table, kind, where=where, layers=layers)


def code_of(table: Mapping[str, Any]) -> str:
    """What to say of code that a config.json asks to be run; empty where there is none."""
    if not table.get("auto_map"):
        return ""
    return "Its config.json names code of its own (auto_map); that is never run."
