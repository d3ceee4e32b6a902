"""Chunks: a batch learned from some rows at a time, though all its pictures and texts are compared.

Vectors of all first, without gradients; what the loss asks of each vector; then, chunk by chunk,
the same vectors again, with gradients (GradCache, arXiv:2101.06983). The result is that of the
batch in one piece, at the memory of a chunk, for one more pass forward.

Shapes: B rows, M texts, E width of the common space.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from seesay.model.contract import Model
from seesay.records import Batch
from seesay.train import losses
from seesay.train.contrast import Pairs, Vectors, joined, narrowed
from seesay.train.losses import CONTRASTED, Share, Step

if TYPE_CHECKING:
    from seesay.train.loop import Run


class Chunk(NamedTuple):
    """Some rows of a batch, and their share of it, by words and by rows."""

    batch: Batch
    share: Share


class Looked(NamedTuple):
    """What the first pass found in a chunk, and the random state it began with."""

    random: dict[str, Tensor]
    pictures: Tensor
    texts: Tensor
    pairs: Pairs
    taught: Vectors | None


def learn(
    run: "Run",
    batch: Batch,
    model: Model,
    facts: dict[str, Tensor],
    share: Share,
    *,
    reached: Callable[[Tensor], None] = lambda loss: None,
) -> Tensor:
    """Backward of what `losses.loss_of` gives, chunk by chunk (`train.chunk`); that loss.

    Batch norms see a chunk, and their averages take in each once. Objectives other than those of
    all pictures against all texts are asked within each chunk: hard negatives are taken from there.

    Args:
        reached: is told each chunk's loss before its gradients are computed.
    """
    weights = losses.weights_of(run, batch)
    together = {name: weights.pop(name) * share.rows for name in CONTRASTED if name in weights}
    chunks = split(batch, run.recipe.train.chunk, owners=Step(run, batch, model).rows)
    total, looked, wanted = torch.zeros((), device=run.device), [], []
    if together:
        looked = _look(run, chunks, model)
        loss, wanted = _compare(run, model, looked, together, facts)
        total += loss
    for i, chunk in enumerate(chunks):
        parts = []
        with run.autocast():
            step = Step(run, chunk.batch, model)
            if together:
                parts.append(_again(step, looked[i].random, wanted[i]))
            own = {name: w for name, w in weights.items() if losses.asks(name, chunk.batch)}
            if own:
                parts.append(_others(step, own, chunk.share, share, facts))
                total += parts[-1].detach()
        if parts:
            loss = torch.stack(parts).sum()
            reached(loss)
            loss.backward()
    return total


def split(batch: Batch, size: int, *, owners: Tensor) -> list[Chunk]:
    """A batch in chunks of so many rows; `owners`: the row of each picture, (N,)."""
    rows = len(batch.tokens_BT)
    targets = int((batch.targets_BT >= 0).sum())
    made = []
    for start in range(0, rows, size):
        end = min(start + size, rows)
        own = slice(int((owners < start).sum()), int((owners < end).sum()))
        part = batch.rows(slice(start, end), width=batch.tokens_BT.shape[1], pictures=own)
        alike = len(part.tokens_BT) / rows
        words = int((part.targets_BT >= 0).sum()) / targets if targets else alike
        made.append(Chunk(part, Share(words, alike)))
    return made


@torch.no_grad()
def _look(run: "Run", chunks: list[Chunk], model: Model) -> list[Looked]:
    """The vectors of every chunk; nothing else is held on to."""
    found = []
    with run.autocast(), still(model):
        for chunk in chunks:
            random, step = random_state(run.device), Step(run, chunk.batch, model)
            claims = step.claims
            vectors = (claims.pictures, claims.texts)
            found.append(Looked(random, *vectors, claims.pairs, step.opinion))
    return found


def _compare(
    run: "Run",
    model: Model,
    looked: list[Looked],
    weights: Mapping[str, float],
    facts: dict[str, Tensor],
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """The loss of all vectors, and its gradient at those of each chunk, strip by strip."""
    pictures = joined([each.pictures for each in looked]).requires_grad_()
    texts = torch.cat([each.texts for each in looked]).requires_grad_()
    against = losses.contrast(run, model, pictures, texts, _joined(looked), _taught(looked))
    found = {name: torch.zeros((), device=pictures.device) for name in weights}
    for strip in against.strips(run.recipe.train.chunk):
        parts = {name: CONTRASTED[name](against, strip) for name in weights}
        torch.stack([parts[name] * weights[name] for name in weights]).sum().backward()
        found = {name: found[name] + parts[name].detach() for name in weights}
    facts |= found | against.facts
    sizes = [len(each.pictures) for each in looked], [len(each.texts) for each in looked]
    of_pictures, of_texts = [
        (torch.zeros_like(side) if side.grad is None else side.grad).split(several)
        for side, several in zip((pictures, texts), sizes, strict=True)
    ]
    gradients = [
        (narrowed(of_picture, each.pictures.shape[1]), of_text)
        for each, of_picture, of_text in zip(looked, of_pictures, of_texts, strict=True)
    ]
    loss = torch.stack([found[name] * weights[name] for name in weights]).sum()
    return loss, gradients


def _joined(looked: list[Looked]) -> Pairs:
    """The pairs of all chunks as one batch's."""
    several, rows, row = [each.pairs for each in looked], 0, []
    for pairs in several:
        row.append(pairs.row + rows)
        rows += pairs.rows
    marks, true = torch.cat([p.marks for p in several]), torch.cat([p.true for p in several])
    return Pairs(marks, torch.cat(row), true, rows)


def _taught(looked: list[Looked]) -> Vectors | None:
    """What a teacher sees in all chunks."""
    several = [each.taught for each in looked if each.taught is not None]
    if not several:
        return None
    pictures, texts = (joined([getattr(v, n) for v in several]) for n in ("pictures", "texts"))
    return Vectors(pictures, texts, several[0].similarity)


def _again(step: Step, random: Mapping[str, Tensor], wanted: tuple[Tensor, Tensor]) -> Tensor:
    """What has the wanted gradients at a chunk's vectors, now that these have some of their own."""
    with replayed(random, step.run.device):
        made = (step.claims.pictures, step.claims.texts)
    return torch.stack([(a * b).sum() for a, b in zip(made, wanted, strict=True)]).sum()


def _others(
    step: Step, weights: Mapping[str, float], own: Share, whole: Share, facts: dict[str, Tensor]
) -> Tensor:
    """The objectives that a chunk is asked by itself, at its share of the step."""
    found: dict[str, Tensor] = {}
    share = Share(own.words * whole.words, own.rows * whole.rows)
    loss = losses.weighed(step, weights, share, facts=found)
    for name, fact in found.items():
        facts[name] = facts.get(name, torch.zeros_like(fact)) + fact * own.rows
    return loss


@contextlib.contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Running averages of batch norms do not move in here."""
    norms = [part for part in model.modules() if isinstance(part, _NormBase)]
    held = [part.track_running_stats for part in norms]
    for part in norms:
        part.track_running_stats = False
    try:
        yield
    finally:
        for part, before in zip(norms, held, strict=True):
            part.track_running_stats = before


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Where the generators stand that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


@contextlib.contextmanager
def replayed(state: Mapping[str, Tensor], device: torch.device) -> Iterator[None]:
    """What is drawn in here is drawn from a state again; after that, it is as if nothing was."""
    now = random_state(device)
    _put_back(state, device)
    try:
        yield
    finally:
        _put_back(now, device)


def _put_back(state: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
