"""A smaller model's first weights: every so many-th block, channels and heads that go together."""

import pytest
import torch
from train import runs
from train.test_init import HERE, weights
from train.test_teacher import DUAL

from seesay.errors import RecipeError, SeesayError
from seesay.train import setup, shrink

LARGE = {
    **DUAL, "space": 12, "pool": "attention",
    "vision": {**runs.PATCHES, "width": 32, "num_heads": 4, "depth": 4},
    "text": {**runs.TEXT, "width": 32, "num_heads": 4, "depth": 5},
}  # fmt: skip
SMALL = {
    **LARGE, "space": 8,
    "vision": {**LARGE["vision"], "width": 16, "num_heads": 2, "depth": 2},
    "text": {**LARGE["text"], "width": 24, "num_heads": 3, "depth": 2},
}  # fmt: skip
ASKED = {"objectives": {"contrastive": 1.0}}
SAME_DEPTH = {
    **SMALL, "vision": {**SMALL["vision"], "depth": 4}, "text": {**SMALL["text"], "depth": 5}
}  # fmt: skip


@pytest.fixture(scope="session")
def large(tmp_path_factory, folder):
    """Weights of which no two are alike."""
    out = tmp_path_factory.mktemp("large")
    run = runs.prepare(out, runs.recipe(folder, model=LARGE, data=HERE, **ASKED, steps=1))
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return runs.fit(run).out


def begun(tmp_path, folder, large, how, said=None, source="all", **model):
    begin = {"init": {source: str(large)}, "shrink": how, **model}
    plan = runs.recipe(folder, model={**SMALL, **begin}, data=HERE, **ASKED)
    tell = (said if said is not None else []).append
    return setup.prepare(plan, out=tmp_path / "out", device="cpu", say=tell)


def test_the_first_channels_and_heads_of_every_so_many_th_block(tmp_path, folder, large):
    said = []
    own = begun(tmp_path, folder, large, "leading", said).model.state_dict()
    theirs = weights(large)
    for name, value in own.items():
        there = name
        for mine, other in (("vision.blocks.1", "vision.blocks.2"),
                            ("text.blocks.1", "text.blocks.2")):  # fmt: skip
            there = there.replace(mine, other)
        # A head is 8 wide in both, and the first heads are the first rows.
        assert torch.equal(value, theirs[there][tuple(slice(n) for n in value.shape)]), name
    assert "  vision.blocks: 0, 2 of 4" in said and "  text.blocks: 0, 2 of 5" in said
    assert "  vision: 16 of 32, the first" in said and "  text: 24 of 32, the first" in said
    assert "  text.blocks.*.attention.heads: 3 of 4, the first" in said
    assert "  space: 8 of 12, the first" in said


def test_convolutions_before_a_narrower_side_keep_their_channels(tmp_path, folder):
    """All but the last norm, whose channels are the vision side's, are as wide as before."""
    wide = {**LARGE, "vision": {**runs.VISION, "width": 32, "num_heads": 4, "depth": 1}}
    plan = runs.recipe(folder, model=wide, data=HERE, **ASKED, steps=1)
    out = runs.fit(runs.prepare(tmp_path / "wide", plan)).out
    vision = {**wide["vision"], "width": 16, "num_heads": 2}
    own = begun(tmp_path, folder, out, "leading", vision=vision).model.state_dict()
    theirs = weights(out)
    names = [name for name in own if "stem" in name]
    assert any("norm.running_var" in name for name in names)
    for name in names:
        shape = tuple(slice(n) for n in own[name].shape)
        assert torch.equal(own[name], theirs[name][shape]), name


