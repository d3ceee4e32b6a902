"""Training on pictures in their own shapes: each as if alone, resumed, estimated, and learned."""

import csv
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from train import runs
from train.test_rehearsal import real, rehearsed

from seesay import cli, config, predict
from seesay.data import images, sources
from seesay.data.collate import collate
from seesay.data.order import Place
from seesay.errors import RecipeError, TrainingError
from seesay.evaluate import evaluate
from seesay.model import checkpoint
from seesay.predict import Prompt
from seesay.records import Turn
from seesay.train import Interrupted, auto, chunks, init, loop, preflight, setup, teacher
from seesay.train.estimate import Estimate
from seesay.train.losses import Step, loss_of

TEXT = {**runs.TEXT, "dropout": 0.0, "depth": 2, "width": 48, "num_heads": 4, "context": 200}
MODEL = {"vision": {**runs.PATCHES, "depth": 2, "width": 32, "positions": "rotary"}, "text": TEXT,
         "connector": {"kind": "pixel_shuffle", "factor": 2}}  # fmt: skip
DATA = {"workers": 0, "tiles": "native", "min_pixels": 256, "picture_budget": 60,
        "row_tokens": 160}  # fmt: skip
# (width, height) of pictures.
SHAPES = [(16, 16), (48, 16), (24, 72), (40, 40), (72, 32), (17, 33)]
# Lines one pixel wide, which say nothing but at full size.
LINES = {"across": (slice(None, None, 2), slice(None)), "down": (slice(None), slice(None, None, 2))}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    """Pictures of many shapes, grey but for a patch of lines: which way, and in which half."""
    folder = tmp_path_factory.mktemp("shapes")
    rows = []
    for number in range(12):
        wide, high = SHAPES[number % 6]
        way, half = ("across", "down")[number // 6], ("left", "right")[number % 3 % 2]
        pixels = np.full((high, wide, 3), 128, np.uint8)
        left = 0 if half == "left" else wide - 8
        part = pixels[high - 12 : high - 4, left : left + 8]
        part[:] = 96
        part[LINES[way]] = 160
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows += [(f"{number}.png", "which way ?", way), (f"{number}.png", "where ?", half)]
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "question", "answer"), *rows])
    return folder / "train.csv"


def plan(shapes: Path | str, *, data=None, model=None, **train) -> config.Recipe:
    return runs.recipe(
        shapes, data={**DATA, **(data or {})}, model={**MODEL, **(model or {})}, **train
    )


# Each as if alone.

CONV = {"vision": {**runs.VISION, "width": 32, "positions": "rotary"}}
KINDS = {"patches": {}, "convolutions": CONV, "linear": {"connector": {"kind": "linear"}},
         "prefix lm": {"prefix_lm": True, "connector": {"kind": "mlp"}}}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pack", [False, True])
def test_a_batch_of_many_learns_what_batches_of_one_would(tmp_path, shapes, kind, pack):
    # A patch a token: four times as many.
    more = {"max_pixels": 960, "picture_budget": 0} if "connector" in KINDS[kind] else {}
    settings = plan(shapes, data={"pack": pack, **more}, model=KINDS[kind], batch=6)
    run = runs.prepare(tmp_path, settings)
    batch = run.stream.step(0, 0.0)
    rows, _ = run.stream.rows(Place.first((1.0,)), None)
    assert len({row.grids for row in rows}) > 2 and len(batch.grids) == 6
    assert len(batch.tokens_BT) < 6 or not pack
    facts: dict[str, torch.Tensor] = {}
    loss_of(run, batch, run.model.eval(), facts)
    total, words = 0.0, 0
    for row in rows:
        one = collate([row], picture_token=run.text.picture, picture_tokens=1, pad=run.text.pad)
        own: dict[str, torch.Tensor] = {}
        loss_of(run, one, run.model, own)
        count = int((one.targets_BT >= 0).sum())
        total, words = total + float(own["caption"]) * count, words + count
    assert float(facts["caption"]) == pytest.approx(total / words, rel=1e-4)


