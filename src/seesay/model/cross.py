"""Cross: words look across at the pictures from within the blocks of a decoder.

Shapes: B rows, T positions, N pictures, Q features of one picture, V their width, S context.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from seesay.config import ModelConfig
from seesay.model import gated, layers, parts
from seesay.model.layers import MLP, Attention, compute_type
from seesay.model.rows import Context, Layout, owners, shown
from seesay.model.text import Decoder
from seesay.model.transformer import Met, Transformer


class Cross(Transformer):
    """Blocks of a causal decoder attend to pictures (SimpleVLM; Flamingo, arXiv:2204.14198).

    h = decoder(embed(words), context = connector(vision(pictures))), logits = head(h).

    A picture's mark stands where it is shown. Words see the pictures shown last before them: all
    of a row's where they come first, each question's own where pictures stand between.
    """

    can = ("answer", "choose", "caption")
    interleaves = packs = True

    def __init__(
        self, *, vision: nn.Module, connector: nn.Module, text: Decoder, picture_token: int
    ) -> None:
        super().__init__()
        self.vision, self.connector, self.text = vision, connector, text
        self.picture_token = picture_token

    def meet(
        self, tokens: Int[Tensor, "B T"], seen: Float[Tensor, "N Q D"], layout: Layout
    ) -> Met:
        """Words embedded, and the pictures of their rows to look across at."""
        return look_across(self, tokens, seen, layout)


def look_across(
    model: Transformer, tokens: Int[Tensor, "B T"], seen: Float[Tensor, "N Q V"], layout: Layout
) -> Met:
    """Words with the pictures of their rows as context; without a bias where all see all of it."""
    x_BTD, mark = model.text.embed(tokens), model.picture_token
    row_N = owners(tokens, picture_token=mark, pictures=len(seen))
    context, marks_BT = Context.of(seen, row_N, rows=len(tokens)), tokens == mark
    documents, groups = layout.documents, layout.groups
    inside = bool((marks_BT & (documents > 0)).any())
    if len(seen) == len(tokens) and not inside and bool(context.real_BS.all()):
        return Met(x_BTD, context.features_BSD)
    shown_BTn = shown(marks_BT, documents=documents, groups=groups, row_N=row_N)
    allowed = shown_BTn.repeat_interleave(seen.shape[1], dim=2)[:, None]
    return Met(x_BTD, context.features_BSD, layers.mask_bias(allowed, compute_type(x_BTD)))


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Cross:
    """A decoder with cross-attention as a recipe says: in every block, or gated before some."""
    text, every = config.text, config.gate_every
    decoder = parts.text_side(
        text, vocabulary=vocabulary, cross_width=None if every else text.width
    )
    if every:
        decoder.blocks = gated.gate(decoder.blocks, every=every, cross=lambda: _gate(config))
    return Cross(
        vision=parts.vision_side(config.vision),
        connector=parts.connector(config),
        text=decoder,
        picture_token=picture_token,
    )


def _gate(config: ModelConfig) -> gated.GatedCross:
    text = config.text
    return gated.GatedCross(
        attention=Attention(
            width=text.width, num_heads=text.num_heads, head_norm=text.head_norm
        ),
        attention_norm=layers.norm(text.norms, text.width),
        mlp=MLP(
            width=text.width,
            inner=int(text.width * text.mlp_ratio),
            activation=text.activation,
            gated=text.gated,
            bias=False,
        ),
        mlp_norm=layers.norm(text.norms, text.width),
    )
