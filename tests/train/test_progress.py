"""Progress: rows of JSON, a line a person reads, TensorBoard; the meter's numbers."""

import json
import sys
from pathlib import Path

import pytest
import torch
from train import runs

from seesay.errors import RecipeError, TrainingError
from seesay.train import history, progress
from seesay.train.meter import Meter
from seesay.train.progress import Progress

FIELDS = {
    "step", "seconds", "progress", "loss", "gradient_norm", "rate", "pictures",
    "pictures_per_second", "tokens_per_second", "waiting", "peak_share", "left", "memory",
    "caption",
    "trained", "parameters",
}  # fmt: skip
ROW = {
    "step": 40, "progress": 0.25, "loss": 1.23456, "pictures_per_second": 321.4,
    "tokens_per_second": 45_678.0, "waiting": 0.031, "peak_share": 0.417, "left": 3725.0,
}  # fmt: skip


def test_the_rows_of_a_log(tmp_path, folder):
    settings = {"log_every": 4, "accumulate": 2, "preflight": 1}
    plan = runs.recipe(folder, data={"workers": 0}, steps=8, minutes=60, **settings)
    run = runs.train(tmp_path, plan)
    rows = history(tmp_path)
    assert [row["step"] for row in rows] == [4, 8]
    for row in rows:
        assert row.keys() == FIELDS
        assert all(isinstance(value, int | float) for value in row.values())
        assert row["loss"] > 0 and row["gradient_norm"] > 0 and 0 < row["rate"] <= 1
        assert row["pictures"] == row["step"] * 8 and row["memory"] > 1e6
        assert row["pictures_per_second"] > 0 and row["tokens_per_second"] > 0
        assert 0 <= row["waiting"] <= 1 and row["peak_share"] > 0
    assert [row["progress"] for row in rows] == [0.5, 1.0]
    # By the steps, which decide, and not by the minutes.
    assert rows[0]["left"] == pytest.approx(rows[0]["seconds"], rel=0.01)
    assert rows[-1]["left"] == 0 and rows[0]["seconds"] < rows[1]["seconds"]
    assert run.clock.pictures == rows[-1]["pictures"]
    # Each line is one object, and the last is whole.
    text = (tmp_path / "log.jsonl").read_text()
    assert text.endswith("\n") and [json.loads(line) for line in text.splitlines()] == rows


def test_the_line_a_person_reads():
    wanted = (
        " 25%  step 40  loss 1.235  321 pictures/s  45.7k tokens/s  waiting 3%  42% of peak  "
        "1:02:05 left"
    )
    assert progress.line(ROW) == wanted
    assert progress.line({**ROW, "peak_share": None, "left": None}).endswith("waiting 3%")


@pytest.mark.parametrize(("seconds", "said"), [
    (0, "0:00"), (-4, "0:00"), (59.9, "0:59"), (61, "1:01"), (3600, "1:00:00"),
])  # fmt: skip
def test_durations(seconds, said):
    assert progress.duration(seconds) == said


@pytest.mark.parametrize("quiet", [True, False])
def test_rows_are_said_where_there_is_no_terminal(tmp_path, capsys, quiet):
    told = Progress(tmp_path / "new", quiet=quiet)
    told.row(ROW)
    told.say("a word")
    told.sample(41, {"question": "", "answer": "red", "truth": "blue"})
    told.sample(42, {"question": "which?", "answer": "red", "truth": "red"})
    told.close()
    shown = capsys.readouterr()
    lines = ["a word", "    (caption) → red ≠ blue", "    which? → red = red"]
    assert shown.out == ""
    assert shown.err.splitlines() == ([] if quiet else [progress.line(ROW), *lines])
    assert len(history(tmp_path / "new")) == 3


def test_a_terminal_has_one_line_that_changes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    told = Progress(tmp_path)
    told.row(ROW)
    told.row({**ROW, "step": 60})
    told.say("a word")
    told.close()
    said = capsys.readouterr().err
    assert said.count("\r\x1b[2K") == 3 and said.endswith("a word\n\n")
    assert said.index("step 40") < said.index("step 60")


