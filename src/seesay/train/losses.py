"""Losses: what each objective of a recipe asks of a model and a batch. One table: `OBJECTIVES`.

Shapes: B rows, T positions, N pictures, P patches, V vision width, Q picture tokens, D text width,
M texts, t positions of one, E width of the common space, K places to fill.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

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
from seesay.train import parallel, self_distillation
from seesay.train.contrast import Contrast, Pairs, Strip, Vectors, marks, widened

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
        batch = self.batch
        where = {"boxes": batch.boxes_NR4, "grids": batch.grids}
        return self.model.look(batch.pictures_NCHW, **where, fused=self.fused)

    @cached_property
    def watched(self) -> Tensor:
        """The patches of what stands in the text, (M, P, V): of frames with their times, pooled."""
        return self.model.watch(self.patches, **self.batch.timing)

    @cached_property
    def seen(self) -> Tensor:
        """(M, Q, D)"""
        return self.model.connect(self.watched, fused=self.fused)

    @cached_property
    def owners(self) -> Tensor:
        """The row of each picture that stands in the text, (M,)."""
        batch, mark = self.batch, self.model.picture_token
        return owners(
            batch.tokens_BT,
            picture_token=mark,
            pictures=batch.num_shown,
            instructed=batch.documents_BT if self.model.instructed else None,
        )

    @property
    def rows(self) -> Tensor:
        """The row of each picture that is looked at, (N,): several may stand in the text as one."""
        clips = self.batch.clips_N
        return self.owners if clips is None else self.owners[clips]

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

    @cached_property
    def contrast(self) -> Contrast:
        """The pictures and texts of all processes against each other."""
        claims = self.claims
        return contrast(
            self.run, self.model, claims.pictures, claims.texts, claims.pairs, self.opinion
        )

    @cached_property
    def said(self) -> Said:
        """Scores of the words to be said, and what is told of what they are about."""
        return self.model(
            self.batch.tokens_BT,
            pictures=self.batch.pictures_NCHW,
            **self.batch.layout,
            seen=self.seen,
            select=self.batch.targets_BT >= 0,
            about=self.about,
            fused=self.fused,
        )

    @cached_property
    def about(self) -> Tensor:
        """Where it is known what an answer is about, or where it is, (B, T)."""
        batch = self.batch
        about_BT = located(batch)
        if batch.about_BTAO is not None:
            about_BT = about_BT | (batch.about_BTAO >= 0).any(dim=(2, 3))
        return about_BT

    @property
    def opinion(self) -> Vectors | None:
        """Where a teacher sees the pictures and texts, if it is asked that."""
        teacher = self.run.teacher
        if teacher is None or not teacher.contrasts:
            return None
        with torch.no_grad():
            claims, model = self.taught.claims, teacher.model
            assert isinstance(model, Embedder)
            return Vectors(claims.pictures, claims.texts, model.similarity)

    @cached_property
    def taught(self) -> "Step":
        """The same batch as the teacher sees it; to be asked without gradients."""
        assert self.run.teacher is not None
        return Step(self.run, self.batch, self.run.teacher.model)


def located(batch: Batch) -> Tensor:
    """Where the box of an answer is known, (B, T)."""
    if batch.boxes_BT4 is None:
        return torch.zeros_like(batch.targets_BT, dtype=torch.bool)
    return ~batch.boxes_BT4.isnan().any(dim=2)


class Claims:
    """Texts to hold against pictures, and the rows that have any."""

    def __init__(self, step: Step) -> None:
        batch, self._step = step.batch, step
        # Of several processes or chunks, one may have none.
        none = batch.tokens_BT.new_zeros((0, 1))
        self.tokens_Mt = none if batch.claims_Mt is None else batch.claims_Mt
        self.real_Mt = none.bool() if batch.claims_real_Mt is None else batch.claims_real_Mt
        self.row_M = none[:, 0] if batch.claims_row_M is None else batch.claims_row_M
        true_M = none[:, 0] if batch.claims_true_M is None else batch.claims_true_M
        self.true_M = true_M == 1

    @cached_property
    def pairs(self) -> Pairs:
        """Which texts are true of which rows' pictures."""
        given = marks(self.tokens_Mt, self.real_Mt)
        return Pairs(given, self.row_M, self.true_M, len(self._step.batch.tokens_BT))

    @cached_property
    def positive_BM(self) -> Tensor:
        """Whether a text is true of a row's pictures for all that is known."""
        return self.pairs.positive()

    @cached_property
    def pictures(self) -> Tensor:
        """Vectors (B, E), or several a row (B, Q, E)."""
        step = self._step
        context = Context.of(step.watched, step.owners, rows=len(step.batch.tokens_BT))
        return self._model.embed_pictures(context)

    @cached_property
    def texts(self) -> Tensor:
        """Vectors (M, E)."""
        if not len(self.tokens_Mt):
            return self.pictures.new_zeros((0, self.pictures.shape[-1]))
        return self._model.embed_texts(self.tokens_Mt, self.real_Mt, fused=self._step.fused)

    @cached_property
    def similarity(self) -> Tensor:
        """Scores (B, M)."""
        return self._model.similarity(self.pictures, self.texts)

    @property
    def _model(self) -> Embedder:
        assert isinstance(self._step.model, Embedder)
        return self._step.model


