"""Gated cross-attention: a frozen decoder learns to see (Flamingo, arXiv:2204.14198).

Shapes: B rows, T positions, S places of the context, K heads, D text width, E context width.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seesay.model.blocks import At, Block
from seesay.model.layers import MLP, Attention, ContextCache, LayerCache, Record, keeper, sees


class GatedCross(nn.Module):
    """y ← y + tanh(a)·attention(y, x), y ← y + tanh(b)·mlp(y), norms before each (section 3.1.2).

    The gates a and b are zero at the start, when a decoder says what it said before. A position
    that may look at nothing gets nothing from attention.

    Args:
        gate_width: 1 for one number a gate (Flamingo), or D for one a channel.
        mlp_everywhere: whether the MLP works at positions that may look at nothing, too (Flamingo,
            Idefics). Otherwise these keep what they had to the bit: text without a picture stays
            the frozen decoder's (Llama 3.2 Vision).
    """

    def __init__(
        self,
        *,
        attention: Attention,
        attention_norm: nn.Module,
        mlp: MLP,
        mlp_norm: nn.Module,
        gate_width: int = 1,
        mlp_everywhere: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention, self.attention_norm = attention, attention_norm
        self.mlp, self.mlp_norm = mlp, mlp_norm
        self.attention_gate = nn.Parameter(torch.zeros(gate_width))
        self.mlp_gate = nn.Parameter(torch.zeros(gate_width))
        self.mlp_everywhere, self.dropout = mlp_everywhere, nn.Dropout(dropout)

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        *,
        context: Float[Tensor, "B S E"] | None = None,
        context_bias: Tensor | None = None,
        cache: ContextCache | None = None,
        fused: bool = False,
        record: Record | None = None,
        name: str = "block",
    ) -> Float[Tensor, "B T D"]:
        """Without a context, given or cached, no position may look at anything."""
        looks = context is not None or (cache is not None and cache.made is not None)
        blind_BT1 = x_BTD.new_full((1, 1, 1), not looks, dtype=torch.bool)
        if looks and context_bias is not None:
            blind_BT1 = ~sees(context_bias)
        if looks:
            found_BTD = self.attention(
                self.attention_norm(x_BTD),
                context=context,
                bias=context_bias,
                cache=cache,
                fused=fused,
                record=keeper(record, f"{name}.cross"),
            ).masked_fill(blind_BT1, 0.0)
            x_BTD = x_BTD + _gated(self.attention_gate, self.dropout(found_BTD))
        if looks and record is not None:
            # Where everything is masked, softmax is even over all: not what was used.
            record[f"{name}.cross"] = record[f"{name}.cross"].masked_fill(blind_BT1[:, None], 0.0)
        found_BTD = self.mlp(self.mlp_norm(x_BTD))
        if not self.mlp_everywhere:
            found_BTD = found_BTD.masked_fill(blind_BT1, 0.0)
        return x_BTD + _gated(self.mlp_gate, self.dropout(found_BTD))


def _gated(gate: Tensor, found: Tensor) -> Tensor:
    return gate.tanh().to(found.dtype) * found


class Gated(nn.Module):
    """A decoder's block behind a gated cross-attention: to be called as the block alone is."""

    def __init__(self, *, cross: GatedCross, block: Block) -> None:
        super().__init__()
        self.cross, self.block = cross, block

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        *,
        context: Float[Tensor, "B S E"] | None = None,
        context_bias: Tensor | None = None,
        bias: Tensor | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
        at: At | None = None,
        cache: LayerCache | None = None,
        fused: bool = False,
        record: Record | None = None,
        name: str = "block",
    ) -> Float[Tensor, "B t D"]:
        """The block's output at every position, or `at` some; every position looks at the context.

        The block's self-attention looks at all of them, wherever its output is wanted.
        """
        x_BTD = self.cross(
            x_BTD,
            context=context,
            context_bias=context_bias,
            cache=None if cache is None else cache.context,
            fused=fused,
            record=record,
            name=name,
        )
        return self.block(
            x_BTD,
            bias=bias,
            angles=angles,
            at=at,
            cache=cache,
            fused=fused,
            record=record,
            name=name,
        )


def gate(
    blocks: Iterable[nn.Module], *, every: int, cross: Callable[[], GatedCross]
) -> nn.ModuleList:
    """A decoder's blocks with every `every`-th, from the first on, behind a new `cross`."""
    gated = nn.ModuleList()
    for i, block in enumerate(blocks):
        assert isinstance(block, Block)
        gated.append(Gated(cross=cross(), block=block) if i % every == 0 else block)
    return gated
