"""The loop: accumulation is a bigger batch, curricula go by progress, losses that are no numbers
stop it, failing disks leave the last good checkpoint.
"""

import errno
import json
import math
from dataclasses import replace

import pytest
import torch
from train import runs

from seesay.errors import CheckpointError, RecipeError, TrainingError
from seesay.model import checkpoint
from seesay.train import history, loop, optim, state
from seesay.train.loop import Loop

PLAIN = {"vision": runs.PATCHES, "text": {**runs.TEXT, "dropout": 0.0}}
HERE = {"workers": 0}


@pytest.fixture
def gradients(monkeypatch) -> list[dict[int, torch.Tensor]]:
    """What the gradients of each step were before clipping, in the order of the parameters."""
    kept, plain = [], optim.clip

    def keep(given, most):
        kept.append({i: gradient.clone() for i, gradient in enumerate(given)})
        return plain(given, most)

    monkeypatch.setattr(optim, "clip", keep)
    return kept


# The step.


def test_accumulated_batches_give_the_gradient_of_one_big_batch(tmp_path, folder, gradients):
    """Batches of different numbers of targets: the mean is over targets, not over batches."""
    for name, sizes in (("big", {"batch": 8}), ("parts", {"batch": 2, "accumulate": 4})):
        plan = runs.recipe(folder, data=HERE, model=PLAIN, log_every=1, steps=1, **sizes)
        runs.train(tmp_path / name, plan)
    targets = [int((batch.targets_BT >= 0).sum()) for batch in first_batches(tmp_path, plan, 4)]
    assert len(set(targets)) > 1
    big, parts = gradients
    for i in big:
        torch.testing.assert_close(parts[i], big[i], rtol=1e-4, atol=1e-6)
    (one,), (other,) = history(tmp_path / "big"), history(tmp_path / "parts")
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-6)
    assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)
    assert one["pictures"] == other["pictures"] == 8


def first_batches(out, plan, count):
    stream = runs.prepare(out, plan).stream
    return [stream.step(number, 0.0) for number in range(count)]


@torch.no_grad()
def test_the_loss_is_the_mean_over_targets_of_the_cross_entropy(tmp_path, folder):
    plan = runs.recipe(folder, data=HERE, model=PLAIN)
    run = runs.prepare(tmp_path, plan)
    (batch,) = first_batches(tmp_path, plan, 1)
    logits_BTY = run.model(
        batch.tokens_BT,
        pictures=batch.pictures_NCHW,
        positions=batch.positions_BT,
        documents=batch.documents_BT,
        groups=batch.groups_BT,
    )
    logs = logits_BTY.double().log_softmax(-1)
    places = (batch.targets_BT >= 0).nonzero().tolist()
    wanted = -sum(logs[b, t, batch.targets_BT[b, t]] for b, t in places) / len(places)
    assert float(loop.loss_of(run, batch, run.model)) == pytest.approx(float(wanted), rel=1e-5)


@torch.no_grad()
def test_half_precision_is_near_full(tmp_path, folder):
    plan = runs.recipe(folder, data=HERE, model=PLAIN)
    run = runs.prepare(tmp_path, plan)
    (batch,) = first_batches(tmp_path, plan, 1)
    full = float(loop.loss_of(run, batch, run.model))
    run.dtype = torch.bfloat16
    assert float(loop.loss_of(run, batch, run.model)) == pytest.approx(full, rel=2e-2)


