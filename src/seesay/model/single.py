"""Single: words and patches in one encoder from the first layer.

Shapes: M texts, T positions, S context (all patches of a row), D text width, N pictures, P patches,
V vision width, Q picture tokens.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.config import ModelConfig
from seesay.model import layers, parts
from seesay.model.dual import places
from seesay.model.layers import Record, compute_type
from seesay.model.reader import FillHead, MatchHead, Reader
from seesay.model.rows import Context
from seesay.model.text import Decoder, Words


class Single(Reader):
    """One encoder reads words and patches side by side (ViLT, arXiv:2102.03334, equations 1-5).

    x = [embed(words) + kind₀; connector(vision(picture)) + kind₁], h = encoder(x).

    Args:
        kinds: (2 or more, D): what is added to words and to patches, to tell them apart.
        words: embeds words at their places, where the text side does not; or None.
        sees_class: whether the class token stands among the patches.
    """

    can = ("answer", "choose", "match", "fill")

    def __init__(
        self,
        *,
        vision: nn.Module,
        connector: nn.Module | None,
        text: Decoder,
        kinds: Tensor,
        match_head: nn.Module,
        fill_head: nn.Module,
        picture_token: int,
        words: Words | None = None,
        sees_class: bool = False,
    ) -> None:
        super().__init__()
        self.sees_class = sees_class
        self.vision, self.connector, self.text = vision, connector, text
        self.kinds_embedding = nn.Parameter(kinds)
        self.match_head, self.fill_head = match_head, fill_head
        self.picture_token, self.words = picture_token, words

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
        if self.words is None:
            words_MTD = self.text.embed(tokens)
        else:
            words_MTD = self.words.embed(tokens, positions=places(tokens))
        words_MTD = words_MTD + self.kinds_embedding[0]
        seen_MSD = context.features_BSD + self.kinds_embedding[1]
        x_MLD = torch.cat((words_MTD.to(seen_MSD.dtype), seen_MSD), dim=1)
        allowed_ML = torch.cat((real, context.real_BS), dim=1)
        # Patches stand before the words, wherever padding ends: the first at -1, the next at -2.
        length, places_L = tokens.shape[1], torch.arange(x_MLD.shape[1], device=tokens.device)
        places_L = places_L.where(places_L < length, length - 1 - places_L)
        if self.text.positions is not None:
            places_L = places_L.clamp(min=0)  # A table has none before its first.
        positions = places_L.expand(len(tokens), -1)
        h_MLD = self.text(
            x_MLD,
            positions=positions,
            bias=layers.mask_bias(allowed_ML[:, None, None, :], compute_type(x_MLD)),
            fused=fused,
            record=record,
        )
        return h_MLD[:, : tokens.shape[1]]


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Single:
    """A single-stream encoder as a recipe says."""
    width = config.text.width
    return Single(
        vision=parts.vision_side(config.vision),
        connector=parts.connector(config),
        text=parts.text_side(config.text, vocabulary=vocabulary),
        kinds=torch.randn(2, width) * 0.02,
        match_head=MatchHead(width),
        fill_head=FillHead(width),
        picture_token=picture_token,
    )
