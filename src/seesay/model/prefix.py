"""Prefix: picture tokens stand among the words of a decoder.

Shapes: B rows, T positions, N pictures, Q picture tokens, D text width,
P patches, V vision width, M documents, t places of one, k words asked, m pictures of documents.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seesay.config import ModelConfig
from seesay.errors import LengthError
from seesay.model import parts
from seesay.model.layers import Record
from seesay.model.qformer import QueryProjection
from seesay.model.rows import Apart, Chosen, Layout
from seesay.model.text import Decoder
from seesay.model.transformer import Met, Transformer


class Prefix(Transformer):
    """Picture tokens stand among the words of a causal decoder (LLaVA, arXiv:2304.08485).

    h = decoder([connector(vision(picture)); embed(words)]), logits = head(h).

    Pictures in front see each other both ways; one shown inside a conversation sees, as its words
    do, what stands before it (LLaVA-NeXT-Interleave, arXiv:2407.07895).

    `instructed`: what stands for a picture in a document depends on its question; the connector, a
    `QueryProjection` with words, then waits for it (InstructBLIP, arXiv:2305.06500). All pictures
    stand before the words there.

    With `prefix_lm`, the words of a question see each other both ways, as pictures do (T5,
    arXiv:1910.10683, section 3.2.1; PaliGemma, arXiv:2407.07726).
    """

    can = ("answer", "choose", "caption")
    interleaves = packs = True

    def __init__(
        self,
        *,
        vision: nn.Module,
        connector: nn.Module,
        text: Decoder,
        picture_token: int,
        prefix_lm: bool = False,
        instructed: bool = False,
    ) -> None:
        super().__init__()
        self.instructed = instructed
        self.interleaves = self.packs = not instructed
        self.vision, self.connector, self.text = vision, connector, text
        self.picture_token, self.prefix_lm = picture_token, prefix_lm

    def connect(
        self,
        patches: Float[Tensor, "N P V"],
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N Q D"]:
        """Patches as picture tokens, or as they are where the connector waits for a question."""
        if self.instructed:
            return self.gridded(patches)
        return super().connect(patches, fused=fused, record=record)

    def instruct(
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "N P V"],
        layout: Layout,
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "m Q D"]:
        """Each document's pictures, one after another, as what it asks first makes of them.

        That is what stands before its first answer, as far as its first place may see; all of it
        without a `horizon`.
        """
        if not self.instructed:
            return seen
        assert isinstance(self.connector, QueryProjection)
        apart = Apart.of(layout.documents, layout.groups)
        tokens_Mt = apart.split(tokens)
        marks_Mt = apart.real_Mt & (tokens_Mt == self.picture_token)
        asked_Mt = apart.real_Mt & ~marks_Mt
        if layout.horizon is not None:
            place_Mt = apart.places_Mt % tokens.shape[1]
            asked_Mt = asked_Mt & (place_Mt <= apart.split(layout.horizon)[:, :1])
        chosen = Chosen.of(asked_Mt)
        words_Mk = tokens_Mt.gather(1, chosen.places_Bt)
        count_M = marks_Mt.sum(dim=1) // len(self.connector.qformer.queries)
        which_m, document_m = _pictures(count_M, apart.rows_M, rows=len(tokens), given=len(seen))
        return self.connector.ask(
            seen[which_m],
            tokens=words_Mk[document_m],
            real=chosen.wanted_Bt[document_m],
            fused=fused,
            record=record,
        )

    def meet(
        self, tokens: Int[Tensor, "B T"], seen: Float[Tensor, "N Q D"], layout: Layout
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


def _pictures(
    count_M: Int[Tensor, " M"], row_M: Int[Tensor, " M"], *, rows: int, given: int
) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
    """The pictures that each document shows, all of its row's, and the document of each.

    Raises:
        LengthError: the documents show another number of pictures than are given.
    """
    count_B = count_M.new_zeros(rows).scatter_reduce(0, row_M, count_M, "amax")
    if int(count_B.sum()) != given:
        raise LengthError(
            f"the documents show {int(count_B.sum())} pictures, but {given} are given",
            fix="render the text with this model's own template, pictures in each document",
        )
    first_B, first_M = count_B.cumsum(0) - count_B, count_M.cumsum(0) - count_M
    document_m = torch.arange(len(count_M), device=count_M.device).repeat_interleave(count_M)
    place_m = torch.arange(len(document_m), device=count_M.device) - first_M[document_m]
    return first_B[row_M[document_m]] + place_m, document_m


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Prefix:
    """A prefix model as a recipe says."""
    return Prefix(
        vision=parts.vision_side(config.vision),
        connector=parts.connector(config, vocabulary=vocabulary),
        text=parts.text_side(config.text, vocabulary=vocabulary),
        picture_token=picture_token,
        prefix_lm=config.prefix_lm,
        instructed=config.connector.instructed,
    )
