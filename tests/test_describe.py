"""Describe: the tree of parts adds up, equal parts are one, and the command shows it all."""

import dataclasses
import json
import re

import pytest
import torch
from torch import nn
from train import runs

from seesay import catalogue, cli, config, describe, machine, overlay
from seesay.describe import Part
from seesay.train import history, rehearsal, setup
from seesay.train.estimate import Estimate
from seesay.train.rehearsal import Look

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(machine, "measure_matmul", lambda *args, **kwargs: 1e11)
    monkeypatch.setattr(setup, "SCENES_READ", 20)
    monkeypatch.setattr(rehearsal, "SCENES_READ", 20)


def part(model: nn.Module, **flops: int) -> Part:
    names = {name.replace("_", "."): count for name, count in flops.items()}
    return describe.parts(model, Look({}, {"": sum(names.values()), **names}, 1, 1))


def every(tree: Part) -> list[Part]:
    return [tree, *(found for inside in tree.parts for found in every(inside))]


def test_equal_neighbours_are_one():
    layers = nn.Sequential(*(nn.Linear(3, 3) for _ in range(4)), nn.Linear(3, 5), nn.ReLU())
    tree = part(layers, **{"0": 10, "1": 10, "2": 10, "3": 5, "4": 15})
    first, last = tree.parts  # what has no parameters is left out
    assert (first.name, first.times, first.parameters) == ("0–3", 4, 4 * 12)
    assert (last.name, last.times, last.parameters) == ("4", 1, 20)
    assert first.share == pytest.approx(0.7) and last.share == pytest.approx(0.3)
    assert tree.share == 1 and tree.parameters == 68 and tree.own == 0


def test_what_is_frozen_or_shared_is_counted_so():
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    model["a"].bias.requires_grad_(False)
    tree = part(model, a=1, b=1)
    assert [(p.parameters, p.trained) for p in tree.parts] == [(12, 9), (3, 3)]
    assert (tree.parameters, tree.trained) == (15, 12)


@pytest.mark.parametrize("source", ["scenes", "pictures.csv"])
def test_a_description_adds_up(source):
    made = Estimate(runs.recipe(source), device=CPU, dtype=torch.float32)
    shown = describe.describe(made, name="mine", sized=source == "scenes")
    tree = shown.model
    assert (
        tree.parameters
        == shown.parameters
        == sum(p.numel() for p in made.rehearsal.model.parameters())
    )
    assert tree.trained == shown.trained == tree.parameters and tree.share == 1
    for each in every(tree):
        assert each.parameters == each.own + sum(p.parameters for p in each.parts)
        assert sum(p.share for p in each.parts) <= each.share + 1e-9
    by_name = {each.name: each for each in tree.parts}
    assert by_name["vision"].shape == (1, 16, 16) and by_name["connector"].shape == (1, 4, 16)
    assert {"vision", "connector", "text"} <= by_name.keys()
    left = () if source == "scenes" else ("data.vocabulary", "model.vision.image_size")
    assert shown.undecided == left


# The command.


@pytest.fixture
def seesay(capsys):
    def run(*tokens: object, code: int = 0) -> str:
        capsys.readouterr()
        assert cli.main([str(token) for token in tokens]) == code
        shown = capsys.readouterr()
        return shown.err if code else shown.out

    return run


def test_a_recipe_that_is_shipped_is_described(seesay):
    deep = ("--set", "model.text.depth=5", "--set", "train.steps=100")
    shown = seesay("describe", "demo", *deep)
    assert shown.splitlines()[0].split() == ["one", "example", "parameters", "trained", "FLOPs"]
    vision = r"├── vision  VisionTransformer +1×64×192 +518,496 +all +\d+\.\d%$"
    assert re.search(vision, shown, re.M)
    assert "0–4 ×5  Block" in shown and "attention" not in shown
    for words in ("parameters ", "a training step", "an answer", "memory to train", "100 steps in",
                  "memory to serve", "s a step"):  # fmt: skip
        assert words in shown, words


