"""Fine-tuning by a few weights: LoRA, adapters, prompts, prefixes and heads, put into any model.

What is put in begins at zero, so that before the first step the model is the one it was. It goes by
names of modules, by `nn.Linear` and by `Attention`, and knows no family.

Shapes: B batch, T queries, S learned vectors, K heads, G key-value heads, W width of a head, E
width of what an attention looks at, I in, O out.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from seesay.errors import RecipeError, nearest
from seesay.model.layers import Attention, attend
from seesay.tuning import PartConfig, TuneConfig

M = TypeVar("M", bound=nn.Module)
# Methods whose parts stay in the model that is saved: `lora` leaves none, it is merged.
STAYS = ("adapters", "prompt", "prefix", "linear")
# How the names of the modules end that a method changes, where the recipe names none.
USUAL = {
    "lora": ("query", "value"),
    "adapters": ("attention.out", "cross.out", "mlp.down"),
    "linear": ("head", "*_head"),
    "prompt": ("*",),
    "prefix": ("*",),
}


class LoRA(nn.Module):
    """y = Wx + (α / r) B A x, W frozen (LoRA, arXiv:2106.09685, equation 3); B begins at zero."""

    def __init__(self, base: nn.Linear, *, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        return self.base(x) + self.scale * self.up(self.down(self.dropout(x)))

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The one linear map that it is."""
        plain = copy.deepcopy(self.base)
        plain.weight += self.scale * self.up.weight @ self.down.weight
        return plain


class Adapter(nn.Module):
    """y + U gelu(D y) of y = Wx, W frozen (adapters, arXiv:1902.00751, figure 2); U begins at zero.

    Put on the last map of an attention or an MLP it stands where the paper has it: before the sum.
    """

    def __init__(self, base: nn.Linear, *, bottleneck: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.out_features, bottleneck)
        self.up = nn.Linear(bottleneck, base.out_features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        y = self.base(x)
        return y + self.up(F.gelu(self.down(y)))


class Prefix(nn.Module):
    """Learned keys and values beside an attention (prefix tuning, arXiv:2101.00190, section 4).

    They have a softmax of their own, and what it gives is added times a gate for each head, which
    begins at zero. In one softmax the learned keys would take their share from the first step on:
    attention to a prefix is such a sum, with the share as the gate (arXiv:2110.04366, section 3.1),
    and a gate at zero leaves the model what it was (LLaMA-Adapter, arXiv:2303.16199, section 3.2).
    So masks, positions and caches stay as they are: every query sees all of it, from anywhere.
    """

    def __init__(self, attention: Attention, *, length: int) -> None:
        super().__init__()
        shape = (attention.num_kv_heads, length, attention.head_width)
        self.keys, self.values = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.randn(shape))
        self.gate = nn.Parameter(torch.zeros(attention.num_heads, 1, 1))

    def forward(
        self, q_BKTW: Float[Tensor, "B K T W"], attention: Attention, *, fused: bool = False
    ) -> Float[Tensor, "B K T W"]:
        """What is added to what the attention found, for queries that are turned to no position."""
        return _beside(q_BKTW, self.keys, self.values, self.gate, fused=fused)


class Prompt(nn.Module):
    """Learned vectors before the text (prompt tuning, arXiv:2104.08691), as its first block looks.

    Keys and values are the attention's own maps of the vectors, and are added as `Prefix` has it.
    What later blocks would make of the vectors does not depend on the text, which cannot be seen
    from before it: that is what `Prefix` learns; here the text carries on what it saw.
    """

    def __init__(self, attention: Attention, *, length: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(length, attention.key.in_features))
        self.gate = nn.Parameter(torch.zeros(attention.num_heads, 1, 1))

    def forward(
        self, q_BKTW: Float[Tensor, "B K T W"], attention: Attention, *, fused: bool = False
    ) -> Float[Tensor, "B K T W"]:
        """What is added to what the attention found, for queries that are turned to no position."""
        maps = (attention.key(self.vectors), attention.value(self.vectors))
        k, v = (rearrange(x, "S (G W) -> G S W", G=attention.num_kv_heads) for x in maps)
        return _beside(q_BKTW, attention.key_norm(k), v, self.gate, fused=fused)


def _beside(q_BKTW: Tensor, k_GSW: Tensor, v_GSW: Tensor, gate_K11: Tensor, *, fused: bool):
    batch, heads = q_BKTW.shape[:2]
    repeats = heads // len(k_GSW)
    k, v = (
        x.to(q_BKTW.dtype).repeat_interleave(repeats, dim=0).expand(batch, -1, -1, -1)
        for x in (k_GSW, v_GSW)
    )
    return (gate_K11 * attend(q_BKTW, k, v, fused=fused)).to(q_BKTW.dtype)


_ADDED = (LoRA, Adapter, Prefix, Prompt)


def begins(pattern: str, name: str) -> bool:
    """Whether a pattern ("text.blocks.*.mlp") names the first words of a dotted name."""
    wanted, words = pattern.split("."), name.split(".")
    return len(wanted) <= len(words) and all(map(fnmatchcase, words, wanted))


