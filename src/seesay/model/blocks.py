"""Blocks: attention and MLP beside residual paths, in stacks, and what they begin as.

Shapes: B batch, T queries, S keys, t places of T, D width, E width of a context, K heads.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seesay.model.layers import (
    MLP,
    Attention,
    GridRotary,
    LayerCache,
    Record,
    Rotary,
    Runs,
    keeper,
    norm,
    sees,
)


class At(NamedTuple):
    """The places of a sequence where something is wanted: the rest is only looked at.

    places: in each row, t of the T positions. bias, angles: of those, as `Attention` takes them.
    """

    places: Int[Tensor, "B t"]
    bias: Tensor | None
    angles: tuple[Tensor, Tensor] | None

    @classmethod
    def of(
        cls,
        places: Int[Tensor, "B t"],
        *,
        bias: Tensor | None,
        angles: tuple[Tensor, Tensor] | None,
    ) -> "At":
        """These places, given the bias (B, 1, T, S) and the angles (B, 1, T, W) of all."""
        one = cls(places, None, None)
        own = None if angles is None else (one.rows(angles[0]), one.rows(angles[1]))
        return cls(places, None if bias is None else one.rows(bias), own)

    def rows(self, x_B1Tx: Tensor) -> Tensor:
        """Of what all positions have, (B, 1, T, x), that of these places (B, 1, t, x)."""
        x_BTx = x_B1Tx[:, 0].expand(len(self.places), -1, -1)
        return take(x_BTx, self.places)[:, None]


def take(x: Float[Tensor, "B T D"], places: Int[Tensor, "B t"]) -> Float[Tensor, "B t D"]:
    """What stands at some places of each row."""
    rows = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    # Not take_along_dim: on CPUs the gradient of this is by far the faster.
    taken = x.flatten(0, 1).index_select(0, (rows + places).flatten())
    return taken.view(*places.shape, x.shape[-1])


class Block(nn.Module):
    """A transformer layer: attention, optional cross-attention, MLP, each beside a residual path.

    `norm_first` puts norms before each part (GPT, ViT, Llama); otherwise after its sum (BERT).

    Args:
        attention_scale, mlp_scale: (D,): learned factors of what each part finds (LayerScale,
            arXiv:2103.17239, equation 4), or None.
    """

    def __init__(
        self,
        *,
        attention: Attention,
        attention_norm: nn.Module,
        mlp: nn.Module,
        mlp_norm: nn.Module,
        cross: Attention | None = None,
        cross_norm: nn.Module | None = None,
        attention_scale: Tensor | None = None,
        mlp_scale: Tensor | None = None,
        norm_first: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention, self.attention_norm = attention, attention_norm
        self.cross, self.cross_norm = cross, cross_norm
        self.mlp, self.mlp_norm = mlp, mlp_norm
        self.attention_scale, self.mlp_scale = (
            None if scale is None else nn.Parameter(scale) for scale in (attention_scale, mlp_scale)
        )
        self.norm_first, self.dropout = norm_first, nn.Dropout(dropout)

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        *,
        context: Float[Tensor, "B S E"] | None = None,
        context_bias: Tensor | None = None,
        bias: Tensor | Runs | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
        at: At | None = None,
        cache: LayerCache | None = None,
        fused: bool = False,
        record: Record | None = None,
        name: str = "block",
    ) -> Float[Tensor, "B t D"]:
        """The layer's output at every position, or `at` some.

        A context that `cache` holds need not be given again.
        """

        def look(h: Tensor) -> Tensor:
            keep = keeper(record, f"{name}.attention")
            if at is None:
                return self.attention(
                    h, bias=bias, angles=angles, cache=cache, fused=fused, record=keep
                )
            return self.attention(
                take(h, at.places),
                context=h,
                bias=at.bias,
                angles=at.angles,
                context_angles=angles,
                cache=cache,
                fused=fused,
                record=keep,
            )

        def look_across(h: Tensor) -> Tensor:
            assert self.cross is not None
            own = context_bias
            if at is not None and own is not None and own.ndim == 4 and own.shape[2] > 1:
                own = at.rows(own)
            found = self.cross(
                h,
                context=context,
                bias=own,
                cache=None if cache is None else cache.context,
                fused=fused,
                record=keeper(record, f"{name}.cross"),
            )
            # What may look at nothing gets nothing: softmax alone would be even over all.
            return found if own is None else found.masked_fill(~sees(own), 0.0)

        x_BTD = self._residual(
            x_BTD, look, self.attention_norm, scale=self.attention_scale, at=at
        )
        if self.cross is not None and self.cross_norm is not None:
            x_BTD = self._residual(x_BTD, look_across, self.cross_norm)
        x_BTD = self._residual(x_BTD, self.mlp, self.mlp_norm, scale=self.mlp_scale)
        if record is not None:
            record[f"{name}.features"] = x_BTD
        return x_BTD

    def _residual(
        self,
        x: Tensor,
        part: Callable[[Tensor], Tensor],
        norm: nn.Module,
        *,
        scale: Tensor | None = None,
        at: At | None = None,
    ) -> Tensor:
        found = self.dropout(part(norm(x) if self.norm_first else x))
        found = found if scale is None else found * scale
        x = (x if at is None else take(x, at.places)) + found
        return x if self.norm_first else norm(x)


def stack(
    *,
    depth: int,
    width: int,
    num_heads: int,
    num_kv_heads: int | None = None,
    head_width: int | None = None,
    mlp_inner: int,
    activation: str = "gelu",
    gated: bool = False,
    norms: str = "rms",
    epsilon: float = 1e-6,
    bias: bool = False,
    out_bias: bool | None = None,
    mlp_bias: bool | None = None,
    head_norm: str | None = None,
    head_epsilon: float = 1e-6,
    rotary: Rotary | GridRotary | None = None,
    cross_width: int | None = None,
    layer_scale: float | None = None,
    norm_first: bool = True,
    dropout: float = 0.0,
) -> nn.ModuleList:
    """`depth` equal blocks; with `cross_width`, each also looks at features of that width.

    layer_scale: what the learned factors of what a part finds begin as, or None for no factors.
    """

    def scale() -> Tensor | None:
        return None if layer_scale is None else torch.full((width,), layer_scale)

    def attention(context_width: int | None = None) -> Attention:
        return Attention(
            width=width,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_width=head_width,
            context_width=context_width,
            bias=bias,
            out_bias=out_bias,
            head_norm=head_norm,
            head_epsilon=head_epsilon,
            rotary=None if context_width else rotary,
        )

    def block() -> Block:
        return Block(
            attention=attention(),
            attention_norm=norm(norms, width, epsilon=epsilon),
            cross=attention(cross_width) if cross_width else None,
            cross_norm=norm(norms, width, epsilon=epsilon) if cross_width else None,
            mlp=MLP(
                width=width,
                inner=mlp_inner,
                activation=activation,
                gated=gated,
                bias=bias if mlp_bias is None else mlp_bias,
            ),
            mlp_norm=norm(norms, width, epsilon=epsilon),
            attention_scale=scale(),
            mlp_scale=scale(),
            norm_first=norm_first,
            dropout=dropout,
        )

    return nn.ModuleList(block() for _ in range(depth))


@torch.no_grad()
def initialise(module: nn.Module, *, passing: bool = True) -> None:
    """Linear maps at 1/√(fan in), small embeddings, the end of a block's residual paths at zero.

    Zeroed ends make every block the identity at the start (Fixup, arXiv:1901.09321), which is what
    lets Muon's large first steps be stable. Attention elsewhere is not zeroed: as the only way from
    a picture into learned queries it would be blind, and behind a gate that is zero dead.
    Without `passing` no end is zeroed.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=1 / math.sqrt(part.in_features))
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)
    for part in module.modules() if passing else ():
        if isinstance(part, Block):
            for path in part.children():
                if isinstance(path, Attention):
                    nn.init.zeros_(path.out.weight)
                if isinstance(path, MLP):
                    nn.init.zeros_(path.down.weight)
