"""Losses: what each objective of a recipe asks of a model and a batch. One table: `OBJECTIVES`.

Shapes: B rows, T positions, N pictures, P patches, V vision width, Q picture tokens, D text width,
M texts, t positions of one, E width of the common space, K places to fill.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from seesay import objectives
from seesay.errors import RecipeError, nearest
from seesay.model.contract import Embedder, Matcher, Model, Said
from seesay.model.reader import Reader
from seesay.model.regions import there
from seesay.model.rows import SLOTS, Asked, Context, owners
from seesay.records import Batch

if TYPE_CHECKING:
    from seesay.train.loop import Run

# Of the words of a text, the share that is hidden (BERT, arXiv:1810.04805, section 3.1).
HIDDEN = 0.15


class Step:
    """A batch as a model sees it: what several objectives need is computed once.

    `facts` are what they find out by the way, for the log: shares right, and the like.
    """

    def __init__(self, run: "Run", batch: Batch, model: Model) -> None:
        self.run, self.batch, self.model = run, batch, model
        self.fused, self.facts = run.fused, {}

    @cached_property
    def patches(self) -> Tensor:
        """(N, P, V)"""
        boxes = self.batch.boxes_NR4
        return self.model.look(self.batch.pictures_NCHW, boxes=boxes, fused=self.fused)

    @cached_property
    def seen(self) -> Tensor:
        """(N, Q, D)"""
        return self.model.connect(self.patches, fused=self.fused)

    @cached_property
    def owners(self) -> Tensor:
        """The row of each picture, (N,)."""
        batch, mark = self.batch, self.model.picture_token
        return owners(batch.tokens_BT, picture_token=mark, pictures=len(batch.pictures_NCHW))

    @cached_property
    def context(self) -> Context:
        """What texts look at, a row each."""
        boxes = self.batch.boxes_NR4
        real = None if boxes is None else there(boxes)
        return Context.of(self.seen, self.owners, rows=len(self.batch.tokens_BT), real=real)

    @cached_property
    def claims(self) -> "Claims":
        """The batch's texts to hold against pictures."""
        return Claims(self)


class Claims:
    """Texts to hold against pictures, and the rows that have any.

    positive_BM: whether a text is true of a row's pictures for all that is known: one of its own,
    or word for word one of them.
    """

    def __init__(self, step: Step) -> None:
        batch = step.batch
        assert batch.claims_Mt is not None and batch.claims_real_Mt is not None
        assert batch.claims_true_M is not None and batch.claims_row_M is not None
        self.tokens_Mt, self.real_Mt = batch.claims_Mt, batch.claims_real_Mt
        self.row_M, self.true_M = batch.claims_row_M, batch.claims_true_M == 1
        same_MM = (self.tokens_Mt[:, None] == self.tokens_Mt[None]).all(dim=-1)
        rows = torch.arange(len(batch.tokens_BT), device=self.row_M.device)
        own_BM = (rows[:, None] == self.row_M) & self.true_M
        self.positive_BM = (own_BM.float() @ same_MM.float()) > 0
        self._step = step

    @cached_property
    def pictures(self) -> Tensor:
        """Vectors (B, E), or several a row (B, Q, E)."""
        step = self._step
        context = Context.of(step.patches, step.owners, rows=len(step.batch.tokens_BT))
        return self._model.embed_pictures(context)

    @property
    def centres(self) -> Tensor:
        """One vector a row (B, E)."""
        return self._model.centre(self.pictures)

    @cached_property
    def texts(self) -> Tensor:
        """Vectors (M, E)."""
        return self._model.embed_texts(self.tokens_Mt, self.real_Mt, fused=self._step.fused)

    @cached_property
    def similarity(self) -> Tensor:
        """Scores (B, M)."""
        return self._model.similarity(self.pictures, self.texts)

    @property
    def _model(self) -> Embedder:
        assert isinstance(self._step.model, Embedder)
        return self._step.model


