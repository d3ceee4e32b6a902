"""Optimisers: who moves which parameter, at what rate; the average of weights; clipping."""

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seesay import config
from seesay.config import TrainConfig
from seesay.model import families
from seesay.model.contract import Model
from seesay.model.vision import Convolution
from seesay.train import optim

MODELS = {
    "demo": lambda: config.recipe(config.load(config.shipped("demo"))).model,
    "patches": lambda: tiny.recipe().model,
    "learned positions": lambda: tiny.recipe(positions="learned", norms="layer").model,
    "gated": lambda: tiny.recipe(gated=True, num_kv_heads=1, norms="rms", head_norm="rms").model,
    "resnet": lambda: (
        config.recipe({"model": {"vision": {"kind": "resnet", "stem_residuals": [1, 1, 1]}}}).model
    ),
    "mlp": lambda: config.recipe({"model": {"connector": {"kind": "mlp"}}}).model,
}


@pytest.fixture(params=MODELS)
def model(request) -> Model:
    return families.build(MODELS[request.param](), vocabulary=320, picture_token=1)


def kinds(model: nn.Module, settings: TrainConfig) -> dict[str, str]:
    """Which optimiser each parameter is in; each must be in one group."""
    found: dict[int, str] = {}
    for optimizer in optim.optimizers(model, settings):
        for group in optimizer.param_groups:
            assert group["params"], "an empty group"
            for parameter in group["params"]:
                assert id(parameter) not in found
                found[id(parameter)] = type(optimizer).__name__
    return {name: found[id(p)] for name, p in model.named_parameters()}


def test_every_parameter_is_in_exactly_one_group(model):
    for name in ("muon", "adamw"):
        given = kinds(model, TrainConfig(optimizer=name))
        assert given.keys() == {name for name, _ in model.named_parameters()}


def test_matrices_within_are_muons_and_the_rest_is_adamws(model):
    convolutions = {
        f"{name}.weight" for name, part in model.named_modules() if isinstance(part, Convolution)
    }
    for name, kind in kinds(model, TrainConfig(optimizer="muon")).items():
        weight = model.get_parameter(name)
        table = any(word in name for word in ("embedding", "positions", "head.weight"))
        hidden = weight.ndim == 2 and not table
        assert kind == ("Muon" if hidden else "AdamW"), name
        assert name not in convolutions or kind == "Muon"
        if ".blocks." in name and weight.ndim == 2:
            assert kind == "Muon", name


def test_adamw_takes_all_where_asked(model):
    assert set(kinds(model, TrainConfig(optimizer="adamw")).values()) == {"AdamW"}


def test_a_frozen_parameter_is_in_none(model):
    model.vision.requires_grad_(False)
    held = [
        parameter
        for optimizer in optim.optimizers(model, TrainConfig())
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    wanted = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in held} == {id(p) for p in wanted}


def test_rates_and_decay_by_group():
    model = families.build(MODELS["demo"](), vocabulary=320, picture_token=1)
    settings = TrainConfig(
        learning_rate=0.1,
        convolution_learning_rate=0.2,
        adamw_learning_rate=0.3,
        weight_decay=0.04,
        momentum=0.7,
        betas=(0.8, 0.9),
    )
    muon, adamw = optim.optimizers(model, settings)
    inside, stem = muon.param_groups
    assert (inside["peak"], stem["peak"]) == (0.1, 0.2)
    kernels = [part.weight for part in model.modules() if isinstance(part, Convolution)]
    assert {id(p) for p in stem["params"]} == {id(p) for p in kernels}
    assert {group["momentum"] for group in muon.param_groups} == {0.7}
    assert {group["weight_decay"] for group in muon.param_groups} == {0.04}
    for group in adamw.param_groups:
        flat = all(p.ndim < 2 for p in group["params"])
        assert group["weight_decay"] == (0.0 if flat else 0.04)
        assert (group["peak"], group["betas"]) == (0.3, (0.8, 0.9))
    optim.set_rate([muon, adamw], 0.5)
    assert [group["lr"] for group in muon.param_groups] == [0.05, 0.1]


