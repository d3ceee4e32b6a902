"""The shared blocks: attention, MLP, norms, rotary positions.

Shapes: B batch, T queries, S keys, D width, K heads, G key-value heads, W width of a head.

Every attention has two paths. `plain` is softmax(QK')V written out: it can be inspected, and is the
faster one on CPUs at short sequences. `fused` is torch's scaled_dot_product_attention.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.errors import RecipeError

# Attention and features by name ("text.blocks.0.attention"), where a caller passes a dictionary.
Record = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
    "relu": F.relu,
    "relu_squared": lambda x: F.relu(x).square(),
}


def norm(kind: str, width: int, *, epsilon: float = 1e-6) -> nn.Module:
    """Normalisation over the last dimension.

    `rms` (arXiv:1910.07467), `layer` (arXiv:1607.06450) or `plain`, layer normalisation without a
    bias: as good here, and on CPUs one kernel where `rms` is several.
    """
    if kind == "plain":
        return nn.LayerNorm(width, eps=epsilon, bias=False)
    return {"rms": nn.RMSNorm, "layer": nn.LayerNorm}[kind](width, eps=epsilon)


class Rotary(nn.Module):
    """Rotary positions (RoFormer, arXiv:2104.09864) in the half-split layout of Llama.

    Args:
        width: of one head; even.
        base: the longest wavelength is 2π·base positions.
    """

    def __init__(self, *, width: int, base: float = 10_000.0) -> None:
        super().__init__()
        self.width, self.base = width, base

    def angles(self, positions_BT: Int[Tensor, "B T"]) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (B, 1, T, W), for positions; the first half's sines negative."""
        steps = torch.arange(0, self.width, 2, device=positions_BT.device, dtype=torch.float32)
        angles_B1Tw = (positions_BT[..., None] * self.base ** (-steps / self.width))[:, None]
        cos, sin = angles_B1Tw.cos(), angles_B1Tw.sin()
        return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)

    @staticmethod
    def turn(x_BKTW: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Rotate each head's pairs by its position's angles."""
        cos, sin = (angle.to(x_BKTW.dtype) for angle in angles)
        turned = x_BKTW.roll(x_BKTW.shape[-1] // 2, dims=-1)
        return torch.addcmul(x_BKTW * cos, turned, sin)


def attend(
    q_BKTW: Tensor,
    k_BKSW: Tensor,
    v_BKSW: Tensor,
    *,
    bias: Tensor | None = None,
    fused: bool = False,
    record: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """softmax(QK'/√W + bias) V (arXiv:1706.03762, equation 1); bias broadcasts to (B, K, T, S)."""
    if fused and record is None:
        return F.scaled_dot_product_attention(q_BKTW, k_BKSW, v_BKSW, attn_mask=bias)
    scores_BKTS = (q_BKTW * q_BKTW.shape[-1] ** -0.5) @ k_BKSW.transpose(-1, -2)
    if bias is not None:
        scores_BKTS = scores_BKTS + bias
    weights_BKTS = scores_BKTS.softmax(dim=-1)
    if record is not None:
        record(weights_BKTS)
    return weights_BKTS.to(v_BKSW.dtype) @ v_BKSW


def mask_bias(allowed: Bool[Tensor, "*shape"], dtype: torch.dtype) -> Tensor:
    """0 where a query may look, a large negative number where it may not.

    Not minus infinity: a padding row with nowhere to look must give finite numbers.
    """
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(
        ~allowed, -3e4
    )


class Attention(nn.Module):
    """Multi-head attention with grouped key-value heads (arXiv:2305.13245).

    Args:
        width: of the queries' side and of the output.
        num_heads, num_kv_heads: `num_kv_heads` divides `num_heads`; equal for plain attention.
        context_width: of what is looked at, where that is not the queries' own sequence.
        bias: on the query, key and value projections. `out_bias`: on the output's.
        head_norm: `rms` or `layer` for normalised queries and keys (QK-norm, arXiv:2302.05442).
        rotary: rotary positions, or None.

    `prefix`, where fine-tuning puts one in (`adapt`), adds what it finds in learned vectors.
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_width: int | None = None,
        context_width: int | None = None,
        bias: bool = False,
        out_bias: bool | None = None,
        head_norm: str | None = None,
        rotary: Rotary | None = None,
    ) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads or num_heads
        _check_heads(width, num_heads, self.num_kv_heads, head_width)
        self.head_width = head_width or width // num_heads
        inner, context = num_heads * self.head_width, context_width or width
        inner_kv = self.num_kv_heads * self.head_width
        self.query = nn.Linear(width, inner, bias=bias)
        self.key = nn.Linear(context, inner_kv, bias=bias)
        self.value = nn.Linear(context, inner_kv, bias=bias)
        self.out = nn.Linear(inner, width, bias=bias if out_bias is None else out_bias)
        self.query_norm = norm(head_norm, self.head_width) if head_norm else nn.Identity()
        self.key_norm = norm(head_norm, self.head_width) if head_norm else nn.Identity()
        self.rotary = rotary
        self.prefix: nn.Module | None = None

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        *,
        context: Float[Tensor, "B S E"] | None = None,
        bias: Tensor | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
        context_angles: tuple[Tensor, Tensor] | None = None,
        cache: "LayerCache | None" = None,
        fused: bool = False,
        record: Callable[[Tensor], None] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Look from `x_BTD` at `context` (itself by default).

        `bias` broadcasts to (B, K, T, S); `angles` are rotary angles of these positions, and
        `context_angles` of the context's, where those are others; `cache` holds the keys and values
        of earlier positions and takes in these; `record` receives the attention weights
        (B, K, T, S).
        """
        source = x_BTD if context is None else context
        q = self._heads(self.query(x_BTD), self.num_heads)
        k = self._heads(self.key(source), self.num_kv_heads)
        v = self._heads(self.value(source), self.num_kv_heads)
        q, k = self.query_norm(q).to(v.dtype), self.key_norm(k).to(v.dtype)
        unturned = q
        if self.rotary is not None and angles is not None:
            q, k = Rotary.turn(q, angles), Rotary.turn(k, context_angles or angles)
        if cache is not None:
            k, v = cache.extend(k, v)
        if self.num_kv_heads != self.num_heads:
            repeats = self.num_heads // self.num_kv_heads
            k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        y = attend(q, k, v, bias=bias, fused=fused, record=record)
        if self.prefix is not None:
            y = y + self.prefix(unturned, self, fused=fused)
        return self.out(rearrange(y, "B K T W -> B T (K W)"))

    def _heads(self, x: Tensor, num_heads: int) -> Tensor:
        return rearrange(x, "B T (K W) -> B K T W", K=num_heads)


def _check_heads(width: int, num_heads: int, num_kv_heads: int, head_width: int | None) -> None:
    if num_heads % num_kv_heads:
        what = f"{num_kv_heads} key-value heads do not divide {num_heads} heads"
        raise RecipeError(what, fix="choose a divisor")
    if head_width is None and width % num_heads:
        what = f"{num_heads} heads do not divide a width of {width}"
        raise RecipeError(what, fix="choose a divisor")


class LayerCache:
    """One layer's keys and values so far (the KV cache), each (B, G, S, W)."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append new positions; the whole so far."""
        if self.keys is not None and self.values is not None:
            keys = torch.cat((self.keys, keys), dim=2)
            values = torch.cat((self.values, values), dim=2)
        self.keys, self.values = keys, values
        return keys, values

    def rows(self, index: Tensor) -> None:
        """Keep these rows of the batch, in this order (beam search, finished rows)."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[index], self.values[index]


class MLP(nn.Module):
    """Two-layer perceptron, act(xU)V, or gated, (act(xG)·xU)V (SwiGLU, arXiv:2002.05202)."""

    def __init__(
        self, *, width: int, inner: int, activation: str = "gelu", gated: bool = False, bias: bool
    ) -> None:
        super().__init__()
        self.up = nn.Linear(width, inner, bias=bias)
        self.gate = nn.Linear(width, inner, bias=bias) if gated else None
        self.down = nn.Linear(inner, width, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x_BTD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        up = self.up(x_BTD)
        inner = self.activation(up) if self.gate is None else self.activation(self.gate(x_BTD)) * up
        return self.down(inner)


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

        def rows(x_B1Tx: Tensor) -> Tensor:
            return take(x_B1Tx[:, 0], places)[:, None]

        own = None if angles is None else (rows(angles[0]), rows(angles[1]))
        return cls(places, None if bias is None else rows(bias), own)


def take(x: Float[Tensor, "B T D"], places: Int[Tensor, "B t"]) -> Float[Tensor, "B t D"]:
    """What stands at some places of each row."""
    rows = torch.arange(len(x), device=x.device)[:, None] * x.shape[1]
    # Not take_along_dim: on CPUs the gradient of this is by far the faster.
    taken = x.flatten(0, 1).index_select(0, (rows + places).flatten())
    return taken.view(*places.shape, x.shape[-1])


class Block(nn.Module):
    """A transformer layer: attention, optional cross-attention, MLP, each beside a residual path.

    `norm_first` puts norms before each part (GPT, ViT, Llama); otherwise after its sum (BERT).
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
        norm_first: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention, self.attention_norm = attention, attention_norm
        self.cross, self.cross_norm = cross, cross_norm
        self.mlp, self.mlp_norm = mlp, mlp_norm
        self.norm_first, self.dropout = norm_first, nn.Dropout(dropout)

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
        """The layer's output at every position, or `at` some."""

        def look(h: Tensor) -> Tensor:
            keep = _keeper(record, f"{name}.attention")
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
            keep = _keeper(record, f"{name}.cross")
            return self.cross(h, context=context, bias=context_bias, fused=fused, record=keep)

        x_BTD = self._residual(x_BTD, look, self.attention_norm, at=at)
        if self.cross is not None and self.cross_norm is not None:
            x_BTD = self._residual(x_BTD, look_across, self.cross_norm)
        x_BTD = self._residual(x_BTD, self.mlp, self.mlp_norm)
        if record is not None:
            record[f"{name}.features"] = x_BTD
        return x_BTD

    def _residual(
        self,
        x: Tensor,
        part: Callable[[Tensor], Tensor],
        norm: nn.Module,
        *,
        at: At | None = None,
    ) -> Tensor:
        found = self.dropout(part(norm(x) if self.norm_first else x))
        x = (x if at is None else take(x, at.places)) + found
        return x if self.norm_first else norm(x)


def _keeper(record: Record | None, name: str) -> Callable[[Tensor], None] | None:
    if record is None:
        return None
    return lambda weights: record.__setitem__(name, weights)


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
    rotary: Rotary | None = None,
    cross_width: int | None = None,
    norm_first: bool = True,
    dropout: float = 0.0,
) -> nn.ModuleList:
    """`depth` equal blocks; with `cross_width`, each also looks at features of that width."""

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
            norm_first=norm_first,
            dropout=dropout,
        )

    return nn.ModuleList(block() for _ in range(depth))


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Linear maps at 1/√(fan in), small embeddings, the end of each residual path at zero.

    Zeroed ends make every block the identity at the start (Fixup, arXiv:1901.09321), which is what
    lets Muon's large first steps be stable.
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
    for part in module.modules():
        if isinstance(part, Attention):
            nn.init.zeros_(part.out.weight)
        if isinstance(part, MLP):
            nn.init.zeros_(part.down.weight)
