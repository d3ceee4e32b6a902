"""Pretrained: Hugging Face's models from a local folder, in our parts and without transformers.

Built on no device, so that nothing is allocated before it is known to fit; then tensor by tensor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seesay.errors import CapabilityError, CheckpointError, RecipeError, nearest
from seesay.model.naming import Naming, Pair
from seesay.model.prefix import Prefix
from seesay.model.pretrained_config import Settings, code_of, open_config
from seesay.model.pretrained_models import BUILD
from seesay.model.pretrained_names import FRESH, NAMES, left
from seesay.model.text import Decoder
from seesay.model.weights import Weights, read_json

# What a type's config.json calls its sides, and what type they are where it does not say.
SIDES = {
    "clip": {"vision": "clip_vision_model", "text": "clip_text_model"},
    "siglip": {"vision": "siglip_vision_model", "text": "siglip_text_model"},
}
# How many names an error shows of many.
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Report:
    """What became of every tensor.

    Args:
        kind: the type that was built.
        loaded: ours that were filled. new: ours that no file of this type holds, and that begin
            fresh.
        left: theirs that ours has no place for: heads of other tasks, the other side, buffers.
        notes: what else is worth knowing, in sentences.
        naming: what the files call ours, to write them back.
    """

    kind: str
    loaded: tuple[str, ...]
    new: tuple[str, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...]
    naming: Naming

    def __str__(self) -> str:
        lines = [f"{self.kind}: {len(self.loaded)} tensors loaded"]
        lines += [f"begun fresh: {_some(self.new)}"] if self.new else []
        lines += [f"left in the files: {_some(self.left)}"] if self.left else []
        return "\n".join((*lines, *self.notes))


def load(
    folder: Path | str, *, side: str | None = None, dtype: torch.dtype | None = None
) -> tuple[nn.Module, Report]:
    """A model of a folder that was downloaded, or saved by `save_pretrained`; in evaluation mode.

    CLIP and SigLIP come as `Dual`, ViLT as `Single`, BLIP as `Cross`, BLIP-2, LLaVA, Idefics3 and
    SmolVLM as `Prefix`, sides alone as `VisionTransformer` and `Decoder`.

    Args:
        side: "vision" or "text", to take that of CLIP or SigLIP alone.
        dtype: of the weights; as they are stored where None. Tensors of that type that need no
            other layout stay in the file until they are used.

    Raises:
        CheckpointError: the folder is broken, not whole, not safe to open, or its config.json says
            otherwise than its weights.
        CapabilityError: it is of a type, or has a setting, that is not built here.
    """
    folder = Path(folder)
    if dtype is not None and not dtype.is_floating_point:
        raise CapabilityError(f"weights cannot be {dtype}", fix="ask for a type of floats")
    weights = Weights(folder)
    config = open_config(folder, known=BUILD, layers=len(weights.stored))
    if side is not None:
        config = _side(config, side)
    module = _built(config)
    naming = Naming.of(NAMES[config.kind], weights.stored)
    twice = _untie(module, naming, weights)
    pairs = _pairs(module, naming, weights, kind=config.kind)
    over = _left(module, config, naming, pairs, weights, twice=twice, alone=side is not None)
    state = _read(pairs, weights, dtype)
    new = tuple(name for name in _own(module) if name not in state)
    # Not strict: what two parts share has two names there, and one here.
    module.load_state_dict(state | _fresh(module, new, like=state), strict=False, assign=True)
    report = Report(
        kind=config.kind,
        loaded=tuple(state),
        new=new,
        left=over,
        notes=_notes(folder),
        naming=naming,
    )
    return module.eval(), report


def export(module: nn.Module, naming: Naming) -> dict[str, Tensor]:
    """A model's tensors under their names and in their layout: `load`, backwards."""
    ours = _own(module)
    pairs = naming.pairs(ours)
    return {pair.theirs: pair.lies.join([ours[name] for name in pair.ours]) for pair in pairs}


def _side(config: Settings, side: str) -> Settings:
    known = SIDES.get(config.kind, {})
    if side not in known:
        what = f"a {config.kind} has no side '{side}' that is read alone"
        fix = nearest(side, list(known)) if known else "leave `side` out: it is one side"
        raise CapabilityError(what, where=config.where, fix=fix)
    return config.part(f"{side}_config", {known[side]: 0}, default=known[side])


def _built(config: Settings) -> nn.Module:
    try:
        with torch.device("meta"):
            return BUILD[config.kind](config)
    # Heads that do not divide a width; numbers whose product is no size of a tensor.
    except (RecipeError, RuntimeError) as error:
        raise CheckpointError(
            f"no model can be built by its numbers: {error}",
            where=config.where,
            fix="download config.json again, or mend it",
        ) from None