def test_rows_stand_there_at_once(tmp_path):
    told = Progress(tmp_path, quiet=True)
    told.row(ROW)
    assert history(tmp_path) == [ROW]
    told.close()


def test_a_new_log_begins_empty_and_a_resumed_one_at_its_step(tmp_path):
    rows = [{"step": step, "loss": 1.0} for step in (10, 20, 30)] + [{"step": 20, "sample": {}}]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4')
    Progress(tmp_path, quiet=True, resumed=20).close()
    assert history(tmp_path) == [rows[0], rows[1], rows[3]]
    Progress(tmp_path, quiet=True).close()
    assert history(tmp_path) == [] == history(tmp_path / "none")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_once(tmp_path):
    told = Progress(tmp_path, quiet=True)
    told.file.close()
    told.file = open("/dev/full", "a")
    with pytest.raises(TrainingError, match="No space left") as error:
        told.row(ROW)
    assert error.value.where == str(tmp_path / "log.jsonl") and "--resume" in error.value.fix
    told.close()


# TensorBoard.


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_the_same_numbers(tmp_path, folder):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = runs.recipe(folder, data={"workers": 0}, steps=4, log_every=2, tensorboard=True)
    runs.train(tmp_path, plan)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    rows = history(tmp_path)
    for name in ("loss", "gradient_norm", "rate", "waiting"):
        scalars = [(event.step, event.value) for event in events.Scalars(name)]
        assert scalars == [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows]


def test_tensorboard_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RecipeError, match="TensorBoard is not installed") as error:
        Progress(tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()
    assert "seesay[tensorboard]" in error.value.fix


# The meter.


def test_the_meters_rates(tmp_path, folder, monkeypatch):
    run = runs.prepare(tmp_path, runs.recipe(folder, data={"workers": 0}, steps=10))
    run.facts |= {"peak_flops": 1000.0, "flops_per_position": 2.0, "flops_per_picture": 50.0}
    now = [100.0]
    meter = Meter(run, lambda: now[0])
    batch = run.stream.step(0, 0.0)
    for loss in (3.0, 1.0):
        meter.count(batch)
        meter.add(torch.tensor(loss), torch.tensor(0.5), 0.25)
    run.clock.step, now[0], meter.wait = 2, 104.0, 1.0
    row = meter.row(0.2)
    positions = 2 * batch.tokens_BT.numel()
    assert row["loss"] == 2.0 and row["gradient_norm"] == 0.5 and row["rate"] == 0.25
    assert row["pictures_per_second"] == 2.0 and row["pictures"] == run.clock.pictures == 8
    assert row["tokens_per_second"] == positions / 4 and run.clock.tokens == positions
    assert row["waiting"] == 0.25
    assert row["peak_share"] == pytest.approx((2.0 * positions + 50.0 * 8) / 4 / 1000)
    assert row["left"] == pytest.approx(416.0) and row["seconds"] == 104.0
    # The next row counts afresh.
    meter.add(torch.tensor(7.0), torch.tensor(0.5), 0.25)
    now[0] = 105.0
    row = meter.row(0.3)
    assert row["loss"] == 7.0 and row["pictures_per_second"] == row["waiting"] == 0
    assert row["pictures"] == 8


def test_the_time_left_of_a_budget_in_minutes(tmp_path, folder):
    run = runs.prepare(tmp_path, runs.recipe(folder, steps=None, minutes=2.0))
    meter = Meter(run, lambda: 30.0)
    meter.add(torch.tensor(1.0), torch.tensor(1.0), 1.0)
    row = meter.row(0.25)
    assert row["left"] == 90.0 and row["peak_share"] == 0.0


def test_losses_since_the_last_row_come_back_with_a_resume(tmp_path, folder):
    run = runs.prepare(tmp_path, runs.recipe(folder, steps=9))
    run.clock.losses = [4.0, 2.0]
    meter = Meter(run, lambda: 1.0)
    meter.add(torch.tensor(0.0), torch.tensor(1.0), 1.0)
    assert meter.row(0.5)["loss"] == 2.0
