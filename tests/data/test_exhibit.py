"""What is shown is what the batch holds: tokens, loss mask, tiles, cut ends; boxes lie right."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.config import DataConfig, SourceConfig
from seesay.data.augment import Augment
from seesay.data.exhibit import exhibits, token_text
from seesay.data.fit import Fit
from seesay.data.rows import FileRows
from seesay.data.shots import ShotRows
from seesay.data.stream import Stream
from seesay.data.text import learn
from seesay.records import Box, Example, Frame, Origin, Turn

WORDS = (*tiny.WORDS, "a cat and a dog", "猫坐在垫子上")
PLAIN = Fit((16, 16), picture_tokens=4, row_tokens=64)


def example(number: int, answer: str = "red", question: str = "two", **fields) -> Example:
    picture = np.full((20, 30, 3), number, np.uint8)
    turns = (Turn("user", question),) if question else ()
    fields = {"images": (picture,), "group": str(number)} | fields
    return Example(turns=(*turns, Turn("assistant", answer)), origin=Origin("a", number), **fields)


def shown(examples, fit=PLAIN, *, kind="character", **how):
    """What one batch of all rows shows."""
    words = learn(WORDS, kind=kind, vocabulary=320)
    rows = FileRows(examples, text=words, fit=fit, seed=0, **how)
    return of(rows, words, fit, count=len(rows.rows))


def of(rows, words, fit, *, count):
    config = DataConfig(sources=(SourceConfig(path="x"),))
    stream = Stream([rows], config=config, text=words, fit=fit, batch=count)
    made, _ = stream.rows(stream.place(0, 0.0), None)
    batch = stream.batched(made)
    shown = exhibits(batch, made, text=words, fit=fit, room=stream.shared)
    return sorted(shown, key=lambda row: row.origin), batch, words


@pytest.mark.parametrize("kind", ["character", "bpe"])
def test_tokens_and_what_of_them_is_learned(kind):
    """As the documents were encoded, which the batch's targets are made of."""
    turns = [
        (Turn("user", "what colour is it ?"), Turn("assistant", "red")),
        (Turn("user", "two"), Turn("assistant", "yes", "red"), Turn("user", "two"),
         Turn("assistant", "green")),
    ]  # fmt: skip
    examples = [replace(example(1), turns=each) for each in turns]
    (row,), _, words = shown(examples, kind=kind)
    front, *documents = row.documents
    assert front.number == 0 and [token.count for token in front.tokens] == [4]
    assert [document.number for document in documents] == [1, 2]
    for document, own in zip(documents, turns, strict=True):
        encoded = words.encode(own)
        assert [token.token for token in document.tokens] == encoded.tokens.tolist()
        assert [token.learned for token in document.tokens] == encoded.learned.tolist()
        *read, last = document.tokens
        assert (last.place, last.position, last.text) == (None, None, "<end>")
        assert [token.position for token in read] == list(range(4, 4 + len(read)))
    assert "red" in documents[0].said and "colour" not in documents[0].said
    assert documents[0].text.startswith("<user>") and documents[0].text.endswith("<end>")
    assert row.used == 4 + sum(len(document.tokens) - 1 for document in documents)


def test_every_number_is_the_batchs():
    """Place by place, over several rows: tokens, positions, documents, horizons."""
    examples = [example(n, a, q) for n, a, q in ((1, "red", "two"), (1, "two", ""), (2, "yes", ""))]
    rows, batch, words = shown(examples)
    assert [row.origin for row in rows] == ["a:1", "a:2"]
    order = [batch.origins.index(row.origin) for row in rows]
    for b, row in zip(order, rows, strict=True):
        places = 0
        for document in row.documents:
            for token in document.tokens:
                if token.place is None:
                    continue
                at = slice(token.place, token.place + token.count)
                places += token.count
                assert batch.tokens_BT[b, at].tolist() == [token.token] * token.count
                assert batch.positions_BT[b, token.place] == token.position
                assert set(batch.documents_BT[b, at].tolist()) == {document.number}
                if token.tile is None:
                    assert batch.horizon_BT is not None
                    assert token.sees == int(batch.horizon_BT[b, token.place])
                    before = int(batch.targets_BT[b, token.place - 1])
                    assert token.learned == (before == token.token and before >= 0)
                else:
                    assert token.token == words.picture
        assert places == row.used == int((batch.documents_BT[b] >= 0).sum())
        assert row.width == batch.tokens_BT.shape[1]


