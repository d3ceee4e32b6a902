"""Tiles: a large picture in pieces of the model's size, and nothing else changed by them."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from seesay import config, predict, scenes
from seesay.data import images
from seesay.data.augment import Augment
from seesay.data.collate import Row, collate, showing
from seesay.data.fit import Fit
from seesay.data.rows import FileRows, SceneRows
from seesay.data.shots import ShotRows
from seesay.errors import DataError, LengthError, PictureError, RecipeError
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
    assert fit == FIT and (fit.whole, fit.each, fit.beside(4)) == ((16, 16), 4, 92)
    assert (fit.cut(*fit.pixels([picture]))[0] == images.pixels(picture, size=(16, 16))).all()


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
    assert FIT.pixels([dotted])[0].max() < 130 > row.pictures[16].max()


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
    tiles = fit.cut(*fit.pixels([wide]))
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


# As many tiles as suit each picture.

BEST = replace(FIT, tiles="best", max_tiles=4, row_tokens=120)
# Sizes, and the rows and columns that lose the least of them.
SIZES = {(16, 16): (1, 1), (20, 60): (1, 3), (40, 20): (2, 1), (64, 64): (2, 2), (9, 9): (1, 1)}


def mixed(**more) -> list[Example]:
    """Pictures of several sizes, two questions on each."""
    return [
        replace(asked(tiny.picture(i, size), 10 * i + k), group=f"picture {i}", **more)
        for i, size in enumerate(SIZES)
        for k in range(2)
    ]


def rows_of(examples, fit: Fit = BEST, **more) -> dict[str, Row]:
    made = FileRows(examples, text=WORDS, fit=fit, seed=0, **more)
    return {row.origin: row for row in (made.row(i, None) for i in range(len(made.rows)))}


def test_rows_hold_pictures_of_different_numbers_of_tiles():
    rows = list(rows_of(mixed()).values())
    for row in rows:
        number = int(row.origin.partition(":")[2]) // 10
        size, grid = list(SIZES.items())[number]
        whole = images.pixels(tiny.picture(number, size), size=(16 * grid[0], 16 * grid[1]))
        assert (row.pictures == images.tiles(whole[None], grid)).all()
        said = sum(d.num_inputs for d in row.documents)
        assert row.length(4) == 4 * images.num_tiles(grid) + said
    batch = collate(rows, picture_token=WORDS.picture, picture_tokens=4, pad=WORDS.pad)
    marks = (batch.tokens_BT == WORDS.picture).sum(dim=1).tolist()
    assert marks == [4 * len(row.pictures) for row in rows] and len(set(marks)) == 4


def test_tokens_are_counted_row_by_row_whatever_the_tiles():
    rows = list(rows_of(mixed()).values())
    short = replace(rows[0], pictures=rows[0].pictures[:0], documents=(tiny.document(WORDS, "a"),))
    wrong = replace(short, documents=(showing(short.documents[0], 4, picture_token=WORDS.picture),))
    with pytest.raises(LengthError, match="4 picture tokens stand in the text but .* give 0"):
        collate([rows[1], wrong], picture_token=WORDS.picture, picture_tokens=4, pad=WORDS.pad)


def test_the_text_has_the_room_that_its_own_picture_leaves():
    """A picture's tokens are never cut; of its text as much as it must be, and no more."""
    answer = "red green two yes " * 5 + "red green"
    turns = (Turn("user", "what ?"), Turn("assistant", answer))
    rows = rows_of([replace(each, turns=turns) for each in mixed()[::2]])
    lengths = {len(row.pictures): row.length(4) for row in rows.values()}
    # Of a document that is cut, all but the last token is read.
    assert lengths[5] == 119 and lengths[1] < 119
    with pytest.raises(DataError, match="1 pictures take 20 tokens, a row holds 20") as error:
        rows_of(mixed()[6:8], replace(BEST, row_tokens=20))
    assert "data.sequence_budget" in error.value.fix


def test_budgets_of_a_picture_and_of_a_conversation():
    large = tiny.picture(0, (64, 64))
    alone = replace(BEST, picture_budget=12)
    assert [alone.plan(size).tokens for size in SIZES] == [4, 12, 12, 4, 4]
    three = Example((large, large, tiny.picture(1)), asked(large).turns, Origin("a.csv", 1))
    assert BEST.tokens(three.images) == (20, 20, 4)
    several = replace(BEST, sequence_budget=40)
    assert several.tokens(three.images) == (4, 4, 4)  # 2 × 2 is the least that suits a square
    assert len(rows_of([three], several)["a.csv:1"].pictures) == 3
    with pytest.raises(LengthError, match="3 pictures take 12 tokens at the least") as error:
        rows_of([three], replace(BEST, sequence_budget=11))
    assert error.value.where == "a.csv:1"


def test_a_picture_inside_a_conversation_has_its_own_number_of_tokens():
    turns = (Turn("user", "a", pictures=(0,)), Turn("assistant", "b"),
             Turn("user", "c", pictures=(0, 1)), Turn("assistant", "d"))  # fmt: skip
    pictures = tuple(tiny.picture(i, size) for i, size in enumerate([(16, 16), (20, 60), (64, 64)]))
    fit = replace(BEST, row_tokens=200)
    row = rows_of([Example(pictures, turns, Origin("a.csv", 1))], fit)["a.csv:1"]
    assert len(row.pictures) == 1 + 4 + 5 and row.documents[0].pictured == 40
    runs = "".join(" p"[int(t == WORDS.picture)] for t in row.documents[0].tokens).split()
    assert [len(run) for run in runs] == [4, 16, 20]
    # Text is cut, but never a picture.
    with pytest.raises(LengthError, match="text and the 40 tokens of the pictures in it"):
        rows_of([Example(pictures, turns, Origin("a.csv", 1))], replace(fit, row_tokens=45))


