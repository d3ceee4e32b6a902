"""Training on pictures of many shapes: tiles of their own, boxes that follow, changes at random."""

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from train import runs

from seesay import config, predict
from seesay.data import sources
from seesay.data.collate import collate
from seesay.data.order import Place
from seesay.errors import RecipeError
from seesay.evaluate import evaluate
from seesay.model import checkpoint
from seesay.records import Turn
from seesay.tasks.recast import recast
from seesay.train import Interrupted, init, loop, setup
from seesay.train.losses import loss_of

TEXT = {**runs.TEXT, "dropout": 0.0, "depth": 2, "width": 48, "num_heads": 4, "context": 200}
MODEL = {"vision": {**runs.PATCHES, "depth": 2}, "text": TEXT, "connector": {"kind": "linear"},
         "box_head": True}  # fmt: skip
# (width, height) of pictures, and where their white thing is, as shares.
SHAPES = [(16, 16), (48, 14), (20, 60), (40, 40), (70, 30), (17, 33)]
PLACES = [(0.0, 0.0, 0.4, 0.4), (0.5, 0.1, 1.0, 0.5), (0.1, 0.5, 0.9, 0.8), (0.5, 0.5, 1.0, 1.0)]
CHANGES = {"flip": True, "shift": 1, "random_crop": 0.6, "jitter": 0.3, "rand_augment": 2,
           "captions": "one"}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures of many shapes; tables of where their thing is, in thousandths (`boxes.csv`, and
    with two captions of each `train.csv`), and in pixels (`pixels.csv`).
    """
    folder = tmp_path_factory.mktemp("shapes")
    rows: dict[str, list[tuple[str, ...]]] = {"boxes": [], "train": [], "pixels": []}
    for number, (wide, high) in enumerate(SHAPES):
        place, name = PLACES[number % len(PLACES)], f"{number}.png"
        box = [round(s * r) for s, r in zip(place, (wide, high) * 2, strict=True)]
        picture = Image.new("RGB", (wide, high), (20, 20, 20))
        picture.paste((240, 240, 240), tuple(box))  # type: ignore[arg-type]
        picture.save(folder / name)
        shares = [round(1000 * s / r) for s, r in zip(box, (wide, high) * 2, strict=True)]
        asked = (name, "box it", "({},{}),({},{})".format(*shares), "")
        rows["boxes"].append(asked)
        rows["train"] += [asked, (name, "", "", f"a thing {number}"), (name, "", "", "white")]
        rows["pixels"].append((name, "box it", str(box), ""))
    for name, own in rows.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("image", "question", "answer", "caption"), *own])
    return folder


@pytest.fixture(scope="module")
def shapes(folder) -> Path:
    return folder / "train.csv"


def plan(shapes: Path, *, data=None, **train) -> config.Recipe:
    chosen = {"workers": 0, "tiles": "best", "max_tiles": 4, "row_tokens": 160, **(data or {})}
    return runs.recipe(shapes, data=chosen, model=MODEL, box_weight=1.0, **train)


@torch.no_grad()
@pytest.mark.parametrize("how", [{}, {"fit": "pad", **CHANGES}, {"tiles": "split"}], ids=str)
def test_a_batch_of_many_learns_what_batches_of_one_would(tmp_path, shapes, how):
    run = runs.prepare(tmp_path, plan(shapes, data=how, batch=6))
    batch = run.stream.step(0, 0.0)
    rows, _ = run.stream._rows(Place.first((1.0,)), None)
    tiles = [len(row.pictures) for row in rows]
    assert len(set(tiles)) > 2 and sum(tiles) == len(batch.pictures_NCHW)
    facts: dict[str, torch.Tensor] = {}
    loss_of(run, batch, run.model.eval(), facts)
    whole, words = {"caption": 0.0, "boxes": 0.0}, {"caption": 0, "boxes": 0}
    for row in rows:
        one = collate([row], picture_token=run.text.picture,
                      picture_tokens=run.stream.fit.picture_tokens, pad=run.text.pad)  # fmt: skip
        own: dict[str, torch.Tensor] = {}
        loss_of(run, one, run.model, own)
        assert one.boxes_BT4 is not None
        counts = {"caption": int((one.targets_BT >= 0).sum()),
                  "boxes": int((~one.boxes_BT4.isnan().any(dim=2)).sum())}  # fmt: skip
        for name, count in counts.items():
            whole[name] += float(own[name]) * count
            words[name] += count
    for name, total in whole.items():
        assert float(facts[name]) == pytest.approx(total / words[name], rel=1e-4)


def test_stopped_and_resumed_it_is_the_same_as_unbroken(tmp_path, shapes, monkeypatch):
    """With tiles of every number, and all that is drawn at random."""
    settings = plan(shapes, data={"fit": "pad", **CHANGES}, batch=3, steps=6)
    runs.train(tmp_path / "unbroken", settings)
    run, plain, seen = runs.prepare(tmp_path / "stopped", settings), loop.loss_of, []

    def stopping(*args):
        seen.append(1)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*args)

    monkeypatch.setattr(loop, "loss_of", stopping)
    with pytest.raises(Interrupted):
        runs.fit(run)
    runs.train(run.out, settings, resume=True)
    assert runs.differing(runs.state(tmp_path / "unbroken"), runs.state(run.out)) == []


def test_boxes_learned_on_canvases_are_told_in_the_picture(tmp_path, folder):
    """What is learned by heart of padded pictures, in tiles, is right of the pictures as given."""
    shapes, data = folder / "boxes.csv", {"fit": "pad", "box_text": "pixels"}
    settings = plan(shapes, data=data, batch=6, steps=160, optimizer="adamw",
                    adamw_learning_rate=0.01, decay=0.5)  # fmt: skip
    runs.train(tmp_path, settings)
    predictor = predict.load(tmp_path, device="cpu")
    assert predictor.fit.box_text == "pixels"
    examples = recast(sources.read(str(shapes)).examples, "ground")
    assert len(examples) == len(SHAPES)
    result = evaluate(predictor, examples)
    assert result.scores["boxes"].value == 1 and result.scores["boxes_iou"].value > 0.85
    assert result.scores["boxes_regressed_iou"].value > 0.5
    assert result.controls["boxes_iou_blank"].value < 0.6
    # The text that is learned is another one: what is shown of a wide picture is a part of it.
    wide = next(e for e in examples if e.images[0].name == "1.png")  # type: ignore[union-attr]
    told = predictor.shown([predict.Prompt(wide.images, (Turn("user", wide.answer),))])[0]
    assert told.prompt.turns[0].text != wide.answer
    assert told.view.read(told.prompt.turns[0].text)[:4] == wide.answer[:4]


def test_a_run_begun_with_another_takes_its_tiles_over(tmp_path, shapes):
    data = {"fit": "pad", "max_tiles": 3}
    first = runs.train(tmp_path / "first", plan(shapes, data=data, steps=1))
    stored = checkpoint.open_config(checkpoint.find(first.out))["recipe"]["data"]
    assert (stored["tiles"], stored["max_tiles"], stored["fit"]) == ("best", 3, "pad")
    table = runs.table(shapes, data={"workers": 0})
    for key in ("row_tokens", "vocabulary"):
        del table["data"][key]
    table["model"] = {"init": {"all": str(first.out)}}
    table = init.inherit(table, say=lambda line: None)
    own = runs.prepare(tmp_path / "second", config.recipe(table))
    assert replace(own.stream.fit, located=True) == first.stream.fit
    assert "up to 64 tokens a picture" in setup.describe(own)


def test_boxes_of_files_may_be_pixels(tmp_path, folder):
    """Both ways of writing the same boxes say the same of the same rows."""
    found = {}
    for name, boxes in (("boxes", "thousandths"), ("pixels", "pixels")):
        table = config.as_table(plan(folder / f"{name}.csv", batch=6))
        table["data"]["sources"][0]["boxes"] = boxes
        batch = runs.prepare(tmp_path, config.recipe(table)).stream.step(0, 0.0)
        assert batch.boxes_BT4 is not None
        known = batch.boxes_BT4[~batch.boxes_BT4.isnan().any(dim=2)]
        found[name] = known[known.sum(dim=1).argsort()]
    assert len(found["boxes"]) == 6
    torch.testing.assert_close(found["boxes"], found["pixels"], atol=0.002, rtol=0)


def test_what_does_not_go_together(tmp_path, shapes):
    with pytest.raises(RecipeError, match="sequence_budget is 15, but one tile takes 16 tokens"):
        runs.prepare(tmp_path, plan(shapes, data={"sequence_budget": 15}))