def test_what_was_cut_off():
    (row,), _, words = shown([example(1, "red" * 30)])
    document = row.documents[1]
    whole = words.encode(example(1, "red" * 30).turns)
    assert document.num_lost == len(whole) - (64 - 4)
    assert document.lost == ("red" * 30 + "<end>")[-len(document.lost) :]
    assert (document.said + document.lost) == "red" * 30 + "<end>"
    (fits,), _, _ = shown([example(1)])
    assert (fits.documents[1].num_lost, fits.documents[1].lost) == (0, "")


def test_half_characters_are_shown_as_bytes():
    words = learn(["猫" * 3], kind="bpe", vocabulary=300)
    tokens = words.encode((Turn("assistant", "猫 x"),)).tokens.tolist()
    said = [token_text(words, token) for token in tokens]
    assert said[0] == "<assistant>" and said[-1] == "<end>" and " x" in "".join(said)
    rare = words.encode((Turn("assistant", "é"),)).tokens.tolist()
    codes = [text for text in (token_text(words, t) for t in rare) if text.startswith("<c3")]
    assert codes and any("a9" in token_text(words, t) for t in rare)


def test_tiles_are_what_the_model_is_given():
    fit = Fit((8, 8), picture_tokens=2, row_tokens=64, tiles=(2, 3))
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    examples = [example(1, images=(picture,)), example(2, images=(picture, picture[::-1]))]
    (one, two), batch, _ = shown(examples, fit)
    assert [len(row.pictures) for row in (one, two)] == [1, 2]
    cut = fit.cut(fit.pixels([picture])[0])
    assert np.array_equal(one.pictures[0].tiles, cut) and one.pictures[0].grid == (2, 3)
    assert np.array_equal(two.pictures[0].tiles, cut)
    assert not np.array_equal(two.pictures[1].tiles, cut)
    assert len(batch.pictures_NCHW) == 21
    front = two.documents[0].tokens
    assert [token.tile for token in front] == list(range(14))
    assert [token.count for token in front] == [2] * 14
    assert one.pictures[0].size == (24, 16) and one.pictures[0].tokens == 14


def test_pictures_among_words():
    turns = (Turn("user", "two red", pictures=(0, 3)), Turn("assistant", "yes"))
    picture = np.zeros((16, 16, 3), np.uint8)
    both = replace(example(1, images=(picture, picture)), turns=turns)
    (row,), _, _ = shown([both])
    (document,) = row.documents
    assert [(t.tile, t.count) for t in document.tokens if t.tile is not None] == [(0, 4), (1, 4)]
    assert document.text == "<user>two red<assistant>yes<end>"


def test_each_document_begins_with_the_pictures_where_questions_are_seen():
    fit = replace(PLAIN, instructed=True, interleaved=False)
    (row,), _, _ = shown([example(1, "red"), example(1, "two", "")], fit)
    assert [d.number for d in row.documents] == [1, 2] and len(row.pictures) == 1
    assert [[t.tile for t in d.tokens][0] for d in row.documents] == [0, 0]


def test_a_model_without_words_is_shown_pictures_alone():
    fit = replace(PLAIN, spoken=False)
    (row,), _, _ = shown([example(1)], fit)
    assert [d.number for d in row.documents] == [0] and len(row.pictures) == 1


