"""Generate: greedy, sampled or beam decoding with a KV cache, and the probability of every token.

Shapes: B rows, T prompt positions, Q picture tokens, D text width, Y vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.errors import LengthError
from seesay.model.contract import Speaker
from seesay.model.layers import LayerCache
from seesay.model.rows import owners
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

    def __init__(self, batch: Batch, caches: Sequence[LayerCache]) -> None:
        self.documents, self.groups = batch.documents_BT, batch.groups_BT
        real_BT = batch.groups_BT >= 0
        index = torch.arange(real_BT.shape[1], device=real_BT.device)
        self.last = torch.where(real_BT, index, -1).amax(dim=1)
        self.position = batch.positions_BT.gather(1, self.last[:, None])[:, 0]
        self.document = batch.documents_BT.gather(1, self.last[:, None])[:, 0]
        self.group = batch.groups_BT.gather(1, self.last[:, None])[:, 0]
        self.caches = caches

    def extend(self) -> None:
        """Make room for one more token a row, of the row's last document."""
        self.position = self.position + 1
        self.documents = torch.cat((self.documents, self.document[:, None]), dim=1)
        self.groups = torch.cat((self.groups, self.group[:, None]), dim=1)

    def keep(self, index: Tensor) -> None:
        """Keep these rows, in this order."""
        for name in ("documents", "groups", "position", "document", "group"):
            setattr(self, name, getattr(self, name)[index])
        for cache in self.caches:
            cache.rows(index)


def _first(model: Speaker, rows: _Rows, batch: Batch, seen: Tensor, fused: bool) -> Tensor:
    """Log-probabilities (B, Y) of the first new token."""
    logits_B1Y = model.decode(
        batch.tokens_BT,
        seen=seen,
        positions=batch.positions_BT,
        documents=rows.documents,
        groups=rows.groups,
        horizon=batch.horizon_BT,
        caches=rows.caches,
        last=rows.last,
        fused=fused,
    )
    return logits_B1Y[:, 0].float().log_softmax(dim=-1)


def _next(model: Speaker, rows: _Rows, tokens_B: Tensor, fused: bool) -> Tensor:
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
    model: Speaker,
    batch: Batch,
    *,
    seen: Float[Tensor, "N Q D"] | None = None,
    end: int,
    most: int | Sequence[int] = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seeds: Sequence[int] | None = None,
    forbid: Sequence[int] = (),
    fused: bool = False,
) -> list[Generated]:
    """Continue each row of a batch of prompts until its end mark, or for `most` tokens.

    Args:
        seen: the pictures already as tokens, in the order of the batch's rows; made from the
            batch's pictures where None.
        most: for all rows, or one a row, so that a long row does not shorten its neighbours'.
        temperature: 0 takes the likeliest token; above, tokens are drawn, from the likeliest ones
            that together reach `top_p` (nucleus sampling, arXiv:1904.09751).
        seeds: one a row, so that a row's draw does not depend on the rows beside it.
        forbid: tokens never to be said (pictures, padding). The log-probabilities of the others
            are as if these were allowed.
    """
    if seen is None:
        seen = model.see(batch.pictures_NCHW, grids=batch.grids, **batch.timing, fused=fused)
    answers = [_Answer(limit) for limit in _limits(most, len(batch.tokens_BT))]
    random = [torch.Generator().manual_seed(seed) for seed in seeds or range(len(answers))]
    rows = _Rows(batch, model.caches())
    going = list(range(len(answers)))
    log_BY = _without(_first(model, rows, batch, seen, fused), forbid)
    while True:
        chosen_B = _choose(log_BY, temperature, top_p, [random[i] for i in going])
        logs = log_BY.gather(1, chosen_B[:, None])[:, 0].tolist()
        stay = [
            j
            for j, (token, log) in enumerate(zip(chosen_B.tolist(), logs, strict=True))
            if answers[going[j]].take(token, log, end)
        ]
        if not stay:
            return [answer.finish(end) for answer in answers]
        if len(stay) < len(going):
            index = torch.tensor(stay, device=chosen_B.device)
            rows.keep(index)
            chosen_B, going = chosen_B[index], [going[j] for j in stay]
        log_BY = _without(_next(model, rows, chosen_B, fused), forbid)


class _Answer:
    """One row's tokens so far, the end mark included once it has come."""

    def __init__(self, limit: int) -> None:
        self.limit, self.tokens, self.logs = limit, [], []

    def take(self, token: int, log: float, end: int) -> bool:
        """Add a token; whether there are more to come."""
        full = len(self.tokens) == self.limit
        # After its last token a row is still asked whether it ends there.
        if not full or token == end:
            self.tokens.append(token)
            self.logs.append(log)
        return not full and token != end

    def finish(self, end: int) -> Generated:
        return _finish(self.tokens, self.logs, end)


def _limits(most: int | Sequence[int], count: int) -> list[int]:
    limits = [most] * count if isinstance(most, int) else list(most)
    if len(limits) != count or min(limits, default=0) < 0:
        raise LengthError(
            f"{len(limits)} limits of new tokens, the least {min(limits, default=0)}, for {count} "
            "prompts",
            fix="give one a prompt, none below 0",
        )
    return limits


def _without(log_BY: Tensor, forbid: Sequence[int]) -> Tensor:
    if not forbid:
        return log_BY
    return log_BY.index_fill(1, torch.tensor(list(forbid), device=log_BY.device), -torch.inf)