def _untie(module: nn.Module, naming: Naming, weights: Weights) -> set[str]:
    """Give a head of its own to a side that config.json ties, where the files hold another.

    The names of heads that are in the files too, and the same as the embedding.
    """
    twice = set()
    for name, part in module.named_modules():
        if not isinstance(part, Decoder) or part.head is not None:
            continue
        prefix = f"{name}." if name else ""
        row = _row(naming, f"{prefix}head.weight")
        table = _row(naming, f"{prefix}embedding.weight")
        if row in weights.stored and table in weights.stored:
            if torch.equal(weights.read(row), weights.read(table)):
                twice.add(row)
                continue
            rows, width = part.embedding.weight.shape
            part.head = nn.Linear(width, rows, bias=False, device="meta")
    return twice


def _row(naming: Naming, ours: str) -> str | None:
    try:
        return naming.pairs([ours])[0].theirs
    except KeyError:
        return None


def _own(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model by name, each once."""
    return {name: each.detach() for name, each in module.named_parameters()}


def _fresh(
    module: nn.Module, names: Iterable[str], *, like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What these tensors begin as: norms as the identity, matrices at 1/√(fan in), the rest 0."""
    dtype, begun = next(iter(like.values())).dtype, {}
    for name in names:
        parent, _, own = name.rpartition(".")
        shape = module.get_parameter(name).shape
        made = torch.zeros(shape, dtype=dtype)
        if len(shape) > 1:
            made.normal_(std=shape[1] ** -0.5)
        elif own == "weight" and isinstance(module.get_submodule(parent), nn.LayerNorm):
            made.fill_(1.0)
        begun[name] = made
    return begun


def _pairs(module: nn.Module, naming: Naming, weights: Weights, *, kind: str) -> list[Pair]:
    """What is to be read, once every name and shape agrees with the files.

    Raises:
        CheckpointError: tensors are missing, or of other shapes.
    """
    wanted, begun = _own(module), FRESH.get(kind, ())
    pairs = [
        pair
        for pair in naming.pairs(wanted, weights.stored)
        if pair.theirs in weights.stored or not pair.ours[0].startswith(begun)
    ]
    missing = [pair.theirs for pair in pairs if pair.theirs not in weights.stored]
    if missing:
        raise CheckpointError(
            f"{len(missing)} of {len(pairs)} tensors are missing: {_some(missing)}",
            where=str(weights.folder),
            fix="config.json and weights are not of one model, or the download is not whole",
        )
    for pair in pairs:
        said = tuple(pair.lies.join([wanted[name] for name in pair.ours]).shape)
        found = weights.stored[pair.theirs].shape
        if said != found:
            raise CheckpointError(
                f"'{pair.theirs}' is of shape {found} in the weights, but {said} by config.json",
                where=str(weights.stored[pair.theirs].path),
                fix="config.json and weights are not of one model: download both again",
            )
    return pairs


def _read(pairs: Sequence[Pair], weights: Weights, dtype: torch.dtype | None) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for pair in pairs:
        theirs = weights.read(pair.theirs)
        theirs = theirs if dtype is None else _as(theirs, dtype, pair.theirs)
        state |= zip(pair.ours, pair.lies.split(theirs), strict=True)
    weights.close()
    return state


def _as(tensor: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """A tensor of another type, which must have room for its values."""
    room = torch.finfo(dtype).max
    if room >= torch.finfo(tensor.dtype).max or not tensor.numel():
        return tensor.to(dtype)
    largest = max(abs(float(end)) for end in tensor.aminmax())
    if largest > room:
        raise CapabilityError(
            f"'{name}' has values up to {largest:.3g}, {dtype} ends at {room:.3g}",
            fix="ask for torch.bfloat16 or torch.float32",
        )
    return tensor.to(dtype)


def _left(
    module: nn.Module,
    config: Settings,
    naming: Naming,
    pairs: Iterable[Pair],
    weights: Weights,
    *,
    twice: set[str],
    alone: bool,
) -> tuple[str, ...]:
    """What of the files was not read; of a side `alone`, all but that. `twice` is read elsewhere.

    Raises:
        CheckpointError: it is nothing that a file of this type may hold.
    """
    read = {pair.theirs for pair in pairs}
    over = [name for name in weights.stored if name not in read]
    depth = len(module.vision.blocks) if isinstance(module, Prefix) else 0  # type: ignore
    # Of a side alone, all that stands under its own name must be known, the other side is not.
    own = naming.prefixes[0] if alone else ""
    unknown = [
        name
        for name in over
        if name.startswith(own)
        and name not in twice
        and not left(config.kind, name, naming.prefixes, depth=depth)
    ]
    if unknown:
        raise CheckpointError(
            f"the weights hold {len(unknown)} tensors that a {config.kind} of this config.json has "
            f"no place for: {_some(unknown)}",
            where=str(weights.folder),
            fix="config.json and weights are not of one model, or it has parts that are not read",
        )
    return tuple(over)


def _notes(folder: Path) -> tuple[str, ...]:
    code = code_of(read_json(folder / "config.json"))
    return (code,) if code else ()


def _some(names: Sequence[str]) -> str:
    """The first of many names."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


assert set(NAMES) == set(BUILD), "every type that is built has its names, and the other way round"
