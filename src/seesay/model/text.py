"""The text side: words, and words through blocks; who may look at whom the family says.

Shapes: B rows, T positions, D width, Y vocabulary, S context, V width of the context.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seesay.model.blocks import At, Block, take
from seesay.model.layers import LayerCache, Record, Rotary


class Decoder(nn.Module):
    """Embedded tokens through blocks to the vocabulary (GPT-2; Llama, arXiv:2302.13971).

    With a causal `bias` it is a decoder, with one that sees both ways an encoder (BERT,
    arXiv:1810.04805). Blocks with cross-attention look at a `context`.

    Args:
        embedding: tokens -> vectors; also the head, transposed, unless `head` is given.
        positions: learned table of positions (GPT-2), or None where the blocks have `rotary`.
        first: the row of that table that is for position 0 (2 in OPT, arXiv:2205.01068).
        kinds: table of what tells a pair's texts apart (BERT's segments), or None.
        embedding_norm: of the words and their positions together, before the blocks (BERT).
        transform: of features, before they are scored (BERT's head), or None.
        head_bias: (Y,), added to the scores, or None.
        cap: softly limits logits to ±cap (Gemma 2, arXiv:2408.00118), or None.
    """

    def __init__(
        self,
        *,
        embedding: nn.Embedding,
        blocks: Sequence[Block] | nn.ModuleList,
        norm: nn.Module,
        rotary: Rotary | None = None,
        positions: nn.Embedding | None = None,
        first: int = 0,
        kinds: nn.Embedding | None = None,
        embedding_norm: nn.Module | None = None,
        transform: nn.Module | None = None,
        head: nn.Linear | None = None,
        head_bias: Tensor | None = None,
        cap: float | None = None,
    ) -> None:
        super().__init__()
        self.embedding, self.positions, self.first = embedding, positions, first
        self.kinds, self.transform = kinds, transform
        self.head_bias = None if head_bias is None else nn.Parameter(head_bias)
        self.embedding_norm = embedding_norm or nn.Identity()
        self.blocks, self.norm = nn.ModuleList(blocks), norm
        self.rotary, self.head, self.cap = rotary, head, cap

    def embed(self, tokens_BT: Int[Tensor, "*B"]) -> Float[Tensor, "*B D"]:
        """Vectors of tokens."""
        return self.embedding(tokens_BT)

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        *,
        positions: Int[Tensor, "B T"],
        bias: Tensor | None = None,
        context: Float[Tensor, "B S V"] | None = None,
        context_bias: Tensor | None = None,
        kinds: Int[Tensor, "B T"] | None = None,
        places: Int[Tensor, "B t"] | None = None,
        caches: Sequence[LayerCache] | None = None,
        fused: bool = False,
        record: Record | None = None,
    ) -> Float[Tensor, "B t D"]:
        """Features after the last norm.

        `bias` says who may look at whom, (B, 1, T, T); `context_bias`, (B, 1, T, S), who at what of
        the context. `kinds` are rows of the table of that name, 0 where not given. With `places`,
        only those of each row: the last block works for nothing else.
        """
        if self.positions is not None:
            x_BTD = x_BTD + self.positions(positions + self.first)
        if self.kinds is not None:
            x_BTD = x_BTD + self.kinds(torch.zeros_like(positions) if kinds is None else kinds)
        x_BTD = self.embedding_norm(x_BTD)
        angles = self.rotary.angles(positions) if self.rotary is not None else None
        at = None if places is None else At.of(places, bias=bias, angles=angles)
        for i, block in enumerate(self.blocks):
            x_BTD = block(
                x_BTD,
                context=context,
                context_bias=context_bias,
                bias=bias,
                angles=angles,
                at=at if i == len(self.blocks) - 1 else None,
                cache=caches[i] if caches is not None else None,
                fused=fused,
                record=record,
                name=f"text.blocks.{i}",
            )
        if places is not None and not self.blocks:
            x_BTD = take(x_BTD, places)
        return self.norm(x_BTD)

    def logits(self, features: Float[Tensor, "*B D"]) -> Float[Tensor, "*B Y"]:
        """Scores of every token of the vocabulary, before softmax."""
        if self.transform is not None:
            features = self.transform(features)
        if self.head is None:
            logits = features @ self.embedding.weight.to(features.dtype).T
        else:
            logits = self.head(features)
        logits = logits if self.head_bias is None else logits + self.head_bias
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


class Words(nn.Module):
    """Words as vectors, and vectors as scores of words: one table both ways.

    Args:
        positions: a table of what is added for a word's place (BERT, GPT-2), or None.
        kinds: a table whose first row is added to all (BERT's segments, in ViLT), or None.
        norm: of all that together, where there are places, or None.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        *,
        positions: nn.Embedding | None = None,
        kinds: nn.Embedding | None = None,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embedding, self.positions = embedding, positions
        self.kinds, self.norm = kinds, norm or nn.Identity()

    def embed(
        self, tokens: Int[Tensor, "*B"], *, positions: Int[Tensor, "*B"] | None = None
    ) -> Float[Tensor, "*B D"]:
        """Vectors of tokens, at these places where there is a table of them."""
        x = self.embedding(tokens)
        if self.positions is None or positions is None:
            return x
        x = x + self.positions(positions)
        return self.norm(x if self.kinds is None else x + self.kinds.weight[0])

    def logits(self, features: Float[Tensor, "*B D"]) -> Float[Tensor, "*B Y"]:
        """Scores of every token of the vocabulary, before softmax."""
        return features @ self.embedding.weight.to(features.dtype).T