def test_gradients_of_a_batch_in_chunks_are_those_of_the_whole(tmp_path, shapes):
    found = []
    for size in (6, 2):
        run = runs.prepare(tmp_path, plan(shapes, data={"pack": False}, batch=6, chunk=size))
        batch = run.stream.step(0, 0.0)
        whole = chunks.split(batch, size, owners=Step(run, batch, run.model).owners)
        assert sum((each.batch.grids for each in whole), ()) == batch.grids
        chunks.learn(run, batch, run.model, {}, chunks.Share(1.0, 1.0))
        found.append([p.grad for p in run.model.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_nothing_leaks_and_the_first_steps_learn(tmp_path, shapes):
    """What preflight looks at, of rows that are packed."""
    run = runs.prepare(tmp_path, plan(shapes, batch=8, optimizer="adamw"))
    batch = run.stream.step(0, 0.0)
    first, last = preflight.check(run, batch, steps=25)
    assert last < 0.6 * first and run.facts["leaks"] == []
    few = preflight.rows(batch, 1, owners=Step(run, batch, run.model).owners)
    assert sum(r * c for r, c in few.grids) == len(few.pictures_NCHW)
    assert 0 < len(few.grids) < len(batch.grids)


# A run.


def test_stopped_and_resumed_it_is_the_same_as_unbroken(tmp_path, shapes, monkeypatch):
    changes = {"flip": True, "shift": 1, "random_crop": 0.8, "jitter": 0.3}
    settings = plan(shapes, data=changes, model=CONV, batch=3, steps=6)
    runs.train(tmp_path / "unbroken", settings)
    run, plain, seen = runs.prepare(tmp_path / "stopped", settings), loop.loss_of, []

    def stopping(*args):
        seen.append(1)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*args)

    monkeypatch.setattr(loop, "loss_of", stopping)
    with pytest.raises(Interrupted):
        runs.fit(run)
    runs.train(run.out, settings, resume=True)
    assert runs.differing(runs.state(tmp_path / "unbroken"), runs.state(run.out)) == []
    # Pictures are counted, and not what they are cut into.
    assert run.clock.pictures < run.clock.looked and run.clock.pictures <= 6 * 3


def test_what_only_full_size_shows_is_learned_by_heart(tmp_path, shapes, capsys):
    """Lines one pixel wide, of which nothing is left in pictures brought to one small size."""
    examples = sources.read(str(shapes)).examples
    for one, other in zip(examples[:12], examples[12:], strict=True):
        small = [images.pixels(e.images[0], size=(8, 8)).astype(int) for e in (one, other)]
        assert one.images != other.images and abs(small[0] - small[1]).max() < 12
    settings = plan(shapes, batch=12, steps=160, optimizer="adamw", adamw_learning_rate=0.005)
    runs.train(tmp_path, settings)
    predictor = predict.load(tmp_path, device="cpu")
    assert predictor.fit.native and predictor.fit.min_pixels == 256
    result = evaluate(predictor, examples)
    assert result.scores["answers"].value == 1
    assert result.controls["answers_blank"].value < 0.8
    # Alone, beside others, shared by several, and with several in a row.
    prompts = [Prompt(e.images, e.turns[:1]) for e in examples]
    together = predictor.answer(prompts)
    for prompt, own in zip(prompts[:6], together, strict=False):
        (alone,) = predictor.answer([prompt])
        assert alone.text == own.text
        assert alone.log_probabilities == pytest.approx(own.log_probabilities, abs=1e-3)
    chosen = predictor.choose(prompts, [["across", "down"]] * len(prompts))
    said = [["across", "down"][int(p.argmax())] for p in chosen]
    assert said[::2] == [e.answer for e in examples][::2]
    both = (*examples[0].images, *examples[4].images)
    (answer,) = predictor.answer([Prompt(both, (Turn("user", "which way ?", pictures=(0, 0)),))])
    assert answer.text
    folder = checkpoint.find(tmp_path)
    assert '"grid": [2, 3]' in (folder / "golden.json").read_text()
    capsys.readouterr()
    picture = str(examples[0].images[0])
    assert cli.main(["ask", str(tmp_path), picture, "which way ?"]) == 0
    assert examples[0].answer in capsys.readouterr().out


def test_a_run_begun_with_another_takes_its_shapes_over(tmp_path, shapes):
    first = runs.train(tmp_path / "first", plan(shapes, steps=1))
    table = runs.table(shapes, data={"workers": 0})
    for key in ("row_tokens", "vocabulary"):
        del table["data"][key]
    table["model"] = {"init": {"all": str(first.out)}}
    own = runs.prepare(tmp_path / "second", config.recipe(init.inherit(table, say=print)))
    assert own.stream.fit == first.stream.fit
    assert "up to 60 tokens a picture" in setup.describe(own)
    # Of a teacher, too, tokens must stand for the same.
    last, words = checkpoint.find(first.out), first.text
    teacher._check_sees(last, first.recipe, own.recipe, words)
    for change, said in (
        ({"tiles": 1, "picture_budget": 0}, "in their own shapes, and the run of one size"),
        ({}, "a token of the teacher's stands for 8×8 pixels, and one of the run's for 16×16"),
    ):
        ours = plan(shapes, data=change, model={"connector": {"factor": 2 if change else 4}})
        with pytest.raises(RecipeError, match=said):
            teacher._check_sees(last, first.recipe, ours, words)
    told: list[str] = []
    settled = auto.settle(config.as_table(plan(shapes, steps=1)), say=told.append)[0]
    assert settled.data.native and not any("image_size" in line for line in told)


def test_a_batch_that_made_the_loss_infinite_is_left_whole(tmp_path, shapes):
    run = runs.prepare(tmp_path, plan(shapes, steps=2))
    with torch.no_grad():
        next(run.model.connector.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError):
        runs.fit(run)
    left = checkpoint.open_tensors(tmp_path / "bad_batch.safetensors")
    assert int(left["grids"].prod(dim=1).sum()) == len(left["pictures_NCHW"])


# Before a run.


@pytest.mark.parametrize("source", ["scenes", "pictures.csv"])
def test_a_rehearsed_step_is_a_real_one(source):
    made = rehearsed(plan(source))
    run, batch = real(made, 2)
    assert batch.pictures_NCHW.shape[1:] == (3, 8, 8)
    with FlopCounterMode(display=False) as counter:
        loss_of(run, batch, run.model).backward()
    step = made.step(2, count=True)
    assert step.flops == counter.get_total_flops() > 0
    assert step.pictures == len(batch.pictures_NCHW) == sum(r * c for r, c in batch.grids)


def test_a_picture_is_estimated_at_its_largest():
    made = Estimate(plan("pictures.csv"), device=torch.device("cpu"), dtype=torch.float32)
    fit, model = setup.fit(made.recipe, made.rehearsal.model), made.rehearsal.model
    assert fit.largest.tokens == 60 and fit.grids([fit.largest]) == ((6, 10),)
    with made.rehearsal.fake, FlopCounterMode(display=False) as counter, torch.no_grad():
        model.see(torch.empty(60, 3, 8, 8, dtype=torch.uint8), grids=[(6, 10)])
    assert made.arithmetic.picture == counter.get_total_flops()
    assert made.memory.activations > 0


def test_what_a_recipe_costs_is_described(tmp_path, capsys):
    path = tmp_path / "own.toml"
    path.write_text(config.dump(config.as_table(plan("pictures.csv"))))
    assert cli.main(["describe", str(path)]) == 0
    said = capsys.readouterr().out
    assert "pictures of 80×48" in said and "image_size" not in said
    lines = [line.split() for line in said.splitlines()]
    assert ["640×480", "64×48", "1", "48"] in lines
    assert ["1080×1920", "40×80", "1", "50"] in lines


def test_what_does_not_go_together(tmp_path, shapes):
    with pytest.raises(RecipeError, match="a picture may take 159 tokens of 8×8 pixels"):
        plan(shapes, data={"picture_budget": 159})
    with pytest.raises(RecipeError, match="data.fit = 'pad' knows one for all"):
        plan(shapes, data={"fit": "pad"})
