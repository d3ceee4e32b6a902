"""Parts of Hugging Face models: our modules as a config.json asks for them, without weights yet."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seesay.errors import CapabilityError, CheckpointError
from seesay.model import blocks, layers
from seesay.model.connectors import Perceptron, PixelShuffle
from seesay.model.dual import Dual
from seesay.model.prefix import Prefix
from seesay.model.pretrained_config import Settings
from seesay.model.qformer import QFormer, QueryProjection, query_blocks
from seesay.model.text import Decoder
from seesay.model.vision import Normalise, PatchStem, Pool, VisionTransformer
from seesay.model.weights import read_json

HALF = (0.5, 0.5, 0.5)
# Mean and deviation of pixels where a folder does not say: CLIP's own, ImageNet's.
CLIP_PIXELS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET_PIXELS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PIXELS = {
    "clip_vision_model": CLIP_PIXELS,
    "dinov2": IMAGENET_PIXELS,
}


def normalise(config: Settings) -> Normalise:
    """What pixels are brought to: as the folder's picture processor says, or as is usual."""
    mean, deviation = _pixels(config) or PIXELS.get(config.kind, (HALF, HALF))
    with torch.device("cpu"):  # Not on no device, as the rest is: nothing in the files is it.
        return Normalise(mean=mean, deviation=deviation)


def _pixels(config: Settings) -> tuple[Any, Any] | None:
    folder = Path(config.where.partition(": ")[0]).parent
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            table = read_json(folder / name)
            table = table.get("image_processor", table)
            if isinstance(table, dict) and "image_mean" in table:
                return tuple(_channels(table, key, folder / name) for key in _PIXEL_KEYS)  # type: ignore
    return None


_PIXEL_KEYS = ("image_mean", "image_std")


def _channels(table: Mapping[str, Any], key: str, path: Path) -> list[float]:
    told = table.get(key)
    fine = isinstance(told, list) and len(told) == 3
    if not fine or not all(type(each) in (int, float) and abs(each) < 1e6 for each in told):
        raise CheckpointError(
            f"{key} is {told!r:.80}, not three numbers",
            where=str(path),
            fix="download it again, or mend it",
        )
    if key == "image_std" and min(told) <= 0:
        raise CheckpointError(
            f"{key} is {told}, and a deviation is above 0",
            where=str(path),
            fix="download it again, or mend it",
        )
    return [float(each) for each in told]


def vision_side(
    config: Settings,
    *,
    class_token: bool,
    pre_norm: bool = False,
    stem_bias: bool = True,
    qkv_bias: bool = True,
    inner: int | None = None,
    gated: bool = False,
    layer_scale: float | None = None,
    depth: int | None = None,
    normed: bool = True,
) -> VisionTransformer:
    """A vision transformer; `depth` of its blocks, and the norm after them where `normed`."""
    width, epsilon = config.count("hidden_size"), config.number("layer_norm_eps")
    (height, across), (patch, patch_across) = config.size("image_size"), config.size("patch_size")
    if patch != patch_across or height < patch or across < patch:
        raise CheckpointError(
            f"patches of {patch}×{patch_across} in pictures of {height}×{across}",
            where=config.where,
            fix="patches are square and not larger than pictures: mend config.json",
        )
    grid = height // patch, across // patch
    whole = config.depth()
    stack = blocks.stack(
        depth=whole if depth is None else depth,
        width=width,
        num_heads=config.count("num_attention_heads"),
        mlp_inner=inner or config.count("intermediate_size"),
        activation="silu" if gated else config.activation(),
        gated=gated,
        norms="layer",
        epsilon=epsilon,
        bias=qkv_bias,
        out_bias=True,
        mlp_bias=True,
        layer_scale=layer_scale,
    )
    return VisionTransformer(
        normalise=normalise(config),
        stem=PatchStem(patch=patch, width=width, bias=stem_bias),
        positions=torch.empty(grid[0] * grid[1] + class_token, width),
        grid=grid,
        class_token=torch.empty(width) if class_token else None,
        pre_norm=layers.norm("layer", width, epsilon=epsilon) if pre_norm else None,
        blocks=stack,
        norm=layers.norm("layer", width, epsilon=epsilon) if normed else nn.Identity(),
    )


