"""Native: pictures in their own shapes, cut into squares that each become one token."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from seesay import config, scenes
from seesay.coordinates import boxes_in
from seesay.data import images, resolution
from seesay.data.augment import Augment
from seesay.data.collate import Row, collate
from seesay.data.fit import Fit
from seesay.data.rows import FileRows, SceneRows
from seesay.data.shots import ShotRows
from seesay.errors import DataError, LengthError, PictureError
from seesay.predict.protocol import Prompt
from seesay.predict.shown import Shown
from seesay.records import Example, Origin, Turn

WORDS = tiny.text()
FIT = Fit(size=(8, 8), picture_tokens=1, row_tokens=160, tiles="native", min_pixels=256,
          max_pixels=4096, packed=True)  # fmt: skip
# Sizes, and the rows and columns of squares that they are brought to.
SIZES = {(16, 16): (2, 2), (17, 39): (2, 5), (60, 20): (8, 2), (8, 120): (1, 15), (9, 9): (2, 2),
         (200, 300): (6, 9)}  # fmt: skip


def asked(picture: np.ndarray, number: int = 0, **more) -> Example:
    turns = (Turn("user", "what ?"), Turn("assistant", "red"))
    return replace(Example((picture,), turns, Origin("a.csv", number), group="one"), **more)


def mixed(**more) -> list[Example]:
    """Pictures of several sizes, two questions on each."""
    return [
        asked(tiny.picture(i, size), 10 * i + k, group=f"picture {i}", **more)
        for i, size in enumerate(SIZES)
        for k in range(2)
    ]


def rows_of(examples, fit: Fit = FIT, **more) -> list[Row]:
    made = FileRows(examples, text=WORDS, fit=fit, seed=0, **more)
    return [made.row(i, None) for i in range(len(made.rows))]


def batched(rows, *, room: int | None = None):
    return collate(rows, picture_token=WORDS.picture, picture_tokens=1, pad=WORDS.pad, room=room)


def test_a_picture_is_cut_into_squares_of_its_own_shape():
    for row in rows_of(mixed()):
        number = int(row.origin.partition(":")[2]) // 10
        size, grid = list(SIZES.items())[number]
        whole = images.pixels(tiny.picture(number, size), size=(8 * grid[0], 8 * grid[1]))
        assert row.grids == (grid,) and row.pictures.shape == (grid[0] * grid[1], 8, 8, 3)
        for r, c in np.ndindex(grid):
            part = whole[8 * r : 8 * r + 8, 8 * c : 8 * c + 8]
            assert (row.pictures[r * grid[1] + c] == part).all()
        assert FIT.plan(size).tokens == len(row.pictures)
        assert row.length(1) == len(row.pictures) + sum(d.num_inputs for d in row.documents)


def test_pictures_of_exactly_whole_squares_are_not_touched():
    picture = tiny.picture(0, (24, 40))
    (row,) = rows_of([asked(picture)])
    back = row.pictures.reshape(3, 5, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(24, 40, 3)
    assert (back == picture).all()


@pytest.mark.parametrize("room", [None, 160])
def test_a_batch_has_the_squares_in_the_order_of_its_marks(room):
    """In rows of their own, and packed."""
    rows = rows_of(mixed())
    batch = batched(rows, room=room)
    assert sorted(batch.grids) == sorted(SIZES.values()) and batch.num_pictures == len(SIZES)
    marks_BT = batch.tokens_BT == WORDS.picture
    assert int(marks_BT.sum()) == len(batch.pictures_NCHW) == sum(r * c for r, c in batch.grids)
    assert (len(batch.tokens_BT) < len(rows)) == (room is not None)
    by_grid = {row.grids[0]: row for row in rows if row.grids != ((2, 2),)}
    at = 0
    for grid in batch.grids:
        own = batch.pictures_NCHW[at : at + grid[0] * grid[1]].permute(0, 2, 3, 1).numpy()
        at += len(own)
        assert grid == (2, 2) or (own == by_grid[grid].pictures).all()
    # Of some rows, the grids of their pictures.
    first = int(marks_BT[:1].sum())
    part = batch.rows(slice(1), width=batch.tokens_BT.shape[1], pictures=slice(first))
    rest = batch.rows(slice(1, None), width=160, pictures=slice(first, None))
    assert part.grids + rest.grids == batch.grids and part.grids and rest.grids
    assert sum(r * c for r, c in part.grids) == len(part.pictures_NCHW) == first
    assert batch.rows(slice(1), width=8, pictures=slice(0)).grids == ()


# Budgets.

SIZE = st.tuples(st.integers(1, 900), st.integers(1, 900))


def shaped(size: tuple[int, int]) -> tuple[int, int]:
    """Not too oblong."""
    return max(size[0], size[1] // 100 + 1), max(size[1], size[0] // 100 + 1)


@given(SIZE, st.integers(0, 40), st.integers(0, 40))
def test_a_picture_keeps_its_budget(size, picture, sequence):
    fit = replace(FIT, picture_budget=picture, sequence_budget=sequence)
    plan = fit.plan(shaped(size))
    limits = [64, *(budget for budget in (picture, sequence) if budget)]
    assert 1 <= plan.tokens <= min(limits) and plan.tokens <= fit.largest.tokens <= min(limits)
    ((rows, columns),) = fit.grids([plan])
    assert rows * columns == plan.tokens == fit.num_looked(plan)
    assert plan.canvas == (8 * rows, 8 * columns)
    pixels = np.zeros((1, *plan.canvas, 3), np.uint8)
    assert fit.cut(pixels).shape == (plan.tokens, 8, 8, 3)


@given(st.lists(SIZE, min_size=1, max_size=5), st.integers(5, 60))
def test_pictures_of_a_conversation_keep_theirs(sizes, budget):
    fit = replace(FIT, sequence_budget=budget)
    pictures = [np.zeros((*shaped(size), 3), np.uint8) for size in sizes]
    tokens = fit.tokens(pictures)
    assert sum(tokens) <= budget
    assert min(tokens) >= 1


@given(st.integers(1, 3000))
def test_the_fullest_grid_is_full(most):
    rows, columns = resolution.fullest(most)
    assert rows * columns <= most and rows <= columns <= 200 * rows
    assert rows * columns > most - rows and rows * columns >= most * 0.98
    side = 28
    plan = resolution.native((rows * side, columns * side), unit=side,
                             max_pixels=most * side * side, min_pixels=1)  # fmt: skip
    assert plan.tokens == rows * columns


def test_what_does_not_fit_is_an_error_with_both_numbers():
    many = replace(asked(tiny.picture(0, (64, 64))), images=(tiny.picture(0, (64, 64)),) * 3)
    with pytest.raises(DataError, match="3 pictures take 192 tokens, a row holds 160"):
        rows_of([many])
    (row,) = rows_of([many], replace(FIT, sequence_budget=100))
    assert len(row.pictures) <= 100 and len(row.grids) == 3
    with pytest.raises(LengthError, match="3 pictures take 3 tokens at the least, more than the 2"):
        rows_of([many], replace(FIT, sequence_budget=2))


def test_a_picture_too_oblong_is_left_out_and_said():
    """As one that does not decode is: training counts it, and goes on."""
    made = FileRows([asked(tiny.picture(0, (2, 500)))], text=WORDS, fit=FIT, seed=0)
    with pytest.raises(PictureError, match="2×500: one side is more than 200 times the other"):
        made.row(0, None)


# Among words, behind shots, drawn.


def test_pictures_inside_conversations_have_their_own_marks():
    pictures = tuple(tiny.picture(i, size) for i, size in enumerate(((16, 24), (40, 16))))
    turns = (Turn("user", "what ? two ?", pictures=(0, 7)), Turn("assistant", "red"))
    several = [asked(pictures[0], i, images=pictures, turns=turns) for i in range(2)]
    (row,) = rows_of(several)
    # Each document shows them anew.
    assert row.grids == ((2, 3), (5, 2)) * 2 and len(row.pictures) == 32
    assert [d.pictured for d in row.documents] == [16, 16]
    batch = batched([row])
    runs = "".join("x" if token == WORDS.picture else "." for token in batch.tokens_BT[0].tolist())
    lengths = [len(run) for run in runs.split(".") if run]
    assert lengths == [6, 10, 6, 10]


def test_shots_bring_their_own_shapes():
    source = config.SourceConfig(path="a.csv", shots=(2, 2))
    rows = FileRows([e for i, e in enumerate(mixed()) if i % 2], text=WORDS, fit=FIT, seed=0)
    row = ShotRows(rows, config=source).row(0, None)
    assert len(row.grids) == 3 and sum(r * c for r, c in row.grids) == len(row.pictures)
    assert row.documents[0].pictured == len(row.pictures)


def test_scenes_are_drawn_as_large_as_they_may_be():
    """And what is in each patch of a square is named, in the order of the patches."""
    small = config.SourceConfig(questions=2, objects=(1, 2), captions=0, kinds={"exist": 1.0})
    fit = replace(FIT, patches=(2, 2))
    rows = SceneRows(small, text=WORDS, fit=fit, seed=0)
    assert rows.side == 64 and fit.whole == (64, 64)
    row = rows.row(0, None)
    scene = scenes.World(seed=0, objects=(1, 2)).scene(0)
    whole = scenes.render.draw(scene, 64)
    assert row.grids == ((8, 8),) and (row.pictures == images.squares(whole[None], (8, 8))).all()
    assert row.labels is not None and row.labels.shape == (64, 5, 4)
    fine = scenes.patches(scene, (16, 16)).reshape(5, 16, 16)
    for number, (r, c) in enumerate(np.ndindex(8, 8)):
        part = fine[:, 2 * r : 2 * r + 2, 2 * c : 2 * c + 2]
        assert (row.labels[number] == part.reshape(5, 4)).all()
    silent = SceneRows(replace(small, pictures=False), text=WORDS, fit=fit, seed=0).row(0, None)
    assert silent.grids == () and len(silent.pictures) == 0


# Boxes, and changes at random.


@pytest.mark.parametrize("text", ["thousandths", "pixels"])
@pytest.mark.parametrize("size", [*SIZES])
def test_a_box_that_is_told_is_read_again(size, text):
    """What the model is told of it is of the canvas; what it says, of the picture."""
    fit = replace(FIT, box_text=text)
    said = "(120,340),(260,480)"
    prompt = Prompt((tiny.picture(0, size),), (Turn("user", f"what is in {said} ?"),))
    own = Shown.of(prompt, fit)
    told = own.prompt.turns[0].text
    plan, (box,) = fit.plan(size), boxes_in(told, of=own.view.told)
    wide, high = plan.canvas[::-1] if text == "pixels" else (1000, 1000)
    assert box == pytest.approx((0.12, 0.34, 0.26, 0.48), abs=1 / min(wide, high))
    assert (told == prompt.turns[0].text) == (text == "thousandths")
    (back,) = boxes_in(own.answer(Turn("assistant", told), ()).text)
    assert back == pytest.approx((0.12, 0.34, 0.26, 0.48), abs=1.5 / min(wide, high))


def test_changed_at_random_a_picture_keeps_its_shape():
    augment = Augment(flip=True, shift=2, random_crop=0.6, jitter=0.3)
    examples = [asked(tiny.picture(i, s), i, group=str(i)) for i, s in enumerate(SIZES)]
    made = FileRows(examples, text=WORDS, fit=FIT, seed=0, augment=augment)
    seen = {}
    for index in range(12):
        row = made.row(index, None)
        seen.setdefault(row.grids, set()).add(row.pictures.tobytes())
    assert set(seen) == {(grid,) for grid in SIZES.values()}
    assert all(len(pictures) > 1 for pictures in seen.values())
    with pytest.raises(DataError, match="pictures of many shapes do not fit when they are turned"):
        FileRows(examples, text=WORDS, fit=FIT, seed=0, augment=Augment(turn=True))
