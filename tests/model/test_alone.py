"""Alone: vectors of pictures, scores of prototypes, pictures of other sizes, where it looks."""

import numpy as np
import pytest
import tiny
import torch

from seesay import config, predict
from seesay.errors import CapabilityError, RecipeError
from seesay.model import families, parts
from seesay.model.alone import class_attention
from seesay.model.rows import Context
from seesay.predict import Prompt

WORDS = tiny.text()
HEAD = {"width": 12, "bottleneck": 6, "prototypes": 10}


def settings(**model) -> config.Recipe:
    plain = config.as_table(tiny.recipe())
    vision = {**plain["model"]["vision"], "class_token": True, **model.pop("vision", {})}
    said = {"family": "vision", "pool": "class", "head": HEAD, **model}
    plain["model"] |= {**said, "vision": vision}
    return config.recipe(plain)


def pixels(*seeds: int, size=(16, 16)) -> torch.Tensor:
    several = [tiny.picture(seed, size) for seed in seeds]
    return torch.from_numpy(np.stack(several)).permute(0, 3, 1, 2)


@torch.no_grad()
def test_scores_are_cosines_of_a_bottleneck_with_prototypes():
    model = tiny.model(settings(), WORDS, scale=0.3)
    made = model(pixels(0, 1, 2))
    assert made.shape == (3, 10) and made.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(model(pixels(1))[0], made[1], atol=1e-5, rtol=1e-4)
    # Weight-normed: how long a prototype is changes nothing.
    model.head.prototypes.mul_(3.0)
    torch.testing.assert_close(model(pixels(0, 1, 2)), made)


@torch.no_grad()
@pytest.mark.parametrize("pool", ["class", "mean", "attention"])
def test_vectors_through_the_predictor(pool):
    recipe = settings(pool=pool)
    model = tiny.model(recipe, WORDS, scale=0.3)
    predictor = predict.predictor(model, WORDS, recipe=recipe)
    made = predictor.embed([tiny.picture(0), tiny.picture(1)])
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    seen = model.look(pixels(0, 1))
    wanted = model.embed_pictures(Context.of(seen, torch.arange(2), rows=2))
    np.testing.assert_allclose(made, wanted.numpy(), atol=1e-5)
    assert np.abs(made[0] - made[1]).max() > 1e-3


def test_words_are_beyond_it():
    recipe = settings()
    predictor = predict.predictor(tiny.model(recipe, WORDS), WORDS, recipe=recipe)
    prompt = Prompt((tiny.picture(0),), ())
    for ask, said in (
        (lambda: predictor.embed(texts=["red"]), "no common space"),
        (lambda: predictor.answer([prompt]), "says nothing"),
        (lambda: predictor.choose([prompt], [["red", "blue"]]), "knows no words"),
    ):
        with pytest.raises(CapabilityError, match=f"family 'vision' .*{said}") as error:
            ask()
        assert "embed_pictures" in error.value.fix


def test_a_checkpoint_opens_as_it_was_saved(tmp_path):
    recipe = settings()
    model = tiny.model(recipe, WORDS)
    opened = predict.load(tiny.save(tmp_path / "saved", recipe, WORDS, model), device="cpu")
    ours, theirs = model.state_dict(), opened.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@torch.no_grad()
def test_positions_are_stretched_for_pictures_of_another_size():
    recipe = settings()
    side = tiny.randomised(parts.vision_side(recipe.model.vision)).eval()
    assert side(pixels(0, size=(8, 8))).shape == (1, 1 + 4, 16)
    assert side(pixels(0, size=(8, 24))).shape == (1, 1 + 12, 16)
    table = side.positions
    assert side._positions(table, (4, 4)) is table
    made = side._positions(table, (2, 2))
    assert torch.equal(made[0], table[0]) and made.shape == (5, 16)
    # An even slope stays one.
    slope = torch.arange(4.0).repeat_interleave(4)[:, None].expand(16, 16)
    steps = side._positions(torch.cat((table[:1], slope)), (8, 8))[1:, 0].view(8, 8)
    torch.testing.assert_close(steps[2:6, 3].diff(), torch.full((3,), 0.5), atol=0.2, rtol=0)
    assert (steps[:, 3].diff() > 0).all()


@torch.no_grad()
def test_where_the_class_token_looks():
    side = tiny.randomised(parts.vision_side(settings().model.vision), scale=0.5).eval()
    shares = class_attention(side, pixels(0, 1))
    assert shares.shape == (2, 2, 4, 4)
    torch.testing.assert_close(shares.sum(dim=(2, 3)), torch.ones(2, 2))
    assert class_attention(side, pixels(0, size=(8, 16))).shape == (1, 2, 2, 4)
    plain = parts.vision_side(tiny.recipe().model.vision)
    with pytest.raises(CapabilityError, match="no class token"):
        class_attention(plain, pixels(0))


@torch.no_grad()
def test_other_families_read_the_patches_without_the_class_token():
    """A connector that folds a grid finds one; the number of picture tokens stays."""
    table = config.as_table(tiny.recipe())
    table["model"]["vision"]["class_token"] = True
    recipe = config.recipe(table)
    model = tiny.model(recipe, WORDS)
    assert model.look(pixels(0)).shape == (1, 17, 16)
    assert model.see(pixels(0)).shape == (1, families.picture_tokens(recipe.model), 16)
    assert torch.equal(model.gridded(model.look(pixels(0))), model.look(pixels(0))[:, 1:])


def test_fresh_blocks_see_the_picture():
    """Were they to begin as the identity, all class tokens would be the same."""
    made = families.build(settings().model, vocabulary=300, picture_token=3).eval()
    with torch.no_grad():
        one, other = made(pixels(0, 1))
    assert (one - other).abs().max() > 1e-3


def test_a_class_token_that_is_not_there():
    with pytest.raises(RecipeError, match="no class token"):
        families.build(
            settings(vision={"class_token": False}).model, vocabulary=300, picture_token=3
        )
    with pytest.raises(RecipeError, match="resnet has no class_token"):
        settings(vision={"kind": "resnet"})
