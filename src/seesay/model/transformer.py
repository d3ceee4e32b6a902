"""Transformer: what all families share whose words come out of a decoder of attention blocks.

Shapes: B rows, T positions, N pictures, Q picture tokens, D text width, Y vocabulary, M places.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from seesay.model import layers
from seesay.model.contract import Said, Speaker
from seesay.model.layers import LayerCache, Record, compute_type
from seesay.model.rows import Chosen, visible


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
        self,
        tokens: Int[Tensor, "B T"],
        seen: Float[Tensor, "N Q D"],
        *,
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
    ) -> Met:
        """Words and pictures, ready for the decoder."""

    def instruct(
        self,
        seen: Float[Tensor, "N Q D"],
        *,
        tokens: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
        horizon: Int[Tensor, "B T"] | None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "m q d"]:
        """Pictures as the words of their rows ask for them: as they are, unless these are heard."""
        return seen

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        *,
        pictures: UInt8[Tensor, "N C H W"],
        positions: Int[Tensor, "B T"],
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
        horizon: Int[Tensor, "B T"] | None = None,
        seen: Float[Tensor, "m Q D"] | None = None,
        select: Bool[Tensor, "B T"] | None = None,
        about: Bool[Tensor, "B T"] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "*rows Y"] | Said:
        """Logits at every position (B, T, Y), or at the selected ones only (M, Y).

        `seen` are the pictures as `see` makes them, where several rows share one; `pictures` are
        then not looked at. `horizon` is for a prefix LM alone. With `about`, also what is said of
        each object there.
        """
        seen = self.see(pictures, fused=fused, record=record) if seen is None else seen
        seen = self.instruct(
            seen,
            tokens=tokens,
            documents=documents,
            groups=groups,
            horizon=horizon,
            fused=fused,
            record=record,
        )
        met = self.meet(tokens, seen, documents=documents, groups=groups)
        chosen = None
        if select is not None and record is None:
            chosen = Chosen.of(select if about is None else select | about)
        h_BtD = self.text(
            met.x,
            positions=positions,
            bias=self._bias(documents, groups, horizon, like=met.x),
            context=met.context,
            context_bias=met.context_bias,
            places=None if chosen is None else chosen.places_Bt,
            fused=fused,
            record=record,
        )

        def pick(wanted_BT: Tensor) -> Tensor:
            return h_BtD[wanted_BT] if chosen is None else chosen.pick(h_BtD, wanted_BT)

        logits = self.text.logits(h_BtD if select is None else pick(select))
        if about is None:
            return logits
        head = self.object_head
        return Said(logits, None if head is None else head(pick(about)))

    def caches(self) -> list[LayerCache]:
        """Empty caches for `decode`."""
        return [LayerCache() for _ in self.text.blocks]

    def decode(
        self,
        tokens: Int[Tensor, "B t"],
        *,
        seen: Float[Tensor, "N Q D"] | None,
        positions: Int[Tensor, "B t"],
        documents: Int[Tensor, "B T"],
        groups: Int[Tensor, "B T"],
        horizon: Int[Tensor, "B t"] | None = None,
        caches: Sequence[LayerCache],
        last: Int[Tensor, " B"] | None = None,
        fused: bool = False,
    ) -> Float[Tensor, "B #t Y"]:  # noqa: F821 - a shape, not a name with a comment
        """The next positions' logits, or of each row only those at `last` (B, 1, Y).

        `documents` and `groups` cover the cached positions and these. `seen` comes first, and is
        None from then on.
        """
        if seen is not None:
            seen = self.instruct(
                seen,
                tokens=tokens,
                documents=documents,
                groups=groups,
                horizon=horizon,
                fused=fused,
            )
            met = self.meet(tokens, seen, documents=documents, groups=groups)
            if met.context_bias is not None and caches:
                caches[0].context.bias = bias_at(met.context_bias, last)
        else:
            kept = caches[0].context.bias if caches else None
            met = Met(self.text.embed(tokens), context_bias=kept)
        h_BtD = self.text(
            met.x,
            positions=positions,
            bias=self._bias(documents, groups, horizon, like=met.x),
            context=met.context,
            context_bias=met.context_bias,
            caches=caches,
            fused=fused,
        )
        if last is not None:
            h_BtD = h_BtD.take_along_dim(last[:, None, None], dim=1)
        return self.text.logits(h_BtD)

    def _bias(
        self, documents: Tensor, groups: Tensor, horizon: Tensor | None, *, like: Tensor
    ) -> Tensor:
        """The mask of the last positions, as many as `like` (B, t, D) has."""
        queries = slice(-like.shape[1], None)
        ahead = horizon if self.prefix_lm else None
        allowed = visible(documents, groups, horizon=ahead, queries=queries)
        return layers.mask_bias(allowed, compute_type(like))


def bias_at(bias: Tensor, last: Tensor | None) -> Tensor:
    """Of a context's bias (B, 1, T or 1, S) that of the last position, (B, 1, 1, S)."""
    if last is None or bias.shape[2] == 1:
        return bias[:, :, -1:]
    return bias.take_along_dim(last[:, None, None, None], dim=2)