def contrast(
    run: "Run", model: Model, pictures: Tensor, texts: Tensor, own: Pairs, taught: Vectors | None
) -> Contrast:
    """Vectors of this process's batch against each other and those of all others."""
    gather, teacher = parallel.gather, run.teacher
    counts = parallel.counts(own.rows, pictures.device)
    row = own.row + sum(counts[: run.ranks.rank])
    pairs = Pairs(gather(own.marks), gather(row), gather(own.true.long()) == 1, sum(counts))
    assert isinstance(model, Embedder)
    vectors = Vectors(_gathered(pictures), gather(texts), model.similarity)
    sigmoid = run.recipe.model.contrast == "sigmoid"
    if teacher is None or taught is None:
        return Contrast(vectors, pairs, sigmoid=sigmoid)
    taught = Vectors(_gathered(taught.pictures), gather(taught.texts), taught.similarity)
    if model is run.model:  # Not a copy that is tried out beforehand.
        teacher.take(taught, pairs)
    how = {"kept": teacher.kept, "alpha": teacher.alpha}
    return Contrast(vectors, pairs, sigmoid=sigmoid, taught=taught, **how)


def _gathered(pictures: Tensor) -> Tensor:
    """Vectors of the pictures of all processes; of several each, one may have more than another."""
    if pictures.ndim == 3:
        pictures = widened(pictures, max(parallel.counts(pictures.shape[1], pictures.device)))
    return parallel.gather(pictures)


def caption(step: Step) -> Tensor:
    """The next word of what the assistant says; and, where asked for, what it is about."""
    batch, said, settings = step.batch, step.said, step.run.recipe.train
    loss = objectives.caption(said.words, batch.targets_BT[batch.targets_BT >= 0])
    if said.objects is not None and batch.about_BTAO is not None and settings.object_weight:
        parts = step.run.recipe.model
        loss = loss + settings.object_weight * objectives.attributes(
            rearrange(said.objects, "M (O C) -> M O C", O=parts.num_objects),
            batch.about_BTAO[step.about],
            classes=parts.object_classes,
        )
    return loss


def contrastive(step: Step) -> Tensor:
    """Pictures and texts in one space: CLIP's softmax or SigLIP's sigmoid, as the model is made.

    Of the truth, a teacher's opinion takes the place of a share (ALBEF, arXiv:2107.07651, 3.3).
    """
    return _in_strips(step, "contrastive")


def affinity(step: Step) -> Tensor:
    """Which pictures and texts a teacher finds alike (TinyCLIP, arXiv:2309.12314)."""
    return _in_strips(step, "affinity")


