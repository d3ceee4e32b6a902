"""Preflight: a batch is learned by heart, or a warning says that it is not."""

import math

import pytest
import torch
from train import runs

from seesay.data.collate import ROUND
from seesay.train import history, preflight
from seesay.train.losses import Step, loss_of

HERE = {"workers": 0}
RATES = {"learning_rate": 0.02, "adamw_learning_rate": 0.01}


def prepared(out, source, **settings):
    run = runs.prepare(out, runs.recipe(source, data=HERE, **{**RATES, **settings}))
    return run, run.stream.step(0, 0.0)


@pytest.mark.parametrize("source", ["folder", "scenes"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_good_batch_is_learned_and_nothing_else_is_touched(tmp_path, folder, source, optimizer):
    place = folder if source == "folder" else "scenes"
    run, batch = prepared(tmp_path, place, optimizer=optimizer)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    random = torch.get_rng_state()
    first, last = preflight.check(run, batch, steps=40)
    assert preflight.verdict(first, last, 40) is None and last < first
    assert torch.equal(torch.get_rng_state(), random)
    after = run.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in run.model.parameters())


def test_a_model_that_cannot_learn_is_warned_of(tmp_path, folder, capsys):
    slow = {"learning_rate": 1e-9, "adamw_learning_rate": 1e-9, "convolution_learning_rate": 1e-9}
    run, batch = prepared(tmp_path, folder, **slow)
    first, last = preflight.check(run, batch, steps=5)
    warning = preflight.verdict(first, last, 5)
    assert warning is not None
    assert f"{first:.2f}" in warning and f"{last:.2f}" in warning and "data check" in warning
    # A run says it, and goes on.
    from seesay import train

    plan = runs.recipe(folder, data=HERE, preflight=5, steps=1, **slow)
    train.train(plan, out=tmp_path / "run", device="cpu")
    assert "warning: 5 steps on one batch" in capsys.readouterr().err


def test_a_run_says_that_it_passed_and_counts_its_time(tmp_path, folder, capsys):
    from seesay import train

    plan = runs.recipe(folder, data=HERE, preflight=30, steps=1, **RATES)
    run = train.train(plan, out=tmp_path / "run", device="cpu")
    assert "preflight: one batch by heart" in capsys.readouterr().err
    assert run.clock.seconds > 0
    assert history(run.out) == []


def test_a_run_with_preflight_ends_as_one_without(tmp_path, folder):
    for name, steps in (("with", 4), ("without", 0)):
        plan = runs.recipe(folder, data=HERE, preflight=steps, steps=3)
        runs.train(tmp_path / name, plan)
    assert runs.differing(runs.state(tmp_path / "with"), runs.state(tmp_path / "without")) == []


@pytest.mark.parametrize(("last", "warned"), [(1.0, False), (1.9, True), (math.nan, True)])
def test_the_verdict(last, warned):
    assert (preflight.verdict(3.0, last, 30) is not None) == warned


def test_a_steps_arithmetic_is_counted(tmp_path, folder):
    """Against the matrices' own sizes: each is multiplied once forward and twice backward."""
    from torch.utils.flop_counter import FlopCounterMode

    run, batch = prepared(tmp_path, folder)
    preflight.check(run, batch, steps=1)
    few = preflight.rows(batch, preflight.ROWS, owners=Step(run, batch, run.model).owners)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        loss_of(run, few, run.model)
    forward = counter.get_total_flops()
    of_pictures = run.facts["flops_per_picture"] * len(few.pictures_NCHW)
    step = of_pictures + run.facts["flops_per_position"] * few.tokens_BT.numel()
    assert 0 < of_pictures < step
    # The first convolution needs no gradient of its input.
    assert 2 * forward < step <= 3 * forward


def test_rows_keeps_the_first_with_their_pictures(tmp_path, folder):
    plan = runs.recipe(folder, data={**HERE, "pack": False}, **{**RATES, "batch": 8})
    run = runs.prepare(tmp_path, plan)
    batch = run.stream.step(0, 0.0)
    few = preflight.rows(batch, 3, owners=Step(run, batch, run.model).owners)
    width = few.tokens_BT.shape[1]
    assert few.tokens_BT.shape[0] == len(few.pictures_NCHW) == len(few.origins) == 3
    assert width % ROUND == 0
    for name in ("tokens_BT", "targets_BT", "documents_BT", "groups_BT", "positions_BT"):
        assert torch.equal(getattr(few, name), getattr(batch, name)[:3, :width])
    assert (batch.groups_BT[:3, width:] == -1).all()
    assert torch.equal(few.pictures_NCHW, batch.pictures_NCHW[:3])