def test_the_largest_go_together(tmp_path, folder):
    """Of a model that is nought but for some channels and heads, nothing is lost but noughts."""
    plans = [runs.recipe(folder, model=model, data=HERE, **ASKED) for model in (LARGE, SAME_DEPTH)]
    large, small = (runs.prepare(tmp_path, plan).model for plan in plans)
    generator, sizes = torch.Generator().manual_seed(3), small.state_dict()
    chosen, held = {}, large.state_dict()
    for name, value in held.items():
        value.copy_(torch.randn(value.shape, generator=generator))
        for at, axis in enumerate(shrink.axes(small).get(name, ())):
            if axis is None:
                continue
            unit = sizes[name].shape[at] // axis.things if axis.things else 1
            few, many = sizes[name].shape[at] // unit, value.shape[at] // unit
            if axis.name not in chosen:
                chosen[axis.name] = torch.randperm(many, generator=generator)[:few]
            mask = torch.zeros(many).scatter(0, chosen[axis.name], 1.0).repeat_interleave(unit)
            value.mul_(mask.view([-1] + [1] * (value.ndim - at - 1)))
    taken = shrink.cut(held, small, largest=True, say=lambda line: None)
    small.load_state_dict(taken)
    for name, value in taken.items():
        assert float(value.norm()) == pytest.approx(float(held[name].norm()), rel=1e-5), name


def test_the_largest_are_found_and_the_same_everywhere(tmp_path, folder, large):
    said = []
    model = begun(tmp_path, folder, large, "largest", said).model
    theirs = weights(large)
    kept = [(theirs["text.embedding.weight"].T == row).all(dim=1).nonzero().item()
            for row in model.state_dict()["text.embedding.weight"].T]  # fmt: skip
    assert kept == sorted(set(kept)) and len(kept) == 24
    assert torch.equal(model.text.norm.weight.detach(), theirs["text.norm.weight"][kept])
    assert "  text: 24 of 32, of the largest norm" in said
    norms = sum(
        theirs[name].square().movedim(at, 0).flatten(1).sum(dim=1)
        for name, lies in shrink.axes(model).items() for at, axis in enumerate(lies)
        if axis == shrink.TEXT and name in theirs and theirs[name].ndim > 1
        and (".blocks." not in name or name.split(".")[2] in "02")
    )  # fmt: skip
    assert norms[kept].mean() > norms.mean()


@pytest.mark.parametrize("family", ["single", "cross", "prefix", "fusion", "queries"])
def test_all_families_shrink(tmp_path, folder, family):
    """What looks across, and heads that read: as long as the connector is as it was."""
    shape = {"family": family, "connector": {"kind": "linear"}}
    asked = {"single": {"masked_lm": 1.0}, "fusion": {"contrastive": 1.0}}
    asked |= {"queries": {"contrastive": 1.0, "caption": 1.0}}
    asked = {"objectives": asked.get(family, {"caption": 1.0}), "steps": 1}
    shape |= {"box_head": family != "single"}
    wide = {**LARGE, **shape, "fusion": "shared"}
    out = tmp_path / "wide"
    runs.train(out, runs.recipe(folder, model=wide, data=HERE, **asked))
    begin = {"init": {"all": str(out)}, "shrink": "largest"}
    begin |= {"fresh": [] if family in ("fusion", "queries") else ["connector"]}
    small = runs.recipe(folder, model={**SMALL, **shape, **begin}, data=HERE, **asked)
    runs.train(tmp_path / "small", small)


def test_nothing_is_cut_unless_asked(tmp_path, folder, large):
    with pytest.raises(SeesayError, match="in this recipe's model but|are not in it") as error:
        begun(tmp_path, folder, large, "none")
    assert "model.shrink" in error.value.fix


def test_a_model_of_one_size_is_taken_whole(tmp_path, folder, large):
    run = begun(tmp_path, folder, large, "largest", **{k: LARGE[k] for k in ("vision", "text")},
                space=12)  # fmt: skip
    theirs = weights(large)
    assert all(torch.equal(value, theirs[name]) for name, value in run.model.state_dict().items())


def test_heads_of_another_width_are_refused(tmp_path, folder, large):
    narrow = {**SMALL["text"], "num_heads": 6}
    with pytest.raises(RecipeError, match="text side is 4 wide here but 8 there") as error:
        begun(tmp_path, folder, large, "leading", text=narrow)
    assert "model.text.width / 8" in error.value.fix
