"""Estimate: what a run will take, against what runs took; and runs that are refused."""

import json
import subprocess
import sys
import time

import pytest
import torch
from train import runs

from seesay import machine
from seesay import train as training
from seesay.errors import RecipeError
from seesay.train import estimate
from seesay.train.estimate import Estimate

CPU = torch.device("cpu")
# Trains in a process of its own, and says the most memory that it held.
PROGRAM = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from seesay import config, machine, train
from seesay.train import setup
setup.SCENES_READ = 20
machine.measure_matmul = lambda *args, **kwargs: 1e12
recipe = config.recipe(json.loads(sys.argv[1]))
train.train(recipe, out=Path(sys.argv[2]), quiet=True, device="cpu")
print(machine.peak_memory())
"""


def made(settings, **options) -> Estimate:
    return Estimate(settings, device=CPU, dtype=torch.float32, **options)


@pytest.mark.parametrize("settings", [
    {"batch": 512, "model": {"text": {**runs.TEXT, "width": 64, "depth": 3}}},
    {"optimizer": "adamw", "model": {"text": {**runs.TEXT, "width": 1024, "depth": 2}}},
], ids=["batch", "model"])  # fmt: skip
def test_a_run_takes_what_was_estimated(tmp_path, settings):
    """Within a factor of two: most of it activations, and most of it weights."""
    settings = {"data": {"workers": 0}, "steps": 2, **settings}
    table = runs.table(**settings)
    command = [sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(table), str(tmp_path)]
    ran = subprocess.run(command, env=runs.environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    took = int(ran.stdout)
    expected = made(runs.recipe(**settings)).memory
    assert expected.peak > 1.8 * expected.program  # or the test would show nothing
    assert took / 2 < expected.peak < took * 2, f"{took / 1e6:.0f} MB, {expected}"


def test_memory_is_the_sum_of_its_parts():
    whole = made(runs.recipe(batch=64)).memory
    parts = (whole.program, whole.weights, whole.gradients, whole.optimizer, whole.activations)
    assert whole.peak == sum(parts) and min(parts) > 0
    averaged = made(runs.recipe(batch=64, ema=0.9)).memory
    assert averaged.optimizer == whole.optimizer + whole.weights
    # A batch is learned by heart on a copy.
    copied = made(runs.recipe(batch=1, preflight=1)).memory
    assert copied.peak == made(runs.recipe(batch=1)).memory.peak + copied.weights


def test_answering_takes_weights_and_a_cache():
    serving = made(runs.recipe()).serving
    # One block, keys and values, of four bytes.
    assert serving.cache_per_position == 2 * 16 * 4
    assert serving.cache == 96 * serving.cache_per_position and serving.context == 96


def test_arithmetic_is_of_all_rows_of_a_step():
    one, more = (made(runs.recipe(batch=8, accumulate=n)).arithmetic for n in (1, 3))
    assert more.step == 3 * one.step
    # Forward once and back twice, but for the pictures, which need no gradient.
    rows = 8 * (one.picture + 96 * one.position)
    assert 1.5 * rows < one.step < 4 * rows
    assert one.answer == one.picture + one.position * (4 + estimate.ASKED + estimate.SAID)


def test_speed_says_what_fits():
    within = made(runs.recipe(steps=None, minutes=2)).speed()
    assert within.steps == int(120 / within.seconds) and within.minutes == pytest.approx(2, 1e-3)
    asked = made(runs.recipe(steps=5)).speed(share=0.5)
    assert asked.steps == 5 and asked.share == 0.5
    assert asked.seconds == pytest.approx(within.seconds * within.share / 0.5)
    endless = made(runs.recipe(steps=None)).speed()
    assert endless.steps is None and endless.minutes is None


# Refusing.


def refused(settings) -> RecipeError:
    with pytest.raises(RecipeError) as error:
        estimate.check(settings, device="cpu")
    return error.value


ABSURD = {"text": {"width": 8192, "depth": 200, "num_heads": 64}}


def test_an_absurd_recipe_is_refused_at_once(tmp_path):
    """Hundreds of GB: without making it, or anything else."""
    settings = runs.recipe(model=ABSURD, check_memory=True)
    before, start = machine.peak_memory(), time.perf_counter()
    with pytest.raises(RecipeError, match="training would need .* TB of memory, and .* free"):
        training.train(settings, out=tmp_path / "run", device="cpu", quiet=True)
    assert machine.peak_memory() - before < 1e9
    assert time.perf_counter() - start < 60  # seconds, unless the machine is busy
    assert not (tmp_path / "run").exists()


def test_what_is_said_to_fit_fits(monkeypatch):
    settings = runs.recipe(batch=256, accumulate=2, check_memory=True)
    need = made(settings).memory
    free = need.peak - need.activations * 6 // 10
    monkeypatch.setattr(machine, "free_memory", lambda place: free)
    error = refused(settings)
    assert estimate.size(need.peak) in error.what and error.where == "train"
    assert "set train.batch = 64 with train.accumulate = 8" in error.fix
    assert "train.check_memory=false" in error.fix
    estimate.check(runs.recipe(batch=64, accumulate=8, check_memory=True), device="cpu")
    estimate.check(runs.recipe(batch=256, check_memory=False), device="cpu")
    monkeypatch.setattr(machine, "free_memory", lambda place: 1_000_000)
    assert "lower data.row_tokens" in refused(settings).fix
    monkeypatch.setattr(machine, "free_memory", lambda place: 1000)
    assert "width or depth" in refused(settings).fix
    # Where the system does not say what is free, nothing is refused.
    monkeypatch.setattr(machine, "free_memory", lambda place: 0)
    estimate.check(settings, device="cpu")


def test_processes_on_one_machine_share_its_memory(monkeypatch):
    settings = runs.recipe(check_memory=True)
    need = made(settings).memory.peak
    monkeypatch.setattr(machine, "free_memory", lambda place: 2 * need)
    estimate.check(settings, device="cpu")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert estimate.size(3 * need) in refused(settings).what


def test_a_step_that_cannot_be_rehearsed_is_not_refused(monkeypatch):
    """Only what its weights take is known then."""

    def unknowable(*args, **kwargs):
        raise estimate.DynamicOutputShapeException("aten.nonzero")

    settings = runs.recipe(check_memory=True)
    monkeypatch.setattr(estimate.Rehearsal, "step", unknowable)
    monkeypatch.setattr(machine, "free_memory", lambda place: 10**6)
    estimate.check(settings, device="cpu")
    monkeypatch.setattr(machine, "free_memory", lambda place: 1000)
    refused(settings)


@pytest.mark.parametrize(("count", "said"), [
    (3, "3 B"), (1500, "1.5 kB"), (12_345_678, "12.3 MB"), (2e9, "2 GB"), (5e15, "5,000 TB"),
])  # fmt: skip
def test_sizes_are_said(count, said):
    assert estimate.size(count) == said