def ends(pattern: str, name: str) -> bool:
    """Whether a pattern ("attention.query", "*_head") names the last words of a dotted name."""
    wanted, words = pattern.split("."), name.split(".")
    return len(wanted) <= len(words) and all(map(fnmatchcase, words[-len(wanted) :], wanted))


def apply(model: M, tune: TuneConfig) -> M:
    """Put in what a method trains; the model itself, changed in place.

    Raises:
        RecipeError: a pattern names no module that the method could change.
    """
    if tune.method == "lora":
        how = {"rank": tune.rank, "alpha": tune.alpha, "dropout": tune.dropout}
        _wrap(model, tune, lambda base: LoRA(base, **how))
    elif tune.method == "adapters":
        _wrap(model, tune, lambda base: Adapter(base, bottleneck=tune.bottleneck))
    elif tune.method == "prefix":
        for _, part in _chosen(model, tune, Attention):
            part.prefix = Prefix(part, length=tune.length)
    elif tune.method == "prompt":
        within = tune if tune.within else _within_text(tune)
        _, first = _chosen(model, within, Attention)[0]
        first.prefix = Prompt(first, length=tune.length)
    elif tune.method == "linear":
        _untie(model)
        _chosen(model, tune, nn.Linear)
    return model


def _within_text(tune: TuneConfig) -> TuneConfig:
    return TuneConfig(method=tune.method, modules=tune.modules, within=("text",))


def _wrap(model: nn.Module, tune: TuneConfig, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Put another module in the place of each linear map; one, where a map has two names."""
    made: dict[int, nn.Module] = {}
    for name, base in _chosen(model, tune, nn.Linear):
        if id(base) not in made:
            made[id(base)] = make(base)
        _put(model, name, made[id(base)])


def _put(model: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, part)


def _untie(model: nn.Module) -> None:
    """Give a head of its own to what scores words by their embedding: a copy of that."""
    for part in list(model.modules()):
        embedding = getattr(part, "embedding", None)
        if isinstance(embedding, nn.Embedding) and getattr(part, "head", part) is None:
            words, width = embedding.weight.shape
            part.head = nn.Linear(width, words, bias=False)
            with torch.no_grad():
                part.head.weight.copy_(embedding.weight)


def _chosen(model: nn.Module, tune: TuneConfig, kind: type[M]) -> list[tuple[str, M]]:
    """The modules of a kind that a method changes, by name and in order."""
    found = [
        (name, part)
        for name, part in model.named_modules(remove_duplicate=False)
        if isinstance(part, kind)
    ]
    for pattern in tune.within:
        if not any(begins(pattern, name) for name, _ in found):
            raise _nothing("within", pattern, _starts([name for name, _ in found]))
    found = [
        (name, part)
        for name, part in found
        if not tune.within or any(begins(pattern, name) for pattern in tune.within)
    ]
    patterns = tune.modules or USUAL[tune.method]
    names = sorted({name.rpartition(".")[2] for name, _ in found})
    for pattern in tune.modules:
        if not any(ends(pattern, name) for name, _ in found):
            raise _nothing("modules", pattern, names)
    chosen = [pair for pair in found if any(ends(pattern, pair[0]) for pattern in patterns)]
    if not chosen:
        raise _nothing("modules", ", ".join(patterns), names)
    return chosen


def _nothing(key: str, pattern: str, known: Sequence[str]) -> RecipeError:
    what = f"'{pattern}' names no module that this method can change"
    fix = nearest(pattern, known) if known else "choose another train.tune.method"
    return RecipeError(what, where=f"train.tune.{key}", fix=fix)


def _starts(names: Sequence[str]) -> list[str]:
    return sorted({name.split(".")[0] for name in names})


def added(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that `apply` put in, by name."""
    for name, part in model.named_modules():
        if isinstance(part, _ADDED):
            for own, parameter in part.named_parameters():
                if not own.startswith("base."):
                    yield f"{name}.{own}", parameter


def rules(model: nn.Module, tune: TuneConfig) -> list[PartConfig]:
    """What a method trains, said as parts with rates: nothing but what it put in, or the heads."""
    if tune.method == "full":
        return []
    if tune.method == "linear":
        names = [name for name, _ in _chosen(model, tune, nn.Linear)]
    else:
        names = [name for name, _ in added(model)]
    return [PartConfig(match="*", rate=0.0), *(PartConfig(match=name, rate=1.0) for name in names)]


def merged(model: M) -> M:
    """The model with each LoRA merged into its map: a copy, or the model where it has none."""
    if not any(isinstance(part, LoRA) for part in model.modules()):
        return model
    model = copy.deepcopy(model)
    plain: dict[int, nn.Linear] = {}
    for name, part in list(model.named_modules(remove_duplicate=False)):
        if isinstance(part, LoRA):
            if id(part) not in plain:
                plain[id(part)] = part.merge()
            _put(model, name, plain[id(part)])
    return model


def rebuilt(model: M, tune: TuneConfig) -> M:
    """The model as it is saved: with the parts that stay in it, if the method has any."""
    return apply(model, tune) if tune.method in STAYS else model
