"""Teachers: soft targets by hand, an average that follows, a queue, another run imitated."""

import math
import os
import signal
import time

import pytest
import torch
from train import runs
from train.test_chunks import PLAIN, gradients, near, prepared

from seesay import config, objectives
from seesay.errors import CheckpointError, RecipeError, SeesayError
from seesay.model import checkpoint
from seesay.train import chunks, init, losses, setup
from seesay.train.losses import Share

HERE = {"workers": 0}
MOMENTUM = {"momentum": 0.9, "alpha": 0.3, "ramp": 0.0}
ALBEF = {"family": "fusion", "fusion": "reader", "fusion_depth": 1, "space": 8, "causal": False,
         "pool": "mean", "vision": runs.PATCHES, "text": PLAIN["text"]}  # fmt: skip
DUAL = {**PLAIN, "pool": "mean"}


def teach(run, weight: float = 0.3) -> None:
    """Give the teacher weights of its own, and its full say."""
    torch.manual_seed(9)
    with torch.no_grad():
        for parameter in run.teacher.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    run.teacher.hold(0.5)
    assert run.teacher.alpha == pytest.approx(weight)


def soft(scores, taught):
    return -(taught.softmax(dim=1) * scores.log_softmax(dim=1)).sum(dim=1).mean()


# What is learned from one.


def test_affinity_is_its_formula():
    scores, taught = torch.randn(5, 7), torch.randn(5, 7)
    wanted = (soft(scores, taught) + soft(scores.T, taught.T)) / 2
    assert float(objectives.affinity(scores, taught)) == pytest.approx(float(wanted), rel=1e-5)
    # Least where both agree.
    assert objectives.affinity(taught, taught) < objectives.affinity(scores, taught)