def test_claims():
    fit = replace(PLAIN, spoken=False, claimed=True)
    (row,), _, _ = shown([example(1, "red", "", task="caption")], fit)
    assert row.claims == [("<assistant>red<end>", True)]


def test_shots_show_each_its_own_picture():
    words = learn(WORDS, kind="character")
    examples = [example(n, boxes=(Box(0, 0, 15, 10),)) for n in range(1, 4)]
    plain = FileRows(examples, text=words, fit=PLAIN, seed=0)
    config = SourceConfig(path="x", shots=(2, 2))
    (row,), _, _ = of(ShotRows(plain, config=config), words, PLAIN, count=1)
    assert len(row.pictures) == 3 and len(row.documents) == 1
    assert [picture.boxes[0] for picture in row.pictures] == [[(0, 0, 0.5, 0.5)]] * 3


# Packed rows.


def test_groups_that_share_a_row():
    """Each place, tile and document is the batch's own, and every group sees its own pictures."""
    fit = replace(PLAIN, packed=True, row_tokens=40)
    examples = [example(n, answer, "") for n in range(1, 7) for answer in ("red", "two")]
    shared, batch, words = shown(examples, fit)
    assert sum(row.groups for row in shared) == 6 and len(shared) == len(batch.tokens_BT) < 6
    assert max(row.groups for row in shared) > 1
    for row in shared:
        b = batch.origins.index(row.origin)
        assert len(row.pictures) == row.groups == row.origin.count("a:")
        fronts = [each for each in row.documents if each.number == 0]
        assert [token.tile for each in fronts for token in each.tokens] == [*range(row.groups)]
        assert [each.group for each in fronts] == [*range(row.groups)]
        for document in row.documents:
            for token in document.tokens:
                if token.place is not None:
                    assert batch.tokens_BT[b, token.place] == token.token
                    assert batch.groups_BT[b, token.place] == document.group
                    assert batch.documents_BT[b, token.place] == document.number
        # Pictures are of one grey, which is the number of the row that they come from.
        greys = [int(picture.tiles[0, 0, 0, 0]) for picture in row.pictures]
        assert row.origin == ", ".join(f"a:{grey}" for grey in greys)
    alone = [row for row, _, _ in (shown(examples, replace(fit, packed=False)),) for row in row]
    told = sorted(d.text for row in shared for d in row.documents)
    assert told == sorted(d.text for row in alone for d in row.documents)


def test_pictures_in_their_own_shapes_are_whole_again():
    words = learn(WORDS, kind="character", vocabulary=320)
    sizes = ((40, 16), (16, 64), (32, 32))
    fit = Fit((16, 16), picture_tokens=1, row_tokens=128, tiles="native", min_pixels=256,
              max_pixels=4096)  # fmt: skip
    many = np.random.default_rng(0)
    several = [
        example(i, images=(many.integers(0, 256, (*size, 3), dtype=np.uint8),))
        for i, size in enumerate(sizes)
    ]
    rows = FileRows(several, text=words, fit=fit, seed=0)
    found, batch, _ = of(rows, words, fit, count=3)
    assert len(batch.grids) == 3 and len(batch.pictures_NCHW) > 3
    for row, one in zip(found, several, strict=True):
        (picture,) = row.pictures
        (plan,) = fit.plans(one.images)
        np.testing.assert_array_equal(picture.tiles[0], fit.pixels(one.images)[0][0])
        assert picture.tiles.shape == (1, *plan.canvas, 3) and picture.tokens == plan.tokens


def test_frames_that_are_one_picture_stand_side_by_side():
    frames = tuple(Frame(np.full((16, 16, 3), 50 * i, np.uint8), i / 2, "v") for i in range(4))
    fit = replace(PLAIN, pool=2)
    (row,), _, _ = shown([example(1, images=frames)], fit)
    assert [picture.tiles.shape for picture in row.pictures] == [(1, 16, 32, 3)] * 2
    assert [int(row.pictures[1].tiles[0, 0, x, 0]) for x in (0, 31)] == [100, 150]


