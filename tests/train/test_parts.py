"""Parts: what is frozen stands still to the bit, what is slowed learns slower, what is named is."""

import os
import signal

import pytest
import torch
from train import runs

from seesay.config import TrainConfig
from seesay.errors import RecipeError, TrainingError
from seesay.model import adapt
from seesay.train import Interrupted, history, loop, optim, setup
from seesay.train.parts import Parts, factor, spans
from seesay.tuning import PartConfig

HERE = {"workers": 0}
FROZEN = {"match": "vision", "rate": 0.0}


def weights(run) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def moved(tmp_path, folder, *parts: dict, **settings) -> set[str]:
    """Names of what has moved in a few steps."""
    plan = runs.recipe(folder, data=HERE, parts=list(parts), **{"steps": 4, **settings})
    run = runs.prepare(tmp_path / "run", plan)
    before = weights(run)
    after = weights(runs.fit(run))
    return {name for name in before if not torch.equal(before[name], after[name])}


# Frozen.


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("match", ["vision", "text.blocks.*.mlp*", "text.embedding", "vision.stem"])
def test_a_frozen_part_stands_still_and_all_else_moves(tmp_path, folder, optimizer, match):
    """Weights, with decay, and the running statistics of normalisation."""
    part = {"match": match, "rate": 0.0}
    names = moved(tmp_path, folder, part, optimizer=optimizer, weight_decay=0.5)
    plan = runs.recipe(folder, data=HERE)
    every = set(runs.prepare(tmp_path / "other", plan).model.state_dict())
    assert names == {name for name in every if not adapt.begins(match, name)}
    assert any("running_mean" in name for name in names) == (not match.startswith("vision"))


def test_a_frozen_part_gets_no_gradient_and_no_group(tmp_path, folder):
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, parts=[FROZEN]))
    assert not any(p.requires_grad for p in run.model.vision.parameters())
    held = {
        id(p)
        for optimizer in optim.optimizers(run.model, run.recipe.train)
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert held == {id(p) for p in run.model.parameters() if p.requires_grad}


def test_the_preflight_freezes_too_and_leaves_the_model_as_it_was(tmp_path, folder):
    parts = [FROZEN, {"match": "vision", "rate": 1.0, "after": 0.5}]
    for name, steps in (("with", 4), ("without", 0)):
        plan = runs.recipe(folder, data=HERE, preflight=steps, steps=3, parts=parts)
        runs.train(tmp_path / name, plan)
    assert runs.differing(runs.state(tmp_path / "with"), runs.state(tmp_path / "without")) == []


def test_a_frozen_part_that_moves_is_told(tmp_path, folder):
    settings = {"steps": 6, "log_every": 2, "sample_every": 0.0}
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, parts=[FROZEN], **settings))

    def spoil(*_) -> dict[str, str]:
        with torch.no_grad():
            next(run.model.vision.norm.parameters()).mul_(1.0001)
        return {"question": "", "answer": "", "truth": ""}

    run.sample = spoil
    with pytest.raises(
        TrainingError, match=r"1 of \d+ frozen tensors have moved by step 2"
    ) as error:
        runs.fit(run)
    assert "vision.norm" in error.value.what and not (tmp_path / "checkpoints").exists()


def test_running_statistics_that_move_are_told(tmp_path, folder):
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, parts=[FROZEN]))
    parts = Parts(run.model, run.recipe.train)
    parts.hold(0.0)
    parts.check(0)
    name = next(name for name, _ in run.model.named_buffers() if "running_var" in name)
    run.model.get_buffer(name).mul_(1.5)
    with pytest.raises(TrainingError, match=name.replace(".", r"\.")):
        parts.check(1)


# Rates of their own.


def test_a_rate_is_a_factor_on_the_groups(tmp_path, folder):
    parts = [{"match": "vision", "rate": 0.1}, {"match": "vision.stem", "rate": 0.5}]
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, parts=parts))
    made = optim.optimizers(run.model, run.recipe.train)
    optim.set_rate(made, 0.5)
    rates = {
        id(p): group["lr"] / group["peak"]
        for optimizer in made
        for group in optimizer.param_groups
        for p in group["params"]
    }
    for name, parameter in run.model.named_parameters():
        own = 0.5 if name.startswith("vision.stem") else 0.1 if name.startswith("vision") else 1
        assert rates[id(parameter)] == pytest.approx(0.5 * own), name


def test_a_rate_of_one_changes_nothing(tmp_path, folder):
    for name, parts in (("with", [{"match": "vision", "rate": 1.0}]), ("without", [])):
        runs.train(tmp_path / name, runs.recipe(folder, data=HERE, steps=3, parts=parts))
    assert runs.differing(runs.state(tmp_path / "with"), runs.state(tmp_path / "without")) == []


def test_the_last_that_holds_decides():
    said = (
        PartConfig(match="*", rate=0.5),
        PartConfig(match="*", rate=0.0, until=0.3),
        PartConfig(match="*", rate=2.0, after=0.8),
    )
    assert [factor(said, progress) for progress in (0, 0.299, 0.3, 0.79, 0.8, 1.0)] == [
        0.0, 0.0, 0.5, 0.5, 2.0, 2.0
    ]  # fmt: skip
    assert factor((), 0.5) == 1.0
    assert factor((PartConfig(match="*", rate=0.0, after=0.1, until=0.2),), 0.5) == 1.0


