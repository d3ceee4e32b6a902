"""Boxes: the head is its equation; every family that speaks says where, packed as alone."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from model.test_every_family import KINDS, WORDS, able, settings

from seesay import config, predict
from seesay.errors import CapabilityError, RecipeError
from seesay.model import families
from seesay.model.boxes import BoxHead, sides
from seesay.predict import Locator, Prompt
from seesay.records import Turn

SPEAKING = able("caption")


def headed(kind: str) -> config.Recipe:
    plain = settings(kind)
    return replace(plain, model=replace(plain.model, box_head=True))


def test_the_head_is_its_equation():
    head, features = BoxHead(6), torch.randn(3, 6)
    one, _, two, _ = head.hidden
    inside = (two(one(features).clamp(min=0))).clamp(min=0)
    wanted = 1 / (1 + torch.exp(-(inside @ head.head.weight.T + head.head.bias)))
    assert torch.allclose(head(features), wanted, atol=1e-6)
    plain = head(features)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(features), plain)


def test_sides_of_a_box():
    assert sides(torch.tensor([[0.5, 0.25, 0.5, 0.25]])).tolist() == [[0.25, 0.125, 0.75, 0.375]]


@pytest.mark.parametrize("kind", SPEAKING)
def test_where_is_told_before_the_first_word_whoever_else_asks(kind):
    recipe = headed(kind)
    model = tiny.model(recipe, WORDS, scale=0.2)
    predictor = predict.predictor(model, WORDS, recipe=recipe)
    assert isinstance(predictor, Locator) and "locate" in predictor.can
    prompts = [
        Prompt((tiny.picture(0),), (Turn("user", "what colour is it ?"),)),
        Prompt((tiny.picture(1),), (Turn("user", "two ?"),)),
        Prompt((tiny.picture(0),), (Turn("user", "two ?"),)),
        Prompt((tiny.picture(0), tiny.picture(1)), (Turn("user", "two ?"),)),
        Prompt((), (Turn("user", "two ?"),)),
    ]
    found = predictor.locate(prompts)
    assert found[3:] == [None, None]
    for prompt, box in zip(prompts[:3], found, strict=False):
        (alone,) = predictor.locate([prompt])
        for name in ("left", "top", "right", "bottom"):
            assert getattr(box, name) == pytest.approx(getattr(alone, name), abs=0.1)
        assert box is not None and 0 <= box.left < box.right <= 1000
        assert 0 <= box.top < box.bottom <= 1000
    # It looks at the picture and hears the question.
    assert found[0] != found[2] != found[1]


@torch.no_grad()
@pytest.mark.parametrize("kind", SPEAKING)
def test_training_and_asking_look_at_the_same_place(kind):
    """Two questions packed on one picture, as training has them, against each asked alone."""
    from seesay.data.collate import Row, collate

    recipe = headed(kind)
    model = tiny.model(recipe, WORDS, scale=0.2)
    predictor = predict.predictor(model, WORDS, recipe=recipe)
    asked, picture = ("what colour is it ?", "two ?"), tiny.picture(2)
    fit = predictor.fit
    documents = [
        fit.shown(tiny.document(WORDS, question, "red"), fit.each, picture_token=WORDS.picture)
        for question in asked
    ]
    boxes = tuple(np.full(4, 0.5, np.float32) for _ in asked)
    row = Row(picture[None], tuple(documents), instructed=fit.instructed, located=boxes)
    batch = collate(
        [row], picture_token=WORDS.picture, picture_tokens=fit.picture_tokens, pad=WORDS.pad
    )
    assert batch.boxes_BT4 is not None
    about_BT = ~batch.boxes_BT4.isnan().any(dim=2)
    said = model(
        batch.tokens_BT, pictures=batch.pictures_NCHW, **batch.layout, select=about_BT,
        about=about_BT,
    )  # fmt: skip
    alone = predictor.locate([Prompt((picture,), (Turn("user", q),)) for q in asked])
    for own, box in zip(1000 * sides(said.boxes), alone, strict=True):
        assert box is not None
        wanted = [box.left, box.top, box.right, box.bottom]
        assert own.clamp(0, 1000).tolist() == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in SPEAKING])
def test_a_family_that_does_not_speak_has_no_head_for_boxes(kind):
    recipe = headed(kind)
    with pytest.raises(RecipeError, match="does not say its answers word by word") as error:
        families.build(recipe.model, vocabulary=len(WORDS), picture_token=WORDS.picture)
    assert error.value.where == "model.box_head" and "prefix" in error.value.fix


@pytest.mark.parametrize("kind", ["clip", "vilt", "llava"])
def test_without_the_head_it_cannot_say_where(kind):
    recipe = settings(kind)
    predictor = predict.predictor(tiny.model(recipe, WORDS), WORDS, recipe=recipe, name="a run")
    with pytest.raises(CapabilityError, match="model.box_head") as error:
        predictor.locate([Prompt((tiny.picture(0),), (Turn("user", "two ?"),))])
    assert error.value.where == "a run"
    assert all(name in error.value.fix for name in predictor.can)


def test_a_checkpoint_says_where_as_the_model_did(tmp_path):
    recipe = headed("llava")
    model = tiny.model(recipe, WORDS, scale=0.3)
    folder = tiny.save(tmp_path / "saved", recipe, WORDS, model)
    prompts = [Prompt((tiny.picture(0),), (Turn("user", "two ?"),))]
    opened = predict.load(folder, device="cpu")
    assert opened.can == (*families.build(
        settings("llava").model, vocabulary=9, picture_token=1).can, "locate")  # fmt: skip
    ours = predict.predictor(model, WORDS, recipe=recipe).locate(prompts)
    assert opened.locate(prompts) == ours != [None]