def test_naming_patches_is_learned_without_a_word(tmp_path):
    """A stage of pictures alone: the loss is the patches', and it falls."""
    stage = {"until": 1.0, "captions": 0, "questions": 0}
    plan = runs.recipe(
        "scenes",
        data={**HERE, "stages": [stage]},
        model={**PLAIN, "patch_classes": [9, 8, 2, 3, 2]},
        steps=30,
        log_every=1,
        patch_weight=1.0,
    )
    run = runs.train(tmp_path, plan)
    assert run.model.patch_head is not None
    losses = [row["loss"] for row in history(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]
    (batch,) = first_batches(tmp_path, replace(plan, data=replace(plan.data, stages=())), 1)
    with torch.no_grad():
        both = loop.loss_of(run, batch, run.model)
        run.recipe = replace(plan, train=replace(plan.train, patch_weight=0.0))
        alone = loop.loss_of(run, batch, run.model)
    assert both > alone > 0


def test_naming_what_answers_are_about_adds_to_the_loss_and_is_learned(tmp_path):
    plan = runs.recipe(
        "scenes",
        data={**HERE, "sources": [{"path": "scenes", "kinds": {"colour": 1, "relation": 1}}]},
        model={**PLAIN, "object_classes": [8, 8, 2, 3, 9]},
        steps=1,
        object_weight=1.0,
    )
    run = runs.prepare(tmp_path, plan)
    (batch,) = first_batches(tmp_path, plan, 1)
    assert batch.about_BTAO is not None and run.model.object_head is not None

    def losses() -> list[float]:
        made = []
        for weight in (1.0, 0.0):
            run.recipe = replace(plan, train=replace(plan.train, object_weight=weight))
            made.append(loop.loss_of(run, batch, run.model))
        return made

    both, alone = losses()
    # Five things to tell of each object, from nothing.
    nothing = sum(math.log(n) for n in (8, 8, 2, 3, 9))
    assert (both - alone).item() == pytest.approx(nothing, rel=0.5)
    optimizer = torch.optim.Adam(run.model.parameters(), lr=0.01)
    for _ in range(40):
        (losses()[0] - losses()[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    later = losses()
    assert later[0] - later[1] < 0.5 * (both - alone)


@pytest.mark.parametrize(
    ("drawn", "kind", "classes", "what"),
    [
        (True, "patch", [3, 3], "patch_classes are"),
        (False, "patch", [9, 8, 2, 3, 2], "no source says"),
        (True, "object", [8, 8, 2, 3], "object_classes are"),
        (False, "object", [8, 8, 2, 3, 9], "no source says"),
    ],
)
def test_labels_that_nothing_gives_are_an_error(tmp_path, folder, drawn, kind, classes, what):
    source, model = "scenes" if drawn else folder, {**PLAIN, f"{kind}_classes": classes}
    plan = runs.recipe(source, data=HERE, model=model, **{f"{kind}_weight": 1.0})
    with pytest.raises(RecipeError, match=what):
        runs.prepare(tmp_path, plan)


def test_another_number_of_objects_is_an_error(tmp_path):
    model = {**PLAIN, "object_classes": [8, 8, 2, 3, 9], "num_objects": 3}
    plan = runs.recipe("scenes", data=HERE, model=model, object_weight=1.0)
    with pytest.raises(RecipeError, match="num_objects is 3"):
        runs.prepare(tmp_path, plan)


@pytest.mark.parametrize(
    ("fit", "weight", "lost"),
    [("crop", 0.0, "cuts off"), ("crop", 1.0, "cuts off"), ("pad", 1.0, "moves"),
     ("pad", 0.0, ""), ("stretch", 1.0, "")],
)  # fmt: skip
def test_drawn_pictures_that_would_not_be_what_is_said_of_them(tmp_path, fit, weight, lost):
    model = {**PLAIN, "patch_classes": [9, 8, 2, 3, 2]}
    model["vision"] = {**PLAIN["vision"], "image_size": [16, 32]}
    plan = runs.recipe("scenes", data={**HERE, "fit": fit}, model=model, patch_weight=weight)
    if not lost:
        runs.prepare(tmp_path, plan)
        return
    with pytest.raises(RecipeError, match=f"'{fit}' to 16×32 {lost}"):
        runs.prepare(tmp_path, plan)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_training_learns(tmp_path, folder, optimizer):
    """The words of the pictures are learned, in full and in the log."""
    rates = {"learning_rate": 0.02, "adamw_learning_rate": 0.01}
    plan = runs.recipe(folder, data=HERE, steps=60, batch=8, optimizer=optimizer, **rates)
    runs.train(tmp_path, plan)
    losses = [row["loss"] for row in history(tmp_path)]
    assert losses[-1] < 0.3 * losses[0]


def test_the_models_parts_are_compiled(tmp_path, folder, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda part: compiled.append(part))
    run = runs.train(tmp_path, runs.recipe(folder, data=HERE, steps=1, compile=True))
    assert compiled == list(run.model.children())


def test_the_rate_follows_the_schedule(tmp_path, folder):
    settings = {"warmup": 0.25, "decay": 0.5, "final": 0.1, "log_every": 1, "steps": 8}
    runs.train(tmp_path, runs.recipe(folder, data=HERE, **settings))
    rates = [row["rate"] for row in history(tmp_path)]
    assert rates == pytest.approx([0.01, 0.5, 1.0, 1.0, 1.0, 0.775, 0.55, 0.325])


# The data.


def test_stages_follow_each_other_as_training_goes(tmp_path):
    stages = [
        {"until": 0.25, "objects": [1, 1], "questions": 0},
        {"until": 0.75, "objects": [2, 2]},
    ]
    data = {**HERE, "stages": stages}
    run = runs.prepare(tmp_path, runs.recipe(data=data, steps=8, accumulate=2, batch=2))
    keys, plain = [], run.stream.stage
    run.stream.stage = lambda progress: keys.append(progress) or plain(progress)
    list(Loop(run, None, resume=None).batches())
    # Both batches of a step are of one stage, and so are the weights that they are drawn by.
    assert keys[1:] == [step / 8 for step in range(8) for _ in "abcd"]
    until = [stage.until if (stage := plain(key)) else None for key in keys[1::4]]
    assert until == [0.25, 0.25, 0.75, 0.75, 0.75, 0.75, None, None]


def test_stages_by_the_clock(tmp_path, monkeypatch):
    data = {**HERE, "stages": [{"until": 0.5, "objects": [1, 1]}]}
    run = runs.prepare(tmp_path, runs.recipe(data=data, steps=None, minutes=1.0))
    made = Loop(run, None, resume=None)
    for seconds, progress in ((0.0, 0.0), (15.0, 0.25), (600.0, 1.0)):
        monkeypatch.setattr(made, "elapsed", lambda seconds=seconds: seconds)
        assert made._planned(step=3) == made.done(step=3) == progress


def test_few_unreadable_pictures_are_told_counted_and_left_out(tmp_path, capsys):
    folder = runs.pictures(tmp_path / "data")
    run = runs.prepare(tmp_path / "out", runs.recipe(folder, data=HERE, steps=5, batch=8))
    (folder / "004.png").write_bytes((folder / "004.png").read_bytes()[:60])
    progress = loop.Progress(run.out)
    clock = loop.fit(run, progress)
    progress.close()
    assert clock.skipped == 1 and clock.pictures == 39
    assert "skipped: " in (said := capsys.readouterr().err) and "004.png" in said


def test_many_unreadable_pictures_stop_it(tmp_path):
    folder = runs.pictures(tmp_path / "data")
    run = runs.prepare(tmp_path / "out", runs.recipe(folder, data=HERE, steps=99, batch=8))
    for path in list(folder.glob("*.png"))[::2]:
        path.write_bytes(b"")
    with pytest.raises(TrainingError, match=r"21 of \d+ pictures could not be read, .* 5%"):
        runs.fit(run)


# Losses that are no numbers.


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", [0, 1])
def test_the_batch_of_a_loss_that_is_no_number_is_kept(tmp_path, folder, monkeypatch, value, part):
    plan = runs.recipe(folder, data=HERE, accumulate=2, steps=9, save_every=0.0)
    run = runs.prepare(tmp_path, plan)
    plain, seen = loop.loss_of, []

    def spoilt(run, batch, model, *more):
        seen.append(batch)
        return plain(run, batch, model, *more) * (value if len(seen) == 5 + part else 1.0)

    monkeypatch.setattr(loop, "loss_of", spoilt)
    with pytest.raises(TrainingError, match=f"the loss is {value} at step 3") as error:
        runs.fit(run)
    dump = tmp_path / "bad_batch.safetensors"
    assert error.value.where == str(dump) and error.value.fix
    bad = seen[4 + part]
    assert bad.origins[0] in error.value.what
    kept = checkpoint.open_tensors(dump)
    assert torch.equal(kept["tokens_BT"], bad.tokens_BT)
    assert torch.equal(kept["pictures_NCHW"], bad.pictures_NCHW)
    # What was saved before is whole, and of a step before.
    assert checkpoint.find(tmp_path).name == "00000002"
    weights = checkpoint.open_tensors(checkpoint.find(tmp_path) / "model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_a_bad_last_step_is_not_saved(tmp_path, folder, monkeypatch):
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, steps=1))
    plain = loop.loss_of
    monkeypatch.setattr(loop, "loss_of", lambda *given: plain(*given) * math.nan)
    with pytest.raises(TrainingError, match="nan"):
        runs.fit(run)
    with pytest.raises(CheckpointError):
        checkpoint.find(tmp_path)


# Saving.


@pytest.mark.parametrize("where", ["save_tensors", "_flush", "state"])
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, folder, monkeypatch, where):
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, steps=9, save_every=0.0))
    part, name = (state, "save") if where == "state" else (checkpoint, where)
    plain = getattr(part, name)

    def full(*args, **kwargs):
        if run.clock.step == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(*args, **kwargs)

    monkeypatch.setattr(part, name, full)
    with pytest.raises(TrainingError, match="No space left"):
        runs.fit(run)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000003"]
    checkpoint.open_config(checkpoint.find(tmp_path))
    monkeypatch.undo()
    runs.train(tmp_path, runs.recipe(folder, data=HERE, steps=9), resume=True)
    assert checkpoint.find(tmp_path).name == "00000009"


