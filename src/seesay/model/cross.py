"""Cross: words look across at the pictures from within the blocks of a decoder.

Shapes: B rows, T positions, N pictures, Q features of one picture, V their width, S context.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.config import ModelConfig
from seesay.model import gated, layers, parts
from seesay.model.layers import MLP, Attention, compute_type
from seesay.model.rows import Context, owners
from seesay.model.text import Decoder
from seesay.model.transformer import Met, Transformer


class Cross(Transformer):
    """Blocks of a causal decoder attend to pictures (SimpleVLM; Flamingo, arXiv:2204.14198).

    h = decoder(embed(words), context = connector(vision(pictures))), logits = head(h).

    A picture's mark stands where it is shown. Words see the pictures shown last before them: all
    of a row's where they come first, each question's own where pictures stand between.
    """

    can = ("answer", "choose", "caption")

    def __init__(
        self, *, vision: nn.Module, connector: nn.Module, text: Decoder, picture_token: int
    ) -> None:
        super().__init__()
        self.vision, self.connector, self.text = vision, connector, text
        self.picture_token = picture_token

    def meet(
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "N Q D"],
        *,
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
    ) -> Met:
        """Words embedded, and the pictures of their rows to look across at."""
        return look_across(
            self.text.embed(tokens),
            seen,
            tokens=tokens,
            documents=documents,
            groups=groups,
            picture_token=self.picture_token,
        )


def look_across(
    x_BTD: Tensor,
    seen: Float[Tensor, "N Q V"],
    *,
    tokens: Int[Tensor, "B T"],
    documents: Int[Tensor, "B T"],
    groups: Int[Tensor, "B T"],
    picture_token: int,
) -> Met:
    """Words with the pictures of their rows as context; without a bias where all see all of it."""
    row_N = owners(tokens, picture_token=picture_token, pictures=len(seen))
    context = Context.of(seen, row_N, rows=len(tokens))
    if len(seen) == len(tokens) and bool(context.real_BS.all()):
        return Met(x_BTD, context.features_BSD)
    shown_BTn = shown(
        tokens == picture_token, documents=documents, groups=groups, row_N=row_N
    )
    allowed = shown_BTn.repeat_interleave(seen.shape[1], dim=2)[:, None]
    return Met(x_BTD, context.features_BSD, layers.mask_bias(allowed, compute_type(x_BTD)))


def shown(
    marks: Bool[Tensor, "B T"],
    *,
    documents: Int[Tensor, "B T"],
    groups: Int[Tensor, "B T"],
    row_N: Int[Tensor, " N"],
) -> Bool[Tensor, "B T n"]:
    """Which of its row's pictures each position looks at: those of the last run of marks before it.

    Marks of other documents do not count, those of a group's own pictures (document 0) do.
    """
    rows, width = marks.shape
    each = int(marks.sum()) // max(1, len(row_N))
    place_N = marks.nonzero()[:: max(1, each), 1]
    count_B = row_N.bincount(minlength=rows)
    order_N = torch.arange(len(row_N), device=marks.device) - (count_B.cumsum(0) - count_B)[row_N]
    most = max(1, int(count_B.max()) if rows else 0)
    place_Bn = place_N.new_full((rows, most), width).index_put((row_N, order_N), place_N)
    at_Bn = place_Bn.clamp(max=width - 1)
    # A run begins where a mark follows something else.
    begins_BT = marks & ~torch.nn.functional.pad(marks, (1, 0))[:, :-1]
    run_Bn = begins_BT.cumsum(dim=1).gather(1, at_Bn)
    document_Bn, group_Bn = documents.gather(1, at_Bn), groups.gather(1, at_Bn)
    places_T = torch.arange(width, device=marks.device)
    before = place_Bn[:, None, :] <= places_T[None, :, None]
    own = (document_Bn[:, None] == documents[..., None]) | (document_Bn[:, None] == 0)
    allowed = before & own & (group_Bn[:, None] == groups[..., None])
    last_BT1 = run_Bn[:, None].expand_as(allowed).where(allowed, -1).amax(dim=2, keepdim=True)
    return allowed & (run_Bn[:, None] == last_BT1)


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
