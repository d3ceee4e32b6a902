"""Queries: a Q-Former's queries and the words share their blocks: BLIP-2's first stage.

Shapes: B rows, N pictures, P patches, V vision width, Q queries of all a row's pictures, M texts, T
positions, L queries and positions together, D width, E width of the common space, Y vocabulary.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.config import ModelConfig
from seesay.errors import RecipeError
from seesay.model import parts
from seesay.model.contract import Embedder, Matcher, Speaker
from seesay.model.dual import beginning, places, scaled, unit
from seesay.model.layers import LayerCache, Record, compute_type, mask_bias
from seesay.model.qformer import QFormer
from seesay.model.reader import FillHead
from seesay.model.rows import Context, Layout, Placed, owners, shown, visible
from seesay.model.text import Words
from seesay.model.transformer import bias_at


class Queries(Embedder, Matcher, Speaker):
    """What queries find in a picture is likened to texts, read with them, and told (BLIP-2,
    arXiv:2301.12597, section 3.2). Each picture has its own queries, which see no other picture.

    similarity = exp(scale) · max over queries (unit(project(query)) · unit(text_project(text)))
    match = mean over queries (match_head(query)), queries and words seeing each other
    logits = head(word), each word seeing the queries and the words before it

    Args:
        project, text_project: a query's feature, and that of a text's first word -> common space.
        match_head: a query's feature -> one score.
        word_head: a word's feature -> one whose likeness to a word's vector is its score.
    """

    can = ("embed", "choose", "answer", "match", "caption")
    interleaves = packs = True

    def __init__(
        self,
        *,
        vision: nn.Module,
        qformer: QFormer,
        text: Words,
        project: nn.Module,
        text_project: nn.Module,
        match_head: nn.Module,
        word_head: nn.Module,
        picture_token: int,
        scale: float = math.log(1 / 0.07),
        bias: float | None = None,
    ) -> None:
        super().__init__()
        self.vision, self.qformer, self.text = vision, qformer, text
        self.project, self.text_project = project, text_project
        self.match_head, self.word_head = match_head, word_head
        self.picture_token = picture_token
        self.scale = nn.Parameter(torch.tensor(scale))
        self.bias = nn.Parameter(torch.tensor(bias)) if bias is not None else None

    # Alike.

    def embed_pictures(self, context: Context) -> Float[Tensor, "B Q E"]:
        """Pictures as vectors of unit length, one a query; of a row's pictures side by side.

        Where a row has fewer pictures than another, its first one's stand again.
        """
        context = self._gridded(context)
        own_BQQ, real_BQ = self._own(context), self._real(context)
        h_BQD = self._run(context, allowed=own_BQQ if context.several else None)
        vectors_BQE = unit(self.project(h_BQD))
        again_BQE = vectors_BQE[:, : len(self.qformer.queries)].repeat(1, context.pictures, 1)
        return vectors_BQE.where(real_BQ[..., None], again_BQE)

    def embed_texts(
        self, tokens: Int[Tensor, "M T"], real: Bool[Tensor, "M T"], *, fused: bool = False
    ) -> Float[Tensor, "M E"]:
        """Texts as vectors of unit length: their first word's, which has seen the others."""
        x_MTD = self.text.embed(tokens, positions=places(tokens))
        bias = mask_bias(real[:, None, None, :], compute_type(x_MTD))
        h_MTD = self.qformer(None, text=x_MTD, bias=bias, fused=fused)
        return unit(self.text_project(h_MTD[:, 0]))

    def similarity(
        self, pictures: Float[Tensor, "B Q E"], texts: Float[Tensor, "M E"]
    ) -> Float[Tensor, "B M"]:
        """Scores of every picture with every text: those of the query that is nearest."""
        likeness_BQM = pictures.float() @ texts.float().T
        return scaled(likeness_BQM.amax(dim=1), scale=self.scale, bias=self.bias)

    # Matched.

    def match(
        self,
        tokens: Int[Tensor, "M T"],
        real: Bool[Tensor, "M T"],
        context: Context,
        *,
        fused: bool = False,
    ) -> Float[Tensor, " M"]:
        """Whether each text is true of its pictures: log p(true) / p(false)."""
        own_MQQ, real_MQ = self._own(context), self._real(context)
        texts, length, queries = len(tokens), tokens.shape[1], real_MQ.shape[1]
        allowed = _together(
            own_MQQ,
            heard=real[:, None].expand(texts, queries, length),
            shown=real_MQ[:, None].expand(texts, length, queries),
            words=real[:, None].expand(texts, length, length),
        )
        x_MTD = self.text.embed(tokens, positions=places(tokens))
        h_MLD = self._run(context, text=x_MTD, allowed=allowed, fused=fused)
        score_MQ = self.match_head(h_MLD[:, :queries])[..., 0].masked_fill(~real_MQ, 0.0)
        return score_MQ.sum(dim=1) / real_MQ.sum(dim=1).clamp(min=1)

    # Told.

    def tell(
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "m P V"],
        layout: Layout,
        *,
        wanted: Bool[Tensor, "B T"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Placed:
        """The words' features at every position, ready to be likened to words' vectors."""
        h_BTD, _ = self._read(tokens, seen, layout, fused=fused, record=record)
        return Placed(self.word_head(h_BTD))

    def caches(self) -> list[LayerCache]:
        """Empty caches for `decode`."""
        return [LayerCache() for _ in self.qformer.blocks]

    def go_on(
        self,
        tokens: Int[Tensor, "B t"],
        seen: Float[Tensor, "N P V"] | None,
        layout: Layout,
        *,
        caches: Sequence[LayerCache],
        last: Int[Tensor, " B"] | None = None,
        fused: bool = False,
    ) -> Float[Tensor, "B t D"]:
        """The same of the next positions."""
        if seen is not None:
            h_BtD, shown_BtQ = self._read(tokens, seen, layout, caches=caches, fused=fused)
            kept = mask_bias(shown_BtQ[:, None], compute_type(h_BtD))
            caches[0].context.bias = bias_at(kept, last)
        else:
            x_BtD, length = self.text.embed(tokens, positions=layout.positions), tokens.shape[1]
            words = visible(layout.documents, layout.groups, queries=slice(-length, None))
            kept = caches[0].context.bias
            assert kept is not None
            bias = torch.cat(
                (kept.expand(-1, -1, length, -1), mask_bias(words, kept.dtype)), dim=-1
            )
            h_BtD = self.qformer(None, text=x_BtD, bias=bias, caches=caches, fused=fused)
        return self.word_head(h_BtD)

    def _read(
        self,
        tokens: Tensor,
        seen: Tensor,
        layout: Layout,
        *,
        caches: Sequence[LayerCache] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> tuple[Float[Tensor, "B T D"], Bool[Tensor, "B T Q"]]:
        """Features of words that have seen the queries and the words before them; which queries."""
        documents, groups = layout.documents, layout.groups
        marks_BT = tokens == self.picture_token
        row_N = owners(tokens, picture_token=self.picture_token, pictures=len(seen))
        context = Context.of(seen, row_N, rows=len(tokens))
        shown_BTn = shown(marks_BT, documents=documents, groups=groups, row_N=row_N)
        shown_BTQ = shown_BTn.repeat_interleave(len(self.qformer.queries), dim=2)
        allowed = _together(
            self._own(context),
            heard=torch.zeros_like(shown_BTQ).mT,
            shown=shown_BTQ,
            words=visible(documents, groups)[:, 0],
        )
        x_BTD = self.text.embed(tokens, positions=layout.positions)
        h_BLD = self._run(
            context, text=x_BTD, allowed=allowed, caches=caches, fused=fused, record=record
        )
        return h_BLD[:, shown_BTQ.shape[2] :], shown_BTQ

    # Looking.

    def _run(
        self,
        context: Context,
        *,
        text: Float[Tensor, "B T D"] | None = None,
        allowed: Bool[Tensor, "B L L"] | None = None,
        caches: Sequence[LayerCache] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "B L D"]:
        """The queries of all pictures, then text, each of which sees whom it is allowed to."""
        patches, patch_bias = context.features_BSD, None
        kind = compute_type(patches)
        if context.several:
            blocks = torch.eye(context.pictures, dtype=torch.bool, device=patches.device)
            queries = len(self.qformer.queries)
            own = blocks.repeat_interleave(queries, dim=0).repeat_interleave(context.each, dim=1)
            patch_bias = mask_bias(own, kind)
        return self.qformer(
            patches,
            text=text,
            bias=None if allowed is None else mask_bias(allowed[:, None], kind),
            patch_bias=patch_bias,
            pictures=context.pictures,
            caches=caches,
            fused=fused,
            record=record,
        )

    def _gridded(self, context: Context) -> Context:
        """What `connect` leaves of the patches, side by side as `look` gives them."""
        if getattr(self.vision, "class_token", None) is None:
            return context
        features, real = context.features_BSD, context.real_BS
        patch_S = torch.arange(features.shape[1], device=features.device) % context.each > 0
        return Context(features[:, patch_S], real[:, patch_S], context.each - 1)

    def _own(self, context: Context) -> Bool[Tensor, "B Q Q"]:
        """Queries see those of the same picture."""
        picture_Q = torch.arange(context.pictures, device=context.real_BS.device)
        picture_Q = picture_Q.repeat_interleave(len(self.qformer.queries))
        own_QQ = picture_Q[:, None] == picture_Q
        return own_QQ.expand(len(context.real_BS), -1, -1)

    def _real(self, context: Context) -> Bool[Tensor, "B Q"]:
        """Which queries have a picture."""
        real_Bn = context.real_BS[:, :: context.each]
        return real_Bn.repeat_interleave(len(self.qformer.queries), dim=1)


def _together(own_BQQ: Tensor, *, heard: Tensor, shown: Tensor, words: Tensor) -> Tensor:
    """Who may look at whom, (B, L, L): queries at each other and at words, words at queries and at
    each other.
    """
    above_BQL = torch.cat((own_BQQ, heard), dim=2)
    return torch.cat((above_BQL, torch.cat((shown, words), dim=2)), dim=1)


def build(config: ModelConfig, *, vocabulary: int, picture_token: int) -> Queries:
    """BLIP-2's first stage as a recipe says: `connector` says of what the Q-Former is made."""
    width, asked = config.text.width, config.connector.width
    if asked not in (None, width):
        raise RecipeError(
            f"the queries are {asked} wide but the words {width}, and both go through one block",
            where="model.connector.width",
            fix=f"write {width}, or leave it out",
        )
    return Queries(
        vision=parts.vision_side(config.vision),
        qformer=parts.query_transformer(config, words=True, dropout=config.text.dropout),
        text=Words(
            nn.Embedding(vocabulary, width), positions=nn.Embedding(config.text.context, width)
        ),
        project=nn.Linear(width, config.space),
        text_project=nn.Linear(width, config.space),
        match_head=nn.Linear(width, 1),
        word_head=FillHead(width),
        picture_token=picture_token,
        **beginning(config.contrast),  # type: ignore[arg-type]
    )