def _in_strips(step: Step, name: str) -> Tensor:
    against = step.contrast
    made = [CONTRASTED[name](against, strip) for strip in against.strips()]
    step.facts |= against.facts
    return torch.stack(made).sum()


# What is asked of all pictures against all texts, strip by strip.
CONTRASTED: dict[str, Callable[[Contrast, Strip], Tensor]] = {
    "contrastive": Contrast.contrastive,
    "affinity": Contrast.affinity,
}


def matching(step: Step) -> Tensor:
    """Whether a text is true of pictures, told from what is nearly so (ALBEF, arXiv:2107.07651).

    Every claim with its own pictures; and, as hard negatives (section 3.2), each true one with
    another row's pictures, and each row with another's text, likelier the more alike they are.
    """
    claims = step.claims
    hard_B, hard_M = _hard(step)
    rows = torch.cat((claims.row_M, hard_B))
    texts = torch.cat((torch.arange(len(claims.row_M), device=rows.device), hard_M))
    # Where a text is true of every row, or every text of a row, what was drawn is true.
    truth = torch.cat((claims.true_M, claims.positive_BM[hard_B, hard_M]))
    assert isinstance(step.model, Matcher)
    logits = step.model.match(
        claims.tokens_Mt[texts], claims.real_Mt[texts], step.context.take(rows), fused=step.fused
    )
    with torch.no_grad():
        step.facts["matching_right"] = ((logits > 0) == truth).float().mean()
        true = truth.float().mean()
        step.facts["matching_chance"] = torch.maximum(true, 1 - true)
    return objectives.matching(logits, truth.long())


def _hard(step: Step) -> tuple[Tensor, Tensor]:
    """For each true text another row, and another text for its row: wrong, where any pair is."""
    claims = step.claims
    true_M = claims.true_M.nonzero()[:, 0]
    scores_BM = torch.zeros_like(claims.positive_BM, dtype=torch.float32)
    if "embed" in step.model.can:
        scores_BM = claims.similarity.detach().float()
    scores_BM = scores_BM.masked_fill(claims.positive_BM, -1e4)
    own_B = claims.row_M[true_M]
    other_B = torch.multinomial(scores_BM[:, true_M].T.softmax(dim=1), 1)[:, 0]
    other_M = torch.multinomial(scores_BM[own_B].softmax(dim=1), 1)[:, 0]
    return torch.cat((other_B, own_B)), torch.cat((true_M, other_M))


def masked_lm(step: Step) -> Tensor:
    """Words of true texts hidden, and filled in again by the rest and the pictures (ViLT, BERT).

    Of those chosen, 80 % read as the mask, 10 % as another word, 10 % as they are. A teacher's
    opinion takes the place of a share of the truth (ALBEF, equation 7).
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

    def fill_in(seeing: Step) -> Tensor:
        context = seeing.context.take(claims.row_M[which])
        return _reader(seeing).fill(shown, real, context, select=hidden, fused=step.fused)

    logits, teacher = fill_in(step), step.run.teacher
    loss = objectives.caption(logits, tokens[hidden])
    if teacher is None or not teacher.alpha:
        return loss
    with torch.no_grad():
        said = fill_in(step.taught)
    return (1 - teacher.alpha) * loss + teacher.alpha * objectives.imitation(logits, said)


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


def self_distill(step: Step) -> Tensor:
    """What a teacher, the pupil's running average, sees in other views of the same picture."""
    assert step.run.self_teacher is not None
    return step.run.self_teacher.loss(step)


def patches(step: Step) -> Tensor:
    """What is in each patch of a drawn picture, where that is known (`train.patch_weight`)."""
    assert step.model.patch_head is not None and step.batch.labels_NAP is not None
    return objectives.attributes(
        step.model.patch_head(step.model.gridded(step.patches)),
        step.batch.labels_NAP,
        classes=step.run.recipe.model.patch_classes,
    )


