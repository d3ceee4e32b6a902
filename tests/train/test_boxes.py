"""Boxes by regression: asked for where they are known, learned, kept, and nothing else moved."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from train import runs
from train.test_chunks import gradients, near

from seesay import config, objectives, predict
from seesay.data import sources
from seesay.errors import RecipeError
from seesay.evaluate import evaluate
from seesay.model import checkpoint
from seesay.records import Box, Example, Origin, Turn
from seesay.tasks.recast import recast
from seesay.train import chunks, init, setup
from seesay.train.losses import Share, Step, asks, loss_of, weights_of

MODEL = {"vision": {**runs.PATCHES, "depth": 2}, "text": {**runs.TEXT, "dropout": 0.0, "depth": 2},
         "connector": {"kind": "linear"}, "box_head": True}  # fmt: skip
HERE = {"workers": 0}
GROUND = {**runs.SCENES, "kinds": {"ground": 1.0, "count": 1.0}}


def drawn(tmp_path, *, model=None, source=GROUND, **train):
    """A run on scenes with boxes, and its first batch."""
    table = runs.table("scenes", data=HERE, model={**MODEL, **(model or {})}, **train)
    table["data"]["sources"] = [source]
    run = runs.prepare(tmp_path, config.recipe(table))
    return run, run.stream.step(0, 0.0)


@torch.no_grad()
def test_the_loss_is_that_of_the_answers_that_are_somewhere(tmp_path):
    run, batch = drawn(tmp_path, box_weight=2.0)
    assert batch.boxes_BT4 is not None
    facts: dict[str, torch.Tensor] = {}
    loss = loss_of(run, batch, run.model, facts)
    known_BT = ~batch.boxes_BT4.isnan().any(dim=2)
    assert 1 < known_BT.sum() < (batch.targets_BT >= 0).sum()
    said = run.model(
        batch.tokens_BT, pictures=batch.pictures_NCHW, **batch.layout, select=known_BT,
        about=known_BT,
    )  # fmt: skip
    wanted = objectives.box_regression(said.boxes, batch.boxes_BT4[known_BT])
    assert float(facts["boxes"]) == pytest.approx(float(wanted), rel=1e-5)
    assert float(loss) == pytest.approx(float(facts["caption"] + 2 * wanted), rel=1e-5)


@torch.no_grad()
def test_what_answers_are_about_is_named_beside_it(tmp_path):
    """Their labels stand at other places too; each head is held to its own."""
    both = {"object_classes": [8, 8, 2, 3, 9]}
    source = {**GROUND, "kinds": {"ground": 1.0, "colour": 1.0}}
    run, batch = drawn(
        tmp_path, model=both, source=source, box_weight=1.0, object_weight=1.0, batch=8
    )
    plain = run.recipe
    step = Step(run, batch, run.model)
    assert batch.about_BTAO is not None and batch.boxes_BT4 is not None
    assert int(step.about.sum()) > int((~batch.boxes_BT4.isnan().any(dim=2)).sum()) > 0
    whole, found = loss_of(run, batch, run.model, facts := {}), {}
    for name in ("box_weight", "object_weight"):
        run.recipe = replace(plain, train=replace(plain.train, **{name: 0.0}))
        found[name] = loss_of(run, batch, run.model)
    assert float(whole - found["box_weight"]) == pytest.approx(float(facts["boxes"]), rel=1e-4)
    alone = replace(batch, boxes_BT4=None)
    run.recipe = plain
    assert float(loss_of(run, alone, run.model)) == pytest.approx(
        float(found["box_weight"]), rel=1e-5
    )


def test_unknown_boxes_reach_neither_loss_nor_gradients(tmp_path):
    run, batch = drawn(tmp_path, box_weight=1.0)
    assert batch.boxes_BT4 is not None and batch.boxes_BT4.isnan().any()
    loss_of(run, batch, run.model).backward()
    gradients = [p.grad for p in run.model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(each).all() for each in gradients)
    assert all(p.grad is not None and p.grad.any() for p in run.model.box_head.parameters())
    # Where nothing is known there is no such loss.
    nothing = replace(batch, boxes_BT4=torch.full_like(batch.boxes_BT4, torch.nan))
    for unknown in (nothing, replace(batch, boxes_BT4=None)):
        assert weights_of(run, unknown) == {"caption": 1.0}
        assert torch.isfinite(loss_of(run, unknown, run.model))


def test_chunks_of_which_some_have_no_box_learn_the_same_words(tmp_path, folder):
    """Rows of files have none here, drawn ones have: each chunk is of one kind."""
    table = runs.table(folder, data=HERE, model=MODEL, box_weight=1.0, batch=4, chunk=1)
    table["data"]["sources"] = [{"path": str(folder)}, GROUND]
    run = runs.prepare(tmp_path, config.recipe(table))
    batch = run.stream.step(0, 0.0).to(run.device)
    several = chunks.split(batch, 1, owners=Step(run, batch, run.model).owners)
    assert {asks("boxes", chunk.batch) for chunk in several} == {True, False}
    loss_of(run, replace(batch, boxes_BT4=None), run.model).backward()
    wanted = gradients(run.model)
    table["train"]["box_weight"] = 1e-9
    run.recipe = config.recipe(table)
    chunks.learn(run, batch, run.model, {}, Share())
    found = {n: g for n, g in gradients(run.model).items() if not n.startswith("box_head")}
    near(found, wanted, scale=1e-5)


@pytest.mark.parametrize(
    ("source", "train", "what"),
    [
        ("folder", {}, "no source says where its answers are"),
        ({**GROUND, "kinds": {"count": 1.0}}, {}, "no source says where its answers are"),
        ({**GROUND, "pictures": False}, {}, "no source says where its answers are"),
        ({**GROUND, "shots": (1, 2)}, {}, "no source says where its answers are"),
        (GROUND, {"objectives": {"contrastive": 1.0}}, "no answers are learned"),
    ],
)
def test_boxes_that_nothing_gives_are_an_error(tmp_path, folder, source, train, what):
    table = runs.table("scenes", data=HERE, model=MODEL, box_weight=1.0, **train)
    table["data"]["sources"] = [{"path": str(folder)} if source == "folder" else source]
    with pytest.raises(RecipeError, match=what) as error:
        runs.prepare(tmp_path, config.recipe(table))
    assert error.value.where == "train.box_weight"


def test_boxes_of_drawn_pictures_are_where_the_pictures_lie(tmp_path):
    """On an oblong canvas, a padded picture is a part of what is shown, and so are its boxes."""
    data = {**HERE, "fit": "pad", "row_tokens": 120}
    model = {**MODEL, "vision": {**MODEL["vision"], "image_size": [16, 32]},
             "text": {**MODEL["text"], "context": 120}}  # fmt: skip
    source = {**GROUND, "kinds": {"ground": 1.0}}
    found = []
    for fit in ("stretch", "pad"):
        table = runs.table("scenes", data={**data, "fit": fit}, model=model, box_weight=1.0)
        table["data"]["sources"] = [source]
        run = runs.prepare(tmp_path / fit, config.recipe(table))
        batch = run.stream.step(0, 0.0)
        assert batch.boxes_BT4 is not None
        known = batch.boxes_BT4[~batch.boxes_BT4.isnan().any(dim=2)]
        words = [run.text.decode(row[row != run.text.picture].tolist()) for row in batch.tokens_BT]
        said = [tuple(map(int, each)) for text in words
                for each in re.findall(r"\((\d+),(\d+)\),\((\d+),(\d+)\)", text)]  # fmt: skip
        found.append((known, said))
    (whole, _), (padded, said) = found
    x, y, wide, high = whole.unbind(dim=1)
    torch.testing.assert_close(padded, torch.stack((0.25 + x / 2, y, wide / 2, high), dim=1))
    assert len(said) > 1
    for left, _, right, _ in said:
        assert 249 <= left < right <= 751
        middle = (left + right) / 2000
        assert (padded[:, 0] - middle).abs().min() < 0.02


def test_boxes_are_weighed_by_a_head(tmp_path):
    with pytest.raises(RecipeError, match="box_weight weighs boxes told by a head"):
        runs.recipe(model={**MODEL, "box_head": False}, box_weight=1.0)
    # All kinds but one are asked where none is named: some have boxes.
    run, _ = drawn(tmp_path, source=runs.SCENES, box_weight=1.0)
    assert any(asks("boxes", run.stream.step(step, 0.0)) for step in range(20))


def test_given_examples_with_boxes_of_their_own_are_enough(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    turns = (Turn("user", "what ?"), Turn("assistant", "red"))
    example = Example((pixels,), turns, Origin("a.csv", 1), boxes=(Box(0, 0, 8, 8),))
    settings = runs.recipe("a.csv", data=HERE, model=MODEL, box_weight=1.0)
    run = setup.prepare(settings, out=tmp_path, examples=[[example]], device="cpu")
    batch = run.stream.step(0, 0.0)
    assert batch.boxes_BT4 is not None and (~batch.boxes_BT4.isnan()).any()


# Learned.

PLACES = [(0, 0, 6, 6), (9, 1, 16, 7), (2, 8, 14, 12), (8, 9, 16, 16), (0, 10, 5, 16)]


@pytest.fixture(scope="module")
def boxed(tmp_path_factory) -> Path:
    """Pictures of one white thing each, and a table that says where it lies."""
    folder = tmp_path_factory.mktemp("boxed")
    with (folder / "train.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "question", "answer"])
        for number, place in enumerate(PLACES):
            picture = Image.new("RGB", (16, 16), (20, 20, 20))
            picture.paste((240, 240, 240), place)
            picture.save(folder / f"{number}.png")
            said = [round(1000 * side / 16) for side in place]
            table.writerow([f"{number}.png", "box it", "({},{}),({},{})".format(*said)])
    return folder / "train.csv"


def learned(boxed: Path, out: Path, *, steps: int) -> Path:
    """The folder of a run on them."""
    plan = runs.recipe(
        boxed, data=HERE, model=MODEL, box_weight=1.0, batch=5, steps=steps, optimizer="adamw",
        adamw_learning_rate=0.01, decay=0.5,
    )  # fmt: skip
    runs.train(out, plan)
    return out


def test_a_few_boxes_are_learned_by_heart_and_not_blindly(boxed, tmp_path):
    predictor = predict.load(learned(boxed, tmp_path / "run", steps=150), device="cpu")
    examples = recast(sources.read(str(boxed)).examples, "ground")
    result = evaluate(predictor, examples)
    assert result.scores["boxes_regressed_iou"].value > 0.5
    assert result.scores["boxes_regressed"].value == 1
    assert result.controls["boxes_regressed_iou_blank"].value < 0.5
    assert result.controls["boxes_regressed_blank"].value < 0.5
    assert {"boxes", "boxes_iou", "boxes_regressed", "boxes_regressed_iou"} == result.scores.keys()
    assert {record.score for record in result.records} == {"boxes", "boxes_regressed"}
    for control in ("blank", "shuffled", "question"):
        assert f"boxes_iou_{control}" in result.controls
        assert f"boxes_regressed_iou_{control}" in result.controls


def test_the_head_is_saved_and_begun_with(boxed, tmp_path):
    run = learned(boxed, tmp_path / "first", steps=1)
    folder = checkpoint.find(run)
    weights = checkpoint.open_tensors(folder / checkpoint.WEIGHTS)
    kept = {name: value for name, value in weights.items() if name.startswith("box_head.")}
    assert len(kept) == 6
    table = runs.table(boxed, data=HERE, box_weight=1.0)
    table["model"] = {"init": {"all": str(run)}}  # It has the head that the weight is of.
    table = init.inherit(table, say=lambda line: None)
    own = runs.prepare(tmp_path / "second", config.recipe(table)).model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in kept.items())
