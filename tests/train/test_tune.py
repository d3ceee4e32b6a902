"""Fine-tuning: only what was put in learns, and what is saved opens, answers and goes on."""

import os
import signal

import pytest
import torch
from train import runs

from seesay import config, predict
from seesay.errors import CheckpointError
from seesay.model import adapt, checkpoint
from seesay.train import Interrupted, card, history, loop, setup

HERE = {"workers": 0}
# Large enough steps that all that is trained moves in a few of them.
METHODS = {
    "lora": {"method": "lora", "rank": 2, "dropout": 0.1},
    "adapters": {"method": "adapters", "bottleneck": 3},
    "prompt": {"method": "prompt", "length": 4},
    "prefix": {"method": "prefix", "length": 3},
    "linear": {"method": "linear"},
}


@pytest.fixture(scope="session")
def base(tmp_path_factory, folder):
    """A run to begin with: its blocks do something by now."""
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("base")
    runs.train(out, runs.recipe(folder, data=HERE, steps=6))
    return out


def plan(base, folder, method: str, **settings):
    return runs.recipe(
        folder,
        data=HERE,
        model={"init": {"all": str(base)}},
        tune=METHODS[method],
        **{"steps": 4, **settings},
    )


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def plain(name: str) -> str:
    """What a parameter was called before anything was put around it."""
    return name.replace(".base.", ".")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_only_what_was_put_in_moves(tmp_path, base, folder, method, optimizer):
    run = runs.prepare(tmp_path, plan(base, folder, method, optimizer=optimizer, weight_decay=0.5))
    before = weights(run.model)
    after = weights(runs.fit(run).model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    added = {name for name, _ in adapt.added(run.model)}
    assert moved == (added or {"text.head.weight"})
    assert {id(p) for _, p in adapt.added(run.model)} == {
        id(p)
        for n, p in run.model.named_parameters()
        if p.requires_grad and n != "text.head.weight"
    }
    own = checkpoint.open_tensors(checkpoint.find(base) / checkpoint.WEIGHTS)
    for name, value in own.items():
        assert any(plain(n) == name and torch.equal(after[n], value) for n in after), name


@pytest.mark.parametrize("method", METHODS)
def test_what_is_saved_opens_and_answers_as_it_did(tmp_path, base, folder, method):
    run = runs.train(tmp_path, plan(base, folder, method))
    opened = predict.load(tmp_path, device="cpu")
    assert type(opened.model) is type(run.model)
    names = opened.model.state_dict().keys()
    lora = method == "lora"
    assert names == (weights(predict.load(base).model) if lora else weights(run.model)).keys()
    assert not list(adapt.added(opened.model)) or not lora
    asked = predict.Prompt((folder / "001.png",), ())
    there = predict.predictor(run.model, run.text, recipe=run.recipe)
    options = [["red", "green beside red", "blue"]]
    ours, theirs = (p.choose([asked], options)[0] for p in (there, opened))
    assert ours == pytest.approx(theirs, abs=1e-5)
    old = predict.load(base, device="cpu").choose([asked], options)[0]
    assert ours != pytest.approx(old, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_resumed_is_the_same_as_unbroken(tmp_path, base, folder, monkeypatch, method, optimizer):
    settings = {"steps": 6, "ema": 0.5, "optimizer": optimizer}
    settings["parts"] = [{"match": "connector", "rate": 0.5, "after": 0.5}]
    recipe = plan(base, folder, method, **settings)
    runs.train(tmp_path / "unbroken", recipe)
    run, whole, seen = runs.prepare(tmp_path / "stopped", recipe), loop.loss_of, []

    def counted(*args):
        seen.append(1)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(*args)

    monkeypatch.setattr(loop, "loss_of", counted)
    with pytest.raises(Interrupted):
        runs.fit(run)
    # What it began with is not asked for again.
    table = config.as_table(recipe)
    table["model"]["init"] = {"all": str(tmp_path / "gone")}
    runs.train(run.out, config.recipe(table), resume=True)
    one, other = runs.state(tmp_path / "unbroken"), runs.state(run.out)
    assert runs.differing(one, other) == []
    assert any("weights." in name and "connector" in name for name in one)


def test_a_lora_run_keeps_the_unmerged_parts_to_go_on_with(tmp_path, base, folder):
    runs.train(tmp_path, plan(base, folder, "lora"))
    held = runs.state(tmp_path)
    name = "text.blocks.0.attention.query"
    up, down = (held[f"weights.{name}.{part}.weight"] for part in ("up", "down"))
    scale = 8.0 / 2
    merged = held[f"weights.{name}.base.weight"] + scale * up @ down
    torch.testing.assert_close(held[f"model.{name}.weight"], merged, atol=1e-5, rtol=1e-5)
    assert up.abs().max() > 0


def test_counts_are_said_logged_and_on_the_card(tmp_path, base, folder):
    run = runs.prepare(tmp_path, plan(base, folder, "lora", log_every=2))
    trained = sum(p.numel() for _, p in adapt.added(run.model))
    total = sum(p.numel() for p in run.model.parameters())
    assert f"{trained:,} of {total:,} parameters trained" in setup.describe(run)
    runs.fit(run)
    rows = [(row["trained"], row["parameters"]) for row in history(tmp_path) if "loss" in row]
    assert rows == [(trained, total)] * 2
    own = sum(p.numel() for p in adapt.merged(run.model).parameters())
    assert f"{own:,} parameters, trained from all of `{base}` by {trained:,} (`lora`, merged)" in (
        card.text(run)
    )
    run = runs.prepare(tmp_path / "adapters", plan(base, folder, "adapters"))
    total, trained = run.facts["parameters"], run.facts["trained"]
    assert f"{total:,} parameters, {trained:,} of them trained from all of" in card.text(run)


def test_a_part_may_be_trained_beside_what_was_put_in(tmp_path, base, folder):
    parts = [{"match": "connector", "rate": 0.5}]
    run = runs.prepare(tmp_path, plan(base, folder, "lora", parts=parts))
    before = weights(run.model)
    after = weights(runs.fit(run).model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "connector.project.weight" in moved
    assert moved - {name for name, _ in adapt.added(run.model)} == {"connector.project.weight"}


def test_a_checkpoint_whose_recipe_was_changed_is_refused(tmp_path, base, folder):
    import json

    runs.train(tmp_path, plan(base, folder, "adapters"))
    path = checkpoint.find(tmp_path) / checkpoint.CONFIG
    for tune, said in (
        ({"method": "full"}, "absent"),
        ({"method": "adapters", "bottleneck": 100_000}, "100000"),
        ({"method": "adapters", "modules": ["nothing"]}, "'nothing' names no module"),
    ):
        stored = json.loads(path.read_text())
        stored["recipe"]["train"]["tune"] = tune
        path.write_text(json.dumps(stored))
        with pytest.raises(CheckpointError, match=said):
            predict.load(tmp_path)