def caption(step: Step) -> Tensor:
    """The next word of what the assistant says; and, where asked for, what it is about."""
    batch, settings = step.batch, step.run.recipe.train
    select_BT = batch.targets_BT >= 0
    about_BT = torch.zeros_like(select_BT)
    if batch.about_BTAO is not None:
        about_BT = (batch.about_BTAO >= 0).any(dim=(2, 3))
    said: Said = step.model(
        batch.tokens_BT,
        pictures=batch.pictures_NCHW,
        **batch.layout,
        seen=step.seen,
        select=select_BT,
        about=about_BT,
        fused=step.fused,
    )
    loss = objectives.caption(said.words, batch.targets_BT[select_BT])
    if said.objects is not None and batch.about_BTAO is not None and settings.object_weight:
        parts = step.run.recipe.model
        loss = loss + settings.object_weight * objectives.attributes(
            rearrange(said.objects, "M (O C) -> M O C", O=parts.num_objects),
            batch.about_BTAO[about_BT],
            classes=parts.object_classes,
        )
    return loss


def contrastive(step: Step) -> Tensor:
    """Pictures and texts in one space: CLIP's softmax or SigLIP's sigmoid, as the model is made."""
    claims = step.claims
    sigmoid = step.run.recipe.model.contrast == "sigmoid"
    loss = objectives.sigmoid_contrastive if sigmoid else objectives.contrastive
    made = loss(claims.similarity, claims.positive_BM)
    with torch.no_grad():
        best_B = claims.similarity.argmax(dim=1, keepdim=True)
        asked_B = claims.positive_BM.any(dim=1)
        right_B = claims.positive_BM.gather(1, best_B)[:, 0]
        step.facts["contrastive_right"] = right_B[asked_B].float().mean()
        mean_E = claims.centres.mean(dim=0)
        step.facts["contrastive_alike"] = mean_E.square().sum()
    return made


def matching(step: Step) -> Tensor:
    """Whether a text is true of pictures, told from what is nearly so (ALBEF, arXiv:2107.07651).

    Every claim with its own pictures; and, as hard negatives (section 3.2), each true one with
    another row's pictures, and each row with another's text, likelier the more alike they are.
    """
    claims, batch = step.claims, step.batch
    true_M = claims.true_M.nonzero()[:, 0]
    other_B, other_M = _hard(step)
    rows = torch.cat((claims.row_M, other_B, claims.row_M[true_M]))
    texts = torch.cat((torch.arange(len(claims.row_M), device=rows.device), true_M, other_M))
    wrong = torch.zeros(len(true_M), dtype=torch.bool, device=rows.device)
    truth = torch.cat((claims.true_M, wrong, wrong))
    if len(batch.tokens_BT) == 1:  # Nothing to exchange with.
        rows, texts, truth = claims.row_M, texts[: len(claims.row_M)], claims.true_M
    assert isinstance(step.model, Matcher)
    logits = step.model.match(
        claims.tokens_Mt[texts], claims.real_Mt[texts], step.context.take(rows), fused=step.fused
    )
    with torch.no_grad():
        step.facts["matching_right"] = ((logits > 0) == truth).float().mean()
    return objectives.matching(logits, truth.long())


def _hard(step: Step) -> tuple[Tensor, Tensor]:
    """For each true text a row, and another text for its row, neither of which belongs to it."""
    claims = step.claims
    true_M = claims.true_M.nonzero()[:, 0]
    scores_BM = torch.zeros_like(claims.positive_BM, dtype=torch.float32)
    if "embed" in step.model.can:
        scores_BM = claims.similarity.detach().float()
    scores_BM = scores_BM.masked_fill(claims.positive_BM, -1e4)
    rows = torch.multinomial(scores_BM[:, true_M].T.softmax(dim=1), 1)[:, 0]
    texts = torch.multinomial(scores_BM[claims.row_M[true_M]].softmax(dim=1), 1)[:, 0]
    return rows, texts


def masked_lm(step: Step) -> Tensor:
    """Words of true texts hidden, and filled in again by the rest and the pictures (ViLT, BERT).

    Of those chosen, 80 % read as the mask, 10 % as another word, 10 % as they are.
    """
    claims, text, mask = step.claims, step.run.text, _mask(step)
    which = claims.true_M.nonzero()[:, 0]
    tokens, real = claims.tokens_Mt[which], claims.real_Mt[which]
    dice = torch.rand(tokens.shape, device=tokens.device)
    # Not the first, which opens the text, nor its end.
    word = real & (torch.arange(tokens.shape[1], device=tokens.device) > 0) & (tokens != text.end)
    # At least one a text: short ones would teach nothing.
    least = dice.masked_fill(~word, 2.0).argmin(dim=1, keepdim=True)
    hidden = (word & (dice < HIDDEN)).scatter(1, least, True) & word
    kind = torch.rand(tokens.shape, device=tokens.device)
    drawn = torch.randint(len(text), tokens.shape, device=tokens.device)
    shown = torch.where(hidden & (kind < 0.8), mask, tokens)
    shown = torch.where(hidden & (kind >= 0.9), drawn, shown)
    context = step.context.take(claims.row_M[which])
    logits = _reader(step).fill(shown, real, context, select=hidden, fused=step.fused)
    return objectives.caption(logits, tokens[hidden])


