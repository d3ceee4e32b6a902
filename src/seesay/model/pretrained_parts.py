"""Parts of Hugging Face models: our modules as a config.json asks for them, without weights yet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seesay.errors import CapabilityError, CheckpointError
from seesay.model import blocks, layers
from seesay.model.pretrained_config import Settings
from seesay.model.reader import FillHead
from seesay.model.text import Decoder
from seesay.model.vision import Normalise, PatchStem, VisionTransformer
from seesay.model.weights import read_json

HALF = (0.5, 0.5, 0.5)
# Mean and deviation of pixels where a folder does not say: CLIP's own, ImageNet's.
# Rows of OPT's table of positions before that of the first.
_OPT_FIRST = 2
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


def _pixels(config: Settings) -> tuple[list[float], list[float]] | None:
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = config.folder / name
        table = read_json(path) if path.is_file() else {}
        table = table.get("image_processor", table)
        if isinstance(table, dict) and "image_mean" in table:
            deviation = _channels(table, "image_std", path)
            if min(deviation) <= 0:
                raise _mend(f"image_std is {deviation}, and a deviation is above 0", path)
            return _channels(table, "image_mean", path), deviation
    return None


def _channels(table: Mapping[str, Any], key: str, path: Path) -> list[float]:
    told = table.get(key)
    if not isinstance(told, list) or len(told) != 3 or not all(map(_small, told)):
        raise _mend(f"{key} is {told!r:.80}, not three numbers", path)
    return [float(each) for each in told]


def _small(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e6  # type: ignore[arg-type]


def _mend(what: str, path: Path) -> CheckpointError:
    return CheckpointError(what, where=str(path), fix="download it again, or mend it")


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
    stack = vision_blocks(
        config, qkv_bias=qkv_bias, inner=inner, gated=gated, layer_scale=layer_scale, depth=depth
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


def vision_blocks(
    config: Settings,
    *,
    qkv_bias: bool,
    inner: int | None = None,
    gated: bool = False,
    layer_scale: float | None = None,
    depth: int | None = None,
) -> nn.ModuleList:
    """Blocks of a vision transformer, or the first `depth` of them."""
    whole = config.depth()
    return blocks.stack(
        depth=whole if depth is None else depth,
        width=config.count("hidden_size"),
        num_heads=config.count("num_attention_heads"),
        mlp_inner=inner or config.count("intermediate_size"),
        activation="silu" if gated else config.activation(),
        gated=gated,
        norms="layer",
        epsilon=config.number("layer_norm_eps"),
        bias=qkv_bias,
        out_bias=True,
        mlp_bias=True,
        layer_scale=layer_scale,
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


def blip_vision(config: Settings) -> VisionTransformer:
    """The vision side of BLIP and BLIP-2."""
    bias = config.kind == "blip_vision_model" or config.flag("qkv_bias")
    return vision_side(config, class_token=True, qkv_bias=bias)


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
    base, stretch = config.rope()
    rotary = layers.Rotary(width=head_width, base=base, stretch=stretch)
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
    kinds = nn.Embedding(config.count("type_vocab_size"), config.count("hidden_size"))
    return bert_side(config, kinds=kinds)


def bert_side(
    config: Settings, *, kinds: nn.Embedding | None = None, cross_width: int | None = None
) -> Decoder:
    """With `cross_width`, it looks at features of that width, and tells words (BLIP's decoder)."""
    width, epsilon = config.count("hidden_size"), config.number("layer_norm_eps")
    vocabulary = config.count("vocab_size")
    return Decoder(
        embedding=nn.Embedding(vocabulary, width),
        positions=nn.Embedding(config.count("max_position_embeddings"), width),
        kinds=kinds,
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
            cross_width=cross_width,
        ),
        norm=nn.Identity(),
        transform=FillHead(width, epsilon=epsilon) if cross_width else None,
        head_bias=torch.empty(vocabulary) if cross_width else None,
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