def _choose(
    log_BY: Float[Tensor, "B Y"], temperature: float, top_p: float, random: list[torch.Generator]
) -> Int[Tensor, " B"]:
    """The next token of each row."""
    if temperature <= 0:
        return log_BY.argmax(dim=-1)
    # From the likeliest down, so that however cold it is one token keeps a finite score.
    cold_BY = (log_BY - log_BY.amax(dim=-1, keepdim=True)) / temperature
    p_BY, order_BY = cold_BY.softmax(dim=-1).sort(dim=-1, descending=True)
    # A token stays while those before it have not yet reached top_p: the first always stays.
    p_BY = p_BY.masked_fill(p_BY.cumsum(dim=-1) - p_BY >= top_p, 0.0).cpu()
    drawn = [torch.multinomial(p, 1, generator=g) for p, g in zip(p_BY, random, strict=True)]
    return order_BY.gather(1, torch.stack(drawn).to(order_BY.device))[:, 0]


def _finish(tokens: Sequence[int], logs: Sequence[float], end: int) -> Generated:
    ended = bool(tokens) and tokens[-1] == end
    return Generated(tuple(tokens[:-1] if ended else tokens), tuple(logs), ended)


@torch.inference_mode()
def beam_search(
    model: Speaker,
    batch: Batch,
    *,
    seen: Float[Tensor, "N Q D"] | None = None,
    end: int,
    most: int | Sequence[int] = 64,
    beams: int = 4,
    length_penalty: float = 1.0,
    forbid: Sequence[int] = (),
    fused: bool = False,
) -> list[Generated]:
    """The best of `beams` hypotheses by sum of log-probabilities / length ** `length_penalty`.

    Each row is searched on its own, so that the answer does not depend on its neighbours. One beam
    is greedy decoding. The length counts the end mark.
    """
    if seen is None:
        seen = model.see(batch.pictures_NCHW, grids=batch.grids, **batch.timing, fused=fused)
    row_N = owners(batch.tokens_BT, picture_token=model.picture_token, pictures=len(seen))
    counts = row_N.bincount(minlength=len(batch.tokens_BT)).tolist()
    found, at = [], 0
    for i, limit in enumerate(_limits(most, len(counts))):
        one, own = _row(batch, i), seen[at : at + counts[i]]
        at += counts[i]
        rows = _Rows(one, model.caches())
        log_BY = _without(_first(model, rows, one, own, fused), forbid)
        beam = _Beam(beams, length_penalty, end)
        for step in range(limit + 1):
            parents, last = beam.grow(log_BY.cpu())
            if beam.settled() or step == limit or not parents:
                break
            rows.keep(torch.tensor(parents, device=log_BY.device))
            tokens_B = torch.tensor(last, device=log_BY.device)
            log_BY = _without(_next(model, rows, tokens_B, fused), forbid)
        best = beam.best(limit)
        found.append(_finish(best.tokens, best.logs, end))
    return found


def _row(batch: Batch, i: int) -> Batch:
    """Row i as a batch of its own, its padding cut off."""
    length = int((batch.groups_BT[i] >= 0).sum())
    return batch.rows(slice(i, i + 1), width=length, pictures=slice(0))


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """An answer so far, the end mark included once it has come."""

    tokens: tuple[int, ...] = ()
    logs: tuple[float, ...] = ()

    def score(self, penalty: float) -> float:
        return sum(self.logs) / max(len(self.logs), 1) ** penalty


class _Beam:
    """The live hypotheses of one row, and the best finished ones."""

    def __init__(self, width: int, penalty: float, end: int) -> None:
        self.width, self.penalty, self.end = width, penalty, end
        self.live, self.done = [_Hypothesis()], []
        self.unfinished: list[_Hypothesis] = []

    def grow(self, log_BY: Tensor) -> tuple[list[int], list[int]]:
        """Add the next tokens; of the live hypotheses, their parents and their last tokens."""
        totals = torch.tensor([sum(each.logs) for each in self.live])
        most = min(2 * self.width, log_BY.numel())
        best = (totals[:, None] + log_BY).flatten().topk(most).indices
        places = [divmod(place, log_BY.shape[1]) for place in best.tolist()]
        grown, parents, ended = [], [], set()
        for rank, (parent, token) in enumerate(places):
            log, old = float(log_BY[parent, token]), self.live[parent]
            longer = _Hypothesis((*old.tokens, token), (*old.logs, log))
            if token == self.end and rank < self.width:
                self.done.append(longer)
                ended.add(parent)
            elif token != self.end and log > -torch.inf and len(grown) < self.width:
                grown.append(longer)
                parents.append(parent)
        self.done = sorted(self.done, key=self._score, reverse=True)[: self.width]
        self.unfinished = [each for i, each in enumerate(self.live) if i not in ended]
        self.live = grown
        return parents, [each.tokens[-1] for each in grown]

    def _score(self, each: _Hypothesis) -> float:
        return each.score(self.penalty)

    def settled(self) -> bool:
        """Whether enough have finished, each better than any live one is at its length so far."""
        if len(self.done) < self.width or not self.live:
            return False
        return self._score(self.done[-1]) >= max(map(self._score, self.live))

    def best(self, limit: int) -> _Hypothesis:
        """The best finished one, or one cut off at the limit that did not want to end there."""
        cut = [each for each in self.unfinished if len(each.tokens) == limit]
        return max([*self.done, *cut], key=self._score)
