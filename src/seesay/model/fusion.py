"""Fusion: pictures and texts apart in one space, then together: read, matched, told.

Shapes: B rows, M texts, T positions, N pictures, P patches, V vision width, D text width, E width
of the common space.
"""

from collections.abc import Iterable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.config import ModelConfig
from seesay.errors import RecipeError
from seesay.model import dual, layers, parts
from seesay.model.blocks import Block
from seesay.model.contract import Embedder
from seesay.model.cross import look_across
from seesay.model.dual import Dual, text_bias
from seesay.model.layers import Record, compute_type
from seesay.model.reader import FillHead, MatchHead, Reader
from seesay.model.rows import Context, Layout
from seesay.model.text import Decoder
from seesay.model.transformer import Met, Transformer


class Fusion(Embedder, Reader, Transformer):
    """A dual encoder, and the same texts with a look at the pictures (ALBEF, arXiv:2107.07651;
    BLIP, arXiv:2201.12086; CoCa, arXiv:2205.01917).

    Args:
        towers: pictures and texts apart.
        reader: reads texts both ways with their pictures: matches and fills; or None (CoCa).
        teller: tells one word after another with the pictures; or None (ALBEF). Both share what
            their paper shares with the towers: blocks, or parts of them.
    """

    def __init__(
        self,
        *,
        towers: Dual,
        reader: Decoder | None,
        teller: Decoder | None,
        match_head: nn.Module,
        fill_head: nn.Module,
    ) -> None:
        super().__init__()
        self.towers, self.reader, self.teller = towers, reader, teller
        self.picture_token = towers.picture_token
        reads, tells = reader is not None, teller is not None
        if reads:
            self.match_head, self.fill_head = match_head, fill_head
        self.interleaves = tells and not reads
        self.can = ("embed", "choose", "answer") + ("match", "fill") * reads + ("caption",) * tells

    @property
    def text(self) -> Decoder:  # type: ignore[override]
        """The side that words come out of."""
        return self.teller or self.reader or self.towers.text

    @property
    def vision(self) -> nn.Module:  # type: ignore[override]
        """The towers' vision side."""
        return self.towers.vision

    def embed_pictures(self, context: Context) -> Float[Tensor, "B E"]:
        """Pictures as vectors of unit length; several of a row are taken together."""
        return self.towers.embed_pictures(context)

    def embed_texts(
        self, tokens: Int[Tensor, "M T"], real: Bool[Tensor, "M T"], *, fused: bool = False
    ) -> Float[Tensor, "M E"]:
        """Texts as vectors of unit length."""
        return self.towers.embed_texts(tokens, real, fused=fused)

    def similarity(
        self, pictures: Float[Tensor, "B E"], texts: Float[Tensor, "M E"]
    ) -> Float[Tensor, "B M"]:
        """Scores of every picture with every text."""
        return self.towers.similarity(pictures, texts)

    def join(
        self,
        tokens: Int[Tensor, "M T"],
        real: Bool[Tensor, "M T"],
        context: Context,
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "M T D"]:
        """Features of words that have seen each other and the pictures, one context a text."""
        assert self.reader is not None
        x_MTD = self.reader.embed(tokens)
        return self.reader(
            x_MTD,
            positions=dual.places(tokens),
            bias=text_bias(real, causal=False, like=x_MTD),
            context=context.features_BSD,
            context_bias=layers.mask_bias(context.real_BS[:, None, None], compute_type(x_MTD)),
            fused=fused,
            record=record,
        )

    def meet(
        self, tokens: Int[Tensor, "B T"], seen: Float[Tensor, "N P V"], layout: Layout
    ) -> Met:
        """Words embedded, and the pictures of their rows to look across at."""
        return look_across(self, tokens, seen, layout)


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Fusion:
    """ALBEF ("reader"), CoCa ("teller") or BLIP ("shared") as a recipe says."""
    towers = dual.build(config, vocabulary=vocabulary, picture_token=picture_token)
    width = config.text.width
    reader = teller = None
    if config.fusion == "shared":
        reader, teller = _shared(towers.text, config)
    elif not config.fusion_depth:
        raise RecipeError(
            "0 blocks look at the pictures",
            where="model.fusion_depth",
            fix="give one or more",
        )
    elif config.fusion == "reader":
        reader = _further(towers.text, config)
    else:
        teller = _further(towers.text, config)
    return Fusion(
        towers=towers,
        reader=reader,
        teller=teller,
        match_head=MatchHead(width),
        fill_head=FillHead(width),
    )


def _further(text: Decoder, config: ModelConfig) -> Decoder:
    """The text side's own blocks, then others that look at the pictures (ALBEF, CoCa)."""
    more = parts.text_blocks(
        config.text,
        depth=config.fusion_depth,
        rotary=text.rotary,
        cross_width=config.vision.width,
    )
    return _like(text, [*_blocks(text), *more], config)


def _shared(text: Decoder, config: ModelConfig) -> tuple[Decoder, Decoder]:
    """A reader and a teller that share with the text side, and each other, all but what differs.

    The reader adds cross-attention to the text side's blocks; the teller has a self-attention of
    its own (BLIP, section 3.1).
    """
    fresh = parts.text_blocks(
        config.text,
        depth=config.text.depth,
        rotary=text.rotary,
        cross_width=config.vision.width,
    )
    reading, telling = [], []
    for old, new in zip(_blocks(text), fresh, strict=True):
        assert isinstance(new, Block)
        common = {
            "cross": new.cross,
            "cross_norm": new.cross_norm,
            "mlp": old.mlp,
            "mlp_norm": old.mlp_norm,
            "norm_first": old.norm_first,
        }
        own = {"attention": old.attention, "attention_norm": old.attention_norm}
        reading.append(Block(**own, **common))
        own = {"attention": new.attention, "attention_norm": new.attention_norm}
        telling.append(Block(**own, **common))
    return _like(text, reading, config), _like(text, telling, config)


def _blocks(text: Decoder) -> list[Block]:
    return [block for block in text.blocks if isinstance(block, Block)]


def _like(text: Decoder, blocks: Iterable[nn.Module], config: ModelConfig) -> Decoder:
    """A side of the same words, with other blocks."""
    return Decoder(
        embedding=text.embedding,
        positions=text.positions,
        rotary=text.rotary,
        blocks=nn.ModuleList(blocks),
        norm=layers.norm(config.text.norms, config.text.width),
    )
