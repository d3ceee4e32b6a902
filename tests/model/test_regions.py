"""Regions: what is in a box, where it is, and nothing of what is not there."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from seesay import config, predict, scenes
from seesay.data.collate import collate, padded
from seesay.data.rows import SceneRows
from seesay.errors import LengthError, RecipeError
from seesay.model.contract import Model
from seesay.model.regions import Regions, crops, there
from seesay.predict import Prompt
from seesay.records import Box, Turn
from seesay.scenes.world import COLOURS, SHAPES
from seesay.train import setup

WORDS = tiny.text()
ASKED = (Turn("user", "what colour is it ?"),)


def recipe() -> config.Recipe:
    table = config.as_table(tiny.recipe())
    model = table["model"]
    model["vision"] |= {"kind": "regions", "crop": 8, "grid": 2}
    model |= {"family": "single", "connector": {**model["connector"], "kind": "linear"}}
    return config.recipe(table)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny.model(recipe(), WORDS, scale=0.2)


def pixels(*seeds: int) -> torch.Tensor:
    several = np.stack([tiny.picture(seed) for seed in seeds])
    return torch.from_numpy(several).permute(0, 3, 1, 2)


def test_a_crop_of_whole_pixels_is_these_pixels():
    picture = torch.rand(1, 3, 16, 16)
    boxes = torch.tensor([[[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 1.0, 1.0]]])
    cut = crops(picture, boxes, side=8)
    torch.testing.assert_close(cut[0, 0], picture[0, :, 8:16, 4:12])
    # A cell of four pixels is looked at in its middle: between them.
    torch.testing.assert_close(
        cut[0, 1], torch.nn.functional.avg_pool2d(picture, 2)[0], atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_a_region_is_its_crop_and_its_place(model):
    """Written out for one box: the mean of the stem over the crop, and a map of six numbers."""
    part = model.vision
    assert isinstance(part, Regions)
    boxes = torch.tensor([[[0.25, 0.5, 0.75, 1.0]]])
    given = part(pixels(0), boxes=boxes)
    cut = part.normalise(pixels(0))[:, :, 8:16, 4:12]
    x = part.stem(cut).mean(dim=(2, 3)) + part.place(
        torch.tensor([[0.25, 0.5, 0.75, 1.0, 0.5, 0.5]])
    )
    for block in part.blocks:
        x = block(x[:, None])[:, 0]
    torch.testing.assert_close(given[:, 0], part.norm(x))


@torch.no_grad()
def test_padding_changes_nothing(model):
    one, two = np.array([[0, 0, 0.5, 1]]), np.array([[0, 0, 0.5, 1], [0.25, 0, 1, 0.5]])
    both = padded([one, two])
    assert there(both).tolist() == [[True, False], [True, True]]
    together = model.look(pixels(0, 1), boxes=both)
    alone = model.look(pixels(0), boxes=padded([one]))
    torch.testing.assert_close(together[:1, :1], alone)


@torch.no_grad()
def test_answers_and_choices_are_of_the_boxes_and_do_not_hang_on_company(model):
    predictor = predict.predictor(model, WORDS, recipe=recipe())
    few, many = (Box(0, 0, 8, 8),), (Box(4, 4, 16, 12), Box(0, 8, 16, 16), Box(2, 2, 6, 6))
    prompts = [Prompt((tiny.picture(0),), ASKED, (each,)) for each in (few, many, ())]
    options = [["red", "green", "yes"]] * 3
    both, said = predictor.choose(prompts, options), predictor.answer(prompts)
    for prompt, chances, answer in zip(prompts, both, said, strict=True):
        (alone,) = predictor.choose([prompt], options[:1])
        np.testing.assert_allclose(chances, alone, atol=1e-5)
        assert predictor.answer([prompt])[0].text == answer.text
    assert np.abs(both[0] - both[1]).max() > 1e-4
    # Without boxes, it is a grid that is looked at.
    cells = tuple(Box(x, y, x + 8, y + 8) for y in (0, 8) for x in (0, 8))
    (grid,) = predictor.choose([Prompt((tiny.picture(0),), ASKED, (cells,))], options[:1])
    np.testing.assert_allclose(both[2], grid, atol=1e-6)


def test_boxes_of_another_number_of_pictures_are_an_error(model):
    predictor = predict.predictor(model, WORDS, recipe=recipe())
    with pytest.raises(LengthError, match="boxes of 2 pictures for 1"):
        predictor.answer([Prompt((tiny.picture(0),), ASKED, ((), ()))])


def test_drawn_pictures_come_with_a_box_around_each_thing():
    fit = replace(tiny.fit(recipe()), row_tokens=200, size=(32, 32))
    rows = [
        SceneRows(config.SourceConfig(objects=(1, 4)), text=WORDS, fit=fit, seed=0).row(i, None)
        for i in range(6)
    ]
    batch = collate(rows, picture_token=WORDS.picture, picture_tokens=1, pad=WORDS.pad)
    world = scenes.World(seed=0, split="train", objects=(1, 4))
    assert batch.boxes_NR4 is not None
    for i, own in enumerate(batch.boxes_NR4):
        example = scenes.picture(world, i, resolution=32)
        wanted = [[b.left, b.top, b.right, b.bottom] for b in scenes.regions(example)]
        real = own[there(own[None])[0]]
        torch.testing.assert_close(real * 32, torch.tensor(wanted, dtype=torch.float32))
    cut = batch.rows(slice(1, 3), width=8, pictures=slice(1, 3))
    assert torch.equal(cut.boxes_NR4, batch.boxes_NR4[1:3])


def test_what_is_in_each_box_is_named():
    """By the order of the boxes; of a grid beside them, and of padding, nothing is known."""
    fit = replace(tiny.fit(recipe()), row_tokens=200, size=(32, 32), things=True)
    drawn = SceneRows(config.SourceConfig(objects=(1, 6)), text=WORDS, fit=fit, seed=0)
    rows = [drawn.row(i, None) for i in range(4)]
    cells = np.zeros((9, 4), np.float32)
    rows.append(replace(rows[0], labels=None, boxes=(cells,)))
    batch = collate(rows, picture_token=WORDS.picture, picture_tokens=1, pad=WORDS.pad)
    assert batch.boxes_NR4 is not None and batch.labels_NAP is not None
    assert batch.labels_NAP.shape == (5, len(scenes.OBJECT_CLASSES), batch.boxes_NR4.shape[1])
    assert (batch.labels_NAP[4] == -1).all()
    world = scenes.World(seed=0, split="train", objects=(1, 6))
    for i, own in enumerate(batch.labels_NAP[:4]):
        boxes = scenes.regions(scenes.picture(world, i, resolution=32))
        said = [f"{COLOURS[c]} {SHAPES[s]}" for s, c in own[:2, : len(boxes)].T.tolist()]
        assert said == [box.label for box in boxes]
        assert (own[:, len(boxes) :] == -1).all()


def test_regions_are_for_what_takes_no_grid(tmp_path):
    plain = config.as_table(recipe())

    def refused(said: str, *changes: str) -> None:
        with pytest.raises(RecipeError, match=said):
            setup.prepare(config.recipe(config.override(plain, changes)), out=tmp_path)

    refused("family 'cross' with a connector of kind 'linear'", "model.family=cross")
    refused("kind 'pixel_shuffle' would", "model.connector.kind=pixel_shuffle")
    refused("'crop' cuts off things", "data.fit=crop")
    refused("pictures are cut into best tiles", "data.tiles=best", "data.max_tiles=2")
    labels = "model.patch_classes=[9, 8, 2, 3, 2]"
    refused("but drawn ones have \\(8, 8, 2, 3, 9\\)", labels, "train.patch_weight=1")


@torch.no_grad()
def test_boxes_are_looked_at_where_the_padded_picture_lies(model):
    settings = recipe()
    settings = replace(settings, data=replace(settings.data, fit="pad"))
    predictor = predict.predictor(model, WORDS, recipe=settings)
    looked = []
    hook = model.vision.register_forward_pre_hook(
        lambda _, args, how: looked.append(how["boxes"]), with_kwargs=True
    )
    wide = tiny.picture(0, (20, 40))
    predictor.choose([predict.Prompt((wide,), ASKED, ((Box(0, 0, 20, 10),),))], [["red", "two"]])
    hook.remove()
    assert looked[0].tolist() == [[[0.0, 0.25, 0.5, 0.5]]]
