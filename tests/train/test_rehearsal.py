"""Rehearsal: what is counted on shapes is what a real step counts; nothing large is made."""


import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from train import runs

from seesay import config, machine
from seesay.model import families
from seesay.model.families import FAMILIES
from seesay.train import optim, rehearsal
from seesay.train.losses import OBJECTIVES, loss_of
from seesay.train.rehearsal import Imitation, Rehearsal

CAN = {
    name: families.build(
        runs.recipe(model={"family": name}).model, vocabulary=320, picture_token=1
    ).can
    for name in FAMILIES
}
CPU = torch.device("cpu")
SOURCES = ("scenes", "pictures.csv")


def rehearsed(settings: config.Recipe, dtype=torch.float32, **options) -> Rehearsal:
    return Rehearsal(settings, device=CPU, dtype=dtype, **options)


def real(made: Rehearsal, rows: int):
    """A run with numbers, and the same batch with pictures."""
    run, batch = made._run(rows)
    model = rehearsal.families.build(
        made.recipe.model, vocabulary=made.vocabulary, picture_token=made.text.picture
    )
    pictures = torch.zeros(batch.pictures_NCHW.shape, dtype=torch.uint8)
    run.model = model.train()
    return run, rehearsal.replace(batch, pictures_NCHW=pictures)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("source", SOURCES)
def test_a_step_is_as_a_real_one(source, dtype):
    made = rehearsed(runs.recipe(source), dtype)
    run, batch = real(made, 4)
    known = [*run.model.parameters(), *run.model.buffers()]
    counter = FlopCounterMode(display=False)
    with Imitation(made.fake, known=known, long=False) as held, counter:
        with rehearsal._dropping_gradients(run.model):
            loss_of(run, batch, run.model).backward()
    step = made.step(4, count=True)
    assert step.flops == counter.get_total_flops() > 0
    # Gradients of weights are summed elsewhere, now and then, where they are real.
    assert step.memory == pytest.approx(held.most, rel=0.05)
    assert (step.rows, step.pictures) == (4, 4)
    assert step.positions == batch.tokens_BT.numel()


@pytest.mark.parametrize("source", SOURCES)
def test_boxes_are_rehearsed(source):
    boxed = runs.recipe(source, model={"box_head": True}, box_weight=1.0)
    made = rehearsed(boxed)
    run, batch = real(made, 4)
    assert batch.boxes_BT4 is not None and not batch.boxes_BT4.isnan().all()
    counter = FlopCounterMode(display=False)
    with counter:
        loss_of(run, batch, run.model).backward()
    assert made.step(4, count=True).flops == counter.get_total_flops()
    assert made.look().flops["box_head"] > 0


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_an_update_keeps_what_a_real_one_keeps(optimizer):
    settings = runs.recipe(optimizer=optimizer)
    made = rehearsed(settings)
    run, batch = real(made, 2)
    loss_of(run, batch, run.model).backward()
    optimizers = optim.optimizers(run.model, settings.train)
    for each in optimizers:
        each.step()
    numbers = [v for each in optimizers for s in each.state.values() for v in s.values()]
    kept = rehearsal.held(value for value in numbers if value.ndim)
    trained = len([p for p in run.model.parameters() if p.requires_grad])
    # Objects are not asked about here, so their head, if any, has no state; steps are 4 bytes.
    assert kept <= made.update().kept <= kept + 4 * trained
    one = made.gradients
    assert kept == 2 * one if optimizer == "adamw" else one < kept < 2 * one


def test_memory_grows_by_the_row():
    made = rehearsed(runs.recipe("pictures.csv"))
    two, four, eight = (made.step(rows).memory for rows in (2, 4, 8))
    assert eight - four == pytest.approx(2 * (four - two), rel=0.02)


def test_long_rows_are_not_made_real(monkeypatch):
    settings = runs.recipe("pictures.csv", model={"prefix_lm": True})
    plain = rehearsed(settings).step(2, count=True)
    monkeypatch.setattr(rehearsal, "LONG", 8)
    monkeypatch.setattr(rehearsal, "MOST", 500)
    assert rehearsed(settings).step(2, count=True) == plain
    monkeypatch.undo()
    endless = {"text": {**runs.TEXT, "context": 200_000}}
    long = runs.recipe("pictures.csv", model=endless, data={"row_tokens": 200_000})
    before = machine.peak_memory()
    assert rehearsed(long).step(1).memory > 200_000**2
    assert machine.peak_memory() - before < 1e9


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", SOURCES)
def test_every_family_can_be_rehearsed(family, source):
    objective = next(name for name in OBJECTIVES if OBJECTIVES[name][1] in CAN[family])
    settings = runs.recipe(source, model={"family": family}, objectives={objective: 1.0})
    made = rehearsed(settings)
    look, step = made.look(), made.step(2, count=True)
    vision = "towers.vision" if family == "fusion" else "vision"
    # Of the one picture, the pupil's smaller views come last.
    views = settings.train.self_distill.locals if objective == "self_distill" else 1
    assert look.shapes[vision][0] == views and look.pictures == 1
    assert 0 < look.flops[vision] < look.flops[""]
    assert 0 < made.weights and 0 < step.memory and look.flops[""] < step.flops


def test_nothing_large_is_made():
    large = {"width": 8192, "depth": 8, "num_heads": 64}
    settings = runs.recipe(model={"text": large})
    before = machine.peak_memory()
    made = rehearsed(settings)
    made.look(), made.step(2), made.update()
    assert made.weights > 5e9
    assert machine.peak_memory() - before < 1e9


def test_random_numbers_are_left_alone():
    state = torch.get_rng_state()
    made = rehearsed(runs.recipe())
    made.look(), made.step(2), made.update()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_recurrent_layer_is_counted():
    """Each weight once for each step and row, and twice more going back."""
    layer, x = torch.nn.LSTM(16, 32, batch_first=True), torch.randn(3, 5, 16, requires_grad=True)
    weights = sum(p.numel() for name, p in layer.named_parameters() if "weight" in name)
    with rehearsal._counter() as counter:
        made = layer(x)[0]
        forward = counter.get_total_flops()
        made.sum().backward()
    assert forward in (0, 2 * 3 * 5 * weights)  # 0: torch made it of others here
    assert counter.get_total_flops() == 3 * forward or not forward
