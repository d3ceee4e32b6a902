"""Tiles: a large picture in pieces of the model's size, and nothing else changed by them."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from seesay import config, predict, scenes
from seesay.data import images
from seesay.data.augment import Augment
from seesay.data.collate import collate
from seesay.data.fit import Fit
from seesay.data.rows import FileRows, SceneRows
from seesay.predict import Prompt
from seesay.records import Example, Origin, Turn

WORDS = tiny.text()
FIT = Fit(size=(16, 16), picture_tokens=4, row_tokens=96)
SMALL = config.SourceConfig(questions=2, objects=(1, 2), captions=0, kinds={"exist": 1.0})


def tiled(rows: int, columns: int) -> Fit:
    return replace(FIT, tiles=(rows, columns), row_tokens=200)


def asked(picture: np.ndarray, number: int = 0) -> Example:
    turns = (Turn("user", "what ?"), Turn("assistant", "red"))
    return Example((picture,), turns, Origin("a.csv", number), group="one")


@pytest.mark.parametrize(("tiles", "count"), [((1, 1), 1), ((1, 2), 3), ((2, 2), 5), ((2, 3), 7)])
def test_tiles_stand_row_by_row_then_a_small_one_of_the_whole(tiles, count):
    rows, columns = tiles
    pictures = np.stack([tiny.picture(seed, (8 * rows, 6 * columns)) for seed in range(2)])
    made = images.tiles(pictures, tiles)
    assert made.shape == (2 * count, 8, 6, 3) and images.num_tiles(tiles) == count
    for n, picture in enumerate(pictures):
        own = made[n * count : (n + 1) * count]
        for r in range(rows):
            for c in range(columns):
                part = picture[8 * r : 8 * r + 8, 6 * c : 6 * c + 6]
                assert (own[r * columns + c] == part).all()
        assert (own[-1] == images.pixels(picture, size=(8, 6))).all()
    none = images.tiles(pictures[:0], tiles)
    assert none.shape[0] == 0


def test_one_tile_is_the_picture_itself():
    picture = tiny.picture(0, (40, 30))
    fit = replace(FIT, tiles=(1, 1))
    assert fit == FIT and (fit.whole, fit.each, fit.beside(1)) == ((16, 16), 4, 92)
    assert (fit.cut(fit.frames([picture]))[0] == images.pixels(picture, size=(16, 16))).all()


def test_fine_detail_reaches_the_model():
    """A dot of one pixel in 64: plain in its tile, all but gone in a picture of 16."""
    dotted = np.full((64, 64, 3), 100, np.uint8)
    dotted[41, 22] = 255
    fit = tiled(4, 4)
    assert (fit.whole, fit.each) == ((64, 64), 17 * 4)
    (row,) = (FileRows([asked(dotted)], text=WORDS, fit=fit, seed=0).row(0, None),)
    assert row.pictures.shape == (17, 16, 16, 3)
    assert (row.pictures[2 * 4 + 1] == 255).sum() == 3  # third row, second column
    assert [tile.max() > 100 for tile in row.pictures[:16]].count(True) == 1
    assert FIT.frames([dotted]).max() < 130 > row.pictures[16].max()


def test_scenes_are_drawn_as_large_as_they_are_looked_at():
    fit = tiled(2, 2)
    row = SceneRows(SMALL, text=WORDS, fit=fit, seed=0).row(0, None)
    world = scenes.World(seed=0, objects=(1, 2))
    whole = scenes.render.draw(world.scene(0), 32)
    assert (row.pictures[:4] == images.tiles(whole[None], (2, 2))[:4]).all()


def test_what_is_in_each_patch_of_a_tile():
    fit = replace(tiled(2, 2), patches=(4, 4))
    row = SceneRows(SMALL, text=WORDS, fit=fit, seed=0).row(0, None)
    scene = scenes.World(seed=0, objects=(1, 2)).scene(0)
    assert row.labels is not None and row.labels.shape == (5, 5, 16)
    fine = scenes.patches(scene, (8, 8)).reshape(5, 8, 8)
    for tile, (top, left) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
        part = fine[:, top : top + 4, left : left + 4]
        assert (row.labels[tile] == part.reshape(5, 16)).all()
    assert (row.labels[4] == scenes.patches(scene, (4, 4))).all()


def test_a_picture_is_changed_before_it_is_cut():
    picture = tiny.picture(0, (32, 32))
    rows = FileRows([asked(picture)], text=WORDS, fit=tiled(2, 2), seed=0,
                    augment=Augment(flip=True))  # fmt: skip
    made = [rows.row(index, None).pictures for index in range(8)]
    wanted = [images.tiles(p[None], (2, 2)) for p in (picture, picture[:, ::-1])]
    assert all(any((one == other).all() for other in wanted) for one in made)
    assert len({one.tobytes() for one in made}) == 2


@pytest.mark.parametrize("how", images.FITS)
def test_oblong_pictures_are_fitted_as_a_whole(how):
    wide = np.full((20, 80, 3), 200, np.uint8)
    fit = replace(tiled(2, 2), how=how)
    tiles = fit.cut(fit.frames([wide]))
    whole = images.pixels(wide, size=32, fit=how)
    assert (tiles[:4] == images.tiles(whole[None], (2, 2))[:4]).all()
    assert ((tiles == 127).any()) == (how == "pad")


def test_questions_on_a_picture_share_its_tiles():
    examples = [asked(tiny.picture(0, (32, 32)), i) for i in range(3)]
    rows = FileRows(examples, text=WORDS, fit=tiled(2, 2), seed=0)
    (row,) = (rows.row(0, None),)
    assert len(rows.rows) == 1 and len(row.documents) == 3 and len(row.pictures) == 5
    batch = collate([row], picture_token=WORDS.picture, picture_tokens=4, pad=WORDS.pad)
    assert (batch.documents_BT == 0).sum() == 20


# Asking.


def recipe(**data) -> config.Recipe:
    plain = config.as_table(tiny.recipe(context=200))
    return config.recipe(plain | {"data": plain["data"] | data})


@pytest.mark.usefixtures("one_thread")
def test_a_predictor_cuts_as_training_does():
    settings = recipe(tiles=2, row_tokens=100)
    assert (settings.data.grid, settings.picture_size) == ((2, 2), (32, 32))
    assert settings.resolution == 64
    torch.manual_seed(0)
    model = tiny.model(settings, WORDS)
    predictor = predict.predictor(model, WORDS, recipe=settings)
    assert (predictor.fit.whole, predictor.fit.each) == ((32, 32), 20)
    looked = []
    model.vision.register_forward_pre_hook(lambda _, given: looked.append(given[0]))
    large = tiny.picture(0, (48, 40))
    ask = [Prompt((large,), (Turn("user", text),)) for text in ("what ?", "two ?")]
    answers = predictor.answer(ask)
    assert [len(seen) for seen in looked] == [5]
    tiles = predictor.fit.cut(predictor.fit.frames([large]))
    assert (looked[0].permute(0, 2, 3, 1).numpy() == tiles).all()
    assert predictor.answer(ask[:1])[0].log_probabilities == pytest.approx(
        answers[0].log_probabilities, abs=1e-4
    )
    # The same tiles, given as pictures one by one to a model that cuts nothing.
    plain = predict.predictor(model, WORDS, recipe=recipe(row_tokens=100))
    (same,) = plain.answer([Prompt(tuple(tiles), (Turn("user", "what ?"),))])
    assert same.log_probabilities == pytest.approx(answers[0].log_probabilities, abs=1e-4)
    chosen = predictor.choose(ask, [["red", "yes"]] * 2)
    assert all(p.sum() == pytest.approx(1) for p in chosen)


@pytest.mark.parametrize("given", [{"tiles": 3}, {"tiles": [1, 2]}])
def test_tiles_of_a_recipe(given):
    assert recipe(**given).data.grid == ((3, 3) if given["tiles"] == 3 else (1, 2))
