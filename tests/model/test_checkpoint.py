"""Checkpoints: what is saved comes back, what is not whole is refused, full disks cost nothing."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch

from seesay.errors import CheckpointError, TrainingError
from seesay.model import checkpoint, golden

SETTINGS = tiny.recipe()
WORDS = tiny.text()


@pytest.fixture
def model():
    return tiny.model(SETTINGS, WORDS)


@pytest.fixture
def saved(tmp_path, model) -> Path:
    return tiny.save(tmp_path / "whole", SETTINGS, WORDS, model)


def opened(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint.open_config(folder)
    return checkpoint.open_tensors(folder / checkpoint.WEIGHTS)


def change(folder: Path, **stored) -> None:
    """Other words in config.json; None takes a key out."""
    path = folder / checkpoint.CONFIG
    whole = json.loads(path.read_text()) | stored
    path.write_text(json.dumps({k: v for k, v in whole.items() if v is not None}))


def reseal(folder: Path) -> None:
    """The sums as an attacker or a careful tool would write them anew."""
    sums = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in checkpoint.SEALED
        if (folder / name).exists()
    }
    change(folder, sha256=sums)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_what_is_saved_comes_back(saved, model):
    weights = opened(saved)
    assert weights.keys() == model.state_dict().keys()
    other = tiny.model(SETTINGS, WORDS)
    checkpoint.fill(other, weights, where="here")
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    names = {path.name for path in saved.iterdir()}
    assert names == {checkpoint.CONFIG, *checkpoint.SEALED}
    assert checkpoint.open_config(saved)["vocabulary"] == len(WORDS)
    assert not hidden(saved.parent)


def test_nothing_in_it_is_pickled(saved):
    """JSON, and safetensors, whose header is JSON too."""
    for path in saved.iterdir():
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
    data = (saved / checkpoint.WEIGHTS).read_bytes()
    json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def test_saving_again_replaces(saved):
    other = tiny.model(SETTINGS, WORDS)
    tiny.save(saved, SETTINGS, WORDS, other)
    assert torch.equal(opened(saved)["text.embedding.weight"], other.text.embedding.weight)
    assert not hidden(saved.parent)


def test_shared_and_turned_tensors_are_saved_as_they_look(tmp_path):
    base = torch.arange(6.0).view(2, 3)
    checkpoint.save_tensors(tmp_path / "a", {"x": base, "same": base, "turned": base.T})
    back = checkpoint.open_tensors(tmp_path / "a")
    assert torch.equal(back["same"], base) and torch.equal(back["turned"], base.T)


# What cannot be opened.


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


BAD = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json cannot be read"),
    "cut config": (lambda f: cut(f / "config.json"), "config.json cannot be read"),
    "config of nothing": (lambda f: (f / "config.json").write_text(""), "cannot be read"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "cannot be read"),
    "config a number": (lambda f: (f / "config.json").write_text("7"), "cannot be read"),
    "config not text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "cannot be read"),
    "config too deep": (lambda f: (f / "config.json").write_text("[" * 99_999), "cannot be read"),
    "of others": (lambda f: change(f, seesay=None), "cannot be read as Seesay's"),
    "other version": (lambda f: change(f, seesay=99), "of version 99, .* reads version 1"),
    "no sums": (lambda f: change(f, sha256=None), "does not list model.safetensors"),
    "sums a list": (lambda f: change(f, sha256=["model.safetensors"]), "does not list"),
    "sum a number": (lambda f: change(f, sha256={"model.safetensors": 3}), "not what was saved"),
    "path outside": (
        lambda f: change(f, sha256={"../x": "0", "model.safetensors": "0"}), r"lists '\.\./x'"
    ),
    "path from the root": (lambda f: change(f, sha256={"/etc/passwd": "0"}), "lists '/etc/passwd'"),
    "other file": (lambda f: change(f, sha256={"README.md": "0"}), "lists 'README.md'"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
    "cut weights": (lambda f: cut(f / "model.safetensors"), "model.safetensors is not what"),
    "flipped bit": (lambda f: flip(f / "model.safetensors"), "model.safetensors is not what"),
    "other tokenizer": (lambda f: flip(f / "tokenizer.json"), "tokenizer.json is not what"),
    "other golden": (lambda f: flip(f / "golden.json"), "golden.json is not what"),
    "folder for file": (
        lambda f: ((f / "golden.json").unlink(), (f / "golden.json").mkdir()),
        "golden.json is missing",
    ),
    "unlisted file": (
        lambda f: change(f, sha256={"model.safetensors": json.loads(
            (f / "config.json").read_text())["sha256"]["model.safetensors"]}),
        "does not list tokenizer.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_whole_is_refused(saved, name):
    break_it, said = BAD[name]
    break_it(saved)
    with pytest.raises(CheckpointError, match=said) as error:
        opened(saved)
    assert str(saved) in str(error.value) and error.value.fix


@pytest.mark.parametrize("data", [
    b"", b"\x00" * 8, b"PK\x03\x04 a pickle in a zip", (2**62).to_bytes(8, "little") + b"{}",
    (2).to_bytes(8, "little") + b"[]", (60).to_bytes(8, "little") +
    b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}     ',
])  # fmt: skip
def test_weights_that_are_no_safetensors_are_refused(saved, data):
    (saved / checkpoint.WEIGHTS).write_bytes(data)
    reseal(saved)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        opened(saved)


def other_shape(weights):
    weights["text.norm.weight"] = torch.ones(7)


def no_number(weights):
    weights["text.norm.weight"][3] = torch.nan


def endless(weights):
    weights["text.norm.weight"][3] = -torch.inf


def one_less(weights):
    del weights["text.norm.weight"]


def one_more(weights):
    weights["text.surprise"] = torch.ones(1)


def whole_numbers(weights):
    weights["text.norm.weight"] = torch.ones(16, dtype=torch.int64)


def complex_numbers(weights):
    weights["text.norm.weight"] = torch.ones(16, dtype=torch.complex64)


@pytest.mark.parametrize(("spoil", "said"), [
    (other_shape, r"'text.norm.weight' is \(16,\) .* but \(7,\)"),
    (no_number, "'text.norm.weight' holds values that are not finite"),
    (endless, "'text.norm.weight' holds values that are not finite"),
    (one_less, r"'text.norm.weight' is \(16,\) .* but absent"),
    (one_more, r"'text.surprise' is absent .* but \(1,\)"),
    (whole_numbers, "'text.norm.weight' is torch.float32 .* torch.int64"),
    (complex_numbers, "'text.norm.weight' is torch.float32 .* torch.complex64"),
])  # fmt: skip
def test_weights_that_do_not_fit_are_refused(saved, model, spoil, said):
    weights = opened(saved)
    spoil(weights)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=said):
        checkpoint.fill(model, weights, where="here")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_weights_of_half_precision_fit(saved, model):
    halved = {name: value.bfloat16() for name, value in opened(saved).items()}
    checkpoint.fill(model, halved, where="here")


# A disk that is full, a run that is killed.


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["save_tensors", "_seal", "_flush", "write"])
@pytest.mark.parametrize("older", [True, False])
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(
    saved, model, monkeypatch, where, older
):
    folder = saved if older else saved.with_name("new")
    before = opened(saved)["text.embedding.weight"]
    write = full if where == "write" else lambda making: None
    if where != "write":
        monkeypatch.setattr(checkpoint, where, full)
    with pytest.raises(TrainingError, match="No space left") as error:
        checkpoint.save(folder, weights=model.state_dict(), config={}, write=write)
    assert str(folder) in str(error.value)
    monkeypatch.undo()
    assert [path.name for path in saved.parent.iterdir()] == ["whole"]
    assert torch.equal(opened(saved)["text.embedding.weight"], before)


def test_a_failed_rename_puts_the_old_one_back(saved, model, monkeypatch):
    rename = Path.rename

    def failing(self, target):
        if self.name.endswith(".tmp"):
            raise OSError(errno.EIO, "the disk has failed")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(TrainingError, match="the disk has failed"):
        checkpoint.save(saved, weights=model.state_dict(), config={}, write=lambda making: None)
    opened(saved)
    assert [path.name for path in saved.parent.iterdir()] == ["whole"]


@pytest.mark.parametrize("write", [interrupted, lambda making: {}["a fault of the caller"]])
def test_whatever_else_stops_it_leaves_nothing_half_written(saved, model, write):
    with pytest.raises((KeyboardInterrupt, KeyError)):
        checkpoint.save(saved, weights=model.state_dict(), config={}, write=write)
    opened(saved)
    assert [path.name for path in saved.parent.iterdir()] == ["whole"]


def test_a_disk_that_is_really_full(saved, tmp_path):
    """A small file system of its own, where this machine lets a test mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
