"""Losses: each objective is its plain equation on a batch; every family learns by its own."""

import math

import pytest
import torch
import torch.nn.functional as F
from train import runs

from seesay import config
from seesay.errors import RecipeError
from seesay.model import families
from seesay.records import Batch
from seesay.train import losses, optim
from seesay.train.losses import OBJECTIVES, Step, loss_of

HERE = {"workers": 0}
CLAIMS = {"path": "scenes", "objects": [1, 3], "questions": 2, "captions": 1, "claims": 1,
          "wrong": 2, "caption_styles": ["list"], "reasoning": False}  # fmt: skip
KINDS = {
    "recurrent": {"attend": True},
    "dual": {"space": 16},
    "single": {"connector": {"kind": "linear"}},
    "fusion": {"fusion": "shared", "space": 16, "causal": False},
    "queries": {"connector": {"queries": 4}, "space": 16},
    "cross": {"connector": {"kind": "resampler", "queries": 4}, "gate_every": 1},
    "prefix": {"connector": {"kind": "qformer", "queries": 4}},
}


def prepared(tmp_path, family: str, *, objectives: dict[str, float], source=CLAIMS, **train):
    """A run of a family on drawn scenes, and its first batch."""
    table = runs.table(
        "scenes",
        data=HERE,
        model={"vision": runs.PATCHES, "text": {**runs.TEXT, "dropout": 0.0}, "family": family,
               **KINDS[family]},
        objectives=objectives,
        **train,
    )  # fmt: skip
    table["data"]["sources"] = [source]
    run = runs.prepare(tmp_path, config.recipe(table))
    batch = run.stream.step(0, 0.0)
    # Fresh blocks do nothing, and a fresh Flamingo is blind.
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return run, batch


def learnable(family: str) -> list[str]:
    """The objectives a family can learn by."""
    model = runs.recipe(model={"family": family, **KINDS[family]}).model
    can = families.build(model, vocabulary=320, picture_token=1).can
    # The other two are learned from a teacher, and tested where those are.
    own = {name: needs for name, (_, needs) in OBJECTIVES.items()}
    return [name for name in own if own[name] in can and name not in ("affinity", "self_distill")]


PAIRS = [(family, name) for family in KINDS for name in learnable(family)]


# Each by its equation.


@torch.no_grad()
def test_contrastive_is_clips_loss_where_each_picture_has_one_text(tmp_path):
    plain = {**CLAIMS, "wrong": 0, "objects": [4, 6]}
    run, batch = prepared(tmp_path, "dual", objectives={"contrastive": 1.0}, source=plain, batch=6)
    claims = Step(run, batch, run.model).claims
    scores = claims.similarity
    right = torch.arange(6)
    assert torch.equal(claims.positive_BM, torch.eye(6, dtype=torch.bool))
    wanted = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
    assert float(loss_of(run, batch, run.model)) == pytest.approx(float(wanted), rel=1e-5)


@torch.no_grad()
def test_false_texts_are_to_be_told_from_the_true_one_and_ask_for_no_picture(tmp_path):
    run, batch = prepared(tmp_path, "dual", objectives={"contrastive": 1.0}, batch=4)
    claims = Step(run, batch, run.model).claims
    scores, true_M = claims.similarity, batch.claims_true_M == 1
    assert scores.shape == (4, len(true_M)) and 4 < len(true_M) <= 12
    of_pictures = F.cross_entropy(scores, true_M.nonzero()[:, 0])
    of_texts = F.cross_entropy(scores[:, true_M].T, torch.arange(4))
    made = float(loss_of(run, batch, run.model))
    assert made == pytest.approx(float(of_pictures + of_texts) / 2, rel=1e-5)


@torch.no_grad()
def test_texts_alike_word_for_word_are_each_others(tmp_path):
    run, batch = prepared(tmp_path, "dual", objectives={"contrastive": 1.0}, batch=3)
    assert batch.claims_Mt is not None and batch.claims_real_Mt is not None
    own = (batch.claims_true_M == 1).nonzero()[:, 0]
    batch.claims_Mt[own[1]] = batch.claims_Mt[own[0]]
    batch.claims_real_Mt[own[1]] = batch.claims_real_Mt[own[0]]
    positive = Step(run, batch, run.model).claims.positive_BM
    assert positive[:, own].tolist() == [[True, True, False], [True, True, False],
                                         [False, False, True]]  # fmt: skip
    assert torch.isfinite(loss_of(run, batch, run.model))


