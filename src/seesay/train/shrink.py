"""Shrink: first weights of a smaller model from a larger one's: every so many-th block, some of the
channels and heads (manual inheritance, TinyCLIP, arXiv:2309.12314, section 3.2).

A dimension of a tensor lies on an axis: a side's channels, the heads of an attention, the inside of
an MLP, the common space. What is kept of an axis is kept in all tensors that lie on it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seesay.config import Recipe
from seesay.errors import RecipeError
from seesay.model import adapt
from seesay.model.layers import MLP, Attention

_BLOCK = re.compile(r"^(.*\bblocks)\.(\d+)\.(.*)$")


class Axis(NamedTuple):
    """What a dimension lies on, and how many things there are on it here; 0: as many as numbers."""

    name: str
    things: int = 0


VISION, TEXT, SPACE = Axis("vision"), Axis("text"), Axis("space")
# What ends with these names has these axes, where no part of the model says so itself.
_AXES: tuple[tuple[str, tuple[Axis | None, ...]], ...] = (
    ("text_project.weight", (SPACE, TEXT)),
    ("stem.project.weight", (VISION,)),
    ("stem.project.bias", (VISION,)),
    ("stem.norm.weight", (VISION,)),
    ("stem.norm.bias", (VISION,)),
    ("stem.norm.running_mean", (VISION,)),
    ("stem.norm.running_var", (VISION,)),
    ("time.project.weight", (VISION, VISION)),
    ("project.weight", (SPACE, VISION)),
    ("qformer.queries", (None, TEXT)),
    ("vision.positions", (None, VISION)),
    ("vision.class_token", (VISION,)),
    ("pool.probe", (None, VISION)),
    ("text.embedding.weight", (None, TEXT)),
    ("reader.embedding.weight", (None, TEXT)),
    ("teller.embedding.weight", (None, TEXT)),
    ("positions.weight", (None, TEXT)),
    ("kinds_embedding", (None, TEXT)),
    ("match_head.pool.weight", (TEXT, TEXT)),
    ("match_head.pool.bias", (TEXT,)),
    ("match_head.score.weight", (None, TEXT)),
    ("match_head.weight", (None, TEXT)),
    ("word_head.transform.weight", (TEXT, TEXT)),
    ("word_head.transform.bias", (TEXT,)),
    ("fill_head.transform.weight", (TEXT, TEXT)),
    ("fill_head.transform.bias", (TEXT,)),
    ("patch_head.weight", (None, VISION)),
    ("object_head.weight", (None, TEXT)),
    ("box_head.hidden.0.weight", (TEXT, TEXT)),
    ("box_head.hidden.0.bias", (TEXT,)),
    ("box_head.hidden.2.weight", (TEXT, TEXT)),
    ("box_head.hidden.2.bias", (TEXT,)),
    ("box_head.head.weight", (None, TEXT)),
)


def blocks(
    called: Mapping[str, str],
    model: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    say: Callable[[str], None],
) -> dict[str, str]:
    """What parameters are called there: where there are more blocks, every so many-th of them."""
    here, there = (_depths(names) for names in (model.state_dict(), weights))
    made, told = dict(called), set()
    for name, other in called.items():
        own, theirs = _BLOCK.match(name), _BLOCK.match(other)
        if not own or not theirs or own[2] != theirs[2]:
            continue
        few, many = here[own[1]], there.get(theirs[1], 0)
        if few < many:
            made[name] = f"{theirs[1]}.{int(own[2]) * many // few}.{theirs[3]}"
            told.add((own[1], few, many))
    for part, few, many in sorted(told):
        taken = ", ".join(str(i * many // few) for i in range(few))
        say(f"  {part}: {taken} of {many}")
    return made


def _depths(names: Iterable[str]) -> dict[str, int]:
    """How many blocks there are in each stack."""
    found: dict[str, int] = {}
    for match in filter(None, map(_BLOCK.match, names)):
        found[match[1]] = max(found.get(match[1], 0), int(match[2]) + 1)
    return found


def cut(
    taken: Mapping[str, Tensor],
    model: nn.Module,
    *,
    largest: bool,
    say: Callable[[str], None],
) -> dict[str, Tensor]:
    """Larger tensors with as many channels and heads as the model has.

    Args:
        largest: those of the largest norm over all tensors that have them; else the first.
    """
    here, known = model.state_dict(), axes(model)
    sizes: dict[str, tuple[int, int]] = {}
    norms: dict[str, Tensor] = {}
    for name, value in taken.items():
        for at, axis in enumerate(known.get(name, ())):
            unit = _unit(axis, here[name], at)
            if axis is None or not _smaller(here[name], value, at, unit):
                continue
            sizes[axis.name] = here[name].shape[at] // unit, value.shape[at] // unit
            own = value.float().square().movedim(at, 0).reshape(sizes[axis.name][1], -1).sum(dim=1)
            norms[axis.name] = norms.get(axis.name, torch.zeros_like(own)) + own
    kept = {
        name: norms[name].topk(few).indices.sort().values if largest else torch.arange(few)
        for name, (few, _) in sizes.items()
    }
    _tell(sizes, largest=largest, say=say)
    return {n: _of(value, here[n], known.get(n, ()), kept) for n, value in taken.items()}


def _unit(axis: Axis | None, own: Tensor, at: int) -> int:
    """How many numbers one thing on an axis has: a head, as many as it is wide."""
    return own.shape[at] // axis.things if axis is not None and axis.things else 1


def _smaller(own: Tensor, other: Tensor, at: int, unit: int) -> bool:
    there = other.shape[at] if own.ndim == other.ndim else 0
    return there > own.shape[at] and there % unit == 0


def _of(
    value: Tensor, own: Tensor, known: tuple[Axis | None, ...], kept: Mapping[str, Tensor]
) -> Tensor:
    """What is kept of a tensor."""
    for at, axis in enumerate(known):
        unit = _unit(axis, own, at)
        if axis is not None and axis.name in kept and _smaller(own, value, at, unit):
            places = kept[axis.name][:, None] * unit + torch.arange(unit)
            value = value.index_select(at, places.flatten())
    return value


def _tell(
    sizes: Mapping[str, tuple[int, int]], *, largest: bool, say: Callable[[str], None]
) -> None:
    which = "of the largest norm" if largest else "the first"
    lines = {re.sub(r"\.\d+\.", ".*.", name): pair for name, pair in sizes.items()}
    for name, (few, many) in lines.items():
        say(f"  {name}: {few} of {many}, {which}")


def check(theirs: Recipe, ours: Recipe, *, where: str) -> None:
    """See that heads are as wide here as there: they are taken whole.

    Raises:
        RecipeError: they are not.
    """
    for side in ("vision", "text"):
        small, large = (getattr(recipe.model, side) for recipe in (ours, theirs))
        wide, width = small.width // small.num_heads, large.width // large.num_heads
        if wide != width:
            raise RecipeError(
                f"a head of the {side} side is {wide} wide here but {width} there, and heads are "
                "taken whole",
                where=where,
                fix=f"set model.{side}.num_heads to model.{side}.width / {width}",
            )


def axes(model: nn.Module) -> dict[str, tuple[Axis | None, ...]]:
    """The axes of a model's parameters, by name; of what is not named, sizes must agree."""
    known: dict[str, tuple[Axis | None, ...]] = {}
    for name in model.state_dict():
        for ending, lies in _AXES:
            if adapt.ends(ending, name) and not name.startswith("connector"):
                known[name] = lies
                break
    if hasattr(model, "qformer"):  # What is likened to texts is what the queries found.
        known |= {"project.weight": (SPACE, TEXT)}
        known |= {f"{name}.bias": (SPACE,) for name in ("project", "text_project")}
    looks_at = VISION if getattr(model, "connector", None) is None else TEXT
    for name, part in model.named_modules(remove_duplicate=False):
        if not name.startswith("connector"):
            side = _side(name)
            for own, lies in _inside(name, part, side, looks_at).items():
                known[f"{name}.{own}"] = lies
    return known


