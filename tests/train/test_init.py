"""First weights from other checkpoints: taken to the bit, with their tokenizer, or refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from train import runs

from seesay import config, predict
from seesay.errors import CheckpointError, RecipeError, SeesayError
from seesay.model import checkpoint
from seesay.train import init

HERE = {"workers": 0}
DEEP = {**runs.TEXT, "depth": 2}


@pytest.fixture(scope="session")
def first(tmp_path_factory, folder) -> Path:
    """A run on pictures with text: two blocks of text."""
    out = tmp_path_factory.mktemp("first")
    runs.train(out, runs.recipe(folder, data=HERE, model={"text": DEEP}, steps=2))
    return out


@pytest.fixture(scope="session")
def second(tmp_path_factory) -> Path:
    """A run on scenes: other words, another vocabulary."""
    out = tmp_path_factory.mktemp("second")
    runs.train(out, runs.recipe("scenes", data={**HERE, "vocabulary": 400}, steps=2))
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.open_tensors(checkpoint.find(run) / checkpoint.WEIGHTS)


def begun(tmp_path, folder, sources: dict, *, fresh=(), text=DEEP, said=None, **model):
    """The run that begins with those sources, before its first step."""
    init_table = {part: str(source) for part, source in sources.items()}
    model = {"text": text, "init": init_table, "fresh": list(fresh), **model}
    plan = runs.recipe(folder, data=HERE, model=model)
    from seesay.train import setup

    tell = (said if said is not None else []).append
    return setup.prepare(plan, out=tmp_path / "out", device="cpu", say=tell)


def same(run, theirs: dict, prefix: str = "") -> set[str]:
    """Names under a prefix that are as in the other run, bit for bit."""
    own = run.model.state_dict()
    return {
        name for name in own if name.startswith(prefix)
        if name in theirs and own[name].shape == theirs[name].shape
        if torch.equal(own[name], theirs[name])
    }  # fmt: skip


def under(names, prefix: str) -> set[str]:
    return {name for name in names if name.startswith(prefix)}


# What is taken.


def test_all_is_taken_with_the_tokenizer(tmp_path, folder, first):
    run = begun(tmp_path, folder, {"all": first})
    assert same(run, weights(first)) == set(run.model.state_dict())
    assert len(run.text) == json.loads((checkpoint.find(first) / "config.json").read_text())[
        "vocabulary"
    ]  # fmt: skip
    kept = checkpoint.find(first)
    run.text.save(tmp_path)
    for name in ("tokenizer.json", "template.json"):
        assert (tmp_path / name).read_bytes() == (kept / name).read_bytes()


def test_a_part_is_taken_and_the_rest_is_fresh(tmp_path, folder, first, second):
    run = begun(tmp_path, folder, {"vision": first, "text": second}, text=runs.TEXT)
    names = set(run.model.state_dict())
    assert same(run, weights(first), "vision.") == under(names, "vision.")
    assert same(run, weights(second), "text.") == under(names, "text.")
    assert not any(same(run, weights(source), "connector.") for source in (first, second))
    assert len(run.text) == len(weights(second)["text.embedding.weight"])
    assert run.text.picture == run.model.picture_token


def test_a_part_named_by_itself_takes_its_place_in_all(tmp_path, folder, first):
    other = tmp_path / "other"
    runs.train(other, runs.recipe(folder, data=HERE, model={"text": DEEP}, steps=1, seed=7))
    run = begun(tmp_path, folder, {"connector": other, "all": first})
    names = set(run.model.state_dict())
    assert same(run, weights(other), "connector.") == under(names, "connector.")
    assert same(run, weights(first), "text.") == under(names, "text.")


def test_a_part_may_have_another_name_there(tmp_path, folder, first):
    run = begun(tmp_path, folder, {"text.blocks.0": f"{first}:text.blocks.1"}, text=runs.TEXT)
    theirs, own = weights(first), run.model.state_dict()
    for name in under(own, "text.blocks.0"):
        assert torch.equal(own[name], theirs[name.replace("blocks.0", "blocks.1")])
    folderless = begun(tmp_path, folder, {"vision": f"{checkpoint.find(first)}:vision"})
    assert same(folderless, theirs, "vision.") == under(own, "vision.")


def test_what_is_named_fresh_begins_anew(tmp_path, folder, first):
    deeper = {**DEEP, "depth": 3}
    with pytest.raises(CheckpointError, match=r"\d+ of the \d+ tensors of 'all' are not") as error:
        begun(tmp_path, folder, {"all": first}, text=deeper)
    assert "text.blocks.2" in error.value.what and "model.fresh" in error.value.fix
    run = begun(tmp_path, folder, {"all": first}, text=deeper, fresh=["text.blocks.2"])
    names = set(run.model.state_dict())
    assert same(run, weights(first)) == names - under(names, "text.blocks.2")


def test_what_is_left_there_and_what_differs_unseen_is_said(tmp_path, folder, first):
    said = []
    begun(tmp_path, folder, {"all": first}, text={**runs.TEXT, "rotary_base": 99.0}, said=said)
    assert f"all from {checkpoint.find(first)}: " in said[0]
    assert "  not taken: text.blocks.1." in said[1]
    assert "  model.text.rotary_base is 99.0 here but 10000.0 there" in said


def test_training_goes_on_from_there_and_resumes_without(tmp_path, folder, first):
    """The recipe of the run is whole: what it began with may be gone."""
    source = tmp_path / "source"
    shutil.copytree(first, source)
    table = runs.table(folder, data=HERE, steps=2)
    table["model"] = {"init": {"all": str(source)}}
    plan = config.recipe(init.inherit(table, say=lambda line: None))
    runs.train(tmp_path / "run", plan)
    shutil.rmtree(source)
    again = config.recipe(config.override(config.as_table(plan), ["train.steps=3"]))
    assert runs.train(tmp_path / "run", again, resume=True).clock.step == 3
    predict.load(tmp_path / "run")


# What a recipe leaves open.


def inherited(first, *assignments: str, **sources) -> dict:
    sources = sources or {"all": first}
    table = {"model": {"init": {part: str(run) for part, run in sources.items()}}}
    return init.inherit(config.override(table, assignments), say=lambda line: None)


def test_the_architecture_is_theirs_where_none_is_given(first):
    table = inherited(first, "model.text.dropout=0.3", "data.limit_broken=0.2")
    theirs = config.recipe(checkpoint.open_config(checkpoint.find(first))["recipe"])
    ours = config.recipe(table)
    assert ours.model.vision == theirs.model.vision
    assert (ours.model.text.depth, ours.model.text.dropout) == (2, 0.3)
    assert (ours.data.row_tokens, ours.data.vocabulary) == (96, 320)
    assert ours.model.init == {"all": str(first)} and ours.train.steps is None


def test_of_parts_the_architecture_is_the_recipes(first, second):
    recipe = config.recipe(inherited(first, vision=first, text=second))
    assert recipe.model.text.depth == config.TextConfig().depth
    assert recipe.model.vision == config.VisionConfig() and recipe.data.row_tokens == 192
    assert recipe.data.vocabulary == 400
    assert config.recipe(inherited(first, vision=first)).data.vocabulary == 1024


@pytest.mark.parametrize("weight", ["patch", "object", "box"])
def test_what_hangs_on_the_architecture_is_judged_when_it_is_there(first, weight):
    """The run begun with has no such head; test_boxes.py has one that has."""
    table = inherited(first, f"train.{weight}_weight=1.0")
    with pytest.raises(RecipeError, match=f"train.{weight}_weight weighs"):
        config.recipe(table)


def test_another_tokenizer_is_refused(first):
    with pytest.raises(RecipeError, match="vocabulary is 5000 here but 320") as error:
        inherited(first, "data.vocabulary=5000")
    assert error.value.where == "data.vocabulary"
    with pytest.raises(RecipeError, match="tokenizer is 'character' here but 'bpe'"):
        inherited(first, "data.tokenizer=character", text=first)
    inherited(first, "data.vocabulary=320")


def test_a_recipe_without_sources_stays_as_it_is():
    assert init.inherit({"train": {"seed": 1}}, say=print) == {
        "train": {"seed": 1}, "model": {}, "data": {}
    }  # fmt: skip
    with pytest.raises(RecipeError, match="unknown key"):
        init.inherit({"modle": {}}, say=print)


def test_what_was_tuned_stays_tuned(tmp_path, folder, first):
    """What adapters put in comes along, and is trained on."""
    tune = {"method": "adapters", "bottleneck": 3}
    plan = runs.recipe(
        folder, data=HERE, model={"text": DEEP, "init": {"all": str(first)}}, tune=tune, steps=2
    )
    runs.train(tmp_path / "tuned", plan)
    said = []
    table = {"model": {"init": {"all": str(tmp_path / "tuned")}}}
    ours = config.recipe(init.inherit(table, say=said.append))
    assert ours.train.tune == plan.train.tune and "tuned by 'adapters'" in said[0]
    run = begun_as(tmp_path, folder, ours)
    assert same(run, weights(tmp_path / "tuned")) == set(run.model.state_dict())
    # A part from elsewhere gets them anew.
    mixed = config.as_table(ours)
    mixed["model"]["init"]["vision"] = str(first)
    run = begun_as(tmp_path, folder, config.recipe(mixed))
    own, theirs = run.model.state_dict(), weights(first)
    for name in under(theirs, "vision."):
        there = name if name in own else name.replace(".weight", ".base.weight")
        assert torch.equal(own[there], theirs[name])
    other = config.recipe(config.override(table, ["train.tune.method=lora"]))
    with pytest.raises(RecipeError, match="holds what 'adapters' put in") as error:
        begun_as(tmp_path, folder, other)
    assert "'bottleneck': 3" in error.value.fix


def begun_as(tmp_path, folder, recipe):
    from seesay.train import setup

    table = config.as_table(recipe) | {"data": runs.table(folder, data=HERE)["data"]}
    return setup.prepare(config.recipe(table), out=tmp_path / "out", device="cpu")


# What cannot be.


@pytest.mark.parametrize(("part", "source", "said"), [
    ("vison", "{first}", "'vison' names no part"),
    ("vision", "{first}/none", "does not exist"),
    ("vision", "{first}:text", "are not in it"),
    ("vision", "{second}", r"\(16, 27\).* but \(8, 27\)|\d+,.* but "),
    ("text", "{second}", r"are not in it"),
])  # fmt: skip
def test_what_does_not_fit_is_an_error(tmp_path, folder, first, second, part, source, said):
    wide = {**runs.VISION, "stem_widths": [16, 16]}
    vision = wide if source == "{second}" else runs.VISION
    with pytest.raises(SeesayError, match=said) as error:
        begun(tmp_path, folder, {part: source.format(first=first, second=second)}, vision=vision)
    assert error.value.fix and error.value.where


def test_both_shapes_are_said(tmp_path, folder, first):
    wide = {**DEEP, "width": 32}
    with pytest.raises(
        RecipeError, match=r"is \((\d+,? ?)+\) in this recipe.* but \(16,? ?"
    ) as error:
        begun(tmp_path, folder, {"all": first}, text=wide)
    assert "model.fresh" in error.value.fix and str(first) in error.value.where


def test_a_checkpoint_that_was_altered_is_refused(tmp_path, folder, first):
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    path = checkpoint.find(copy) / checkpoint.WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(CheckpointError, match="is not what was saved"):
        begun(tmp_path, folder, {"all": copy})


def test_a_tokenizer_of_another_size_is_refused(tmp_path, folder, first):
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    path = checkpoint.find(copy) / checkpoint.CONFIG
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "vocabulary": 999}))
    with pytest.raises(CheckpointError, match=r"has \d+ tokens, config.json says 999"):
        begun(tmp_path, folder, {"all": copy})


def test_weights_that_are_not_finite_are_refused(tmp_path, folder, first, monkeypatch):
    spoilt = weights(first)
    spoilt["text.norm.weight"][0] = float("nan")
    monkeypatch.setattr(checkpoint, "open_tensors", lambda path: spoilt)
    with pytest.raises(CheckpointError, match="'text.norm.weight' holds values that are not"):
        begun(tmp_path, folder, {"all": first})