@torch.no_grad()
def test_sigmoid_contrastive_is_siglips_loss(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "dual", {"space": 16, "contrast": "sigmoid"})
    run, batch = prepared(tmp_path, "dual", objectives={"contrastive": 1.0}, batch=4)
    claims = Step(run, batch, run.model).claims
    total = 0.0
    for row in range(4):
        for text in range(len(claims.true_M)):
            sign = 1 if claims.positive_BM[row, text] else -1
            total += math.log1p(math.exp(-sign * float(claims.similarity[row, text])))
    assert float(loss_of(run, batch, run.model)) == pytest.approx(total / 4, rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("family", ["single", "fusion"])
def test_matching_sets_each_text_against_its_own_and_anothers_picture(tmp_path, family):
    run, batch = prepared(tmp_path, family, objectives={"matching": 1.0}, batch=4)
    asked, plain = [], run.model.match

    def kept(tokens, real, context, **more):
        logits = plain(tokens, real, context, **more)
        asked.append((tokens, context, logits))
        return logits

    run.model.match = kept
    made = float(loss_of(run, batch, run.model))
    ((tokens, context, logits),) = asked
    claims = Step(run, batch, run.model).claims
    own, true = len(claims.true_M), int(claims.true_M.sum())
    assert len(tokens) == own + 2 * true
    truth = torch.cat((claims.true_M.float(), torch.zeros(2 * true)))
    wanted = F.binary_cross_entropy_with_logits(logits, truth)
    assert made == pytest.approx(float(wanted), rel=1e-5)
    step = Step(run, batch, run.model)
    whole = step.context.features_BSD
    rows = [next(b for b in range(4) if torch.equal(whole[b], each))
            for each in context.features_BSD]  # fmt: skip
    texts = [next(m for m in range(own) if torch.equal(claims.tokens_Mt[m], each))
             for each in tokens]  # fmt: skip
    assert rows[:own] == batch.claims_row_M.tolist()
    # No other pair is a true one.
    for row, text in zip(rows[own:], texts[own:], strict=True):
        assert not claims.positive_BM[row, text]


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 3])
def test_where_all_texts_are_alike_matching_calls_no_true_pair_wrong(tmp_path, rows):
    plain = {**CLAIMS, "wrong": 0}
    run, batch = prepared(
        tmp_path, "single", objectives={"matching": 1.0}, source=plain, batch=rows
    )
    assert batch.claims_Mt is not None and batch.claims_real_Mt is not None
    batch.claims_Mt[:] = batch.claims_Mt[0].clone()
    batch.claims_real_Mt[:] = batch.claims_real_Mt[0].clone()
    asked, step = [], Step(run, batch, run.model)
    run.model.match = lambda tokens, *given, **more: (
        asked.append(tokens) or torch.zeros(len(tokens))
    )
    loss = OBJECTIVES["matching"][0](step)
    assert len(asked[0]) == 3 * rows and float(loss) == pytest.approx(math.log(2))
    assert step.facts["matching_right"] == 0 and step.facts["matching_chance"] == 1


def hidden(tmp_path, seed: int):
    """What `masked_lm` shows the model, where it asks, and the texts as they are."""
    run, batch = prepared(tmp_path, "single", objectives={"masked_lm": 1.0}, batch=16)
    asked, plain = [], run.model.fill
    run.model.fill = lambda *given, **more: asked.append((given, more)) or plain(*given, **more)
    torch.manual_seed(seed)
    with torch.no_grad():
        loss_of(run, batch, run.model)
    ((shown, real, _), more) = asked[0]
    true = batch.claims_true_M == 1
    return run, shown, real, more["select"], batch.claims_Mt[true]


