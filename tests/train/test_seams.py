"""Where features meet: several vectors a picture in chunks and with teachers; pictures in each
document in chunks, before the first step, in tiles and in rehearsal."""

from dataclasses import replace

import pytest
import torch
from train import runs
from train.test_chunks import PLAIN, gradients, near, prepared

from seesay.errors import RecipeError
from seesay.train import chunks, contrast, losses, preflight
from seesay.train.leaks import leaks
from seesay.train.losses import Share
from seesay.train.rehearsal import Rehearsal

QUERIES = {**PLAIN, "family": "queries", "connector": {"queries": 3, "depth": 2}}
INSTRUCTED = {"family": "prefix", "vision": runs.PATCHES,
              "text": {**runs.TEXT, "dropout": 0.0, "depth": 2},
              "connector": {"kind": "qformer", "queries": 3, "instructed": True}}  # fmt: skip
REGIONS = {"family": "single", "vision": {**runs.PATCHES, "kind": "regions", "crop": 8},
           "text": {**runs.TEXT, "dropout": 0.0}, "connector": {"kind": "linear"}}  # fmt: skip
MOMENTUM = {"momentum": 0.9, "alpha": 0.3, "ramp": 0.0, "queue": 7}


def spread(batch):
    """The batch with the last row's picture shown twice: rows of unlike many pictures."""
    tokens = batch.tokens_BT.clone()
    at = int((batch.groups_BT[-1] >= 0).sum())
    if at == tokens.shape[1]:
        wide = {n: torch.cat((getattr(batch, n), getattr(batch, n)[:, :1] * 0 + fill), dim=1)
                for n, fill in (("tokens_BT", 0), ("targets_BT", -1), ("positions_BT", 0),
                                ("documents_BT", -1), ("groups_BT", -1),
                                ("horizon_BT", 0))}  # fmt: skip
        batch, tokens = replace(batch, **wide), wide["tokens_BT"].clone()
    documents, groups = batch.documents_BT.clone(), batch.groups_BT.clone()
    tokens[-1, at], documents[-1, at], groups[-1, at] = tokens[-1, 0], 0, 0
    pictures = torch.cat((batch.pictures_NCHW, batch.pictures_NCHW[:1]))
    return replace(
        batch, tokens_BT=tokens, documents_BT=documents, groups_BT=groups, pictures_NCHW=pictures
    )


@pytest.mark.parametrize("more", [{}, {"teacher": MOMENTUM}], ids=["alone", "taught"])
@pytest.mark.parametrize("alike", [True, False])
def test_several_vectors_a_picture_in_chunks_are_those_of_the_whole(tmp_path, folder, more, alike):
    run, batch = prepared(tmp_path, folder, QUERIES, objectives={"contrastive": 1.0}, **more)
    batch = batch if alike else spread(batch)
    if more:
        run.teacher.hold(0.5)
        # So that pictures of steps before have another number of vectors.
        losses.loss_of(run, batch, run.model)
        run.teacher.follow(run.model)
        if not alike:
            run.teacher.kept = run.teacher.kept._replace(pictures=run.teacher.kept.pictures[:, :3])
    run.model.train()
    share, found, facts = Share(0.3, 0.7), {}, {}
    whole = losses.loss_of(run, batch, run.model, facts, share)
    whole.backward()
    wanted = gradients(run.model)
    loss = chunks.learn(run, batch, run.model, found, share)
    near(gradients(run.model), wanted, scale=5e-6)
    assert float(loss) == pytest.approx(float(whole.detach()), rel=1e-5)
    assert found["contrastive_right"] == pytest.approx(float(facts["contrastive_right"]))


def test_vectors_that_stand_again_change_no_best_one():
    few, many = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 6, 4)
    texts = torch.randn(5, 4)
    joined = contrast.joined((few, many))
    best = (joined @ texts.T).amax(dim=1)
    assert torch.equal(best[:2], (few @ texts.T).amax(dim=1))
    wide = contrast.widened(few.detach(), 6).requires_grad_()
    (wide @ texts.T).amax(dim=1).square().sum().backward()
    (few @ texts.T).amax(dim=1).square().sum().backward()
    torch.testing.assert_close(contrast.narrowed(wide.grad, 3), few.grad)


def test_a_teacher_of_one_vector_a_picture_teaches_several(tmp_path, folder):
    big = runs.train(tmp_path / "big", runs.recipe(
        folder, model=PLAIN, data={"workers": 0}, objectives={"contrastive": 1.0}, steps=2
    ))  # fmt: skip
    run, batch = prepared(
        tmp_path / "own", folder, QUERIES, chunk=0, objectives={"affinity": 1.0},
        teacher={"run": str(big.out)},
    )  # fmt: skip
    run.teacher.hold(0.5)
    loss = losses.loss_of(run, batch, run.model)
    loss.backward()
    assert torch.isfinite(loss) and gradients(run.model)


