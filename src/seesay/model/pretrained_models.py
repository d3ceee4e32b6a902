"""Whole models of Hugging Face types as our families, without weights yet; the table of all."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from seesay.errors import CapabilityError, CheckpointError
from seesay.model import layers
from seesay.model.connectors import Perceptron, PixelShuffle
from seesay.model.cross import Cross
from seesay.model.dual import Dual
from seesay.model.prefix import Prefix
from seesay.model.pretrained_config import Settings
from seesay.model.pretrained_parts import (
    bert,
    bert_side,
    blip_vision,
    clip_vision,
    dinov2,
    gpt2,
    llama,
    opt,
    siglip_vision,
    tower_text,
    vision_blocks,
    vision_side,
    vit,
)
from seesay.model.qformer import QFormer, QueryProjection, query_blocks
from seesay.model.reader import FillHead, MatchHead
from seesay.model.single import Single
from seesay.model.text import Decoder, Words
from seesay.model.vision import Pool

Sides = Mapping[str, Callable[..., nn.Module]]
_CLIP_VISION = {"clip_vision_model": clip_vision}
_SIGLIP_VISION = {"siglip_vision_model": siglip_vision}
_DECODERS = {"llama": llama, "qwen2": llama, "qwen3": llama}


def clip(config: Settings) -> Dual:
    """CLIP (arXiv:2103.00020)."""
    seen = config.part("vision_config", _CLIP_VISION, default="clip_vision_model")
    told = config.part("text_config", {"clip_text_model": 0}, default="clip_text_model")
    space, width = config.count("projection_dim"), seen.count("hidden_size")
    return Dual(
        vision=clip_vision(seen),
        pool=Pool("class", width=width, num_heads=1),
        project=nn.Linear(width, space, bias=False),
        text=tower_text(told),
        text_project=nn.Linear(told.count("hidden_size"), space, bias=False),
        picture_token=-1,
        most=None,
        sees_class=True,
    )


def siglip(config: Settings) -> Dual:
    """SigLIP (arXiv:2303.15343), and SigLIP 2 of a fixed resolution."""
    seen = config.part("vision_config", _SIGLIP_VISION, default="siglip_vision_model")
    told = config.part("text_config", {"siglip_text_model": 0}, default="siglip_text_model")
    width, text_width = seen.count("hidden_size"), told.count("hidden_size")
    space = told.count_or("projection_size", text_width)
    if space != width:
        raise CheckpointError(
            f"texts become vectors of {space} numbers, pictures of {width}",
            where=config.where,
            fix="projection_size is to be the hidden_size of vision_config: mend config.json",
        )
    return Dual(
        vision=siglip_vision(seen),
        pool=Pool(
            "attention",
            width=width,
            num_heads=seen.count("num_attention_heads"),
            epsilon=seen.number("layer_norm_eps"),
            mlp_inner=seen.count("intermediate_size"),
            activation=seen.activation(),
        ),
        project=nn.Identity(),
        text=tower_text(told),
        text_project=nn.Linear(text_width, space),
        picture_token=-1,
        causal=False,
        bias=0.0,
        most=None,
        padded=(told.count("max_position_embeddings"), _token(told, "pad_token_id", told)),
    )


def _token(config: Settings, key: str, text: Settings) -> int:
    """The number of a token, which is one of the vocabulary's."""
    value, vocabulary = config.get(key), text.count("vocab_size")
    if type(value) is not int or not 0 <= value < vocabulary:
        raise CheckpointError(
            f"{key} is {value!r:.80}, no token of a vocabulary of {vocabulary:,}",
            where=config.where,
            fix="download config.json again, or mend it",
        )
    return value


def llava(config: Settings) -> Prefix:
    """LLaVA 1.5 (arXiv:2310.03744): features of a vision side's last block but one."""
    sides = _CLIP_VISION | _SIGLIP_VISION
    seen = config.part("vision_config", sides, default="clip_vision_model")
    told = config.part("text_config", _DECODERS, default="llama")
    depth, layer = seen.depth(), config.get("vision_feature_layer")
    # One more than blocks are the places of features: what goes into the first is one too.
    if type(layer) is not int or not -depth - 1 <= layer <= depth:
        raise CheckpointError(
            f"vision_feature_layer is {layer!r:.80}, the vision side has {depth} layers",
            where=config.where,
            fix="one layer's features are read; give one number from 0 to that",
        )
    used = layer if layer >= 0 else depth + 1 + layer
    # "default" leaves out what stands first, "full" nothing: what is left must be the patches.
    usual = "default" if seen.kind == "clip_vision_model" else "full"
    if (told_way := config.get("vision_feature_select_strategy")) != usual:
        raise CapabilityError(
            f"vision_feature_select_strategy is {told_way!r:.80}; of a {seen.kind} '{usual}' is "
            "built here",
            where=config.where,
            fix="take another model, or run this one with transformers",
        )
    return Prefix(
        vision=sides[seen.kind](seen, depth=used, normed=False),
        connector=Perceptron(
            vision_width=seen.count("hidden_size"), text_width=told.count("hidden_size")
        ),
        text=llama(told, tied=config.flag("tie_word_embeddings")),
        picture_token=_token(config, "image_token_index", told),
    )