def clip_vision(
    config: Settings, *, depth: int | None = None, normed: bool = True
) -> VisionTransformer:
    """CLIP's (arXiv:2103.00020); its last norm, which CLIP puts on the class token, on all."""
    return vision_side(
        config, class_token=True, pre_norm=True, stem_bias=False, depth=depth, normed=normed
    )


def siglip_vision(
    config: Settings, *, depth: int | None = None, normed: bool = True
) -> VisionTransformer:
    """SigLIP's (arXiv:2303.15343), and SigLIP 2's of a fixed resolution (arXiv:2502.14786)."""
    return vision_side(config, class_token=False, depth=depth, normed=normed)


def vit(config: Settings) -> VisionTransformer:
    """ViT (arXiv:2010.11929)."""
    return vision_side(config, class_token=True, qkv_bias=config.flag("qkv_bias"))


def dinov2(config: Settings) -> VisionTransformer:
    """DINOv2 (arXiv:2304.07193): learned scales; for pictures of other sizes, positions between."""
    inner, gated = int(config.count("hidden_size") * config.number("mlp_ratio")), False
    if config.flag("use_swiglu_ffn"):
        inner, gated = (int(inner * 2 / 3) + 7) // 8 * 8, True
    return vision_side(
        config,
        class_token=True,
        qkv_bias=config.flag("qkv_bias"),
        inner=inner,
        gated=gated,
        layer_scale=1.0,
    )


def tower_text(config: Settings) -> Decoder:
    """The words' side of CLIP and of SigLIP."""
    width, epsilon = config.count("hidden_size"), config.number("layer_norm_eps")
    return Decoder(
        embedding=nn.Embedding(config.count("vocab_size"), width),
        positions=nn.Embedding(config.count("max_position_embeddings"), width),
        blocks=blocks.stack(
            depth=config.depth(),
            width=width,
            num_heads=config.count("num_attention_heads"),
            mlp_inner=config.count("intermediate_size"),
            activation=config.activation(),
            norms="layer",
            epsilon=epsilon,
            bias=True,
        ),
        norm=layers.norm("layer", width, epsilon=epsilon),
    )


def llama(config: Settings, *, tied: bool | None = None) -> Decoder:
    """Llama (arXiv:2302.13971), SmolLM2, and with what differs in them Qwen2 and Qwen3."""
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    vocabulary, epsilon = config.count("vocab_size"), config.number("rms_norm_eps")
    told = None if config.kind == "qwen2" else config.get("head_dim")
    head_width = width // heads if told is None else config.count("head_dim")
    rotary = layers.Rotary(width=head_width, base=config.rope())
    qkv = config.kind == "qwen2" or config.flag("attention_bias")
    tied = config.flag("tie_word_embeddings") if tied is None else tied
    return Decoder(
        embedding=nn.Embedding(vocabulary, width),
        rotary=rotary,
        blocks=blocks.stack(
            depth=config.depth(),
            width=width,
            num_heads=heads,
            num_kv_heads=config.count_or("num_key_value_heads", heads),
            head_width=head_width,
            mlp_inner=config.count("intermediate_size"),
            activation=config.activation(),
            gated=True,
            norms="rms",
            epsilon=epsilon,
            bias=qkv,
            out_bias=qkv and config.kind != "qwen2",
            mlp_bias=config.kind == "llama" and config.flag("mlp_bias"),
            head_norm="rms" if config.kind == "qwen3" else None,
            head_epsilon=epsilon,
            rotary=rotary,
        ),
        norm=layers.norm("rms", width, epsilon=epsilon),
        head=None if tied else nn.Linear(width, vocabulary, bias=False),
    )