def test_a_recipe_of_ones_own_is_described(seesay, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(config.dump(runs.recipe(model={"text": {**runs.TEXT, "depth": 3}})))
    shown = seesay("describe", path, "--depth", 5)
    assert "0–2 ×3  Block" in shown and "attention  Attention" in shown
    made = json.loads(seesay("describe", path, "--json"))
    assert made["model"]["parameters"] == made["parameters"] and made["vocabulary"] <= 320
    assert f"{made['parameters']:,}" in shown
    assert made["speed"]["steps"] == 12 and made["undecided"] == []
    assert made.keys() == {field.name for field in dataclasses.fields(describe.Description)}
    assert [p["name"] for p in made["model"]["parts"]] == ["vision", "connector", "text"]


def test_what_pictures_of_usual_sizes_cost(seesay, tmp_path):
    """Beside them, a step and an answer are of pictures with the most tiles."""
    path = tmp_path / "mine.toml"
    data = {"tiles": "best", "max_tiles": 6, "fit": "pad"}
    path.write_text(config.dump(runs.recipe("pictures.csv", data=data)))
    shown = seesay("describe", path)
    assert "a picture of  is brought to  tiles" in shown
    assert re.search(r"^640×480 +48×32 +2 × 3 and a small one +28$", shown, re.M)
    made = json.loads(seesay("describe", path, "--json"))
    costs = {tuple(each["size"]): each for each in made["pictures"]}
    assert costs[336, 336] == {"size": [336, 336], "canvas": [32, 32], "grid": [2, 2],
                               "tiles": 5, "tokens": 20}  # fmt: skip
    assert costs[1920, 1080]["tokens"] == 28
    plain = json.loads(seesay("describe", path, "--json", "--set", "data.tiles=1"))
    assert made["arithmetic"]["picture"] == pytest.approx(7 * plain["arithmetic"]["picture"], 0.01)
    assert made["arithmetic"]["step"] > 1.5 * plain["arithmetic"]["step"]
    assert {each["tokens"] for each in plain["pictures"]} == {4}


@pytest.mark.parametrize("name", ["shapes", "nlvr"])
def test_no_data_are_needed(seesay, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = seesay("describe", name, "--depth", 1)
    assert "left to the data" in shown and "data.vocabulary" in shown and "image_size" not in shown
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_described_as_it_is(seesay, tmp_path):
    out, table = tmp_path / "run", runs.table(preflight=1, log_every=1, steps=2)
    run = runs.train(out, config.recipe(table))
    made = json.loads(seesay("describe", out, "--json"))
    assert made["parameters"] == sum(p.numel() for p in run.model.parameters())
    assert made["vocabulary"] == len(run.text)
    assert made["speed"]["share"] == history(out)[-1]["peak_share"]


QUICK = ("coca", "dino", "minigpt4", "tinyclip")
RECIPES = [
    pytest.param(each.name, marks=() if each.name in QUICK else pytest.mark.slow)
    for each in catalogue.entries()
]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_described(seesay, name, tmp_path, monkeypatch):
    """Without the runs that it begins with or is taught by; what is frozen is not trained."""
    monkeypatch.chdir(tmp_path)
    made = json.loads(seesay("describe", name, "--json"))
    recipe = config.recipe(overlay.load(catalogue.find(name)))
    assert made["arithmetic"]["step"] > 0 and made["memory"]["peak"] > made["memory"]["weights"]
    frozen = [p.match for p in recipe.train.parts if not p.rate and p.until == 1 and not p.after]
    assert (made["trained"] < made["parameters"]) == bool(frozen)
    teaching = made["memory"]["weights"] > made["serving"]["weights"]
    assert teaching == (name in ("dino", "tinyclip"))


def test_what_cannot_be_described(seesay, tmp_path):
    assert "no recipe 'dmo'" in seesay("describe", "dmo", code=2)
    assert "no such recipe" in seesay("describe", "dmo.toml", code=2)
    assert "holds no finished checkpoint" in seesay("describe", tmp_path, code=2)
    mistyped = ("--set", "model.text.widht=3")
    assert "did you mean 'width'?" in seesay("describe", "demo", *mistyped, code=2)
