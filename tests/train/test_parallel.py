"""Several processes: the same gradients and weights as one with all their batches."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from train import runs

from seesay.errors import CheckpointError
from seesay.model import checkpoint
from seesay.train import history, parallel

PLAIN = {"vision": runs.PATCHES, "text": {**runs.TEXT, "dropout": 0.0}}

# Before the run of `runs.PROGRAM`: keep each step's gradients; after it, leave what this rank has.
KEEP = """
import os
from seesay.train import optim
kept, plain = {}, optim.clip
def keep(gradients, most):
    step = len(kept) // len(gradients)
    kept.update({f"{step}.{i}": gradient.clone() for i, gradient in enumerate(gradients)})
    return plain(gradients, most)
optim.clip = keep
"""
LEAVE = """
from seesay.model import checkpoint
rank = os.environ.get("RANK", "0")
made = checkpoint.find(Path(sys.argv[2])) if rank == "0" else None
checkpoint.save_tensors(Path(sys.argv[2] + f".{rank}.gradients"), kept)
checkpoint.save_tensors(Path(sys.argv[2] + f".{rank}.weights"), run.model.state_dict())
"""
WHOLE = KEEP + runs.PROGRAM.replace("    train.train(", "    run = train.train(") + LEAVE


def torchrun(folder: Path, settings: dict, out: Path) -> None:
    """The recipe on two processes, as a user would start it."""
    script = folder / "program.py"
    script.write_text(WHOLE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script), json.dumps(settings), str(out), "new"]
    ran = subprocess.run(
        command, env=runs.environment(), capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def pair():
    """Start a recipe on two processes, by what torchrun tells its own; none outlives the test."""
    started: list[subprocess.Popen] = []

    def start(settings: dict, out: Path, *, program: str = runs.PROGRAM) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", program, json.dumps(settings), str(out), "new"]
        for rank in ("0", "1"):
            given = {**runs.environment(), **shared, "RANK": rank, "LOCAL_RANK": rank}
            started.append(subprocess.Popen(command, env=given, stderr=subprocess.PIPE))
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


def left(out: Path, rank: int, what: str) -> dict[str, torch.Tensor]:
    return checkpoint.open_tensors(Path(f"{out}.{rank}.{what}"))


def test_two_processes_do_what_one_does_with_all_their_batches(tmp_path, folder):
    """Rows of different numbers of targets, so that a mean of means would be another one."""
    shared = {"model": PLAIN, "data": {"workers": 0}, "steps": 3, "log_every": 1, "clip": 0.5}
    shared |= {"optimizer": "adamw", "adamw_learning_rate": 0.001}
    torchrun(tmp_path, runs.table(folder, batch=4, **shared), tmp_path / "two")
    alone(runs.table(folder, batch=8, **shared), tmp_path / "one")
    as_one(tmp_path)
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    for name in ("loss", "gradient_norm", "pictures", "rate"):
        assert [row[name] for row in two] == pytest.approx([row[name] for row in one], rel=1e-4)
    # The first alone writes.
    assert [path.name for path in (tmp_path / "two").iterdir() if path.is_file()] == ["log.jsonl"]


def alone(settings: dict, out: Path) -> None:
    """The recipe in one process."""
    command = [sys.executable, "-c", WHOLE, json.dumps(settings), str(out), "new"]
    runs.finished(subprocess.Popen(command, env=runs.environment(), stderr=subprocess.PIPE))


def as_one(folder: Path) -> None:
    """Both processes have the same weights, and one with all their batches has them too."""
    for what in ("gradients", "weights"):
        whole = left(folder / "one", 0, what)
        ranks = [left(folder / "two", rank, what) for rank in (0, 1)]
        assert runs.differing(*ranks) == [] and whole.keys() == ranks[0].keys()
        for name, value in whole.items():
            torch.testing.assert_close(ranks[0][name], value, rtol=2e-3, atol=2e-5)


# Not pooled by attention: AdamW makes large steps of what is left of a gradient that is none, and
# the bias of its keys has none.
DUAL = {**PLAIN, "family": "dual", "space": 8, "pool": "mean"}


@pytest.mark.parametrize(("model", "more"), [
    (DUAL, {}),
    ({**DUAL, "contrast": "sigmoid"}, {"chunk": 3}),
    (DUAL, {"chunk": 2, "teacher": {"momentum": 0.9, "queue": 12, "ramp": 0.0}}),
], ids=["softmax", "sigmoid in chunks", "a teacher with a queue"])  # fmt: skip
def test_pictures_stand_against_the_texts_of_all_processes(tmp_path, folder, model, more):
    """The temperature and the towers get the gradients of one matrix, and so do their averages."""
    shared = {"model": model, "data": {"workers": 0}, "steps": 3, "log_every": 1}
    shared |= {"objectives": {"contrastive": 1.0}, "optimizer": "adamw", **more}
    torchrun(tmp_path, runs.table(folder, batch=4, **shared), tmp_path / "two")
    alone(runs.table(folder, batch=8, **shared), tmp_path / "one")
    as_one(tmp_path)
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    for name in ("contrastive", "contrastive_right", "contrastive_alike", "gradient_norm"):
        assert [row[name] for row in two] == pytest.approx([row[name] for row in one], rel=1e-4)


def test_a_process_without_a_text_shows_its_pictures_to_the_other(tmp_path, folder):
    settings = runs.table(folder, model=DUAL, data={"workers": 0}, steps=2, batch=1)
    settings["data"]["sources"] = [{"path": str(folder)}, {**runs.SCENES, "claims": 0}]
    settings["train"] |= {"objectives": {"contrastive": 1.0}, "optimizer": "adamw"}
    torchrun(tmp_path, settings, tmp_path / "two")
    settings["train"]["batch"] = 2
    alone(settings, tmp_path / "one")
    as_one(tmp_path)


def test_labels_that_only_one_process_has_move_both_alike(tmp_path, folder):
    """Of two sources, drawn pictures are labelled and the others are not; one row a process."""
    labels = {"patch_classes": [9, 8, 2, 3, 2], "object_classes": [8, 8, 2, 3, 9]}
    settings = runs.table(folder, model={**PLAIN, **labels}, data={"workers": 0}, steps=2, batch=1)
    settings["data"]["sources"] = [runs.SCENES, {"path": str(folder)}]
    settings["train"] |= {"patch_weight": 1.0, "object_weight": 1.0}
    torchrun(tmp_path, settings, tmp_path / "two")
    weights = [left(tmp_path / "two", rank, "weights") for rank in (0, 1)]
    assert runs.differing(*weights) == []
    gradients = left(tmp_path / "two", 1, "gradients")
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


@pytest.mark.slow
def test_by_the_clock_two_processes_stop_together(tmp_path, folder, pair):
    """A budget in minutes and a log row each step: the ranks' messages must stay in step."""
    settings = runs.table(folder, model=PLAIN, steps=None, minutes=0.03, log_every=1)
    for process in pair(settings, tmp_path / "run"):
        runs.finished(process)
    rows = history(tmp_path / "run")
    assert len(rows) == int(checkpoint.find(tmp_path / "run").name) > 1


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_and_saves(tmp_path, folder, pair):
    settings = runs.table(folder, model=PLAIN, steps=100_000, log_every=1)
    first, second = pair(settings, tmp_path / "run")
    while not history(tmp_path / "run") and first.poll() is None:
        time.sleep(0.01)
    second.send_signal(signal.SIGTERM)
    runs.finished(first, code=130)
    runs.finished(second, code=130)
    assert int(checkpoint.find(tmp_path / "run").name) >= 1


