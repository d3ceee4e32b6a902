"""Generate: greedy, sampled or beam decoding with a KV cache, and the probability of every token.

Shapes: B rows, T prompt positions, Q picture tokens, D text width, Y vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.model.families import Prefix
from seesay.model.layers import LayerCache
from seesay.records import Batch


@dataclass(frozen=True, slots=True)
class Generated:
    """One row's new tokens (the end mark left out) and the natural-log probability of each.

    `ended` says whether the end mark came before the limit; its log-probability is then the last of
    `log_probabilities`, which is one longer than `tokens`.
    """

    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    ended: bool


class _Rows:
    """The growing rows: caches, and who may look at whom."""

    def __init__(self, batch: Batch, depth: int) -> None:
        self.documents, self.groups = batch.documents_BT, batch.groups_BT
        real_BT = batch.groups_BT >= 0
        index = torch.arange(real_BT.shape[1], device=real_BT.device)
        self.last = torch.where(real_BT, index, -1).amax(dim=1)
        self.position = batch.positions_BT.gather(1, self.last[:, None])[:, 0]
        self.document = batch.documents_BT.gather(1, self.last[:, None])[:, 0]
        self.caches = [LayerCache() for _ in range(depth)]

    def extend(self) -> None:
        """Make room for one more token a row, of the row's last document."""
        self.position = self.position + 1
        self.documents = torch.cat((self.documents, self.document[:, None]), dim=1)
        self.groups = torch.cat((self.groups, torch.zeros_like(self.document)[:, None]), dim=1)

    def keep(self, index: Tensor) -> None:
        """Keep these rows, in this order."""
        for name in ("documents", "groups", "position", "document"):
            setattr(self, name, getattr(self, name)[index])
        for cache in self.caches:
            cache.rows(index)


def _first(model: Prefix, rows: _Rows, batch: Batch, seen: Tensor, fused: bool) -> Tensor:
    """Log-probabilities (B, Y) of the first new token."""
    logits_BTY = model.decode(
        batch.tokens_BT,
        seen=seen,
        positions=batch.positions_BT,
        documents=rows.documents,
        groups=rows.groups,
        caches=rows.caches,
        fused=fused,
    )
    return logits_BTY[torch.arange(len(logits_BTY)), rows.last].float().log_softmax(dim=-1)


def _next(model: Prefix, rows: _Rows, tokens_B: Tensor, fused: bool) -> Tensor:
    """Log-probabilities (B, Y) of the token after these."""
    rows.extend()
    logits_B1Y = model.decode(
        tokens_B[:, None],
        seen=None,
        positions=rows.position[:, None],
        documents=rows.documents,
        groups=rows.groups,
        caches=rows.caches,
        fused=fused,
    )
    return logits_B1Y[:, 0].float().log_softmax(dim=-1)


@torch.inference_mode()
def generate(
    model: Prefix,
    batch: Batch,
    *,
    seen: Float[Tensor, "N Q D"] | None = None,
    end: int,
    most: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seeds: Sequence[int] | None = None,
    forbid: Sequence[int] = (),
    fused: bool = False,
) -> list[Generated]:
    """Continue each row of a batch of prompts until its end mark, or for `most` tokens.

    Args:
        seen: the pictures already as tokens, in the order of the batch's rows; made from the batch's
            pictures where None.
        temperature: 0 takes the likeliest token; above, tokens are drawn, from the likeliest ones
            that together reach `top_p` (nucleus sampling, arXiv:1904.09751).
        seeds: one a row, so that a row's draw does not depend on the rows beside it.
        forbid: tokens never to be said (pictures, padding).
    """
    seen = model.see(batch.pictures_NCHW, fused=fused) if seen is None else seen
    rows = _Rows(batch, len(model.text.blocks))
    random = [_generator(seed) for seed in seeds or range(len(batch.tokens_BT))]
    log_BY = _first(model, rows, batch, seen, fused)
    said: list[list[int]] = [[] for _ in random]
    logs: list[list[float]] = [[] for _ in random]
    going = list(range(len(random)))
    for step in range(most + 1):
        log_BY = _without(log_BY, forbid)
        chosen_B = _choose(log_BY, temperature, top_p, [random[i] for i in going])
        chosen_log = log_BY.gather(1, chosen_B[:, None])[:, 0].tolist()
        for i, token, log in zip(going, chosen_B.tolist(), chosen_log, strict=True):
            if step < most or token == end:
                said[i].append(token)
                logs[i].append(log)
        stay = [j for j, token in enumerate(chosen_B.tolist()) if token != end]
        if not stay or step == most:
            break
        if len(stay) < len(going):
            index = torch.tensor(stay, device=chosen_B.device)
            rows.keep(index)
            chosen_B, going = chosen_B[index], [going[j] for j in stay]
        log_BY = _next(model, rows, chosen_B, fused)
    return [_finish(tokens, log, end) for tokens, log in zip(said, logs, strict=True)]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _without(log_BY: Tensor, forbid: Sequence[int]) -> Tensor:
    if not forbid:
        return log_BY
    return log_BY.index_fill(1, torch.tensor(list(forbid), device=log_BY.device), -torch.inf)


