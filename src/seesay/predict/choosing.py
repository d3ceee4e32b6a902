"""Choosing: what a model holds of options, whichever way its family can weigh them.

Shapes: B prompts, M texts, t positions of one, E width of the common space, Y vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from seesay.data.collate import Row
from seesay.data.packing import split
from seesay.data.text import Document
from seesay.model.contract import Embedder, Matcher
from seesay.predict.pictures import Pictures
from seesay.predict.shown import Shown
from seesay.records import Turn

if TYPE_CHECKING:
    from seesay.predict.native import SeesayPredictor

# Options share a row up to so many tokens: attention costs the square of a row's length.
OPTION_TOKENS = 192

_Way = Callable[["SeesayPredictor", Sequence[Shown], Sequence[Sequence[str]]], list[list[float]]]


def weigh(
    predictor: "SeesayPredictor", prompts: Sequence[Shown], options: Sequence[Sequence[str]]
) -> list[list[float]]:
    """A score for each option of each prompt: natural logarithms, up to a constant a prompt."""
    scores: list[list[float]] = [[] for _ in prompts]
    for way, several in _ways(predictor, prompts).items():
        some = [prompts[i] for i in several], [options[i] for i in several]
        for i, own in zip(several, way(predictor, *some), strict=True):
            scores[i] = own
    return scores


def _ways(predictor: "SeesayPredictor", prompts: Sequence[Shown]) -> dict[_Way, list[int]]:
    """How each prompt's options are weighed."""
    ways: dict[_Way, list[int]] = {}
    can = predictor.model.can
    for i, own in enumerate(prompts):
        way = _by_slots if "fill" in can else _by_space
        statement = predictor.is_bare(own.prompt)
        if "caption" in can:
            way = _by_words
        elif statement and "embed" in can:
            way = _by_space
        if statement and "match" in can:
            way = by_match
        ways.setdefault(way, []).append(i)
    return ways


def by_match(
    predictor: "SeesayPredictor", prompts: Sequence[Shown], options: Sequence[Sequence[str]]
) -> list[list[float]]:
    """Whether each option is true of the pictures: log p(true) / p(false)."""
    assert isinstance(predictor.model, Matcher)
    pictures = Pictures(predictor, prompts)
    pairs = [(i, option) for i, own in enumerate(options) for option in own]
    scores: list[float] = []
    for start in range(0, len(pairs), predictor.most_rows):
        some = pairs[start : start + predictor.most_rows]
        tokens_Mt, real_Mt = predictor.claims([option for _, option in some])
        with predictor.autocast():
            context = pictures.context([i for i, _ in some])
            scores += predictor.model.match(
                tokens_Mt, real_Mt, context, fused=predictor.fused
            ).tolist()
    return _apart(scores, options)


def _by_space(
    predictor: "SeesayPredictor", prompts: Sequence[Shown], options: Sequence[Sequence[str]]
) -> list[list[float]]:
    """How alike the pictures and "question option" are in the common space."""
    assert isinstance(predictor.model, Embedder)
    pictures = Pictures(predictor, prompts, connect=False)
    asked = [" ".join(turn.text for turn in predictor.asked(own.prompt)) for own in prompts]
    texts = [f"{q} {o}".strip() for q, own in zip(asked, options, strict=True) for o in own]
    owner = [i for i, own in enumerate(options) for _ in own]
    with predictor.autocast():
        seen_BE = predictor.model.embed_pictures(pictures.context(range(len(prompts))))
        parts = range(0, len(texts), predictor.most_rows)
        said_ME = torch.cat(
            [predictor.embed_texts(texts[start : start + predictor.most_rows]) for start in parts]
        )
        scores_BM = predictor.model.similarity(seen_BE, said_ME)
    owner_M = torch.tensor([owner], device=scores_BM.device)
    return _apart(scores_BM.gather(0, owner_M)[0].tolist(), options)