import shutil, sys
sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
from pathlib import Path
import tiny
from seesay.errors import TrainingError
from seesay.model import checkpoint
settings, words = tiny.recipe(), tiny.text()
disk = Path({str(disk)!r})
tiny.save(disk / "one", settings, words, tiny.model(settings, words))
size = sum(path.stat().st_size for path in (disk / "one").iterdir())
free = shutil.disk_usage(disk).free
for share in range(18):  # full at the weights, the tokenizer, the config; at last not full
    (disk / "filler").write_bytes(b"x" * (free - size * share // 9 // 4096 * 4096))
    try:
        tiny.save(disk / "one", settings, words, tiny.model(settings, words))
        print("saved")
    except TrainingError as error:
        assert "o space left" in str(error), error
        print("refused")
    assert sorted(p.name for p in disk.iterdir()) == ["filler", "one"]
    checkpoint.open_config(disk / "one")
    (disk / "filler").unlink()
"""
    command = f"mount -t tmpfs -o size=1m none '{disk}' && exec '{sys.executable}' - "
    try:
        made = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", command],
            input=script, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if "mount" in made.stderr or "unshare" in made.stderr:
        pytest.skip("this machine lets no test mount a file system")
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("refused") >= 5 and made.stdout.count("saved") >= 1


@pytest.mark.parametrize("moment", ["write", "_flush", "rename", "aside"])
def test_a_killed_run_leaves_the_last_good_one(tmp_path, model, moment):
    """Killed as it writes, before the rename, and between the two renames of a replacement."""
    kept = tmp_path / "checkpoints"
    tiny.save(kept / "00000010", SETTINGS, WORDS, model)
    again = "00000010" if moment == "aside" else "00000020"
    pid = os.fork()
    if not pid:  # in the child, which never returns
        try:

            def die(*args, **kwargs):
                os.kill(os.getpid(), signal.SIGKILL)

            rename = Path.rename

            def rename_once(self, target):
                if moment == "rename" or self.name.endswith(".tmp"):
                    die()
                return rename(self, target)

            if moment == "_flush":
                checkpoint._flush = die
            if moment in ("rename", "aside"):
                Path.rename = rename_once
            write = die if moment == "write" else lambda making: None
            checkpoint.save(kept / again, weights=model.state_dict(), config={}, write=write)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    found = checkpoint.find(tmp_path)
    assert found == kept / "00000010"
    assert torch.equal(opened(found)["text.embedding.weight"], model.text.embedding.weight)


# Finding the newest.


def test_the_newest_whole_checkpoint_of_a_run_is_found(saved, tmp_path):
    kept = tmp_path / "run" / "checkpoints"
    for name in ("00000009", "00000100", "123456789", "00000200.bak", ".00000300.7.tmp"):
        shutil.copytree(saved, kept / name)
    (kept / "223456789").mkdir()  # without a config: never finished
    assert checkpoint.find(tmp_path / "run").name == "123456789"
    assert checkpoint.find(saved) == saved and checkpoint.find(str(saved)) == saved


@pytest.mark.parametrize("name", ["none", "empty", "whole/model.safetensors"])
def test_where_there_is_none_an_error_says_what_to_give(saved, name):
    folder = saved.parent / name
    if name == "empty":
        folder.mkdir()
    said = "does not exist" if name == "none" else "holds no finished checkpoint"
    with pytest.raises(CheckpointError, match=said) as error:
        checkpoint.find(folder)
    assert "--out" in error.value.fix


# Golden outputs.


def recorded(model) -> dict:
    return json.loads(json.dumps(golden.record(model, size=(16, 16), picture_tokens=4)))


def test_golden_outputs_come_back_after_saving_and_loading(saved, model):
    other = tiny.model(SETTINGS, WORDS)
    checkpoint.fill(other, opened(saved), where="here")
    assert golden.replay(other, json.loads((saved / "golden.json").read_text()), where="") < 1e-6


def test_recording_leaves_training_mode_on(model):
    model.train()
    golden.record(model, size=(16, 16), picture_tokens=4)
    assert model.training


@pytest.mark.parametrize("name", [
    "vision.stem.project.weight", "connector.project.weight", "text.blocks.1.mlp.down.weight",
    "text.embedding.weight",
])  # fmt: skip
def test_a_drift_of_any_part_is_seen(model, name):
    whole = recorded(model)
    with torch.no_grad():
        dict(model.named_parameters())[name].mul_(1.2)
    with pytest.raises(CheckpointError, match=r"logits are \d+\.\d+ away .* more than 0.002"):
        golden.replay(model, whole, where="here")


def test_a_tiny_difference_between_kernels_is_not_a_drift(model):
    whole = recorded(model)
    with torch.no_grad():
        model.text.norm.weight.mul_(1 + 1e-6)
    assert 0 < golden.replay(model, whole, where="here") < golden.TOLERANCE


@pytest.mark.parametrize("changed", [
    {"logits": []}, {"logits": [[0.0]]}, {"logits": 0.0}, {"logits": "text"}, {"logits": None},
    {"logits": [[float("nan")] * 16] * 8}, {"size": [16]}, {"size": [10**9, 10**9]},
    {"size": [-4, 4]}, {"size": "16"}, {"picture_tokens": 10**12}, {"picture_tokens": -1},
    {"picture_tokens": 5}, {"picture_token": 10**6}, {"vocabulary": 8}, {"vocabulary": 10**12},
    {"vocabulary": None}, {"size": [16.5, float("inf")]},
], ids=str)  # fmt: skip
def test_golden_outputs_that_lie_are_refused(model, changed):
    with pytest.raises(CheckpointError):
        golden.replay(model, recorded(model) | changed, where="here")


@pytest.mark.parametrize("vocabulary", [7, 8, 9, 40])
def test_golden_words_are_of_the_vocabulary_and_no_pictures(vocabulary):
    given = golden._inputs((16, 16), 4, 1, vocabulary)
    words = given["tokens"][0, 4:]
    assert (words < vocabulary).all() and (words != 1).all() and (given["tokens"] == 1).sum() == 4
