"""Parts: the vision side, the connector and the text side that a recipe asks for."""

import torch
from torch import nn

from seesay.config import ModelConfig, TextConfig, VisionConfig
from seesay.errors import RecipeError
from seesay.model import blocks, connectors, layers, vision
from seesay.model.qformer import QFormer, QueryProjection, query_blocks
from seesay.model.regions import Regions
from seesay.model.text import Decoder, Words
from seesay.model.time import Time


def vision_side(config: VisionConfig) -> nn.Module:
    """The vision side a recipe asks for."""
    normalise = vision.Normalise(mean=config.mean, deviation=config.deviation)
    norm = layers.norm(config.norms, config.width)
    if config.kind == "resnet":
        widths = (*config.stem_widths[:-1], config.width)
        return vision.ResNet(
            normalise=normalise,
            widths=widths,
            depths=config.stem_residuals,
            stride=2,
            norm=norm,
        )
    if config.kind == "regions":
        return Regions(
            normalise=normalise,
            stem=_stem(config),
            place=nn.Linear(6, config.width),
            blocks=_vision_blocks(config),
            norm=norm,
            crop=config.crop,
            grid=config.grid,
        )
    rotary = None
    if config.positions == "rotary":
        rotary = layers.GridRotary(width=config.width // config.num_heads)
    return vision.VisionTransformer(
        normalise=normalise,
        stem=_stem(config),
        positions=None if rotary else _table(config),
        grid=None if rotary else patch_grid(config),
        rotary=rotary,
        class_token=torch.randn(config.width) * 0.02 if config.class_token else None,
        blocks=_vision_blocks(config, rotary),
        norm=norm,
    )


def _table(config: VisionConfig) -> torch.Tensor:
    """A table of the places of patches, as it begins."""
    # Large enough to be found by attention, too small to drown what is in a patch.
    positions = connectors.sincos(patch_grid(config), width=config.width) * config.position_scale
    if config.class_token:
        positions = torch.cat((positions.new_zeros(1, config.width), positions))
    return positions


def _vision_blocks(
    config: VisionConfig, rotary: layers.GridRotary | None = None
) -> nn.ModuleList:
    return blocks.stack(
        depth=config.depth,
        width=config.width,
        num_heads=config.num_heads,
        mlp_inner=int(config.width * config.mlp_ratio),
        activation=config.activation,
        norms=config.norms,
        head_norm=config.head_norm,
        rotary=rotary,
    )


def _stem(config: VisionConfig) -> nn.Module:
    if config.stem == "patch":
        return vision.PatchStem(patch=config.patch, width=config.width)
    return vision.ConvStem(
        widths=config.stem_widths,
        width=config.width,
        residuals=config.stem_residuals,
        normed=config.stem_norm,
    )


def patch_grid(config: VisionConfig) -> tuple[int, int]:
    """Patches down and across."""
    patch = config.patch_side
    height, width = config.size
    if config.kind == "vit" and (height % patch or width % patch):
        raise RecipeError(
            f"a picture of {height}×{width} does not divide into patches of {patch}",
            where="model.vision.image_size",
            fix=f"use multiples of {patch}",
        )
    return -(-height // patch), -(-width // patch)


def time(config: ModelConfig) -> Time | None:
    """What tells when a frame is shown, where a recipe asks for that.

    Raises:
        RecipeError: of regions, frames have none in common to average.
    """
    if config.time.pool > 1 and config.vision.regions:
        raise RecipeError(
            f"{config.time.pool} frames have no regions in common to average",
            where="model.time.pool",
            fix="set it to 1, or write model.vision.kind = 'vit'",
        )
    if config.time.kind == "none":
        return None
    width, learned = config.vision.width, config.time.kind == "learned"
    # As large as the positions of patches: found by attention, and drowning nothing.
    return Time(
        width=width,
        scale=1.0 if learned else config.vision.position_scale,
        project=nn.Linear(width, width, bias=False) if learned else None,
    )


def connector(config: ModelConfig, *, vocabulary: int | None = None) -> nn.Module:
    """The connector a recipe asks for; `vocabulary` is that of questions it may be told.

    Raises:
        RecipeError: it is to be told questions, and there is no vocabulary of them.
    """
    widths = {"vision_width": config.vision.width, "text_width": config.text.width}
    kind = config.connector.kind
    if config.connector.instructed and kind != "qformer":
        raise RecipeError(
            f"a connector of kind '{kind}' reads no words",
            where="model.connector.instructed",
            fix="set it to false, or write model.connector.kind = 'qformer'",
        )
    if kind == "qformer":
        return _qformer(config, vocabulary)
    if kind in _RESAMPLERS:
        return _RESAMPLERS[kind](config)
    if kind == "pixel_shuffle":
        return connectors.PixelShuffle(
            **widths, factor=config.connector.factor, grid=_folded(config)
        )
    return {"linear": connectors.Linear, "mlp": connectors.Perceptron}[kind](**widths)


def _folded(config: ModelConfig) -> tuple[int, int] | None:
    """The grid of patches that is folded; None where pictures have no size in common.

    Raises:
        RecipeError: it does not fold.
    """
    try:
        picture_tokens(config)
    except RecipeError:
        # What needs no table may be for pictures in their own shapes, whatever `image_size` says.
        if config.vision.positions == "rotary":
            return None
        raise
    return patch_grid(config.vision)


def _resampler(config: ModelConfig) -> nn.Module:
    seen, told, asked = config.vision, config.text, config.connector
    return connectors.Resampler(
        queries=torch.randn(asked.queries, seen.width) * 0.2,
        blocks=connectors.perceiver_blocks(
            depth=asked.depth,
            width=seen.width,
            num_heads=seen.num_heads,
            mlp_inner=int(seen.width * seen.mlp_ratio),
            activation=seen.activation,
            norms=seen.norms,
            head_norm=seen.head_norm,
        ),
        norm=layers.norm(seen.norms, seen.width),
        project=nn.Linear(seen.width, told.width) if seen.width != told.width else None,
    )


def _position_resampler(config: ModelConfig) -> nn.Module:
    side = round(config.connector.queries**0.5)
    if side**2 != config.connector.queries:
        raise RecipeError(
            f"{config.connector.queries} queries do not make a square grid",
            where="model.connector.queries",
            fix=f"write {side**2}",
        )
    return connectors.PositionResampler(
        vision_width=config.vision.width,
        text_width=config.text.width,
        num_heads=config.text.num_heads,
        grid=patch_grid(config.vision),
        query_grid=(side, side),
    )


def query_transformer(config: ModelConfig, *, words: bool, dropout: float = 0.0) -> QFormer:
    """The Q-Former a recipe asks for: for queries alone, or for words beside them."""
    told, asked = config.text, config.connector
    width, ratio = asked.width or told.width, asked.mlp_ratio or told.mlp_ratio
    return QFormer(
        queries=torch.randn(asked.queries, width),
        norm=layers.norm("layer", width),
        blocks=query_blocks(
            depth=asked.depth,
            width=width,
            num_heads=asked.num_heads or told.num_heads,
            mlp_inner=int(width * ratio),
            vision_width=config.vision.width,
            cross_every=asked.cross_every,
            text=words,
            dropout=dropout,
        ),
        dropout=dropout,
    )


def _qformer(config: ModelConfig, vocabulary: int | None) -> nn.Module:
    width, words = config.connector.width or config.text.width, None
    if config.connector.instructed:
        if vocabulary is None:
            raise RecipeError(
                f"a model of family '{config.family}' tells its connector no questions",
                where="model.connector.instructed",
                fix="set it to false, or write model.family = 'prefix'",
            )
        words = Words(
            nn.Embedding(vocabulary, width), positions=nn.Embedding(config.text.context, width)
        )
    return QueryProjection(
        qformer=query_transformer(config, words=words is not None),
        project=nn.Linear(width, config.text.width),
        words=words,
    )


# Connectors that ask with learned queries: how many tokens come out is theirs to say.
_RESAMPLERS = {"resampler": _resampler, "position_resampler": _position_resampler}
_ASKING = (*_RESAMPLERS, "qformer")


def picture_tokens(config: ModelConfig) -> int:
    """How many tokens the connector makes of one picture."""
    if config.connector.kind in _ASKING:
        return config.connector.queries
    height, width = patch_grid(config.vision)
    fold = config.connector.factor if config.connector.kind == "pixel_shuffle" else 1
    if height % fold or width % fold:
        raise RecipeError(
            f"a grid of {height}×{width} patches does not fold by {fold}",
            where="model.connector.factor",
            fix="choose a factor that divides both",
        )
    return (height // fold) * (width // fold)


def text_side(
    config: TextConfig, *, vocabulary: int, cross_width: int | None = None
) -> Decoder:
    """The words' side a recipe asks for; with `cross_width`, its blocks look at that too."""
    head_width = config.width // config.num_heads
    rotates = config.positions == "rotary"
    rotary = layers.Rotary(width=head_width, base=config.rotary_base) if rotates else None
    return Decoder(
        embedding=nn.Embedding(vocabulary, config.width),
        rotary=rotary,
        positions=None if rotates else nn.Embedding(config.context, config.width),
        blocks=text_blocks(config, depth=config.depth, rotary=rotary, cross_width=cross_width),
        norm=layers.norm(config.norms, config.width),
    )


def text_blocks(
    config: TextConfig,
    *,
    depth: int,
    rotary: layers.Rotary | None,
    cross_width: int | None = None,
) -> nn.ModuleList:
    """Blocks of the words' side; with `cross_width`, they look at features of that width too."""
    return blocks.stack(
        depth=depth,
        width=config.width,
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        mlp_inner=int(config.width * config.mlp_ratio),
        activation=config.activation,
        gated=config.gated,
        norms=config.norms,
        head_norm=config.head_norm,
        rotary=rotary,
        cross_width=cross_width,
        dropout=config.dropout,
    )