@pytest.mark.parametrize("model", [QUERIES, INSTRUCTED], ids=["queries", "instructed"])
def test_captions_in_chunks_are_those_of_the_whole_and_no_mask_leaks(tmp_path, model):
    run, batch = prepared(tmp_path, "scenes", model, rows=5, chunk=2, objectives={"caption": 1.0})
    counts = batch.documents_BT.amax(dim=1)
    assert len(counts.unique()) > 1
    run.model.train()
    losses.loss_of(run, batch, run.model).backward()
    wanted = gradients(run.model)
    chunks.learn(run, batch, run.model, {}, Share())
    near(gradients(run.model), wanted, scale=1e-5)
    few = preflight.rows(batch, 3, owners=losses.Step(run, batch, run.model).owners)
    assert len(few.pictures_NCHW) == len(few.tokens_BT) == 3
    assert leaks(run, run.model, few) == []


def test_matching_and_vectors_of_queries_do_not_leak(tmp_path):
    source = {"contrastive": 1.0, "matching": 1.0, "caption": 1.0}
    run, batch = prepared(tmp_path, "scenes", QUERIES, rows=4, chunk=0, objectives=source)
    assert leaks(run, run.model, batch) == []


def test_leaks_are_looked_for_among_words_where_there_are_more_queries(tmp_path):
    wide = {**INSTRUCTED, "connector": {**INSTRUCTED["connector"], "queries": 30},
            "text": {**INSTRUCTED["text"], "context": 256}}  # fmt: skip
    settings = runs.recipe("scenes", model=wide, data={"workers": 0, "row_tokens": 256}, batch=2)
    run = runs.prepare(tmp_path, settings)
    batch = run.stream.step(0, 0.0)
    lengths = (batch.documents_BT == 1).sum(dim=1) - 30
    assert (lengths > 0).all() and (lengths < 30).all()
    assert leaks(run, run.model, batch) == []


def test_documents_begin_with_all_tiles_of_their_pictures(tmp_path):
    settings = runs.recipe("scenes", model=INSTRUCTED, data={"workers": 0, "tiles": 2}, batch=2)
    run = runs.prepare(tmp_path, settings)
    batch = run.stream.step(0, 0.0)
    assert len(batch.pictures_NCHW) == 2 * 5
    marks = batch.tokens_BT == run.text.picture
    for row in range(2):
        for number in range(1, int(batch.documents_BT[row].max()) + 1):
            own = batch.documents_BT[row] == number
            assert int((marks[row] & own).sum()) == 5 * 3 and marks[row][own][: 5 * 3].all()
    assert torch.isfinite(losses.loss_of(run, batch, run.model))


def test_words_without_pictures_are_told_too(tmp_path):
    source = {**runs.SCENES, "pictures": False}
    table = runs.table("scenes", model=INSTRUCTED, data={"workers": 0}, batch=2)
    table["data"]["sources"] = [source]
    run = runs.prepare(tmp_path, runs.config.recipe(table))
    batch = run.stream.step(0, 0.0)
    assert not len(batch.pictures_NCHW)
    assert torch.isfinite(losses.loss_of(run, batch, run.model))


def test_a_class_token_is_left_out_wherever_queries_look(tmp_path):
    model = {**QUERIES, "vision": {**runs.PATCHES, "class_token": True}}
    run, batch = prepared(tmp_path, "scenes", model, rows=3, chunk=0, objectives={"caption": 1.0})
    context = losses.Step(run, batch, run.model).context
    step = losses.Step(run, batch, run.model)
    looked = losses.Context.of(step.patches, step.owners, rows=3)
    assert looked.each == context.each + 1
    one, other = run.model._gridded(looked), run.model.embed_pictures(looked)
    assert torch.equal(one.features_BSD, context.features_BSD) and one.each == context.each
    assert other.shape[1] == 3


def test_regions_in_tiles_are_refused(tmp_path):
    settings = runs.recipe("scenes", model=REGIONS, data={"tiles": 2}, objectives={"fill": 1.0})
    with pytest.raises(RecipeError, match="regions are of the whole"):
        runs.prepare(tmp_path, settings)


@pytest.mark.parametrize("source", ["scenes", "pictures.csv"])
@pytest.mark.parametrize("model", [INSTRUCTED, REGIONS], ids=["instructed", "regions"])
def test_they_can_be_rehearsed(source, model):
    objectives = {"fill": 1.0} if model is REGIONS else {"caption": 1.0}
    settings = runs.recipe(source, model=model, objectives=objectives)
    made = Rehearsal(settings, device=torch.device("cpu"), dtype=torch.float32)
    step = made.step(2, count=True)
    assert step.flops > 0 and made.look().pictures == 1
