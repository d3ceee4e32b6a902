"""Layers: attention, MLP, norms, rotary positions, caches.

Shapes: B batch, T queries, S keys, D width, K heads, G key-value heads, W width of a head.

Every attention has two paths. `plain` is softmax(QK')V written out: it can be inspected, and is the
faster one on CPUs at short sequences. `fused` is torch's scaled_dot_product_attention.
"""

import math
from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seesay.errors import RecipeError

# What a masked score gets. Not minus infinity: a padding row with nowhere to look must give finite
# numbers.
MASKED = -3e4

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


class Stretch(NamedTuple):
    """Rotary positions of longer texts than a model began with, their turns slowed by `factor`.

    All of them by that (arXiv:2306.15595), or, where there is a `length` of texts before, only
    those that go round fewer than `low` times in it, those that do so more than `high` times not at
    all, and others between (Llama 3.1, arXiv:2407.21783).
    """

    factor: float
    length: float | None = None
    low: float = 1.0
    high: float = 4.0

    def __call__(self, turns: Tensor) -> Tensor:
        """Angles a position, stretched."""
        if self.length is None:
            return turns / self.factor
        rounds = self.length * turns / (2 * math.pi)
        kept = ((rounds - self.low) / (self.high - self.low)).clamp(0, 1)
        return turns * ((1 - kept) / self.factor + kept)


