"""Self-distillation: the paper's loss, a teacher that follows, a run that goes on to the bit."""

import math
from dataclasses import replace

import pytest
import torch
from train import runs

from seesay import objectives, predict
from seesay.errors import CheckpointError, RecipeError
from seesay.model import checkpoint
from seesay.train import history, losses, self_distillation, setup

VISION = {**runs.VISION, "class_token": True}
MODEL = {
    "family": "vision",
    "pool": "class",
    "vision": VISION,
    "head": {"width": 16, "bottleneck": 8, "prototypes": 12},
}
ONE = {"objectives": {"self_distill": 1.0}}
VIEWS = {"locals": 2, "momentum": 0.9}


def plan(source="scenes", *, views=VIEWS, model=MODEL, data=None, **train):
    return runs.recipe(
        source,
        model=model,
        data={"workers": 0, "row_tokens": 8, **(data or {})},
        **{**ONE, "self_distill": views, **train},
    )


def halves(tmp_path, source="scenes", **said):
    """A run of 12 steps, and one of 6 that goes on to 12."""
    settings = plan(source, save_every=0.0, **said)
    whole = runs.train(tmp_path / "whole", settings)
    broken = runs.prepare(tmp_path / "broken", settings)
    plain, seen = losses.loss_of, []

    class Stop(Exception):
        pass

    def counted(*given):
        if len(seen) == 6 * settings.train.accumulate:
            raise Stop
        seen.append(1)
        return plain(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seesay.train.loop.loss_of", counted)
        with pytest.raises(Stop):
            runs.fit(broken)
    assert checkpoint.find(broken.out).name == "00000006"
    runs.train(broken.out, settings, resume=True)
    return whole, broken


@pytest.mark.parametrize(("source", "balance"), [("scenes", "centre"), ("folder", "sinkhorn")])
def test_six_steps_and_six_are_twelve(tmp_path, folder, source, balance):
    """Pupil, teacher, its batch norms, its centre, the dice of the views: bit for bit."""
    views = {**VIEWS, "balance": balance}
    place = folder if source == "folder" else "scenes"
    whole, broken = halves(tmp_path, place, views=views, accumulate=2)
    state = runs.state(whole.out)
    assert runs.differing(state, runs.state(broken.out)) == []
    names = {name for name in state if name.startswith("self_teacher.")}
    assert "self_teacher.centre" in names and state["self_teacher.centre"].abs().max() > 0
    assert any(name.endswith("running_mean") for name in names)
    # What is saved is the teacher, which is not the pupil.
    for name, value in predict.load(whole.out, device="cpu").model.state_dict().items():
        assert torch.equal(value, state[f"self_teacher.model.{name}"])
    token = "vision.class_token"
    assert not torch.equal(state[f"self_teacher.model.{token}"], state[f"weights.{token}"])


def test_the_loss_is_the_papers():
    """Equation 3, written out: every view of the teacher's against every other of the pupil's."""
    pupil, teacher = torch.randn(4, 3, 5), torch.randn(2, 3, 5).softmax(dim=-1)
    pairs = [
        -(teacher[g] * pupil[v].log_softmax(dim=-1)).sum(dim=-1).mean()
        for g in range(2) for v in range(4) if g != v
    ]  # fmt: skip
    wanted = torch.stack(pairs).mean()
    torch.testing.assert_close(objectives.self_distillation(pupil, teacher), wanted)


def test_the_teacher_follows_by_a_cosine(tmp_path):
    run = runs.prepare(tmp_path, plan(views={**VIEWS, "warmup": 0.5,
                                             "teacher_temperatures": [0.04, 0.07]}))  # fmt: skip
    teacher = run.self_teacher
    assert teacher is not None and not any(p.requires_grad for p in teacher.model.parameters())
    said = {0.0: (0.9, 0.04), 0.25: (None, 0.055), 0.5: (0.95, 0.07), 1.0: (1.0, 0.07)}
    for progress, (momentum, temperature) in said.items():
        teacher.progress = progress
        assert teacher.temperature == pytest.approx(temperature)
        assert momentum is None or teacher.momentum == pytest.approx(momentum)
    teacher.progress = 0.0
    own = teacher.model.vision.class_token.clone()
    with torch.no_grad():
        run.model.vision.class_token.add_(1.0)
    teacher._means = [torch.ones(12), 3 * torch.ones(12)]
    teacher.follow(run.model)
    torch.testing.assert_close(teacher.model.vision.class_token, own + 0.1)
    torch.testing.assert_close(teacher.centre_K, torch.full((12,), 0.2))
    assert teacher._means == []


def test_outputs_are_shared_out_over_a_batch():
    """Sinkhorn-Knopp: rows are probabilities, columns weigh alike, the order of likings stays."""
    torch.manual_seed(0)
    liked = torch.randn(40, 5)
    liked[:, 0] += 2.0
    made = self_distillation.shared_out(liked, rounds=50)
    torch.testing.assert_close(made.sum(dim=1), torch.ones(40))
    torch.testing.assert_close(made.sum(dim=0), torch.full((5,), 8.0), atol=1e-3, rtol=0)
    # Of two pictures, which likes a prototype better than another is as before.
    odds = (made[:, 0] / made[:, 1]).log() - (liked[:, 0] - liked[:, 1])
    torch.testing.assert_close(odds, odds[:1].expand(40), atol=1e-3, rtol=0)
    assert torch.isfinite(self_distillation.shared_out(1000 * liked)).all()


def test_what_is_logged_shows_a_collapse():
    even = torch.full((6, 8), 1 / 8)
    same = torch.eye(8)[[0] * 6]
    apart = torch.eye(8)[:6]
    for aims, entropy, tells in ((even, math.log(8), 0), (same, 0, 0), (apart, 0, math.log(6))):
        told = self_distillation.told(aims)
        assert float(told["teacher_entropy"]) == pytest.approx(entropy, abs=1e-6)
        assert float(told["teacher_uniform"]) == pytest.approx(math.log(8) - entropy, abs=1e-6)
        assert float(told["teacher_tells"]) == pytest.approx(tells, abs=1e-6)
        assert float(told["teacher_most"]) == pytest.approx(math.log(6), abs=1e-6)


def test_a_collapse_is_said_once(tmp_path):
    teacher = runs.prepare(tmp_path, plan()).self_teacher
    assert teacher is not None
    told = {
        name: {key: float(value) for key, value in self_distillation.told(aims).items()}
        for name, aims in (
            ("even", torch.full((6, 12), 1 / 12)),
            ("same", torch.eye(12)[[0] * 6]),
            ("apart", torch.eye(12)[:6]),
        )
    }
    assert teacher.warning(told["apart"]) is None
    assert "nearly uniform" in str(teacher.warning(told["even"]))
    assert teacher.warning(told["even"]) is None and teacher.warning(told["apart"]) is None
    assert "always one prototype" in str(teacher.warning(told["same"]))


def test_a_run_says_that_it_has_collapsed(tmp_path, capsys):
    """Without centring and sharpening, at a temperature that makes all scores alike."""
    views = {**VIEWS, "teacher_temperatures": [9.0, 9.0]}
    from seesay import train

    train.train(plan(views=views, steps=6), out=tmp_path, device="cpu")
    assert capsys.readouterr().err.count("warning: collapsed") == 1
    rows = [row for row in history(tmp_path) if "loss" in row]
    assert all(row["teacher_tells"] < 0.01 for row in rows)


@pytest.mark.parametrize(("said", "what"), [
    ({"ema": 0.9}, "running average already"),
    ({"views": {"local_size": 10}}, "10×10 do not divide into patches of 4"),
    ({"objectives": {"contrastive": 1.0}}, "cannot embed"),
])  # fmt: skip
def test_what_does_not_go_together(tmp_path, said, what):
    with pytest.raises(RecipeError, match=what):
        runs.prepare(tmp_path, plan(**said))


def test_other_families_do_not_distill(tmp_path):
    with pytest.raises(RecipeError, match="cannot distill"):
        runs.prepare(tmp_path, runs.recipe(**ONE))


def test_smaller_views_are_half_a_picture_in_whole_patches():
    for side, half in ((16, (8, 8)), ([20, 28], (12, 16))):
        model = {**MODEL, "vision": {**VISION, "image_size": side}}
        assert self_distillation._small(plan(model=model)) == half
    assert self_distillation._small(plan(views={"local_size": 12})) == (12, 12)


def test_a_teacher_of_another_recipe_is_refused(tmp_path, folder):
    settings = plan(folder, steps=1)
    runs.train(tmp_path, settings)
    state = checkpoint.find(tmp_path) / "resume" / "state.safetensors"
    held = checkpoint.open_tensors(state)
    checkpoint.save_tensors(state, {k: v for k, v in held.items() if "centre" not in k})
    with pytest.raises(CheckpointError, match="centre is of 0 prototypes"):
        runs.train(tmp_path, settings, resume=True)
    checkpoint.save_tensors(state, {k: v for k, v in held.items() if "teacher" not in k})
    with pytest.raises(CheckpointError):
        runs.train(tmp_path, settings, resume=True)


@pytest.mark.parametrize("family", [
    {"family": "dual", "pool": "class", "space": 8},
    {"family": "prefix", "connector": {"kind": "pixel_shuffle", "factor": 2}},
])  # fmt: skip
def test_its_vision_side_begins_another_recipe(tmp_path, folder, family):
    runs.train(tmp_path / "alone", plan(folder, steps=2))
    init = {"vision": str(tmp_path / "alone")}
    begun = setup.prepare(
        runs.recipe(folder, model={**family, "vision": VISION, "init": init},
                    objectives={"caption" if family["family"] == "prefix" else "contrastive": 1.0}),
        out=tmp_path / "next",
        device="cpu",
    )  # fmt: skip
    held = checkpoint.open_tensors(checkpoint.find(tmp_path / "alone") / checkpoint.WEIGHTS)
    own = begun.model.state_dict()
    names = [name for name in own if name.startswith("vision.")]
    assert "vision.class_token" in names
    assert all(torch.equal(own[name], held[name]) for name in names)
    runs.fit(replace(begun, recipe=begun.recipe))


def test_each_picture_of_a_file_source_is_a_row(tmp_path, folder):
    run = runs.prepare(tmp_path, plan(folder))
    assert len(run.stream.sources[0].rows) == 37
    batch = run.stream.step(0, 0.0)
    assert len(batch.pictures_NCHW) == 4 and (batch.documents_BT <= 0).all()
