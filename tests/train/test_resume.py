"""A run that was killed or stopped and goes on ends bit for bit as one that was not."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from train import runs

from seesay.errors import CheckpointError, SeesayError
from seesay.model import checkpoint
from seesay.train import Interrupted, history, loop

FULL = {"optimizer": "muon", "ema": 0.9, "accumulate": 2, "steps": 16, "seed": 3}


def newest(out: Path) -> int:
    """The step of the newest checkpoint; 0 while there is none."""
    try:
        return int(checkpoint.find(out).name)
    except CheckpointError:
        return 0


@pytest.mark.parametrize("source", ["folder", "scenes"])
def test_killed_and_resumed_is_the_same_as_unbroken(tmp_path, folder, source):
    """SIGKILL in the middle of an epoch, in a process of its own, perhaps between two log rows."""
    place = folder if source == "folder" else "scenes"
    data = {"workers": 1, "flip": True, "shift": 2}
    if source == "scenes":
        data["stages"] = [{"until": 0.5, "objects": [1, 1]}]
    broken = tmp_path / "broken"
    often = runs.table(place, data=data, **FULL, save_every=0.0)
    process = runs.start(often, broken)
    while process.poll() is None and newest(broken) < 5:
        time.sleep(0.002)
    process.kill()
    runs.finished(process, code=-signal.SIGKILL)
    assert 5 <= newest(broken) < FULL["steps"]

    process = runs.start(often, broken, "resume")
    runs.train(tmp_path / "unbroken", runs.recipe(place, data=data, **FULL))
    runs.finished(process)
    whole = runs.state(tmp_path / "unbroken")
    assert runs.differing(whole, runs.state(broken)) == []
    assert whole["log.step"].tolist() == [3, 6, 9, 12, 15]
    assert whole["clock.step"] == FULL["steps"]
    kinds = {"model", "weights", "optimizer", "average", "random", "clock", "log"}
    assert {name.split(".")[0] for name in whole} == kinds
    # The muon and adamw states are both among what was compared, and so is batch norm's average.
    ends = {name.rpartition("|")[2] for name in whole if "|" in name}
    assert ends == {"momentum_buffer", "step", "exp_avg", "exp_avg_sq"}
    assert any(name.endswith("running_mean") for name in whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("settings", [
    {"optimizer": "adamw"}, {"accumulate": 2, "ema": 0.5}, {"log_every": 1}
], ids=str)  # fmt: skip
def test_stopped_and_resumed_is_the_same_as_unbroken(tmp_path, folder, stop_at, number, settings):
    """Stopped at step 5 of 9, between two log rows; data made in this process."""
    plan = runs.recipe(folder, data={"workers": 0}, **{"steps": 9, **settings})
    runs.train(tmp_path / "unbroken", plan)

    run = runs.prepare(tmp_path / "stopped", plan)
    stop_at(run, step=5, number=number)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted):
        runs.fit(run)
    assert signal.getsignal(number) is before
    assert newest(run.out) == 5
    runs.train(run.out, plan, resume=True)
    assert runs.differing(runs.state(tmp_path / "unbroken"), runs.state(run.out)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_videos_go_on_in_the_middle_of_an_epoch(tmp_path, stop_at, workers):
    """Files and folders of frames, changed at random, beside drawn films; two frames a clip."""
    from data import films

    made = [films.film(tmp_path / f"{n}.mkv", frames=6 + n) for n in range(4)]
    made += [films.folder(tmp_path / f"frames{n}", frames=6 + n) for n in range(3)]
    lines = [json.dumps({"video": path.name, "caption": f"a bar {path.stem}"}) for path in made]
    (tmp_path / "films.jsonl").write_text("\n".join(lines))
    sources = [{"path": str(tmp_path / "films.jsonl")}, {**runs.SCENES, "frames": 6}]
    data = {"sources": sources, "video": {"frames": 4}, "flip": True, "shift": 2}
    model = {"time": {"kind": "learned", "pool": 2}}
    plan = runs.recipe(data={**data, "workers": workers}, model=model, steps=9)
    runs.train(tmp_path / "unbroken", plan)
    run = runs.prepare(tmp_path / "stopped", plan)
    stop_at(run, step=5, number=signal.SIGINT)
    with pytest.raises(Interrupted):
        runs.fit(run)
    assert newest(run.out) == 5
    runs.train(run.out, plan, resume=True)
    whole = runs.state(tmp_path / "unbroken")
    assert runs.differing(whole, runs.state(run.out)) == []
    assert whole["weights.time.project.weight"].abs().max() > 0


@pytest.fixture
def stop_at(monkeypatch):
    """Make this process signal itself while a step is being made."""

    def install(run, *, step: int, number: int, times: int = 1) -> None:
        plain, seen = loop.loss_of, []

        def counted(*args):
            seen.append(1)
            if len(seen) == step * run.recipe.train.accumulate:
                for _ in range(times):
                    os.kill(os.getpid(), number)
            return plain(*args)

        monkeypatch.setattr(loop, "loss_of", counted)

    return install


def test_a_second_ctrl_c_stops_at_once(tmp_path, folder, stop_at):
    run = runs.prepare(tmp_path / "run", runs.recipe(folder, data={"workers": 0}))
    stop_at(run, step=2, number=signal.SIGINT, times=2)
    with pytest.raises(KeyboardInterrupt):
        runs.fit(run)
    assert newest(run.out) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_the_number_of_workers_changes_nothing(tmp_path, folder, workers):
    for name, number in (("one", 1), ("other", workers)):
        runs.train(tmp_path / name, runs.recipe(folder, data={"workers": number}, steps=3))
    assert runs.differing(runs.state(tmp_path / "one"), runs.state(tmp_path / "other")) == []


def test_resuming_says_nothing_twice_and_keeps_what_came_before(tmp_path, folder, stop_at):
    plan = runs.recipe(folder, data={"workers": 0}, log_every=1, steps=6)
    run = runs.prepare(tmp_path / "run", plan)
    stop_at(run, step=3, number=signal.SIGINT)
    with pytest.raises(Interrupted):
        runs.fit(run)
    # Steps that the killed run had logged but not saved, the last of them half a line.
    with (run.out / "log.jsonl").open("a") as log:
        log.write('{"step": 4, "loss": 99.0}\n{"step": 5, "lo')
    runs.train(run.out, plan, resume=True)
    rows = history(run.out)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row["loss"] < 99 for row in rows)


def test_a_finished_run_that_is_resumed_stays_as_it_is(tmp_path, folder):
    plan = runs.recipe(folder, data={"workers": 0}, steps=2)
    runs.train(tmp_path, plan)
    before = runs.state(tmp_path)
    runs.train(tmp_path, plan, resume=True)
    assert runs.differing(before, runs.state(tmp_path)) == []


def test_minutes_of_training_go_on_from_where_they_stood(tmp_path, folder):
    """The clock counts the minutes before the stop; a budget that is spent trains no more."""
    minutes = {"steps": None, "minutes": 0.02}
    plan = runs.recipe(folder, data={"workers": 0}, **minutes)
    run = runs.train(tmp_path, plan)
    assert run.clock.seconds >= 1.2 and run.clock.step > 0
    again = runs.train(tmp_path, plan, resume=True)
    assert again.clock.step == run.clock.step


# What cannot be resumed.


def saved(out: Path, folder: Path, **settings):
    plan = runs.recipe(folder, data={"workers": 0}, steps=1, **settings)
    return runs.train(out, plan), checkpoint.find(out) / "resume"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda f: (f / "state.json").unlink(), "nothing whole to resume from"),
    (lambda f: cut(f / "state.json"), "nothing whole to resume from"),
    (lambda f: (f / "state.json").write_text('{"clock": {"steps": 1}}'), "nothing whole"),
    (lambda f: (f / "state.json").write_text('{"clock": {"step": 1}}'), "nothing whole"),
    (lambda f: (f / "state.json").write_text("[]"), "nothing whole"),
    (lambda f: (f / "state.safetensors").unlink(), "not a whole safetensors file"),
    (lambda f: cut(f / "state.safetensors"), "not a whole safetensors file"),
    (lambda f: checkpoint.save_tensors(f / "state.safetensors", {}), "absent in the weights"),
])  # fmt: skip
def test_a_state_that_is_not_whole_is_refused(tmp_path, folder, spoil, said):
    run, place = saved(tmp_path, folder)
    spoil(place)
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    with pytest.raises(CheckpointError, match=said) as error:
        runs.train(tmp_path, run.recipe, resume=True)
    assert str(place) in str(error.value) and error.value.fix
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before


@pytest.mark.parametrize(("first", "then", "said"), [
    ({"optimizer": "muon"}, {"optimizer": "adamw"}, "momentum_buffer.* not one of AdamW"),
    ({"optimizer": "adamw"}, {"optimizer": "muon"}, "not one of Muon"),
    ({}, {"ema": 0.9}, "no running average was saved"),
    ({}, {"model": {"text": {**runs.TEXT, "width": 32}}}, r"\(32, 64\) in the model .* \(16,"),
])  # fmt: skip
def test_a_state_of_another_recipe_is_refused(tmp_path, folder, first, then, said):
    saved(tmp_path, folder, **first)
    plan = runs.recipe(folder, data={"workers": 0}, steps=2, **then)
    with pytest.raises(CheckpointError, match=said) as error:
        runs.train(tmp_path, plan, resume=True)
    assert error.value.fix == "resume with the recipe the run was started with"


def test_there_is_nothing_to_resume(tmp_path, folder):
    with pytest.raises(SeesayError, match="does not exist"):
        runs.train(tmp_path / "none", runs.recipe(folder), resume=True)
    assert not (tmp_path / "none").exists()


def test_the_random_state_comes_back(tmp_path, folder):
    run, place = saved(tmp_path, folder)
    stored = checkpoint.open_tensors(place / "state.safetensors")["random.cpu"]
    torch.manual_seed(99)
    runs.train(tmp_path, run.recipe, resume=True)
    assert torch.equal(torch.get_rng_state(), stored)