def test_tiles_chosen_for_each_picture():
    fit = Fit((8, 8), picture_tokens=2, row_tokens=64, tiles="best", max_tiles=3)
    sizes = {1: (8, 8), 2: (8, 24), 3: (24, 8)}
    rng = np.random.default_rng(0)
    pictures = {n: rng.integers(0, 256, (*size, 3)).astype(np.uint8) for n, size in sizes.items()}
    rows, _, _ = shown([example(n, images=(each,)) for n, each in pictures.items()], fit)
    grids = [row.pictures[0].grid for row in rows]
    assert grids == [(1, 1), (1, 3), (3, 1)]
    for row, picture in zip(rows, pictures.values(), strict=True):
        (one,) = row.pictures
        count = len(one.tiles)
        assert one.size == picture.shape[1::-1] and one.tokens == 2 * count
        assert np.array_equal(one.tiles, fit.cut(fit.pixels([picture])[0]))
        assert [token.tile for token in row.documents[0].tokens] == [*range(count)]


# Boxes.


def box_of(fit: Fit, box: Box, size=(20, 30), **how):
    picture = np.zeros((*size, 3), np.uint8)
    one = example(1, images=(picture,), boxes=(box,))
    (row,), _, _ = shown([one], fit, **how)
    return row.pictures[0]


def test_boxes_on_a_stretched_picture_and_its_tiles():
    box = Box(3, 5, 18, 10)
    assert box_of(PLAIN, box).boxes == [[pytest.approx((0.1, 0.25, 0.6, 0.5))]]
    fit = Fit((16, 16), picture_tokens=4, row_tokens=64, tiles=(1, 2))
    left, right, whole = box_of(fit, box).boxes
    assert left == [pytest.approx((0.2, 0.25, 1.0, 0.5))]
    assert right == [pytest.approx((0.0, 0.25, 0.2, 0.5))]
    assert whole == [pytest.approx((0.1, 0.25, 0.6, 0.5))]
    assert box_of(fit, Box(0, 0, 9, 9)).boxes[1] == []
    assert box_of(fit, Box(0, 0, 15, 9)).boxes[1] == []  # it touches that tile's edge


def test_boxes_on_a_padded_and_on_a_cropped_picture():
    padded = replace(PLAIN, size=(30, 30), how="pad")
    got = box_of(padded, Box(0, 0, 15, 10))
    assert got.boxes == [[pytest.approx((0, 5 / 30, 0.5, 15 / 30))]]
    assert got.kept == (0, 0, 1, 1)
    cropped = replace(PLAIN, size=(20, 20), how="crop")
    got = box_of(cropped, Box(10, 0, 25, 10))
    assert got.boxes == [[pytest.approx((0.25, 0, 1, 0.5))]]
    assert got.kept == pytest.approx((5 / 30, 0, 25 / 30, 1))
    assert box_of(cropped, Box(0, 0, 4, 10)).boxes == [[]]


def test_the_box_that_an_answer_is():
    said = example(1, "(100,250),(600,500)", "where?", task="ground")
    (row,), _, _ = shown([said], kind="bpe")
    assert row.pictures[0].boxes == [[pytest.approx((0.1, 0.25, 0.6, 0.5))]]
    told, _, _ = shown([said], replace(PLAIN, located=True), kind="bpe")
    assert told[0].pictures[0].learned == [pytest.approx((0.1, 0.25, 0.6, 0.5), abs=1e-6)]
    cut = Fit((16, 16), picture_tokens=4, row_tokens=64, tiles=(1, 3), how="pad", located=True)
    told, _, _ = shown([said], cut, kind="bpe")
    *_, whole = told[0].pictures[0].boxes
    # In the small one of the whole, both are within the margins that it has.
    assert whole == [pytest.approx(told[0].pictures[0].learned[0], abs=1e-6)]