class Rotary(nn.Module):
    """Rotary positions (RoFormer, arXiv:2104.09864) in the half-split layout of Llama.

    Args:
        width: of one head; even.
        base: the longest wavelength is 2π·base positions.
        stretch: what is made of that for longer texts, or None.
    """

    def __init__(
        self, *, width: int, base: float = 10_000.0, stretch: Stretch | None = None
    ) -> None:
        super().__init__()
        self.width, self.base, self.stretch = width, base, stretch

    def angles(self, positions_BT: Int[Tensor, "B T"]) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (B, 1, T, W), for positions; the first half's sines negative."""
        angles_BTw = _angles(positions_BT, width=self.width, base=self.base, stretch=self.stretch)
        return _turns(angles_BTw[:, None])

    @staticmethod
    def turn(x_BKTW: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Rotate each head's pairs by its position's angles."""
        cos, sin = (angle.to(x_BKTW.dtype) for angle in angles)
        turned = x_BKTW.roll(x_BKTW.shape[-1] // 2, dims=-1)
        return torch.addcmul(x_BKTW * cos, turned, sin)


class GridRotary(nn.Module):
    """Rotary positions of a grid (Qwen2-VL, arXiv:2409.12191, section 2.1): of a head's pairs, half
    turn by the row and half by the column, so that attention goes by how far apart places are.

    Args:
        width: of one head; a multiple of 4.
        base: the longest wavelength is 2π·base places.
    """

    def __init__(self, *, width: int, base: float = 10_000.0) -> None:
        super().__init__()
        self.width, self.base = width, base

    def angles(self, places_BT2: Int[Tensor, "B T 2"]) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (B, 1, T, W), for (row, column), as `Rotary.turn` takes them."""
        both_BT2w = _angles(places_BT2, width=self.width // 2, base=self.base)
        return _turns(both_BT2w.flatten(-2)[:, None])


def _angles(
    positions: Int[Tensor, "*B"],
    *,
    width: int,
    base: float,
    stretch: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "*B w"]:
    """How far each of width / 2 pairs is turned, the fastest first; `stretch` slows some down."""
    steps = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32)
    turns_w = base ** (-steps / width)
    return positions[..., None] * (turns_w if stretch is None else stretch(turns_w))


def _turns(angles_B1Tw: Float[Tensor, "B 1 T w"]) -> tuple[Tensor, Tensor]:
    cos, sin = angles_B1Tw.cos(), angles_B1Tw.sin()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


class Runs(NamedTuple):
    """In place of a mask: sequences one after another, each of which sees all of itself and nothing
    else (NaViT, arXiv:2307.06304, section 2.1).

    lengths: of each. Neighbours of one length are attended to as one batch, without padding and
    without scores between them: so let equal ones stand side by side.
    """

    lengths: tuple[int, ...]

    def allowed(self, device: torch.device) -> Bool[Tensor, "T T"]:
        """The same as a mask, whose scores grow with the square of all lengths together."""
        counts = torch.tensor(self.lengths, device=device)
        which_T = torch.arange(len(counts), device=device).repeat_interleave(counts)
        return which_T[:, None] == which_T

    def attend(self, q_BKTW: Tensor, k_BKTW: Tensor, v_BKTW: Tensor, *, fused: bool) -> Tensor:
        """Attention within each."""
        alike = [(length, len(list(run))) for length, run in groupby(self.lengths)]
        sizes = [length * count for length, count in alike]
        made = []
        for (length, _), *parts in zip(
            alike, *(x.split(sizes, dim=2) for x in (q_BKTW, k_BKTW, v_BKTW)), strict=True
        ):
            own = (rearrange(x, "B K (n T) W -> (B n) K T W", T=length) for x in parts)
            y = attend(*own, fused=fused)
            made.append(rearrange(y, "(B n) K T W -> B K (n T) W", B=len(q_BKTW)))
        return torch.cat(made, dim=2)


def attend(
    q_BKTW: Tensor,
    k_BKSW: Tensor,
    v_BKSW: Tensor,
    *,
    bias: Tensor | Runs | None = None,
    fused: bool = False,
    record: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """softmax(QK'/√W + bias) V (arXiv:1706.03762, equation 1); bias broadcasts to (B, K, T, S)."""
    if isinstance(bias, Runs):
        if record is None:
            return bias.attend(q_BKTW, k_BKSW, v_BKSW, fused=fused)
        bias = mask_bias(bias.allowed(q_BKTW.device), q_BKTW.dtype)
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
    """0 where a query may look, a large negative number where it may not."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(
        ~allowed, MASKED
    )


def compute_type(x: Tensor) -> torch.dtype:
    """What attention scores come in: autocast's type where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def sees(bias: Float[Tensor, "*shape"]) -> Bool[Tensor, "B T 1"]:
    """Which positions may look at anything, of a bias that broadcasts to (B, K, T, S).

    B and T are 1 where the bias is the same for all.
    """
    bias_BKTS = bias[(None,) * (4 - bias.ndim)]
    return (bias_BKTS > MASKED / 2).any(dim=-1).any(dim=1)[..., None]


class Attention(nn.Module):
    """Multi-head attention with grouped key-value heads (arXiv:2305.13245).

    Args:
        width: of the queries' side and of the output.
        num_heads, num_kv_heads: `num_kv_heads` divides `num_heads`; equal for plain attention.
        context_width: of what is looked at, where that is not the queries' own sequence.
        bias: on the query, key and value projections. `out_bias`: on the output's.
        head_norm: `rms` or `layer` for normalised queries and keys (QK-norm, arXiv:2302.05442);
            head_epsilon: of these norms.
        rotary: rotary positions, of a line or a grid, or None.

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
        head_epsilon: float = 1e-6,
        rotary: Rotary | GridRotary | None = None,
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
        self.query_norm, self.key_norm = (
            norm(head_norm, self.head_width, epsilon=head_epsilon) if head_norm else nn.Identity()
            for _ in range(2)
        )
        self.rotary = rotary
        self.prefix: nn.Module | None = None

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        *,
        context: Float[Tensor, "B S E"] | None = None,
        bias: Tensor | Runs | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
        context_angles: tuple[Tensor, Tensor] | None = None,
        context_positions: Tensor | None = None,
        cache: "LayerCache | ContextCache | None" = None,
        fused: bool = False,
        record: Callable[[Tensor], None] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Look from `x_BTD` at `context` (itself by default).

        `bias` broadcasts to (B, K, T, S), or is `Runs`; `angles` are rotary angles of these
        positions, and `context_angles` of the context's, where those are others;
        `context_positions` (S, E) are added to what keys are made of, and not values. A
        `LayerCache` holds the keys and values of earlier positions and takes in these, a
        `ContextCache` those of a context that stays, which need not be given again. `record`
        receives the attention weights (B, K, T, S).
        """
        source = x_BTD if context is None else context
        if isinstance(cache, ContextCache):
            assert context is not None or cache.made is not None, "no context, given or kept"
        q = self._heads(self.query(x_BTD), self.num_heads)

        def looked_at() -> tuple[Tensor, Tensor]:
            return self._keys_values(source, context_positions, context_angles or angles)

        k, v = cache.once(looked_at) if isinstance(cache, ContextCache) else looked_at()
        unturned = q = self.query_norm(q).to(v.dtype)
        if self.rotary is not None and angles is not None:
            q = Rotary.turn(q, angles)
        if isinstance(cache, LayerCache):
            k, v = cache.extend(k, v)
        if self.num_kv_heads != self.num_heads:
            repeats = self.num_heads // self.num_kv_heads
            k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        y = attend(q, k, v, bias=bias, fused=fused, record=record)
        if self.prefix is not None:
            y = y + self.prefix(unturned, self, fused=fused)
        return self.out(rearrange(y, "B K T W -> B T (K W)"))

    def _keys_values(
        self, source: Tensor, positions: Tensor | None, angles: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        placed = source if positions is None else source + positions
        k = self._heads(self.key(placed), self.num_kv_heads)
        v = self._heads(self.value(source), self.num_kv_heads)
        k = self.key_norm(k).to(v.dtype)
        if self.rotary is not None and angles is not None:
            k = Rotary.turn(k, angles)
        return k, v

    def _heads(self, x: Tensor, num_heads: int) -> Tensor:
        return rearrange(x, "B T (K W) -> B K T W", K=num_heads)


def _check_heads(width: int, num_heads: int, num_kv_heads: int, head_width: int | None) -> None:
    if num_heads % num_kv_heads:
        what = f"{num_kv_heads} key-value heads do not divide {num_heads} heads"
        raise RecipeError(what, fix="choose a divisor")
    if head_width is None and width % num_heads:
        what = f"{num_heads} heads do not divide a width of {width}"
        raise RecipeError(what, fix="choose a divisor")


class ContextCache:
    """The keys and values of a context that stays, made once, each (B, G, S, W).

    `bias` is which of it later positions look at, (B, 1, 1, S), or None for all.
    """

    def __init__(self) -> None:
        self.made: tuple[Tensor, Tensor] | None = None
        self.bias: Tensor | None = None

    def once(self, make: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """What `make` gave the first time."""
        if self.made is None:
            self.made = make()
        return self.made

    def rows(self, index: Tensor) -> None:
        """Keep these rows of the batch, in this order."""
        if self.made is not None:
            self.made = self.made[0][index], self.made[1][index]
        if self.bias is not None:
            self.bias = self.bias[index]


class LayerCache:
    """One layer's keys and values so far (the KV cache), each (B, G, S, W).

    `context` keeps those of what the layer's cross-attention looks at.
    """

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.context = ContextCache()

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
        self.context.rows(index)


def keeper(record: Record | None, name: str) -> Callable[[Tensor], None] | None:
    """What puts attention weights into a record by name, where there is one."""
    if record is None:
        return None
    return lambda weights: record.__setitem__(name, weights)


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