BAD = """
import os
from seesay.train import loop
plain = loop.loss_of
def spoilt(run, batch, model, *more):
    bad = run.ranks.rank == 1 and run.clock.step == 2
    return plain(run, batch, model, *more) * (float("nan") if bad else 1.0)
loop.loss_of = spoilt
"""


@pytest.mark.slow
def test_a_bad_batch_of_one_process_stops_both(tmp_path, folder, pair):
    settings = runs.table(folder, model=PLAIN, steps=100, save_every=0.0)
    first, second = pair(settings, tmp_path, program=BAD + runs.PROGRAM)
    assert "the loss of another process is nan at step 3" in runs.finished(first, code=1)
    assert "the loss is nan at step 3; rows from" in runs.finished(second, code=1)
    assert (tmp_path / "bad_batch.1.safetensors").exists()
    assert not (tmp_path / "bad_batch.safetensors").exists()
    assert checkpoint.find(tmp_path).name == "00000002"


def test_alone_nothing_is_sent():
    assert parallel.join() == parallel.Ranks(0, 1) and parallel.Ranks().first
    tensor = torch.ones(2)
    parallel.average([tensor])
    assert tensor.tolist() == [1.0, 1.0]
    device = torch.device("cpu")
    assert parallel.total(2.5, device) == parallel.agree(2.5, device) == 2.5
    parallel.leave()


def test_sums_and_means_over_processes(tmp_path):
    """One process of a group of one: the messages themselves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    environment["MASTER_PORT"] = str(port)
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        assert parallel.join() == parallel.join() == parallel.Ranks(0, 1)
        tensors = [torch.arange(6.0).view(2, 3).T, torch.tensor(4.0)]
        parallel.average(tensors)
        assert tensors[0].tolist() == [[0, 3], [1, 4], [2, 5]] and tensors[1] == 4
        assert parallel.total(2.5, torch.device("cpu")) == 2.5
        assert parallel.agree(0.1, torch.device("cpu")) == 0.1
    finally:
        parallel.leave()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    with pytest.raises(CheckpointError):
        checkpoint.find(tmp_path)
