"""Prefix: picture tokens stand among the words of a decoder.

Shapes: B rows, T positions, N pictures, Q picture tokens, D text width.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from seesay.config import ModelConfig
from seesay.errors import LengthError
from seesay.model import parts
from seesay.model.text import Decoder
from seesay.model.transformer import Met, Transformer


class Prefix(Transformer):
    """Picture tokens stand among the words of a causal decoder (LLaVA, arXiv:2304.08485).

    h = decoder([connector(vision(picture)); embed(words)]), logits = head(h).

    Pictures in front see each other both ways; one shown inside a conversation sees, as its words
    do, what stands before it (LLaVA-NeXT-Interleave, arXiv:2407.07895).

    With `prefix_lm`, the words of a question see each other both ways, as pictures do (T5,
    arXiv:1910.10683, section 3.2.1; PaliGemma, arXiv:2407.07726).
    """

    can = ("answer", "choose", "caption")
    interleaves = True

    def __init__(
        self,
        *,
        vision: nn.Module,
        connector: nn.Module,
        text: Decoder,
        picture_token: int,
        prefix_lm: bool = False,
    ) -> None:
        super().__init__()
        self.vision, self.connector, self.text = vision, connector, text
        self.picture_token, self.prefix_lm = picture_token, prefix_lm

    def meet(
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "N Q D"],
        *,
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
    ) -> Met:
        """Words embedded, pictures put where the picture token stands, in order."""
        x_BTD = self.text.embed(tokens).to(seen.dtype)
        places = (tokens == self.picture_token).flatten().nonzero()[:, 0]
        wanted, given = len(places), seen.shape[0] * seen.shape[1]
        if wanted != given:
            raise LengthError(
                f"the text has room for {wanted} picture tokens but the pictures give {given} "
                f"({seen.shape[0]} pictures of {seen.shape[1]})",
                fix="render the text with this model's own template, one mark a picture",
            )
        flat = x_BTD.flatten(0, 1).index_copy(0, places, seen.flatten(0, 1))
        return Met(flat.view_as(x_BTD))


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Prefix:
    """A prefix model as a recipe says."""
    return Prefix(
        vision=parts.vision_side(config.vision),
        connector=parts.connector(config),
        text=parts.text_side(config.text, vocabulary=vocabulary),
        picture_token=picture_token,
        prefix_lm=config.prefix_lm,
    )
