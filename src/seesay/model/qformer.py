"""The Q-Former: learned queries that read a picture, alone or together with text (BLIP-2,
arXiv:2301.12597).

Shapes: N rows, P patches, V vision width, Q queries, T tokens, L queries and tokens together
(queries first), K heads, D width.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.errors import CapabilityError
from seesay.model import layers
from seesay.model.layers import MLP, Attention, LayerCache, Record, keeper
from seesay.model.text import Words


def allowed(
    real: Bool[Tensor, "N T"], *, num_queries: int, causal: bool = False
) -> Bool[Tensor, "N 1 L L"]:
    """Who may look at whom, queries first, given which tokens are real and not padding.

    Both ways between all (matching, instructions; of text alone with no queries), or `causal`: a
    token sees the queries and the tokens before it, the queries see each other (captioning;
    BLIP-2, figure 2).
    """
    there_NL = nn.functional.pad(real, (num_queries, 0), value=True)
    length = there_NL.shape[1]
    sees_LL = torch.ones(length, length, dtype=torch.bool, device=real.device)
    if causal:
        sees_LL = sees_LL.tril()
        sees_LL[:num_queries, :num_queries] = True
    return (there_NL[:, None, :] & sees_LL)[:, None]


class QueryBlock(nn.Module):
    """A BERT layer that queries and text share: one self-attention, an MLP each; the queries may
    also look at a picture. Norms come after each sum.
    """

    def __init__(
        self,
        *,
        attention: Attention,
        attention_norm: nn.Module,
        mlp: MLP,
        mlp_norm: nn.Module,
        cross: Attention | None = None,
        cross_norm: nn.Module | None = None,
        text_mlp: MLP | None = None,
        text_mlp_norm: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention, self.attention_norm = attention, attention_norm
        self.cross, self.cross_norm = cross, cross_norm
        self.mlp, self.mlp_norm = mlp, mlp_norm
        self.text_mlp, self.text_mlp_norm = text_mlp, text_mlp_norm
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x_NLD: Float[Tensor, "N L D"],
        *,
        num_queries: int,
        patches: Float[Tensor, "N P V"] | None = None,
        patch_bias: Tensor | None = None,
        bias: Tensor | None = None,
        cache: LayerCache | None = None,
        fused: bool = False,
        record: Record | None = None,
        name: str = "block",
    ) -> Float[Tensor, "N L D"]:
        """Of the positions the first `num_queries` are queries; these alone look at patches."""
        keep = keeper(record, f"{name}.attention")
        found_NLD = self.attention(x_NLD, bias=bias, cache=cache, fused=fused, record=keep)
        x_NLD = self.attention_norm(x_NLD + self.dropout(found_NLD))
        x_NQD, x_NTD = x_NLD[:, :num_queries], x_NLD[:, num_queries:]
        if self.cross is not None and self.cross_norm is not None and num_queries:
            keep = keeper(record, f"{name}.cross")
            found_NQD = self.cross(
                x_NQD, context=patches, bias=patch_bias, fused=fused, record=keep
            )
            x_NQD = self.cross_norm(x_NQD + self.dropout(found_NQD))
        parts = []
        if num_queries:
            parts.append(self.mlp_norm(x_NQD + self.dropout(self.mlp(x_NQD))))
        if x_NTD.shape[1] and self.text_mlp is not None and self.text_mlp_norm is not None:
            parts.append(self.text_mlp_norm(x_NTD + self.dropout(self.text_mlp(x_NTD))))
        x_NLD = torch.cat(parts, dim=1)
        if record is not None:
            record[f"{name}.features"] = x_NLD
        return x_NLD


class QFormer(nn.Module):
    """Learned queries through blocks that look at a picture (BLIP-2, section 3.1).

    Args:
        queries: what they are at the start, (Q, D); normed first, so best about one in size: small
            ones have huge gradients.
        norm: over queries and embedded text, before the blocks.
        blocks: as `query_blocks` gives them.
        dropout: on what goes into the blocks.
    """

    def __init__(
        self,
        *,
        queries: Float[Tensor, "Q D"],
        norm: nn.Module,
        blocks: Sequence[QueryBlock] | nn.ModuleList,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(queries)
        self.norm, self.blocks = norm, nn.ModuleList(blocks)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        patches: Float[Tensor, "N P V"] | None,
        *,
        text: Float[Tensor, "N T D"] | None = None,
        bias: Tensor | None = None,
        patch_bias: Tensor | None = None,
        pictures: int = 1,
        caches: Sequence[LayerCache] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N L D"]:
        """Queries, then text: of what is left out, of patches the queries with them, there is none.

        Args:
            text: embedded tokens with their positions added, padded at the end.
            bias: who of queries and text may look at whom, to (N, K, L, L): `mask_bias` of
                `allowed`. All at all where None.
            patch_bias: which patches may be looked at, to (N, K, Q, P).
            pictures: how many stand side by side in the patches of a row, each with queries.
            caches: hold the queries and tokens of before, which `bias` then has columns for too.
        """
        self._check(patches, text)
        queries_QD = self.queries.repeat(pictures, 1)
        parts = [] if patches is None else [queries_QD.expand(len(patches), -1, -1)]
        if text is not None:
            parts.append(text)
        x_NLD = self.dropout(self.norm(torch.cat(parts, dim=1)))
        for i, block in enumerate(self.blocks):
            x_NLD = block(
                x_NLD,
                num_queries=0 if patches is None else len(queries_QD),
                patches=patches,
                patch_bias=patch_bias,
                bias=bias,
                cache=None if caches is None else caches[i],
                fused=fused,
                record=record,
                name=f"connector.blocks.{i}",
            )
        return x_NLD

    def _check(self, patches: Tensor | None, text: Tensor | None) -> None:
        if patches is None and text is None:
            raise CapabilityError(
                "a Q-Former was given neither patches nor text", fix="give one of them, or both"
            )
        if text is not None and any(block.text_mlp is None for block in self.blocks):
            raise CapabilityError(
                "a Q-Former without MLPs for text was given text",
                fix="build its blocks with `text=True`",
            )


class QueryProjection(nn.Module):
    """What a Q-Former's queries found, at the text side's width (BLIP-2, section 3.3).

    With `text`, the queries look for what an instruction asks (InstructBLIP, arXiv:2305.06500).

    Args:
        words: embeds instructions, where they are to be asked as tokens.
    """

    def __init__(self, *, qformer: QFormer, project: nn.Module, words: Words | None = None) -> None:
        super().__init__()
        self.qformer, self.project, self.words = qformer, project, words

    def forward(
        self,
        patches: Float[Tensor, "N P V"],
        *,
        text: Float[Tensor, "N T E"] | None = None,
        bias: Tensor | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N Q D"]:
        x_NLE = self.qformer(patches, text=text, bias=bias, fused=fused, record=record)
        return self.project(x_NLE[:, : len(self.qformer.queries)])

    def ask(
        self,
        patches: Float[Tensor, "N P V"],
        *,
        tokens: Int[Tensor, "N T"],
        real: Bool[Tensor, "N T"],
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "N Q D"]:
        """What the queries found that the words, both ways beside them, ask for."""
        assert self.words is not None
        places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        text = self.words.embed(tokens, positions=places)
        may = allowed(real, num_queries=len(self.qformer.queries))
        bias = layers.mask_bias(may, layers.compute_type(text))
        return self(patches, text=text, bias=bias, fused=fused, record=record)


def query_blocks(
    *,
    depth: int,
    width: int,
    num_heads: int,
    mlp_inner: int,
    vision_width: int,
    cross_every: int = 2,
    text: bool = True,
    activation: str = "gelu",
    norms: str = "layer",
    epsilon: float = 1e-12,
    bias: bool = True,
    dropout: float = 0.0,
) -> nn.ModuleList:
    """The blocks of a `QFormer`, every `cross_every`-th, from the first on, with cross-attention.

    Without `text` there are no MLPs for it, and queries alone can be given.
    """

    def normed() -> nn.Module:
        return layers.norm(norms, width, epsilon=epsilon)

    def attention(context_width: int | None = None) -> Attention:
        return Attention(width=width, num_heads=num_heads, context_width=context_width, bias=bias)

    def mlp() -> MLP:
        return MLP(width=width, inner=mlp_inner, activation=activation, bias=bias)

    def block(crosses: bool) -> QueryBlock:
        return QueryBlock(
            attention=attention(),
            attention_norm=normed(),
            cross=attention(vision_width) if crosses else None,
            cross_norm=normed() if crosses else None,
            mlp=mlp(),
            mlp_norm=normed(),
            text_mlp=mlp() if text else None,
            text_mlp_norm=normed() if text else None,
            dropout=dropout,
        )

    return nn.ModuleList(block(i % cross_every == 0) for i in range(depth))