def idefics3(config: Settings) -> Prefix:
    """Idefics3 (arXiv:2408.12637) and SmolVLM (arXiv:2504.05299), pictures as tiles of one size."""
    kind = "smolvlm_vision" if config.kind == "smolvlm" else "idefics3_vision"
    seen = config.part("vision_config", {kind: siglip_vision}, default=kind)
    told = config.part("text_config", _DECODERS, default="llama")
    side, factor = siglip_vision(seen), config.count("scale_factor")
    assert side.grid is not None
    if side.grid[0] % factor or side.grid[1] % factor:
        raise CheckpointError(
            f"scale_factor {factor} does not divide {side.grid[0]}×{side.grid[1]} patches",
            where=config.where,
            fix="mend config.json",
        )
    return Prefix(
        vision=side,
        connector=PixelShuffle(
            vision_width=seen.count("hidden_size"),
            text_width=told.count("hidden_size"),
            factor=factor,
            grid=side.grid,
        ),
        text=llama(told, tied=config.flag("tie_word_embeddings")),
        picture_token=_token(config, "image_token_id", told),
    )


def vilt(config: Settings) -> Single:
    """ViLT (arXiv:2102.03334), for pictures of one size."""
    config.architecture(*(f"ViltFor{task}" for task in _VILT_TASKS))
    width, epsilon = config.count("hidden_size"), config.number("layer_norm_eps")
    embedding = nn.Embedding(config.count("vocab_size"), width)
    seen = vision_side(config, class_token=True, depth=0, normed=False)
    seen.grid = None  # For other sizes ViLT's positions would be stretched another way than here.
    return Single(
        vision=seen,
        connector=None,
        text=Decoder(
            embedding=embedding,
            blocks=vision_blocks(config, qkv_bias=config.flag("qkv_bias")),
            norm=layers.norm("layer", width, epsilon=epsilon),
            head_bias=torch.empty(embedding.num_embeddings),
        ),
        kinds=torch.empty(config.count("modality_type_vocab_size"), width),
        match_head=MatchHead(width),
        fill_head=FillHead(width, epsilon=epsilon),
        picture_token=-1,
        words=Words(
            embedding,
            positions=nn.Embedding(config.count("max_position_embeddings"), width),
            kinds=nn.Embedding(config.count("type_vocab_size"), width),
            norm=layers.norm("layer", width, epsilon=epsilon),
        ),
        sees_class=True,
    )


_VILT_TASKS = ("ImageAndTextRetrieval", "MaskedLM", "QuestionAnswering")


def blip(config: Settings) -> Cross:
    """BLIP's captioner (arXiv:2201.12086): its first word stands for the picture too."""
    config.architecture("BlipForConditionalGeneration")
    seen = config.part("vision_config", {"blip_vision_model": 0}, default="blip_vision_model")
    told = config.part("text_config", {"blip_text_model": 0}, default="blip_text_model")
    looked_at = told.count("encoder_hidden_size")
    if looked_at != seen.count("hidden_size"):
        raise _apart(config, looked_at, seen)
    return Cross(
        vision=blip_vision(seen),
        connector=None,
        text=bert_side(told, cross_width=looked_at),
        picture_token=_token(told, "bos_token_id", told),
        sees_class=True,
    )


def _apart(config: Settings, looked_at: int, seen: Settings) -> CheckpointError:
    return CheckpointError(
        f"features of {looked_at} numbers are looked at, the vision side gives "
        f"{seen.count('hidden_size')}",
        where=config.where,
        fix="encoder_hidden_size is to be the hidden_size of vision_config: mend config.json",
    )


def blip2(config: Settings) -> Prefix:
    """BLIP-2 (arXiv:2301.12597): queries that read a picture stand before a decoder's words."""
    kinds = {"blip_2_vision_model": blip_vision}
    seen = config.part("vision_config", kinds, default="blip_2_vision_model")
    asking = config.part("qformer_config", {"blip_2_qformer": 0}, default="blip_2_qformer")
    decoders = {"opt": opt} | _DECODERS
    told = config.part("text_config", decoders, default="opt")
    if config.get("image_token_index") is None:
        raise CapabilityError(
            "config.json says no image_token_index, so that no word stands for a picture",
            where=config.where,
            fix="take the newer files of this model, which do",
        )
    return Prefix(
        vision=blip_vision(seen),
        connector=QueryProjection(
            qformer=_qformer(asking, queries=config.count("num_query_tokens"), seen=seen),
            project=nn.Linear(asking.count("hidden_size"), told.count("hidden_size")),
        ),
        text=decoders[told.kind](told),
        picture_token=_token(config, "image_token_index", told),
        sees_class=True,
    )


def _qformer(config: Settings, *, queries: int, seen: Settings) -> QFormer:
    width, epsilon = config.count("hidden_size"), config.number("layer_norm_eps")
    if config.count("encoder_hidden_size") != seen.count("hidden_size"):
        raise _apart(config, config.count("encoder_hidden_size"), seen)
    return QFormer(
        queries=torch.empty(queries, width),
        norm=layers.norm("layer", width, epsilon=epsilon),
        blocks=query_blocks(
            depth=config.depth(),
            width=width,
            num_heads=config.count("num_attention_heads"),
            mlp_inner=config.count("intermediate_size"),
            vision_width=seen.count("hidden_size"),
            cross_every=config.count("cross_attention_frequency"),
            text=False,
            activation=config.activation(),
            epsilon=epsilon,
        ),
    )


# By the `model_type` of a config.json, as `NAMES` has their weights.
BUILD: Sides = {
    "clip_vision_model": clip_vision,
    "siglip_vision_model": siglip_vision,
    "vit": vit,
    "dinov2": dinov2,
    "clip_text_model": tower_text,
    "siglip_text_model": tower_text,
    "llama": llama,
    "qwen2": llama,
    "qwen3": llama,
    "gpt2": gpt2,
    "bert": bert,
    "clip": clip,
    "siglip": siglip,
    "llava": llava,
    "idefics3": idefics3,
    "smolvlm": idefics3,
    "vilt": vilt,
    "blip": blip,
    "blip-2": blip2,
}