def test_hidden_words_are_words_and_mostly_read_as_the_mask(tmp_path):
    run, shown, real, select, tokens = hidden(tmp_path, 0)
    assert (select.sum(dim=1) >= 1).all() and not (select & ~real).any()
    assert not select[:, 0].any() and not (tokens[select] == run.text.end).any()
    assert torch.equal(shown[~select], tokens[~select])
    share = float((shown[select] == run.text.mask).float().mean())
    assert 0.5 < share < 1.0
    words = real.sum() - 2 * len(real)
    assert 0.1 < float(select.sum() / words) < 0.4


def test_a_drawn_word_to_hide_depends_on_the_random_state_alone(tmp_path):
    one, again, other = (hidden(tmp_path, seed)[1] for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


# Every family.


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_a_batch_is_learned_by_heart(tmp_path, family, name):
    run, batch = prepared(tmp_path, family, objectives={name: 1.0}, batch=4)
    made = optim.optimizers(run.model, run.recipe.train)
    kept = []
    for _ in range(40):
        loss = loss_of(run, batch, run.model)
        loss.backward()
        optim.clip([p.grad for p in run.model.parameters() if p.grad is not None], 1.0)
        for optimizer in made:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        kept.append(float(loss.detach()))
    # What is hidden changes from step to step.
    assert sum(kept[-5:]) < (0.8 if name == "masked_lm" else 0.7) * sum(kept[:5])


@pytest.mark.parametrize("family", KINDS)
def test_no_row_counts_in_anothers_loss_but_as_a_partner(tmp_path, family):
    """Words of one row, changed, change nothing that is said of the others."""
    names = [name for name in learnable(family) if name in ("caption", "fill")]
    if not names:
        pytest.skip("it says nothing")
    run, batch = prepared(tmp_path, family, objectives={names[0]: 1.0}, batch=3)
    run.model.eval()
    kept = []
    for change in (False, True):
        if change:
            words = batch.documents_BT[2] > 0
            batch.tokens_BT[2, words] = 40 + batch.tokens_BT[2, words] % 50
        alone = batch.rows(slice(0, 2), width=batch.tokens_BT.shape[1], pictures=slice(0, 2))
        with torch.no_grad():
            kept.append(float(loss_of(run, alone, run.model)))
    assert kept[0] == kept[1]


@torch.no_grad()
def test_weights_add_up_and_are_told_apart_in_the_log(tmp_path):
    objectives = {"contrastive": 0.5, "matching": 2.0, "caption": 1.0}
    run, batch = prepared(tmp_path, "fusion", objectives=objectives, batch=4)
    facts: dict[str, torch.Tensor] = {}
    torch.manual_seed(0)
    whole = float(loss_of(run, batch, run.model, facts))
    assert whole == pytest.approx(sum(objectives[name] * float(facts[name]) for name in objectives))
    assert {"contrastive_right", "contrastive_alike", "matching_right"} <= facts.keys()


def test_objectives_a_family_cannot_learn_by_are_an_error_that_says_what_it_can(tmp_path):
    with pytest.raises(RecipeError, match="'recurrent' cannot embed") as error:
        prepared(tmp_path, "recurrent", objectives={"contrastive": 1.0})
    assert "caption" in error.value.fix
    with pytest.raises(RecipeError, match="no objective 'captoin'") as error:
        prepared(tmp_path, "prefix", objectives={"captoin": 1.0})
    assert "caption" in error.value.fix
    with pytest.raises(RecipeError, match="no objective has a weight"):
        prepared(tmp_path, "prefix", objectives={"caption": 0.0})


def test_data_that_teach_nothing_are_an_error(tmp_path):
    silent = {**CLAIMS, "claims": 0}
    run, batch = prepared(tmp_path, "dual", objectives={"contrastive": 1.0}, source=silent)
    assert isinstance(batch, Batch) and batch.claims_Mt is None
    with pytest.raises(RecipeError, match="holds nothing that contrastive"):
        loss_of(run, batch, run.model)


def test_every_objective_with_words_is_known_to_need_conversations_or_claims():
    assert losses.SPOKEN | losses.CLAIMED | {"self_distill"} == set(OBJECTIVES)
    assert not losses.SPOKEN & losses.CLAIMED