def test_boxes_that_are_looked_at():
    fit = replace(PLAIN, regions=2, interleaved=False)
    (row,), _, _ = shown([example(1)], fit)
    assert row.pictures[0].regions == [
        (0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)
    ]  # fmt: skip


sides = st.tuples(st.integers(0, 139), st.integers(0, 139), st.integers(0, 99), st.integers(0, 99))


def painted(tile: np.ndarray):
    """The box around what is green in a tile, in pixels; None where nothing is."""
    red, green, blue = (tile[..., i].astype(int) for i in range(3))
    there = (green > red + 60) & (green > blue + 60)
    down, across = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    if not len(down):
        return None
    return across[0], down[0], across[-1] + 1, down[-1] + 1


@settings(max_examples=80, deadline=None)
@given(
    sides,
    st.sampled_from(["stretch", "pad", "crop"]),
    st.sampled_from([(1, 1), (2, 2), "best"]),
    st.sampled_from(["", "flip", "shift", "crop", "turn"]),
    st.integers(0, 40),
)
def test_boxes_lie_around_what_is_there(four, how, tiles, change, seed):
    """Something green is painted where the box is, and looked for in the tiles of the batch."""
    x0, x1 = sorted((four[0], four[1] + 1))
    y0, y1 = sorted((four[2], four[3] + 1))
    if x1 - x0 < 12 or y1 - y0 < 12:
        return
    augment = {
        "": Augment(),
        "flip": Augment(flip=True),
        "shift": Augment(shift=3),
        "crop": Augment(random_crop=0.5),
        "turn": Augment(turn=True),
    }[change]
    if change == "turn" and tiles == "best":
        return  # which is refused
    if change == "shift" and (how == "crop" or min(x0, y0) < 12 or x1 > 128 or y1 > 88):
        return  # edges are repeated, and what is painted there with them
    picture = np.full((100, 140, 3), 60, np.uint8)
    picture[y0:y1, x0:x1] = (0, 255, 0)
    one = example(1, images=(picture,), boxes=(Box(x0, y0, x1, y1),))
    words, side = learn(WORDS, kind="character"), 48
    fit = Fit((side, side), picture_tokens=2, row_tokens=64, tiles=tiles, how=how, max_tiles=4)
    rows = FileRows([one], text=words, fit=fit, seed=seed, augment=augment)
    (row,), _, _ = of(rows, words, fit, count=1)
    (got,) = row.pictures
    for tile, boxes in zip(got.tiles, got.boxes, strict=True):
        found = painted(tile)
        if not boxes:
            # What a filter smears over an edge is no more than a pixel or two.
            assert found is None or min(found[2] - found[0], found[3] - found[1]) <= 2
            continue
        (box,) = boxes
        shown_at = [each * side for each in box]
        if min(shown_at[2] - shown_at[0], shown_at[3] - shown_at[1]) < 4:
            continue
        assert found == pytest.approx(shown_at, abs=1.6)


@settings(max_examples=40, deadline=None)
@given(sides, st.sampled_from([True, False]), st.integers(0, 3), st.integers(0, 40))
def test_boxes_lie_where_training_says_that_they_do(four, flip, shift, index):
    x0, x1 = sorted((four[0], four[1] + 1))
    y0, y1 = sorted((four[2], four[3] + 1))
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    words, side = learn(WORDS, kind="character"), 50
    fit = Fit((side, side), picture_tokens=4, row_tokens=64, located=True)
    picture = np.zeros((100, 140, 3), np.uint8)
    one = example(1, images=(picture,), boxes=(Box(x0, y0, x1, y1),))
    augment = Augment(flip=flip, shift=shift)
    rows = FileRows([one], text=words, fit=fit, seed=index, augment=augment)
    (row,), _, _ = of(rows, words, fit, count=1)
    assert row.pictures[0].boxes == [[pytest.approx(row.pictures[0].learned[0], abs=1e-6)]]