def fill(step: Step) -> Tensor:
    """The words of an answer all at once, where as many masks stand (arXiv:2206.08155)."""
    batch = step.batch
    asked = Asked.of(
        batch.tokens_BT,
        batch.targets_BT,
        documents=batch.documents_BT,
        groups=batch.groups_BT,
        mask=_mask(step),
        slots=SLOTS,
    )
    known = asked.targets_Mt >= 0
    context = step.context.take(asked.row_M)
    logits = _reader(step).fill(
        asked.tokens_Mt, asked.real_Mt, context, select=known, fused=step.fused
    )
    return objectives.caption(logits, asked.targets_Mt[known])


def _reader(step: Step) -> Reader:
    assert isinstance(step.model, Reader)
    return step.model


def _mask(step: Step) -> int:
    assert step.run.text.mask is not None
    return step.run.text.mask


def patches(step: Step) -> Tensor:
    """What is in each patch of a drawn picture, where that is known (`train.patch_weight`)."""
    assert step.model.patch_head is not None and step.batch.labels_NAP is not None
    return objectives.attributes(
        step.model.patch_head(step.patches),
        step.batch.labels_NAP,
        classes=step.run.recipe.model.patch_classes,
    )


# name -> (what it computes, what a family must be able to do)
OBJECTIVES: dict[str, tuple[Callable[[Step], Tensor], str]] = {
    "caption": (caption, "caption"),
    "contrastive": (contrastive, "embed"),
    "matching": (matching, "match"),
    "masked_lm": (masked_lm, "fill"),
    "fill": (fill, "fill"),
}
# Those that need conversations, and those that need texts to hold against pictures.
SPOKEN, CLAIMED = {"caption", "fill"}, {"contrastive", "matching", "masked_lm"}


def loss_of(
    run: "Run", batch: Batch, model: Model, facts: dict[str, Tensor] | None = None
) -> Tensor:
    """The weighted sum of a recipe's objectives on a batch; `facts` takes in each and its finds."""
    settings = run.recipe.train
    with run.autocast():
        step = Step(run, batch, model)
        weights = {name: w for name, w in settings.objectives.items() if w and _asks(name, batch)}
        parts = {name: OBJECTIVES[name][0](step) for name in weights}
        if settings.patch_weight and batch.labels_NAP is not None and model.patch_head is not None:
            weights["patches"], parts["patches"] = settings.patch_weight, patches(step)
        if not parts:
            raise RecipeError(
                f"a batch of {len(batch.tokens_BT)} rows holds nothing that "
                f"{', '.join(settings.objectives)} can learn from",
                where="train.objectives",
                fix="train on captions, classes or matching pairs; of scenes, set claims = 1",
            )
        loss = torch.stack([parts[name] * weights[name] for name in parts]).sum()
    if facts is not None:
        facts |= {name: part.detach() for name, part in parts.items()} | step.facts
    return loss


def _asks(name: str, batch: Batch) -> bool:
    """Whether a batch holds what an objective learns from; stages may be without."""
    if name not in CLAIMED:
        return True
    return batch.claims_true_M is not None and bool((batch.claims_true_M == 1).any())


def check(objectives: Mapping[str, float], can: tuple[str, ...], *, family: str) -> None:
    """Say of a recipe's objectives whether a family can learn by them.

    Raises:
        RecipeError: naming the first that is unknown, or that the family cannot do.
    """
    if not any(objectives.values()):
        raise RecipeError("no objective has a weight", where="train.objectives", fix="give one 1.0")
    for name in objectives:
        if name not in OBJECTIVES:
            raise RecipeError(
                f"no objective '{name}'",
                where="train.objectives",
                fix=nearest(name, list(OBJECTIVES)),
            )
        if OBJECTIVES[name][1] not in can:
            able = [other for other, (_, needs) in OBJECTIVES.items() if needs in can]
            raise RecipeError(
                f"a model of family '{family}' cannot {OBJECTIVES[name][1]}, which the objective "
                f"'{name}' teaches",
                where="train.objectives",
                fix=f"it can learn by: {', '.join(able) or 'none'}",
            )