def test_only_the_newest_checkpoint_is_kept_and_leavings_go(tmp_path, folder):
    kept = tmp_path / "checkpoints"
    (kept / ".00000002.77.tmp").mkdir(parents=True)
    runs.train(tmp_path, runs.recipe(folder, data=HERE, steps=3, save_every=0.0))
    assert [path.name for path in kept.iterdir()] == ["00000003"]


def test_a_checkpoint_is_saved_when_it_is_due(tmp_path, folder, monkeypatch):
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, save_every=10.0, sample_every=25.0))
    made, now, saves, samples = Loop(run, None, resume=None), [0.0], [], []
    monkeypatch.setattr(made, "elapsed", lambda: now[0])
    monkeypatch.setattr(made, "save", lambda: saves.append(now[0]))
    monkeypatch.setattr(made, "_say_sample", lambda: samples.append(now[0]))
    made.last_save = made.last_sample = 0.0
    for now[0] in range(0, 60, 4):
        made.between()
    assert saves == [12, 24, 36, 48] and samples == [28, 56]


def test_what_a_checkpoint_holds(tmp_path, folder):
    run = runs.train(tmp_path, runs.recipe(folder, data=HERE, steps=2, ema=0.5))
    made = checkpoint.find(tmp_path)
    names = {path.name for path in made.iterdir()}
    assert names >= {"config.json", "model.safetensors", "golden.json", "README.md", "resume"}
    assert not [path for path in made.rglob("*") if path.suffix in (".pt", ".pkl", ".bin")]
    stored = json.loads((made / "config.json").read_text())
    assert stored["step"] == 2 and stored["vocabulary"] == len(run.text)
    assert "steps = 2" in (made / "README.md").read_text()
    # The averaged weights are those that are saved to be used; training goes on from the others.
    held = checkpoint.open_tensors(made / "resume" / "state.safetensors")
    saved = checkpoint.open_tensors(made / "model.safetensors")
    own = run.model.state_dict()
    assert all(torch.equal(held[f"average.{name}"], saved[name]) for name in saved)
    assert all(torch.equal(held[f"weights.{name}"], own[name]) for name in saved)
    assert not torch.equal(saved["text.embedding.weight"], own["text.embedding.weight"])


# Samples.


def test_samples_are_asked_of_a_model_at_rest_and_logged(tmp_path, folder):
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE, steps=3, sample_every=0.0))
    modes = []

    def sample(model):
        modes.append(model.training)
        return {"question": "", "answer": "red", "truth": "red"}

    run.sample = sample
    runs.fit(run)
    assert modes == [False] * 3 and run.model.training
    rows = [row for row in history(tmp_path) if "sample" in row]
    assert [row["step"] for row in rows] == [1, 2, 3] and rows[0]["sample"]["truth"] == "red"


def test_signals_are_left_to_the_caller_outside_of_the_main_thread():
    import threading

    flags = []

    def use():
        with loop._stop_flag() as flag:
            flags.append(flag)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert flags == [[]]
