"""Leaks: what a model sees that it must not, found by changing it and looking at what moves.

Shapes: B rows, T positions, M texts, Y vocabulary, N pictures, C H W channels and pixels.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seesay.model.contract import Embedder, Matcher, Model, Speaker
from seesay.records import Batch
from seesay.train.losses import Step

if TYPE_CHECKING:
    from seesay.train.loop import Run


@torch.no_grad()
def leaks(run: "Run", model: Model, batch: Batch) -> list[str]:
    """A line for each thing that moves what must not see it: later words, words of other documents
    and texts, pictures of other rows.

    The model is copied, made to answer without chance, and its weights are moved a little: at the
    start, blocks do nothing, and hide what is wrong.
    """
    model = copy.deepcopy(model).eval()
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        found: list[str] = []
        if isinstance(model, Speaker) and "caption" in model.can:
            found += _of_speaker(run, model, batch)
        if batch.claims_Mt is not None and isinstance(model, Embedder | Matcher):
            found += _of_texts(run, model, batch)
    return found


def _of_speaker(run: "Run", model: Speaker, batch: Batch) -> list[str]:
    def logits(given: Batch) -> Tensor:
        return model(
            given.tokens_BT, pictures=given.pictures_NCHW, **given.layout, fused=run.fused
        )

    plain_BTY, found = logits(batch), []
    for row, place in _places(batch, mark=run.text.picture):
        moved_BT = _moved(logits(_with_other_word(run, batch, row, place)), plain_BTY)
        # Pictures that a question has a say in stand before it.
        ahead = model.instructed or bool(getattr(model, "prefix_lm", False))
        may_BT = _may_see(batch, row, place, ahead=ahead)
        found += _say(moved_BT & ~may_BT, f"changing the word at place {place} of row {row}")
    own = Step(run, batch, model).owners
    if len(own):
        row = int(own[0])
        place = int((batch.tokens_BT[row] == run.text.picture).nonzero()[0])
        shares_T = batch.groups_BT[row] == batch.groups_BT[row, place]
        moved_BT = _moved(logits(_with_other_picture(batch)), plain_BTY)
        moved_BT[row] &= ~shares_T & (batch.documents_BT[row] >= 0)
        found += _say(moved_BT, f"changing a picture of row {row}")
    return found


def _places(batch: Batch, *, mark: int) -> list[tuple[int, int]]:
    """Of each row, the place of a word in the midst of its first and of its last document."""
    made = []
    for row, documents_T in enumerate(batch.documents_BT):
        words_T = batch.tokens_BT[row] != mark
        for document in {1, int(documents_T.max())} - {0, -1}:
            places = ((documents_T == document) & words_T).nonzero()[:, 0]
            if len(places):
                made.append((row, int(places[len(places) // 2])))
    return made


def _may_see(batch: Batch, row: int, place: int, *, ahead: bool) -> Tensor:
    """Who may look at a word: those from it on in its document; before it, who may look ahead."""
    may_BT = torch.zeros_like(batch.tokens_BT, dtype=torch.bool)
    same_T = (batch.documents_BT[row] == batch.documents_BT[row, place]) & (
        batch.groups_BT[row] == batch.groups_BT[row, place]
    )
    places_T = torch.arange(len(same_T), device=same_T.device)
    reach_T = places_T
    if ahead and batch.horizon_BT is not None:
        reach_T = torch.maximum(places_T, batch.horizon_BT[row])
    may_BT[row] = same_T & (reach_T >= place)
    # Padding says nothing.
    return may_BT | (batch.documents_BT < 0)


def _with_other_word(run: "Run", batch: Batch, row: int, place: int) -> Batch:
    tokens_BT = batch.tokens_BT.clone()
    tokens_BT[row, place] = _other(run, int(tokens_BT[row, place]))
    return replace(batch, tokens_BT=tokens_BT)


def _other(run: "Run", token: int) -> int:
    """Another word: the last of the vocabulary, or the one before it; marks come first."""
    last = len(run.text) - 1
    return last if token != last else last - 1


def _with_other_picture(batch: Batch) -> Batch:
    pictures_NCHW = batch.pictures_NCHW.clone()
    pictures_NCHW[0] = 255 - pictures_NCHW[0]
    return replace(batch, pictures_NCHW=pictures_NCHW)


def _moved(one: Tensor, other: Tensor) -> Tensor:
    """Where two differ by more than the order of adding can make."""
    return (one - other).abs().amax(dim=-1) > 1e-4 * max(1.0, float(other.abs().max()))


def _say(moved: Tensor, change: str) -> list[str]:
    count = int(moved.sum())
    if not count:
        return []
    first = [int(index) for index in moved.nonzero()[0]]
    return [
        f"warning: {change} moves {count} places that must not see it, {first} first: a mask "
        "leaks. This is a fault of the program: please report it"
    ]


def _of_texts(run: "Run", model: Model, batch: Batch) -> list[str]:
    """Texts held against pictures: each is read by itself, with its own pictures."""
    asked: dict[str, Callable[[Step], Tensor]] = {}
    if isinstance(model, Embedder):
        asked["texts"] = lambda step: step.claims.texts
        asked["pictures"] = lambda step: step.claims.pictures.flatten(1)
    if isinstance(model, Matcher) and "match" in model.can:
        asked["matching"] = lambda step: model.match(
            step.claims.tokens_Mt, step.claims.real_Mt, step.context.take(step.claims.row_M)
        )[:, None]
    assert batch.claims_Mt is not None and batch.claims_row_M is not None
    claims_Mt, found = batch.claims_Mt.clone(), []
    claims_Mt[0, 1] = _other(run, int(claims_Mt[0, 1]))
    texts, pictures = replace(batch, claims_Mt=claims_Mt), _with_other_picture(batch)
    owner = int(Step(run, batch, model).owners[0])
    for name, make in asked.items():
        plain = make(Step(run, batch, model))
        if name != "pictures":
            moved_M = _moved(make(Step(run, texts, model)), plain)
            found += _say(moved_M[1:], f"{name}: changing a word of the first text")
        if name != "texts":
            moved = _moved(make(Step(run, pictures, model)), plain)
            rows = torch.arange(len(moved), device=moved.device)
            of = rows if name == "pictures" else batch.claims_row_M
            found += _say(moved & (of != owner), f"{name}: changing a picture of row {owner}")
    return found