def test_names_go_by_whole_words_and_patterns(tmp_path, folder):
    model = {"text": {**runs.TEXT, "depth": 11}}
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, model=model))
    frozen = lambda match: {  # noqa: E731
        name
        for name, said in spans(
            run.model, TrainConfig(parts=(PartConfig(match=match, rate=0.0),))
        ).items()
        if factor(said, 0) == 0
    }
    assert {name.split(".")[2] for name in frozen("text.blocks.1")} == {"1"}
    assert {name.split(".")[2] for name in frozen("text.blocks.1*")} == {"1", "10"}
    assert {name.split(".")[3] for name in frozen("text.blocks.*.mlp")} == {"mlp"}
    assert len(frozen("*")) == len(spans(run.model, TrainConfig()))


# By schedule.

SCHEDULE = [{"match": "vision", "rate": 0.1}, {"match": "vision", "rate": 0.0, "until": 0.5}]


def test_a_part_wakes_when_it_is_due(tmp_path, folder):
    settings = {"steps": 8, "log_every": 1, "sample_every": 0.0}
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, parts=SCHEDULE, **settings))
    before, seen = weights(run), []

    def look(*_) -> dict[str, str]:
        now = run.model.state_dict()
        seen.append({n for n in before if not torch.equal(before[n], now[n])})
        return {"question": "", "answer": "", "truth": ""}

    run.sample = look
    runs.fit(run)
    touched = [any(name.startswith("vision.") for name in names) for names in seen]
    assert touched == [False] * 4 + [True] * 4
    assert any("running_mean" in name for name in seen[4])
    counts = [(row["trained"], row["parameters"]) for row in history(tmp_path) if "loss" in row]
    total = sum(p.numel() for p in run.model.parameters())
    vision = sum(p.numel() for p in run.model.vision.parameters())
    assert counts == [(total - vision, total)] * 4 + [(total, total)] * 4


def test_a_part_that_learned_stands_still_when_it_is_frozen_again(tmp_path, folder):
    """Neither momentum nor decay moves it on."""
    parts = [{"match": "text.blocks", "rate": 0.0, "after": 0.5}]
    settings = {"steps": 8, "weight_decay": 0.5, "sample_every": 0.0, "parts": parts}
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, **settings))
    seen = []

    def look(*_) -> dict[str, str]:
        seen.append(weights(run))
        return {"question": "", "answer": "", "truth": ""}

    run.sample = look
    runs.fit(run)
    moved = [
        {n.startswith("text.blocks") for n in now if not torch.equal(now[n], then[n])}
        for then, now in zip(seen, seen[1:], strict=False)
    ]
    assert moved == [{True, False}] * 3 + [{False}] * 4


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("stop", [3, 4, 5])
def test_resumed_across_a_schedule_is_the_same_as_unbroken(
    tmp_path, folder, monkeypatch, optimizer, stop
):
    parts = [*SCHEDULE, {"match": "text.embedding", "rate": 0.0, "after": 0.75}]
    plan = runs.recipe(folder, data=HERE, steps=8, ema=0.5, optimizer=optimizer, parts=parts)
    runs.train(tmp_path / "unbroken", plan)
    run, plain, seen = runs.prepare(tmp_path / "stopped", plan), loop.loss_of, []

    def counted(*args):
        seen.append(1)
        if len(seen) == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*args)

    monkeypatch.setattr(loop, "loss_of", counted)
    with pytest.raises(Interrupted):
        runs.fit(run)
    runs.train(run.out, plan, resume=True)
    assert runs.differing(runs.state(tmp_path / "unbroken"), runs.state(run.out)) == []


# What cannot be.


@pytest.mark.parametrize(("match", "fix"), [
    ("vison", "did you mean 'vision'?"),
    ("text.block", "did you mean 'text.blocks'"),
    ("text.blocks.7", "did you mean 'text.blocks.0'"),
    ("zzz", "known: connector, text, vision"),
])  # fmt: skip
def test_a_name_of_nothing_is_an_error(tmp_path, folder, match, fix):
    plan = runs.recipe(folder, data=HERE, parts=[FROZEN, {"match": match, "rate": 0.0}])
    with pytest.raises(RecipeError, match=f"'{match}' names no part of the model") as error:
        setup.prepare(plan, out=tmp_path, device="cpu")
    assert error.value.where == "train.parts.1.match" and error.value.fix.startswith(fix)


def test_a_time_without_anything_trained_is_an_error(tmp_path, folder):
    parts = [{"match": "*", "rate": 0.0, "after": 0.2, "until": 0.4}]
    plan = runs.recipe(folder, data=HERE, parts=parts)
    with pytest.raises(RecipeError, match="from 20% of training on, 0 of"):
        setup.prepare(plan, out=tmp_path, device="cpu")


def test_a_loss_that_nothing_trained_has_a_part_in_is_told(tmp_path):
    parts = [{"match": "*", "rate": 0.0}, {"match": "patch_head", "rate": 1.0}]
    model = {"patch_classes": [9, 8, 2, 3, 2]}
    plan = runs.recipe("scenes", data=HERE, model=model, parts=parts)
    with pytest.raises(TrainingError, match="nothing that is trained now has a part in the loss"):
        runs.fit(runs.prepare(tmp_path, plan))


@pytest.mark.parametrize("entry", [
    {"match": "vision"}, {"rate": 1.0}, {"match": "", "rate": 1.0}, {"match": "x", "rate": -1.0},
    {"match": "x", "rate": 0.0, "after": 0.5, "until": 0.5},
    {"match": "x", "rate": 0.0, "after": 1.0}, {"match": "x", "rate": 0.0, "til": 0.5},
])  # fmt: skip
def test_an_entry_that_cannot_be_is_refused(folder, entry):
    with pytest.raises(RecipeError):
        runs.recipe(folder, parts=[entry])