def test_contrastive_targets_are_albefs(tmp_path, folder):
    """α·softmax(teacher) + (1 − α)·onehot, with texts that are all unlike."""
    run, batch = prepared(tmp_path, folder, DUAL, chunk=0, teacher=MOMENTUM)
    teach(run)
    step, taught = (losses.Step(run, batch, m) for m in (run.model, run.teacher.model))
    scores, theirs = step.claims.similarity, taught.claims.similarity
    positive = step.claims.positive_BM.float()
    wanted = 0.0
    for own, said, true in ((scores, theirs, positive), (scores.T, theirs.T, positive.T)):
        log = own.log_softmax(dim=1)
        hard = (own.exp() * true).sum(dim=1).log() - own.logsumexp(dim=1)
        wanted += (-0.7 * hard - 0.3 * (said.softmax(dim=1) * log).sum(dim=1)).mean() / 2
    facts = {}
    made = losses.loss_of(run, batch, run.model, facts)
    assert float(made.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert facts["contrastive_chance"] == pytest.approx(float(positive.mean()), rel=1e-5)
    # Nothing reaches the teacher.
    made.backward()
    assert all(p.grad is None and not p.requires_grad for p in run.teacher.model.parameters())
    assert not run.teacher.model.training


def test_masked_words_are_learned_from_its_scores(tmp_path, folder):
    more = {"objectives": {"masked_lm": 1.0}, "chunk": 0}
    run, batch = prepared(tmp_path, folder, ALBEF, teacher=MOMENTUM, **more)
    teach(run)
    made = []
    for alpha in (0.0, 1.0, 0.3):
        run.teacher.alpha = alpha
        torch.manual_seed(3)
        made.append(float(losses.loss_of(run, batch, run.model).detach()))
    assert made[2] == pytest.approx(0.7 * made[0] + 0.3 * made[1], rel=1e-5)
    assert abs(made[0] - made[1]) > 1e-3
    # The model's own scores are its best imitation: what is left is their entropy.
    run.teacher.alpha = 1.0
    run.teacher.model.load_state_dict(run.model.state_dict())
    torch.manual_seed(3)
    losses.loss_of(run, batch, run.model).backward()
    assert max(float(g.abs().max()) for g in gradients(run.model).values()) < 1e-5


def test_alpha_rises(tmp_path, folder):
    run, _ = prepared(tmp_path, folder, DUAL, teacher={"momentum": 0.9, "ramp": 0.2})
    given = []
    for progress in (0.0, 0.1, 0.2, 1.0):
        run.teacher.hold(progress)
        given.append(run.teacher.alpha)
    assert given == pytest.approx([0.0, 0.2, 0.4, 0.4])


@pytest.mark.parametrize("queue", [0, 7])
@pytest.mark.parametrize("also", [{}, {"affinity": 0.5}])
def test_chunks_are_the_whole_with_a_teacher_too(tmp_path, folder, queue, also):
    asked = {"objectives": {"contrastive": 1.0, **also}}
    run, batch = prepared(tmp_path, folder, DUAL, teacher={**MOMENTUM, "queue": queue}, **asked)
    teach(run)
    if queue:
        losses.loss_of(run, batch, run.model)
        run.teacher.follow(run.model)
        assert len(run.teacher.kept.marks) == 7
    losses.loss_of(run, batch, run.model, {}, Share(0.2, 0.4)).backward()
    wanted = gradients(run.model)
    chunks.learn(run, batch, run.model, {}, Share(0.2, 0.4))
    near(gradients(run.model), wanted)


# The average.


def test_the_average_follows_the_model(tmp_path, folder):
    run, _ = prepared(tmp_path, folder, DUAL, teacher={"momentum": 0.5})
    name = "project.weight"
    before = run.teacher.model.state_dict()[name].clone()
    run.teacher.average.count = 1000  # Past its first steps, which have a shorter memory.
    with torch.no_grad():
        run.model.project.weight.add_(1.0)
    run.teacher.follow(run.model)
    now = run.teacher.model.state_dict()[name]
    torch.testing.assert_close(now, (before + run.model.project.weight.detach()) / 2)


def test_the_queue_holds_the_newest_true_pairs(tmp_path, folder):
    run, batch = prepared(tmp_path, folder, DUAL, teacher={**MOMENTUM, "queue": 14})
    batch.claims_true_M[2] = 0
    teach(run)
    for expected in (10, 14, 14):
        step = losses.Step(run, batch, run.model)
        losses.contrastive(step)
        assert not run.teacher.kept or len(run.teacher.kept.marks) <= expected
        run.teacher.follow(run.model)
        assert len(run.teacher.kept.marks) == expected
    kept = run.teacher.kept
    torch.testing.assert_close(kept.pictures.norm(dim=-1), torch.ones(14))
    true = step.claims.true_M
    assert torch.equal(kept.marks[:10], step.claims.pairs.marks[true])
    assert torch.equal(kept.marks[10:], step.claims.pairs.marks[true][:4])
    # What is kept and says the same is right too, and is chosen among.
    strips = list(losses.Step(run, batch, run.model).contrast.strips())
    assert [strip.scores.shape for strip in strips] == [(11, 25), (11, 25)]
    for strip in strips:
        assert (strip.positive[:, 11:].sum(dim=1) >= 1).float().mean() > 0.5
        assert strip.taught.shape == strip.scores.shape


def test_a_copy_that_is_tried_out_leaves_no_trace(tmp_path, folder):
    run, batch = prepared(tmp_path, folder, DUAL, teacher={**MOMENTUM, "queue": 5})
    import copy

    losses.loss_of(run, batch, copy.deepcopy(run.model))
    run.teacher.follow(run.model)
    assert run.teacher.kept is None


@pytest.mark.parametrize("model", ["dual", "albef"])
def test_killed_and_resumed_is_the_same_as_unbroken(tmp_path, folder, model):
    asked = {"contrastive": 1.0}
    if model == "albef":
        asked |= {"masked_lm": 1.0, "matching": 1.0}
    kind = {**(ALBEF if model == "albef" else DUAL), "text": runs.TEXT, "vision": runs.VISION}
    settings = {"objectives": asked, "teacher": {**MOMENTUM, "queue": 9}, "steps": 12, "ema": 0.5}
    settings |= {"chunk": 3} if model == "dual" else {}
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    often = runs.table(folder, model=kind, data=HERE, **settings, save_every=0.0)
    process = runs.start(often, broken)
    while process.poll() is None and not (broken / "checkpoints" / "00000004").exists():
        time.sleep(0.002)
    process.kill()
    runs.finished(process, code=-signal.SIGKILL)
    plan = runs.recipe(folder, model=kind, data=HERE, **settings)
    runs.train(broken, plan, resume=True)
    runs.train(whole, plan)
    held = runs.state(whole)
    assert runs.differing(held, runs.state(broken)) == []
    assert {"teacher.count", "teacher.kept.marks", "teacher.kept.texts"} <= held.keys()
    assert held["teacher.count"] == 12
    # The saved model is the student alone.
    assert not any("teacher" in name for name in held if name.startswith("model."))


# Another run.


@pytest.fixture(scope="session")
def big(tmp_path_factory, folder):
    """A wider dual model on the same pictures."""
    out = tmp_path_factory.mktemp("big")
    wide = {**DUAL, "space": 12, "text": {**PLAIN["text"], "width": 32, "depth": 2}}
    asked = {"objectives": {"contrastive": 1.0}, "steps": 3}
    runs.train(out, runs.recipe(folder, model=wide, data={**HERE, "vocabulary": 330}, **asked))
    return out


def small(folder, big, *, objectives=None, model=DUAL, **more):
    teacher = {"run": str(big), **more.pop("teacher", {})}
    asked = objectives or {"contrastive": 1.0, "affinity": 1.0}
    return runs.recipe(folder, model=model, data=HERE, objectives=asked, teacher=teacher, **more)


def test_a_run_learns_from_a_larger_one(tmp_path, folder, big):
    run = runs.train(tmp_path / "small", small(folder, big, steps=4, log_every=1))
    rows = [row for row in training_rows(run.out)]
    assert all(math.isfinite(row["affinity"]) and row["affinity"] > 0 for row in rows)
    theirs = checkpoint.open_tensors(checkpoint.find(big) / checkpoint.WEIGHTS)
    assert all(torch.equal(v, theirs[k]) for k, v in run.teacher.model.state_dict().items())
    # Its words, and none of its weights.
    assert len(run.text) == len(theirs["text.embedding.weight"])
    saved = checkpoint.open_tensors(checkpoint.find(run.out) / checkpoint.WEIGHTS)
    assert saved.keys() == run.model.state_dict().keys()
    assert runs.train(run.out, small(folder, big, steps=5), resume=True).clock.step == 5


def training_rows(out):
    from seesay.train import history

    return [row for row in history(out) if "loss" in row]


def test_a_teacher_that_changed_is_refused_on_resuming(tmp_path, folder, big):
    runs.train(tmp_path, small(folder, big, steps=1))
    other = tmp_path / "other"
    tokens = {**HERE, "vocabulary": 330}
    again = runs.recipe(folder, model=DUAL, data=tokens, objectives={"contrastive": 1.0}, steps=1)
    runs.train(other, again)
    with pytest.raises(CheckpointError, match=r"the teacher's weights are \w+… .* not \w+…"):
        runs.train(tmp_path, small(folder, other, steps=2), resume=True)


def test_a_recipes_table_takes_over_the_teachers_words(big):
    table = {"train": {"teacher": {"run": str(big)}}}
    assert init.inherit(table, say=print)["data"] == {"tokenizer": "bpe", "vocabulary": 330}
    with pytest.raises(RecipeError, match="vocabulary is 500 here but 330") as error:
        init.inherit(config.override(table, ["data.vocabulary=500"]), say=print)
    assert "leave it out" in error.value.fix


VISION = {**runs.PATCHES, "image_size": 32}
SINGLE = {**ALBEF, "family": "single", "connector": {"kind": "linear"}}


@pytest.mark.parametrize(("more", "said"), [
    ({"model": {**DUAL, "vision": VISION}}, "of 16×16, and the run at 32×32"),
    ({"objectives": {"contrastive": 1.0}}, "nothing is learned from the teacher: alpha is 0"),
    ({"model": ALBEF, "objectives": {"masked_lm": 1.0}, "teacher": {"alpha": 0.5}},
     "family 'dual' cannot fill, which 'masked_lm' asks of it"),
    ({"model": SINGLE}, "a model of family 'single' cannot embed"),
    ({"teacher": {"run": "nowhere"}}, "does not exist"),
    ({"teacher": {"run": None, "momentum": 0.5, "queue": 4}, "model":
      {**DUAL, "contrast": "sigmoid"}}, "a queue of 4 is for the softmax"),
    ({"teacher": {"run": None}}, "'affinity' is learned from a teacher"),
    ({"teacher": {"momentum": 0.5}}, "either the run .* or an average of memory 0.5"),
    ({"teacher": {"queue": 5}}, "a queue of 5 holds vectors"),
])  # fmt: skip
def test_what_cannot_be_is_said(tmp_path, folder, big, more, said):
    with pytest.raises(SeesayError, match=said) as error:
        runs.prepare(tmp_path, small(folder, big, **more))
    assert error.value.fix


def test_words_of_another_tokenizer_are_refused(tmp_path, folder, big):
    """First weights for the text bring a tokenizer, and the teacher has another."""
    asked = {"objectives": {"contrastive": 1.0}, "steps": 1}
    other = {**HERE, "tokenizer": "character"}
    runs.train(tmp_path / "other", runs.recipe(folder, model=DUAL, data=other, **asked))
    begun = {**DUAL, "init": {"text": str(tmp_path / "other")}}
    with pytest.raises(RecipeError, match=r"the teacher's tokenizer \(\d+ tok") as error:
        setup.prepare(small(folder, big, model=begun), out=tmp_path / "new", device="cpu")
    assert str(big) in error.value.where and os.sep in error.value.where