def gpt2(config: Settings) -> Decoder:
    """GPT-2: learned positions, norms before each part."""
    width, epsilon = config.count("n_embd"), config.number("layer_norm_epsilon")
    vocabulary = config.count("vocab_size")
    tied = config.flag("tie_word_embeddings")
    return Decoder(
        embedding=nn.Embedding(vocabulary, width),
        positions=nn.Embedding(config.count("n_positions"), width),
        blocks=blocks.stack(
            depth=config.depth("n_layer"),
            width=width,
            num_heads=config.count("n_head"),
            mlp_inner=config.count_or("n_inner", 4 * width),
            activation=config.activation("activation_function"),
            norms="layer",
            epsilon=epsilon,
            bias=True,
        ),
        norm=layers.norm("layer", width, epsilon=epsilon),
        head=None if tied else nn.Linear(width, vocabulary, bias=False),
    )


def bert(config: Settings) -> Decoder:
    """BERT (arXiv:1810.04805): norms after each sum; with a bias both ways, an encoder of words."""
    width, epsilon = config.count("hidden_size"), config.number("layer_norm_eps")
    return Decoder(
        embedding=nn.Embedding(config.count("vocab_size"), width),
        positions=nn.Embedding(config.count("max_position_embeddings"), width),
        kinds=nn.Embedding(config.count("type_vocab_size"), width),
        embedding_norm=layers.norm("layer", width, epsilon=epsilon),
        blocks=blocks.stack(
            depth=config.depth(),
            width=width,
            num_heads=config.count("num_attention_heads"),
            mlp_inner=config.count("intermediate_size"),
            activation=config.activation(),
            norms="layer",
            epsilon=epsilon,
            bias=True,
            norm_first=False,
        ),
        norm=nn.Identity(),
    )


def opt(config: Settings) -> Decoder:
    """OPT (arXiv:2205.01068): its positions begin at the third row of their table."""
    width, vocabulary = config.count("hidden_size"), config.count("vocab_size")
    if config.count_or("word_embed_proj_dim", width) != width:
        raise CapabilityError(
            f"words of {config.get('word_embed_proj_dim')} numbers in a model of {width} wide are "
            "not built here",
            where=config.where,
            fix="take another size of this model",
        )
    return Decoder(
        embedding=nn.Embedding(vocabulary, width),
        positions=nn.Embedding(config.count("max_position_embeddings") + _OPT_FIRST, width),
        first=_OPT_FIRST,
        blocks=blocks.stack(
            depth=config.depth(),
            width=width,
            num_heads=config.count("num_attention_heads"),
            mlp_inner=config.count("ffn_dim"),
            activation=config.activation("activation_function"),
            norms="layer",
            epsilon=1e-5,
            bias=True,
        ),
        norm=layers.norm("layer", width, epsilon=1e-5),
        head=(
            None if config.flag("tie_word_embeddings") else nn.Linear(width, vocabulary, bias=False)
        ),
    )


_OPT_FIRST = 2
Sides = dict[str, Callable[..., nn.Module]]
_CLIP_VISION: Sides = {"clip_vision_model": clip_vision}
_SIGLIP_VISION: Sides = {"siglip_vision_model": siglip_vision}
_DECODERS: Sides = {"llama": llama, "qwen2": llama, "qwen3": llama}


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


def blip_vision(config: Settings) -> VisionTransformer:
    """The vision side of BLIP and BLIP-2."""
    return vision_side(config, class_token=True, qkv_bias=config.flag("qkv_bias"))


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
        raise CheckpointError(
            f"the Q-Former looks at features of {config.count('encoder_hidden_size')} numbers, the "
            f"vision side gives {seen.count('hidden_size')}",
            where=config.where,
            fix="mend config.json: encoder_hidden_size is the hidden_size of vision_config",
        )
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
    "blip-2": blip2,
}