def _choose(
    log_BY: Float[Tensor, "B Y"], temperature: float, top_p: float, random: list[torch.Generator]
) -> Int[Tensor, "B"]:
    """The next token of each row."""
    if temperature <= 0:
        return log_BY.argmax(dim=-1)
    p_BY, order_BY = (log_BY / temperature).softmax(dim=-1).sort(dim=-1, descending=True)
    # A token stays while those before it have not yet reached top_p: the first always stays.
    p_BY = p_BY.masked_fill(p_BY.cumsum(dim=-1) - p_BY >= top_p, 0.0).cpu()
    drawn = [torch.multinomial(p, 1, generator=g) for p, g in zip(p_BY, random, strict=True)]
    return order_BY.gather(1, torch.stack(drawn).to(order_BY.device))[:, 0]


def _finish(tokens: list[int], logs: list[float], end: int) -> Generated:
    ended = bool(tokens) and tokens[-1] == end
    return Generated(tuple(tokens[:-1] if ended else tokens), tuple(logs), ended)


@torch.inference_mode()
def beam_search(
    model: Prefix,
    batch: Batch,
    *,
    seen: Float[Tensor, "N Q D"] | None = None,
    end: int,
    most: int = 64,
    beams: int = 4,
    length_penalty: float = 1.0,
    forbid: Sequence[int] = (),
    fused: bool = False,
) -> list[Generated]:
    """The best of `beams` hypotheses by sum of log-probabilities / length ** `length_penalty`.

    Each row is searched on its own, so that the answer does not depend on its neighbours.
    """
    seen = model.see(batch.pictures_NCHW, fused=fused) if seen is None else seen
    marks_BT = batch.tokens_BT == model.picture_token
    counts = (marks_BT.sum(dim=1) // max(seen.shape[1], 1)).tolist()
    found, at = [], 0
    for i, count in enumerate(counts):
        one = _row(batch, i)
        found.append(
            _search(
                model, one, seen[at : at + count], end, most, beams, length_penalty, forbid, fused
            )
        )
        at += count
    return found


def _row(batch: Batch, i: int) -> Batch:
    """Row i as a batch of its own, its padding cut off."""
    length = int((batch.groups_BT[i] >= 0).sum())
    cut = {
        name: getattr(batch, name)[i : i + 1, :length]
        for name in ("tokens_BT", "targets_BT", "positions_BT", "documents_BT", "groups_BT")
    }
    return Batch(**cut, pictures_NCHW=batch.pictures_NCHW[:0])


def _search(
    model: Prefix,
    batch: Batch,
    seen: Tensor,
    end: int,
    most: int,
    beams: int,
    penalty: float,
    forbid: Sequence[int],
    fused: bool,
) -> Generated:
    rows = _Rows(batch, len(model.text.blocks))
    log_BY = _without(_first(model, rows, batch, seen, fused), forbid)
    live: list[tuple[tuple[int, ...], tuple[float, ...]]] = [((), ())]
    done: list[tuple[tuple[int, ...], tuple[float, ...]]] = []
    for step in range(most + 1):
        totals = torch.tensor([sum(logs) for _, logs in live], device=log_BY.device)
        best = (totals[:, None] + log_BY).flatten().topk(min(2 * beams, log_BY.numel()))
        grown, parents = [], []
        for flat in best.indices.tolist():
            parent, token = divmod(flat, log_BY.shape[1])
            tokens, logs = live[parent]
            longer = ((*tokens, token), (*logs, float(log_BY[parent, token])))
            if token == end:
                done.append(longer)
            elif len(grown) < beams:
                grown.append(longer)
                parents.append(parent)
        # No live beam can improve on enough finished ones: its sum only falls.
        if len(done) >= beams or step == most or not grown:
            break
        index = torch.tensor(parents, device=log_BY.device)
        rows.keep(index)
        live = grown
        last = torch.tensor([tokens[-1] for tokens, _ in live], device=log_BY.device)
        log_BY = _without(_next(model, rows, last, fused), forbid)
    pool = done or live
    tokens, logs = max(pool, key=lambda pair: sum(pair[1]) / max(len(pair[1]), 1) ** penalty)
    return _finish(list(tokens), list(logs), end)
