"""Pictures alone, by the commands: trained without a word, measured by neighbours and a probe."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import tiny
import torch
from PIL import Image
from train import runs

from seesay import cli, machine, scenes
from seesay.train import auto, setup

RECIPE = f"""\
# The smallest model without words.
[model]
family = "vision"
pool = "class"
{tiny.VISION}class_token = true
[model.head]
width = 16
bottleneck = 8
prototypes = 12
[data]
row_tokens = 8
workers = 0
[train]
batch = 4
steps = 2
log_every = 1
objectives.self_distill = 1
self_distill.locals = 2
"""
SCENES = '[[data.sources]]\npath = "scenes"\nobjects = [1, 2]\n'


@pytest.fixture(autouse=True)
def quick(monkeypatch, one_thread) -> None:
    monkeypatch.setattr(machine, "measure_matmul", lambda *args, **kwargs: 1e12)
    monkeypatch.setattr(setup, "SCENES_READ", 20)
    monkeypatch.setattr(auto, "LABELLED", 120)


@pytest.fixture
def seesay(capsys):
    """Run a command: what it printed, and what it said."""

    def run(*tokens: object) -> tuple[str, str]:
        capsys.readouterr()
        assert cli.main([str(token) for token in tokens]) == 0, capsys.readouterr().err
        shown = capsys.readouterr()
        return shown.out, shown.err

    return run


def recipe(tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "smallest.toml"
    path.write_text(RECIPE + more)
    return path


def scores(text: str) -> dict:
    return json.loads(text)["scores"]


def test_on_scenes(tmp_path, seesay):
    out = tmp_path / "run"
    plan = recipe(tmp_path, SCENES)
    made, _ = seesay("train", "--recipe", plan, "--out", out, "--json", "--quiet")
    assert set(scores(made)) == {"classes_mean", "classes_knn", "classes_probe"}
    assert scores(made)["classes_knn"]["n"] == 1000
    shown, said = seesay("eval", out, "--data", "scenes", "--task", "classify", "--json")
    found = json.loads(shown)
    assert set(found["scores"]) == set(scores(made))
    assert {"kind=shape", "kind=colour"} <= set(found["slices"])
    assert found["controls"]["classes_knn_chance"]["value"] == pytest.approx(1 / 8)
    assert "knows no words to choose among" in said
    few, _ = seesay("eval", out, "--data", "scenes", "--task", "classify", "--shots", 1, "--json")
    assert scores(few)["classes_mean"]["value"] != scores(shown)["classes_mean"]["value"]


def test_where_it_looks_is_measured(tmp_path, seesay, monkeypatch, capsys, root):
    plan, out = recipe(tmp_path, SCENES), tmp_path / "run"
    sizes = ["--set", "model.vision.image_size=64", "--set", "train.batch=2"]
    seesay("train", "--recipe", plan, "--out", out, "--quiet", *sizes)
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["dino_objects.py", str(out), "--pictures", "20"])
    runpy.run_path(str(root / "bench" / "dino_objects.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "20 scenes of 1 to 3 objects" and len(lines) == 7
    assert all("IoU" in line and "pointing" in line for line in lines[1:])


def test_on_a_folder_for_each_class(tmp_path, seesay):
    for number in range(60):
        name = ("red", "green", "blue")[number % 3]
        place = tmp_path / "classes" / name / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (16, 16), runs.COLOURS[name])
        picture.putpixel((number % 16, number // 16), (255, 255, 255))
        picture.save(place)
    out = tmp_path / "run"
    data = ("--data", tmp_path / "classes", "--out", out)
    made, _ = seesay("train", "--recipe", recipe(tmp_path), *data, "--json", "--quiet")
    assert set(scores(made)) == {"classes_mean", "classes_knn", "classes_probe"}


def test_without_classes_nothing_is_measured(tmp_path, seesay):
    folder, out = runs.pictures(tmp_path / "data"), tmp_path / "run"
    printed, said = seesay("train", "--recipe", recipe(tmp_path), "--data", folder, "--out", out)
    assert printed == "" and "not measured: the data has no classes" in said
    assert (out / "checkpoints" / "00000002" / "model.safetensors").exists()


def test_classes_of_scenes_are_of_one_thing():
    world = scenes.World(seed=3, objects=(4, 6))
    for index in range(20):
        shape, colour = scenes.classes(world, index)
        assert shape.images[0] is colour.images[0] and shape.group == colour.group
        (thing,) = shape.scene.objects
        assert (shape.answer, colour.answer) == (thing.shape, thing.colour)
        assert shape.answer in shape.options and len(colour.options) == 8
        assert shape.question == "what shape is the thing"
        assert shape.labels["kind"] == "shape" and shape.task == "classify"
    (texture,) = scenes.classes(scenes.World(language="zh"), 0, attributes=("texture",))
    assert texture.answer in texture.options and texture.question == "东西的花纹是什么"


def test_the_recipe_is_one(root):
    from seesay import config
    from seesay.model import families

    table = config.load(root / "recipes" / "dino.toml")
    made = config.recipe(table)
    model = families.build(made.model, vocabulary=10, picture_token=3)
    assert model.can == ("embed_pictures", "distill")
    with torch.no_grad():
        scores = model(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert scores.shape == (2, made.model.head.prototypes)