def _by_slots(
    predictor: "SeesayPredictor", prompts: Sequence[Shown], options: Sequence[Sequence[str]]
) -> list[list[float]]:
    """The sum of log-probabilities of each option's words, filled in all at once."""
    pictures = Pictures(predictor, prompts)
    documents = [predictor.document(predictor.asked(own.prompt), own.tokens) for own in prompts]
    rows = [Row(pictures.of(i), (document,), f"prompt {i}") for i, document in enumerate(documents)]
    batch, context = (
        predictor.collate(rows).to(predictor.device),
        pictures.context(range(len(rows))),
    )
    with predictor.autocast():
        log_BkY = predictor.slots(batch, context).double()
    scores = []
    for log_kY, own in zip(log_BkY, options, strict=True):
        # A longer option is cut: no more of it can be filled in.
        words = [torch.from_numpy(predictor.text.claim(o)[1:].copy())[: len(log_kY)] for o in own]
        scores.append([float(log_kY[torch.arange(len(w)), w].sum()) for w in words])
    return scores


def _by_words(
    predictor: "SeesayPredictor", prompts: Sequence[Shown], options: Sequence[Sequence[str]]
) -> list[list[float]]:
    """The sum of log-probabilities of each option's words, one after another."""
    pictures = Pictures(predictor, prompts)
    owners, rows = [], []
    for i, (prompt, own) in enumerate(zip(prompts, options, strict=True)):
        for documents in _option_rows(predictor, prompt, own):
            owners.append(i)
            shown = pictures.of(i, documents=len(documents))
            rows.append(predictor.row(shown, documents, f"prompt {i}"))
    sums: list[list[float]] = [[] for _ in prompts]
    for start in range(0, len(rows), predictor.most_rows):
        part = slice(start, start + predictor.most_rows)
        counts = [len(row.documents) for row in rows[part]]
        scored = _score(predictor, rows[part], pictures.seen(owners[part], documents=counts))
        for owner, logs in zip(owners[part], scored, strict=True):
            sums[owner] += logs
    return sums


def _option_rows(
    predictor: "SeesayPredictor", own: Shown, options: Sequence[str]
) -> list[tuple[Document, ...]]:
    """The options' documents, several a row."""
    asked = predictor.asked(own.prompt)
    turns = [(*asked, Turn("assistant", option)) for option in options]
    documents = [predictor.document(each, own.tokens) for each in turns]
    for document in documents:
        predictor.check_length(document.num_inputs, own, "shorten the question or the option")
    lengths = [document.num_inputs for document in documents]
    rows = split(lengths, room=max(*lengths, OPTION_TOKENS))
    return [tuple(documents[i] for i in row) for row in rows]


def _score(
    predictor: "SeesayPredictor", rows: Sequence[Row], seen: torch.Tensor
) -> list[list[float]]:
    """Of each row, the sum of log-probabilities of each document's learned tokens."""
    batch = predictor.collate(rows).to(predictor.device)
    place_BT = batch.targets_BT >= 0
    with predictor.autocast():
        logits_MY = predictor.model(
            batch.tokens_BT,
            pictures=batch.pictures_NCHW,
            **batch.layout,
            seen=seen,
            select=place_BT,
            fused=predictor.fused,
        )
    log_MY = logits_MY.float().log_softmax(dim=-1)
    log_M = log_MY.gather(1, batch.targets_BT[place_BT][:, None])[:, 0].double()
    sums_BN = log_M.new_zeros(len(rows), 1 + max(len(row.documents) for row in rows))
    sums_BN.index_put_(
        (place_BT.nonzero()[:, 0], batch.documents_BT[place_BT]), log_M, accumulate=True
    )
    return [s[1 : 1 + len(r.documents)].tolist() for s, r in zip(sums_BN, rows, strict=True)]


def _apart(scores: Sequence[float], options: Sequence[Sequence[str]]) -> list[list[float]]:
    """Scores of all options, one after another, by whose they are."""
    left = iter(scores)
    return [[next(left) for _ in own] for own in options]