def _side(name: str) -> Axis:
    words = name.removeprefix("towers.").split(".")
    return VISION if words[0] in ("vision", "pool") else TEXT


def _inside(
    name: str, part: nn.Module, side: Axis, looks_at: Axis
) -> dict[str, tuple[Axis | None, ...]]:
    """What a part says of the axes of its own parameters."""
    last = name.rpartition(".")[2]
    if isinstance(part, Attention):
        heads = Axis(f"{name}.heads", part.num_kv_heads)
        context = looks_at if last == "cross" else side
        made: dict[str, tuple[Axis | None, ...]]
        made = {"out.weight": (side, heads), "out.bias": (side,), "query.weight": (heads, side)}
        made |= {f"{key}.weight": (heads, context) for key in ("key", "value")}
        return made | {f"{key}.bias": (heads,) for key in ("query", "key", "value")}
    if isinstance(part, MLP):
        inner = Axis(f"{name}.inner")
        made = {"down.weight": (side, inner), "down.bias": (side,)}
        made |= {f"{key}.weight": (inner, side) for key in ("up", "gate")}
        return made | {f"{key}.bias": (inner,) for key in ("up", "gate")}
    if isinstance(part, nn.LayerNorm | nn.RMSNorm) and last not in ("query_norm", "key_norm"):
        return {"weight": (side,), "bias": (side,)}
    return {}