def boxes(step: Step) -> Tensor:
    """Where answers are that are in one place of the picture (`train.box_weight`)."""
    true_BT4, said_K4 = step.batch.boxes_BT4, step.said.boxes
    assert true_BT4 is not None and said_K4 is not None
    known_BT = located(step.batch)
    return objectives.box_regression(said_K4[known_BT[step.about]], true_BT4[known_BT])


# name -> (what it computes, what a family must be able to do)
OBJECTIVES: dict[str, tuple[Callable[[Step], Tensor], str]] = {
    "caption": (caption, "caption"),
    "contrastive": (contrastive, "embed"),
    "affinity": (affinity, "embed"),
    "matching": (matching, "match"),
    "masked_lm": (masked_lm, "fill"),
    "fill": (fill, "fill"),
    self_distillation.NAME: (self_distill, "distill"),
}
# Those that need conversations, and those that need texts to hold against pictures.
SPOKEN, CLAIMED = {"caption", "fill"}, {"contrastive", "affinity", "matching", "masked_lm"}


class Share(NamedTuple):
    """What a batch's means weigh in a step: those over words, and those over rows."""

    words: float = 1.0
    rows: float = 1.0


def loss_of(
    run: "Run",
    batch: Batch,
    model: Model,
    facts: dict[str, Tensor] | None = None,
    share: Share = Share(),  # noqa: B008 - it never changes
) -> Tensor:
    """The weighted sum of a recipe's objectives on a batch; `facts` takes in each and its finds."""
    with run.autocast():
        weights = weights_of(run, batch)
        step = Step(run, batch, model)
        return weighed(step, weights, share, facts=facts)


def weighed(
    step: Step,
    weights: Mapping[str, float],
    share: Share,
    *,
    facts: dict[str, Tensor] | None = None,
) -> Tensor:
    """The sum of some objectives at these weights and this share."""
    parts = {name: _TABLE[name](step) for name in weights}
    shares = {name: share.rows if name in CLAIMED else share.words for name in weights}
    if facts is not None:
        facts |= {name: part.detach() for name, part in parts.items()} | step.facts
    return torch.stack([parts[name] * (weights[name] * shares[name]) for name in parts]).sum()


_TABLE = {name: loss for name, (loss, _) in OBJECTIVES.items()}
_TABLE |= {"patches": patches, "boxes": boxes}


def weights_of(run: "Run", batch: Batch) -> dict[str, float]:
    """What each objective weighs that a batch holds something for; stages may be without.

    Raises:
        RecipeError: it holds nothing.
    """
    settings = run.recipe.train
    weights = {name: w for name, w in settings.objectives.items() if asks(name, batch)}
    if run.ranks.total > 1:
        # Looked at together: what one process has is of use to all.
        together = {n: w for n, w in settings.objectives.items() if n in CONTRASTED}
        if together and parallel.total(together.keys() <= weights.keys(), run.device):
            weights |= together
    if settings.patch_weight and batch.labels_NAP is not None and run.recipe.model.patch_classes:
        weights["patches"] = settings.patch_weight
    if settings.box_weight and asks("boxes", batch):
        weights["boxes"] = settings.box_weight
    if not weights:
        raise RecipeError(
            f"a batch of {len(batch.tokens_BT)} rows holds nothing that "
            f"{', '.join(settings.objectives)} can learn from",
            where="train.objectives",
            fix="train on captions, classes or matching pairs; of scenes, set claims = 1",
        )
    return weights


def asks(name: str, batch: Batch) -> bool:
    """Whether a batch holds what an objective learns from."""
    if name == "patches":
        return batch.labels_NAP is not None
    if name == "boxes":
        return bool(located(batch).any())
    if name in SPOKEN:
        return bool((batch.targets_BT >= 0).any())
    if name not in CLAIMED:
        return True
    return batch.claims_true_M is not None and bool((batch.claims_true_M == 1).any())


def check(objectives: Mapping[str, float], can: tuple[str, ...], *, family: str) -> None:
    """Say of a recipe's objectives whether a family can learn by them.

    Raises:
        RecipeError: naming the first that is unknown, or that the family cannot do.
    """
    if not objectives:
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
