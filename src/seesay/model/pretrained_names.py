"""Names of weights: one table of what Hugging Face's models and ours call the same tensors.

It is read both ways: forwards to load, backwards to export. `{i}` is the number of a layer. A row
names a module, whose `weight` and `bias` go with it, or one tensor.

Shapes: V width, O out, I in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Lies:
    """How a tensor of theirs lies in ours, both ways.

    Args:
        ours: its name; several where theirs is a stack of them, one after another (fused QKV).
        leading: how many dimensions of one theirs begins with, and ours does not.
        transposed: whether its matrices are (I, O), as GPT-2's are, where ours are (O, I).
    """

    ours: tuple[str, ...]
    leading: int = 0
    transposed: bool = False

    def split(self, theirs: Tensor) -> tuple[Tensor, ...]:
        """Theirs as ours."""
        x = theirs.reshape(theirs.shape[self.leading :])
        x = x.T if self.transposed and x.ndim == 2 else x
        whole = (x,) if len(self.ours) == 1 else x.chunk(len(self.ours))
        return tuple(each.contiguous() for each in whole)

    def join(self, ours: Sequence[Tensor]) -> Tensor:
        """Ours as theirs."""
        x = torch.cat(list(ours)) if len(ours) > 1 else ours[0]
        x = x.T.contiguous() if self.transposed and x.ndim == 2 else x
        return x.reshape((1,) * self.leading + x.shape)


Rows = dict[str, str | Lies]


def _in(theirs: str, ours: str, rows: Rows) -> Rows:
    """Rows within a module of theirs and one of ours."""
    return {
        f"{theirs}.{name}": (
            f"{ours}.{lies}"
            if isinstance(lies, str)
            else Lies(tuple(f"{ours}.{own}" for own in lies.ours), lies.leading, lies.transposed)
        )
        for name, lies in rows.items()
    }


def _qkv(*, transposed: bool = False) -> Lies:
    return Lies(("attention.query", "attention.key", "attention.value"), transposed=transposed)


_CLIP_BLOCK: Rows = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.out",
    "layer_norm1": "attention_norm",
    "layer_norm2": "mlp_norm",
    "mlp.fc1": "mlp.up",
    "mlp.fc2": "mlp.down",
}
# The vision sides of CLIP and SigLIP, and SigLIP's in Idefics3 and SmolVLM.
CLIP_VISION: Rows = {
    "embeddings.class_embedding": "class_token",
    "embeddings.patch_embedding": "stem.project",
    "embeddings.position_embedding.weight": "positions",
    "pre_layrnorm": "pre_norm",
    **_in("encoder.layers.{i}", "blocks.{i}", _CLIP_BLOCK),
    "post_layernorm": "norm",
}
CLIP_TEXT: Rows = {
    "embeddings.token_embedding": "embedding",
    "embeddings.position_embedding": "positions",
    **_in("encoder.layers.{i}", "blocks.{i}", _CLIP_BLOCK),
    "final_layer_norm": "norm",
}
SIGLIP_POOL: Rows = {
    "probe": Lies(("probe",), leading=1),
    "attention.in_proj_weight": Lies(
        ("attention.query.weight", "attention.key.weight", "attention.value.weight")
    ),
    "attention.in_proj_bias": Lies(
        ("attention.query.bias", "attention.key.bias", "attention.value.bias")
    ),
    "attention.out_proj": "attention.out",
    "layernorm": "norm",
    "mlp.fc1": "mlp.up",
    "mlp.fc2": "mlp.down",
}
_VIT_EMBEDDINGS: Rows = {
    "embeddings.cls_token": Lies(("class_token",), leading=2),
    "embeddings.position_embeddings": Lies(("positions",), leading=1),
    "embeddings.patch_embeddings.projection": "stem.project",
}
_VIT_ATTENTION: Rows = {
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.output.dense": "attention.out",
}
_VIT_BLOCK: Rows = {
    **_VIT_ATTENTION,
    "layernorm_before": "attention_norm",
    "layernorm_after": "mlp_norm",
    "intermediate.dense": "mlp.up",
    "output.dense": "mlp.down",
}
VIT: Rows = {
    **_VIT_EMBEDDINGS,
    **_in("encoder.layer.{i}", "blocks.{i}", _VIT_BLOCK),
    "layernorm": "norm",
}
_DINO_BLOCK: Rows = {
    **_VIT_ATTENTION,
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
    "layer_scale1.lambda1": "attention_scale",
    "layer_scale2.lambda1": "mlp_scale",
    "mlp.fc1": "mlp.up",
    "mlp.fc2": "mlp.down",
}
# DINOv2's giant has gated MLPs instead.
DINO_GATED: Rows = _in(
    "encoder.layer.{i}",
    "blocks.{i}",
    {"mlp.weights_in": Lies(("mlp.gate", "mlp.up")), "mlp.weights_out": "mlp.down"},
)
DINO: Rows = {
    **_VIT_EMBEDDINGS,
    **_in("encoder.layer.{i}", "blocks.{i}", _DINO_BLOCK),
    "layernorm": "norm",
}
_LLAMA_BLOCK: Rows = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.o_proj": "attention.out",
    "self_attn.q_norm": "attention.query_norm",
    "self_attn.k_norm": "attention.key_norm",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "mlp_norm",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
}
# Llama, and those built like it: SmolLM2, Qwen2, Qwen3.
LLAMA: Rows = {
    "embed_tokens": "embedding",
    **_in("layers.{i}", "blocks.{i}", _LLAMA_BLOCK),
    "norm": "norm",
}
HEAD: Rows = {"lm_head": "head"}
_GPT2_BLOCK: Rows = {
    "ln_1": "attention_norm",
    "attn.c_attn": _qkv(transposed=True),
    "attn.c_proj": Lies(("attention.out",), transposed=True),
    "ln_2": "mlp_norm",
    "mlp.c_fc": Lies(("mlp.up",), transposed=True),
    "mlp.c_proj": Lies(("mlp.down",), transposed=True),
}
GPT2: Rows = {
    "wte": "embedding",
    "wpe": "positions",
    **_in("h.{i}", "blocks.{i}", _GPT2_BLOCK),
    "ln_f": "norm",
}
_BERT_BLOCK: Rows = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "crossattention.self.query": "cross.query",
    "crossattention.self.key": "cross.key",
    "crossattention.self.value": "cross.value",
    "crossattention.output.dense": "cross.out",
    "crossattention.output.LayerNorm": "cross_norm",
    "intermediate.dense": "mlp.up",
    "output.dense": "mlp.down",
    "output.LayerNorm": "mlp_norm",
}
BERT: Rows = {
    "embeddings.word_embeddings": "embedding",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "kinds",
    "embeddings.LayerNorm": "embedding_norm",
    **_in("encoder.layer.{i}", "blocks.{i}", _BERT_BLOCK),
}


_OPT_BLOCK: Rows = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.out",
    "self_attn_layer_norm": "attention_norm",
    "final_layer_norm": "mlp_norm",
    "fc1": "mlp.up",
    "fc2": "mlp.down",
}
OPT: Rows = {
    "embed_tokens": "embedding",
    "embed_positions": "positions",
    **_in("layers.{i}", "blocks.{i}", _OPT_BLOCK),
    "final_layer_norm": "norm",
}
_BLIP_VISION_BLOCK: Rows = {
    "self_attn.qkv": _qkv(),
    "self_attn.projection": "attention.out",
    "layer_norm1": "attention_norm",
    "layer_norm2": "mlp_norm",
    "mlp.fc1": "mlp.up",
    "mlp.fc2": "mlp.down",
}
# The vision sides of BLIP and BLIP-2.
BLIP_VISION: Rows = {
    "embeddings.class_embedding": Lies(("class_token",), leading=2),
    "embeddings.position_embedding": Lies(("positions",), leading=1),
    "embeddings.patch_embedding": "stem.project",
    **_in("encoder.layers.{i}", "blocks.{i}", _BLIP_VISION_BLOCK),
    "post_layernorm": "norm",
}
_QFORMER_BLOCK: Rows = {
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "crossattention.attention.query": "cross.query",
    "crossattention.attention.key": "cross.key",
    "crossattention.attention.value": "cross.value",
    "crossattention.output.dense": "cross.out",
    "crossattention.output.LayerNorm": "cross_norm",
    "intermediate_query.dense": "mlp.up",
    "output_query.dense": "mlp.down",
    "output_query.LayerNorm": "mlp_norm",
}
QFORMER: Rows = {
    "query_tokens": Lies(("queries",), leading=1),
    "qformer.layernorm": "norm",
    **_in("qformer.encoder.layer.{i}", "blocks.{i}", _QFORMER_BLOCK),
}


class Part(NamedTuple):
    """Rows within a part of ours ("vision."), and where their files have them.

    theirs: what stands before their names: first as files are written today, then other forms.
    having: a tensor of ours without which these rows do not hold. Rows that hold go before those
        of later parts.
    """

    ours: str
    theirs: tuple[str, ...]
    rows: Rows
    having: str | None = None


_SMOLVLM = (
    Part("vision.", ("model.vision_model.",), CLIP_VISION),
    Part("connector.", ("model.connector.",), {"modality_projection.proj": "project"}),
    Part("text.", ("model.text_model.",), LLAMA),
    Part("text.", ("",), HEAD),
)
_LLAMA_LIKE = (Part("", ("model.", ""), LLAMA), Part("", ("",), HEAD))
# By the `model_type` of a config.json.
NAMES: dict[str, tuple[Part, ...]] = {
    "clip_vision_model": (Part("", ("", "vision_model."), CLIP_VISION),),
    "siglip_vision_model": (Part("", ("", "vision_model."), CLIP_VISION),),
    "vit": (Part("", ("", "vit."), VIT),),
    "dinov2": (
        Part("", ("", "dinov2."), DINO_GATED, having="blocks.0.mlp.gate.weight"),
        Part("", ("", "dinov2."), DINO),
    ),
    "clip_text_model": (Part("", ("", "text_model."), CLIP_TEXT),),
    "siglip_text_model": (Part("", ("", "text_model."), CLIP_TEXT),),
    "llama": _LLAMA_LIKE,
    "qwen2": _LLAMA_LIKE,
    "qwen3": _LLAMA_LIKE,
    "gpt2": (Part("", ("transformer.", ""), GPT2), Part("", ("",), HEAD)),
    "bert": (Part("", ("", "bert."), BERT),),
    "clip": (
        Part("vision.", ("vision_model.",), CLIP_VISION),
        Part("text.", ("text_model.",), CLIP_TEXT),
        Part(
            "",
            ("",),
            {
                "visual_projection": "project",
                "text_projection": "text_project",
                "logit_scale": "scale",
            },
        ),
    ),
    "siglip": (
        Part("vision.", ("vision_model.",), CLIP_VISION),
        Part("pool.", ("vision_model.head.",), SIGLIP_POOL),
        Part("text.", ("text_model.",), CLIP_TEXT),
        Part(
            "",
            ("",),
            {
                "text_model.head": "text_project",
                "logit_scale": Lies(("scale",), leading=1),
                "logit_bias": Lies(("bias",), leading=1),
            },
        ),
    ),
    "llava": (
        Part(
            "vision.",
            ("vision_tower.", "vision_tower.vision_model.", "model.vision_tower."),
            CLIP_VISION,
        ),
        Part(
            "connector.",
            ("multi_modal_projector.", "model.multi_modal_projector."),
            {"linear_1": "up", "linear_2": "down"},
        ),
        Part("text.", ("language_model.model.", "model.language_model."), LLAMA),
        Part("text.", ("language_model.", ""), HEAD),
    ),
    "idefics3": _SMOLVLM,
    "smolvlm": _SMOLVLM,
    "blip-2": (
        Part("vision.", ("vision_model.",), BLIP_VISION),
        Part("connector.qformer.", ("",), QFORMER),
        Part("connector.", ("",), {"language_projection": "project"}),
        Part(
            "text.",
            ("language_model.model.",),
            LLAMA,
            having="text.blocks.0.mlp.gate.weight",
        ),
        Part("text.", ("language_model.model.decoder.",), OPT),
        Part("text.", ("language_model.",), HEAD),
    ),
}
# Tensors that a model's files may hold and ours has no use for: buffers that are made anew, and
# heads of other tasks. They are named in the report. A `layer` is one from the first on that is not
# built: LLaVA looks at what comes before the last.
LEFT: dict[str, tuple[str, ...]] = {
    "clip_vision_model": (r"embeddings\.position_ids", r"visual_projection\..*"),
    "siglip_vision_model": (r"embeddings\.position_ids", r"head\..*", r"classifier\..*"),
    "vit": (r"pooler\..*", r"classifier\..*"),
    "dinov2": (r"embeddings\.mask_token", r"classifier\..*"),
    "clip_text_model": (r"embeddings\.position_ids", r"text_projection\..*"),
    "siglip_text_model": (r"embeddings\.position_ids", r"head\..*"),
    "gpt2": (r"h\.\d+\.attn\.(bias|masked_bias)",),
    "bert": (r"embeddings\.position_ids", r"pooler\..*", r"cls\..*", r"classifier\..*"),
    "clip": (r".*\.embeddings\.position_ids",),
    "siglip": (r".*\.embeddings\.position_ids",),
    "llava": (
        r".*\.embeddings\.position_ids",
        r".*\.rotary_emb\.inv_freq",
        r"encoder\.layers\.(?P<layer>\d+)\..*",
        r"post_layernorm\..*",
    ),
    "llama": (r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
}


class Pair(NamedTuple):
    """A tensor of theirs, the one or several of ours that it is, and how it lies in them."""

    theirs: str
    ours: tuple[str, ...]
    lies: Lies


@dataclass(frozen=True, slots=True)
class Naming:
    """The rows of a model type, where one file, or an export, has them.

    prefixes: of each part, what stands before their names.
    """

    parts: tuple[Part, ...]
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, kind: str, names: Iterable[str] | None = None) -> "Naming":
        """As files of this type are written today, or as those that hold these names are."""
        parts = NAMES[kind]
        if names is None:
            return cls(parts, tuple(part.theirs[0] for part in parts))
        there = set(names)
        return cls(parts, tuple(_nearest(part, there) for part in parts))

    def pairs(self, ours: Iterable[str], theirs: Iterable[str] = ()) -> list[Pair]:
        """Every tensor of ours with theirs; `theirs` are the names a file has, for old spellings.

        Raises:
            KeyError: the table has no row for one of ours.
        """
        there, ours = set(theirs), list(ours)
        parts = [
            (part, prefix)
            for part, prefix in zip(self.parts, self.prefixes, strict=True)
            if part.having is None or part.having in ours
        ]
        found: dict[str, Pair] = {}
        for name in ours:
            pair = next(_rows_of(name, parts), None)
            if pair is None:
                raise KeyError(name)
            spelled = _spelled(pair.theirs, there)
            found[spelled] = pair._replace(theirs=spelled)
        return list(found.values())


def _rows_of(name: str, parts: Iterable[tuple[Part, str]]) -> Iterator[Pair]:
    """What the table says of a tensor of ours."""
    for part, prefix in parts:
        if not name.startswith(part.ours):
            continue
        for row, lies in part.rows.items():
            lies = lies if isinstance(lies, Lies) else Lies((lies,))
            for own in lies.ours:
                if match := re.fullmatch(_pattern(own), name[len(part.ours) :]):
                    yield _pair(part.ours, prefix + row, lies, match)


def _pattern(name: str) -> str:
    return re.escape(name).replace(r"\{i\}", r"(?P<i>\d+)") + r"(?P<end>\.weight|\.bias)?"


def _pair(ours: str, theirs: str, lies: Lies, match: re.Match[str]) -> Pair:
    def filled(name: str) -> str:
        return name.replace("{i}", match.groupdict().get("i") or "") + (match["end"] or "")

    return Pair(filled(theirs), tuple(ours + filled(own) for own in lies.ours), lies)


def _nearest(part: Part, there: set[str]) -> str:
    """Of the forms that the names may have, the one that most of a file's names have."""

    def count(prefix: str) -> int:
        firsts = (prefix + row.replace("{i}", "0") for row in part.rows)
        return sum(name + end in there for name in firsts for end in ("", ".weight"))

    return max(part.theirs, key=count)


def _spelled(name: str, there: set[str]) -> str:
    """A name as a file has it: norms of the first BERTs have a gamma and a beta."""
    old = re.sub(r"LayerNorm\.(weight|bias)$", lambda m: _OLD[m[1]], name)
    return old if old in there and name not in there else name


_OLD: Mapping[str, str] = {"weight": "LayerNorm.gamma", "bias": "LayerNorm.beta"}


def left(kind: str, name: str, prefixes: Iterable[str], *, depth: int) -> bool:
    """Whether a file of this type may hold such a tensor without ours having a place for it.

    depth: how many layers of the vision side are built.
    """
    stems = {name, *(name.removeprefix(prefix) for prefix in prefixes)}
    found = (re.fullmatch(row, stem) for row in LEFT.get(kind, ()) for stem in stems)
    return any(m is not None and int(m.groupdict().get("layer", depth)) >= depth for m in found)
