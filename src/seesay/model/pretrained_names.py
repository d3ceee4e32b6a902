"""Names of weights: one table of what Hugging Face's models and ours call the same tensors.

It is read both ways: forwards to load, backwards to export. `{i}` is the number of a layer. A row
names a module, whose `weight` and `bias` go with it, or one tensor.
"""

import re
from collections.abc import Iterable

from seesay.model.naming import Lies, Part, Rows


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
_VIT_LAYERS: Rows = {
    **_in("encoder.layer.{i}", "blocks.{i}", _VIT_BLOCK),
    "layernorm": "norm",
}
VIT: Rows = {**_VIT_EMBEDDINGS, **_VIT_LAYERS}
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


_BERT_HEAD: Rows = {
    "predictions.transform.dense": "transform.transform",
    "predictions.transform.LayerNorm": "transform.norm",
    "predictions.bias": "head_bias",
    "predictions.decoder": "head",
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
    "vilt": (
        Part("text.", ("vilt.embeddings.text_embeddings.",), {"word_embeddings": "embedding"}),
        Part(
            "words.",
            ("vilt.embeddings.text_embeddings.",),
            {
                "position_embeddings": "positions",
                "token_type_embeddings": "kinds",
                "LayerNorm": "norm",
            },
        ),
        Part("vision.", ("vilt.",), _VIT_EMBEDDINGS),
        Part("", ("vilt.",), {"embeddings.token_type_embeddings.weight": "kinds_embedding"}),
        Part("text.", ("vilt.",), _VIT_LAYERS),
        Part("match_head.", ("",), {"vilt.pooler.dense": "pool", "rank_output": "score"}),
        Part(
            "fill_head.",
            ("mlm_score.transform.",),
            {"dense": "transform", "LayerNorm": "norm"},
        ),
        Part(
            "text.", ("mlm_score.",), {"decoder.bias": "head_bias", "decoder.weight": "head.weight"}
        ),
    ),
    "blip": (
        Part("vision.", ("vision_model.",), BLIP_VISION),
        Part("text.", ("text_decoder.bert.",), BERT),
        Part("text.", ("text_decoder.cls.",), _BERT_HEAD),
    ),
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
    "vilt": (r".*embeddings\.position_ids", r"classifier\..*", r"mlm_score\.bias"),
    "blip": (r"embeddings\.position_ids", r"predictions\.decoder\.bias"),
    "llama": (r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
}
# Tensors of ours that only some files of a type hold: heads of one task or another. They begin
# fresh where they are not there.
FRESH: dict[str, tuple[str, ...]] = {"vilt": ("match_head.", "fill_head.", "text.head_bias")}


def left(kind: str, name: str, prefixes: Iterable[str], *, depth: int) -> bool:
    """Whether a file of this type may hold such a tensor without ours having a place for it.

    depth: how many layers of the vision side are built.
    """
    stems = {name, *(name.removeprefix(prefix) for prefix in prefixes)}
    found = (re.fullmatch(row, stem) for row in LEFT.get(kind, ()) for stem in stems)
    return any(m is not None and int(m.groupdict().get("layer", depth)) >= depth for m in found)