def test_a_size_that_cannot_be_read_is_told_of_when_its_turn_comes(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    good, bad = mixed()[0], replace(asked(path, 99), group="broken")
    made = FileRows([good, bad], text=WORDS, fit=BEST, seed=0)
    told = []
    for index in range(2):
        try:
            made.row(index, None)
        except PictureError as error:
            told.append(error.where)
    assert told == ["a.csv:99"]


def test_drawn_pictures_are_as_large_as_they_are_looked_at():
    fit = replace(BEST, patches=(4, 4), max_tiles=5)
    rows = SceneRows(SMALL, text=WORDS, fit=replace(fit, row_tokens=200), seed=0)
    row = rows.row(0, None)
    assert rows.side == 32 and len(row.pictures) == 5
    assert row.labels is not None and row.labels.shape == (5, 5, 16)
    assert fit.whole == (32, 32) and fit.each == 20 and fit.largest.tokens == 24


def test_shots_of_different_tiles_share_a_row():
    examples = [replace(each, labels={"kind": "a"}) for each in mixed()]
    fit = replace(BEST, row_tokens=400, sequence_budget=44)
    source = config.SourceConfig(shots=(2, 2))
    rows = ShotRows(FileRows(examples, text=WORDS, fit=fit, seed=0), config=source)
    for index in range(12):
        row = rows.row(index, None)
        assert 3 <= len(row.pictures) <= 11 and row.marks(4) <= 44
        collate([row], picture_token=WORDS.picture, picture_tokens=4, pad=WORDS.pad)


@pytest.mark.parametrize("kind", ["best", "split"])
def test_what_a_part_of_a_picture_shows_has_the_same_tiles(kind):
    """A crop at random changes neither tokens nor rows, and comes from the picture as it is."""
    fit, plain = replace(BEST, tiles=kind), rows_of(mixed(), replace(BEST, tiles=kind))
    cut = rows_of(mixed(), fit, augment=Augment(random_crop=0.4))
    assert {o: r.pictures.shape for o, r in cut.items()} == {
        o: r.pictures.shape for o, r in plain.items()
    }
    assert all((cut[o].pictures != row.pictures).any() for o, row in plain.items())


# Asking.


@pytest.mark.parametrize("family", ["prefix", "cross", "dual"])
@pytest.mark.usefixtures("one_thread")
def test_pictures_of_many_shapes_are_asked_about_alone_and_together(family):
    """A batch of one and a batch of many say the same, and so do both ways of asking."""
    settings = recipe(tiles="best", max_tiles=4, row_tokens=120)
    settings = replace(settings, model=replace(settings.model, family=family))
    torch.manual_seed(0)
    model = tiny.model(settings, WORDS)
    predictor = predict.predictor(model, WORDS, recipe=settings)
    pictures = [tiny.picture(i, size) for i, size in enumerate(SIZES)]
    ask = [Prompt((each,), (Turn("user", "what ?"),)) for each in pictures]
    options = [["red", "yes"]] * len(ask)
    together = predictor.choose(ask, options)
    alone = [
        predictor.choose([each], options[:1])[0] for each in ask
    ]
    np.testing.assert_allclose(np.stack(together), np.stack(alone), atol=1e-4)
    assert len({tuple(chances.round(5)) for chances in together}) == len(ask)
    if "answer" in model.can:
        several, single = predictor.answer(ask), [predictor.answer([each])[0] for each in ask]
        for one, other in zip(several, single, strict=True):
            assert one.text == other.text
            assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-4)


def test_two_pictures_of_a_prompt_share_the_budget_of_a_sequence():
    settings = recipe(tiles="best", max_tiles=4, row_tokens=120, sequence_budget=30)
    predictor = predict.predictor(tiny.model(settings, WORDS), WORDS, recipe=settings)
    large, looked = tiny.picture(0, (64, 64)), []
    predictor.model.vision.register_forward_pre_hook(lambda _, given: looked.append(given[0]))
    turns = (Turn("user", "what ?"),)
    predictor.answer([Prompt((large,), turns), Prompt((large, tiny.picture(1)), turns),
                      Prompt((large, large), turns)])  # fmt: skip
    # Alone it takes 5 tiles; beside a small one as well; beside itself one.
    assert [len(seen) for seen in looked] == [5 + 1 + 1]


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
    tiles = predictor.fit.cut(*predictor.fit.pixels([large]))
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


def test_tiles_chosen_by_a_recipe():
    settings = recipe(tiles="best", max_tiles=9, row_tokens=100)
    assert settings.data.grid == (3, 3) and settings.picture_size == (48, 48)
    with pytest.raises(RecipeError, match="a budget of 8 picture tokens is kept by choosing tiles"):
        recipe(picture_budget=8)
    with pytest.raises(RecipeError, match="data.tiles"):
        recipe(tiles="bset")
    with pytest.raises(RecipeError, match="picture_budget is 3, but one tile takes 4 tokens"):
        Fit.of(recipe(tiles="best", picture_budget=3).data, size=(16, 16), picture_tokens=4)
    oblong = config.as_table(recipe(tiles="split"))
    oblong["model"]["vision"]["image_size"] = [16, 32]
    with pytest.raises(RecipeError, match="cuts squares, but model.vision.image_size is 16×32"):
        config.recipe(oblong)
