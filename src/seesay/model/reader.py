"""Reader: what a family that reads words and pictures together says of them: true or not, and which
words are missing.

Shapes: M texts, T positions, D text width, K places, Y vocabulary, S context.
"""

from abc import abstractmethod

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.model.contract import Matcher
from seesay.model.layers import Record
from seesay.model.rows import Context


class Reader(Matcher):
    """A family that reads a text and its pictures together.

    match_head: the first word's feature -> whether the text is true of the pictures.
    fill_head: features -> those whose likeness to a word's vector is its score (BERT's head).
    """

    match_head: nn.Module
    fill_head: nn.Module

    @abstractmethod
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

    def match(
        self,
        tokens: Int[Tensor, "M T"],
        real: Bool[Tensor, "M T"],
        context: Context,
        *,
        fused: bool = False,
    ) -> Float[Tensor, " M"]:
        """Whether each text is true of its pictures: log p(true) / p(false)."""
        h_MTD = self.join(tokens, real, context, fused=fused)
        return self.match_head(h_MTD[:, 0])[:, 0]

    def fill(
        self,
        tokens: Int[Tensor, "M T"],
        real: Bool[Tensor, "M T"],
        context: Context,
        *,
        select: Bool[Tensor, "M T"],
        fused: bool = False,
    ) -> Float[Tensor, "K Y"]:
        """Scores of every word of the vocabulary at the selected places."""
        h_MTD = self.join(tokens, real, context, fused=fused)
        return self.text.logits(self.fill_head(h_MTD[select]))


class MatchHead(nn.Module):
    """tanh(Wx + b), then one score (BERT's pooler and ViLT's head, arXiv:2102.03334)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pool, self.score = nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, first: Float[Tensor, "M D"]) -> Float[Tensor, "M 1"]:
        return self.score(self.pool(first).tanh())


class FillHead(nn.Module):
    """norm(gelu(Wx + b)) (BERT's transform before its decoder, arXiv:1810.04805)."""

    def __init__(self, width: int, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.transform, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps=epsilon)

    def forward(self, features: Float[Tensor, "*K D"]) -> Float[Tensor, "*K D"]:
        return self.norm(F.gelu(self.transform(features)))