# The schedule.

SHARES = st.floats(0, 1)


def rate(progress, warmup=0.1, decay=0.4, final=0.02):
    return optim.schedule(progress, warmup=warmup, decay=decay, final=final)


def test_the_schedule_rises_stays_and_falls():
    rises = [rate(progress) for progress in (0.001, 0.05, 0.0999)]
    assert rises == pytest.approx([0.01, 0.5, 0.999])
    assert [rate(progress) for progress in (0.1, 0.3, 0.6)] == [1.0, 1.0, 1.0]
    assert rate(0.8) == pytest.approx(0.02 + 0.98 * 0.5)
    assert rate(1.0) == pytest.approx(0.02)
    assert rate(0.999, decay=0.0) == 1.0
    assert rate(0.0, warmup=0.0) == 1.0


@given(SHARES, SHARES, SHARES, SHARES)
def test_every_rate_is_a_share_above_none(progress, warmup, decay, final):
    factor = rate(progress, warmup=warmup, decay=decay, final=final)
    assert 0 <= factor <= 1 + 1e-12
    assert factor > 0 or (final == 0 and progress == 1)


@given(st.lists(SHARES, min_size=2, max_size=9))
def test_after_the_rise_it_never_rises(points):
    rates = [rate(0.1 + 0.9 * point) for point in sorted(points)]
    assert rates == sorted(rates, reverse=True)


# The average.


def test_the_average_is_the_exponential_one():
    model = nn.Linear(3, 2)
    average = optim.Average(model, 0.8)
    wanted = model.weight.detach().double().clone()
    for step in range(30):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3))
        average.update(model)
        decay = min(0.8, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * model.weight.detach().double()
    torch.testing.assert_close(average.weights["weight"].double(), wanted, rtol=1e-5, atol=1e-6)
    assert average.count == 30


def test_the_average_is_apart_from_the_model_and_leaves_whole_numbers():
    model = nn.BatchNorm1d(2)
    average = optim.Average(model, 0.9)
    model(torch.randn(4, 2))
    average.update(model)
    assert model.num_batches_tracked == 1 and average.weights["num_batches_tracked"] == 0
    assert not torch.equal(average.weights["running_mean"], torch.zeros(2))
    assert not torch.equal(average.weights["running_mean"], model.get_buffer("running_mean"))


# Clipping.


@pytest.mark.parametrize("most", [0.0, 0.5, 1e9])
def test_clipping(most):
    gradients = [torch.randn(3, 4), torch.randn(5)]
    before = [gradient.clone() for gradient in gradients]
    norm = float(torch.cat([g.flatten() for g in before]).norm())
    assert float(optim.clip(gradients, most)) == pytest.approx(norm, rel=1e-6)
    scale = min(1.0, most / norm) if most else 1.0
    for gradient, was in zip(gradients, before, strict=True):
        torch.testing.assert_close(gradient, was * scale, rtol=1e-5, atol=1e-7)


SHAPES = [(8, 8), (8, 8), (16, 8), (8, 16), (3, 30), (30, 3), (12, 12)]


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_together_is_torchs_one_by_one(nesterov):
    start = [torch.randn(shape) for shape in SHAPES]
    ours, theirs = ([nn.Parameter(w.clone()) for w in start] for _ in range(2))
    settings = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "nesterov": nesterov}
    made = optim.Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        for optimizer in made:
            optimizer.step()
    for one, other, before in zip(ours, theirs, start, strict=True):
        moved = (other - before).norm()
        # Both round to bfloat16, in kernels of their own.
        assert (one - other).norm() < 0.02 * moved
    states = [optimizer.state_dict() for optimizer in made]
    for one, other in zip(*(s["state"].values() for s in states), strict=True):
        torch.testing.assert_close(one["momentum_buffer"], other["momentum_buffer"])
