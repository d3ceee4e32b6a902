"""A model that looks at boxes learns from drawn pictures, whose boxes are known, and answers."""

from dataclasses import replace

import pytest
import torch
from train import runs

from seesay import predict, scenes
from seesay.evaluate.asking import regions
from seesay.predict import Prompt
from seesay.train import history
from seesay.train.losses import loss_of

VISION = {**runs.VISION, "kind": "regions", "crop": 8, "grid": 2, "image_size": 32}


def test_a_model_of_regions_learns(tmp_path):
    model = {"family": "single", "vision": VISION, "connector": {"kind": "linear"}}
    how = {"steps": 40, "batch": 8, "log_every": 8, "learning_rate": 0.01}
    objectives = {"fill": 1, "matching": 1}
    plan = runs.recipe("scenes", data={"workers": 0}, model=model, objectives=objectives, **how)
    runs.train(tmp_path, plan)
    rows = [row for row in history(tmp_path) if "loss" in row]
    assert rows[-1]["fill"] < 0.8 * rows[0]["fill"]
    predictor = predict.load(tmp_path, device="cpu")
    # By what is in the boxes: those of the next picture are of less use.
    run = runs.prepare(tmp_path / "again", plan)
    batch = run.stream.step(40, 1.0)
    assert batch.boxes_NR4 is not None
    other = replace(batch, boxes_NR4=batch.boxes_NR4.roll(1, dims=0))
    with torch.no_grad():
        right, wrong = (float(loss_of(run, each, predictor.model)) for each in (batch, other))
    assert right < wrong
    drawn = scenes.examples(scenes.World(seed=0, split="dev"), 0, resolution=32)[1]
    options = [["red", "blue", "two"]]
    asked = drawn.turns[:1]
    (told,) = predictor.choose([Prompt(drawn.images, asked, regions(drawn))], options)
    (blind,) = predictor.choose([Prompt(drawn.images, asked)], options)
    assert told.sum() == pytest.approx(1) and not torch.equal(*map(torch.tensor, (told, blind)))
