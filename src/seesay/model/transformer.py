"""Transformer: what all families share whose words come out of a decoder of attention blocks.

Shapes: B rows, T positions, N pictures, Q picture tokens, D text width, V width of what is seen.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor

from seesay.model import layers
from seesay.model.contract import Speaker
from seesay.model.layers import LayerCache, Record, compute_type
from seesay.model.rows import Chosen, Layout, Placed, visible


class Met(NamedTuple):
    """Words where they meet pictures: what goes through the decoder, and what it looks across at.

    x: (B, T, D). context: (B, S, V) and context_bias (B, 1, T or 1, S), or None.
    """

    x: Tensor
    context: Tensor | None = None
    context_bias: Tensor | None = None


class Transformer(Speaker):
    """logits = decoder(meet(words, pictures)); how they meet is the family."""

    prefix_lm: bool = False

    @abstractmethod
    def meet(
        self, tokens: Int[Tensor, "B T"], seen: Float[Tensor, "N Q D"], layout: Layout
    ) -> Met:
        """Words and pictures, ready for the decoder."""

    def instruct(
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "N Q D"],
        layout: Layout,
        *,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "m q d"]:
        """Pictures as the words of their rows ask for them: as they are, unless these are heard."""
        return seen

    def tell(
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "m Q V"],
        layout: Layout,
        *,
        wanted: Bool[Tensor, "B T"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Placed:
        """The decoder's features; of `wanted` positions, the last block works for no others."""
        seen = self.instruct(tokens, seen, layout, fused=fused, record=record)
        met = self.meet(tokens, seen, layout)
        chosen = None if wanted is None else Chosen.of(wanted)
        h_BtD = self.text(
            met.x,
            positions=layout.positions,
            bias=self._bias(layout, like=met.x),
            context=met.context,
            context_bias=met.context_bias,
            places=None if chosen is None else chosen.places_Bt,
            fused=fused,
            record=record,
        )
        return Placed(h_BtD, chosen)

    def caches(self) -> list[LayerCache]:
        """Empty caches for `decode`."""
        return [LayerCache() for _ in self.text.blocks]

    def go_on(
        self,
        tokens: Int[Tensor, "B t"],
        seen: Float[Tensor, "N Q V"] | None,
        layout: Layout,
        *,
        caches: Sequence[LayerCache],
        last: Int[Tensor, " B"] | None = None,
        fused: bool = False,
    ) -> Float[Tensor, "B t D"]:
        """The decoder's features at the next positions."""
        if seen is not None:
            met = self.meet(tokens, self.instruct(tokens, seen, layout, fused=fused), layout)
            if met.context_bias is not None and caches:
                caches[0].context.bias = bias_at(met.context_bias, last)
        else:
            kept = caches[0].context.bias if caches else None
            met = Met(self.text.embed(tokens), context_bias=kept)
        return self.text(
            met.x,
            positions=layout.positions,
            bias=self._bias(layout, like=met.x),
            context=met.context,
            context_bias=met.context_bias,
            caches=caches,
            fused=fused,
        )

    def _bias(self, layout: Layout, *, like: Tensor) -> Tensor:
        """The mask of the last positions, as many as `like` (B, t, D) has."""
        queries = slice(-like.shape[1], None)
        ahead = layout.horizon if self.prefix_lm else None
        allowed = visible(layout.documents, layout.groups, horizon=ahead, queries=queries)
        return layers.mask_bias(allowed, compute_type(like))


def bias_at(bias: Tensor, last: Tensor | None) -> Tensor:
    """Of a context's bias (B, 1, T or 1, S) that of the last position, (B, 1, 1, S)."""
    if last is None or bias.shape[2] == 1:
        return bias[:, :, -1:]
    return bias.take_along_dim(last[:, None, None, None], dim=2)
