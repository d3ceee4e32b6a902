"""What is shown is what the batch holds: tokens, loss mask, tiles, cut ends; boxes lie right."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.config import DataConfig, SourceConfig
from seesay.data.augment import Augment
from seesay.data.fit import Fit
from seesay.data.rows import FileRows
from seesay.data.exhibit import exhibits, token_text
from seesay.data.shots import ShotRows
from seesay.data.stream import Stream
from seesay.data.text import learn
from seesay.records import Box, Example, Origin, Turn

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
    made, _ = stream.rows(0, None)
    batch = stream.batched(made)
    return sorted(exhibits(batch, made, text=words, fit=fit), key=lambda row: row.origin), batch, words


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
    cut = fit.cut(fit.pixels(picture)[None])
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


# Boxes.


def box_of(fit: Fit, box: Box, size=(20, 30), **how):
    picture = np.zeros((*size, 3), np.uint8)
    one = example(1, images=(picture,), boxes=(box,))
    (row,), _, _ = shown([one], fit, **how)
    return row.pictures[0]


def test_boxes_on_a_stretched_picture_and_its_tiles():
    box = Box(3, 5, 18, 10)
    assert box_of(PLAIN, box).boxes == [[pytest.approx((0.1, 0.25, 0.6, 0.5), abs=1 / 16)]]
    fit = Fit((16, 16), picture_tokens=4, row_tokens=64, tiles=(1, 2))
    left, right, whole = box_of(fit, box).boxes
    assert left == [pytest.approx((0.2, 0.25, 1.0, 0.5), abs=1 / 16)]
    assert right == [pytest.approx((0.0, 0.25, 0.2, 0.5), abs=1 / 16)]
    assert whole == [pytest.approx((0.1, 0.25, 0.6, 0.5), abs=1 / 16)]
    assert box_of(fit, Box(0, 0, 9, 9)).boxes[1] == []


def test_boxes_on_a_padded_and_on_a_cropped_picture():
    padded = replace(PLAIN, size=(30, 30), how="pad")
    got = box_of(padded, Box(0, 0, 15, 10))
    assert got.boxes == [[pytest.approx((0, 5 / 30, 0.5, 15 / 30), abs=1 / 29)]]
    assert got.kept == (0, 0, 1, 1)
    cropped = replace(PLAIN, size=(20, 20), how="crop")
    got = box_of(cropped, Box(10, 0, 25, 10))
    assert got.boxes == [[pytest.approx((0.25, 0, 1, 0.5), abs=1 / 19)]]
    assert got.kept == pytest.approx((5 / 30, 0, 25 / 30, 1), abs=0.02)
    assert box_of(cropped, Box(0, 0, 4, 10)).boxes == [[]]


def test_the_box_that_an_answer_is():
    said = example(1, "(100,250),(600,500)", "where?", task="ground")
    (row,), _, _ = shown([said], kind="bpe")
    assert row.pictures[0].boxes == [[pytest.approx((0.1, 0.25, 0.6, 0.5), abs=1 / 16)]]
    told, _, _ = shown([said], replace(PLAIN, located=True), kind="bpe")
    assert told[0].pictures[0].learned == [pytest.approx((0.1, 0.25, 0.6, 0.5), abs=1e-6)]


sides = st.tuples(*[st.integers(0, 99)] * 4)


@settings(max_examples=60, deadline=None)
@given(sides, st.sampled_from([True, False]), st.integers(0, 3), st.integers(0, 40))
def test_boxes_lie_where_training_says_that_they_do(four, flip, shift, index):
    """What is painted and sent as the picture is, and what is reckoned: the same to a pixel."""
    x0, x1 = sorted((four[0], four[1] + 1))
    y0, y1 = sorted((four[2], four[3] + 1))
    if x1 - x0 < 4 or y1 - y0 < 4:
        return
    words, side = learn(WORDS, kind="character"), 50
    fit = Fit((side, side), picture_tokens=4, row_tokens=64, located=True)
    augment = Augment(flip=flip, shift=shift)
    picture = np.zeros((100, 100, 3), np.uint8)
    one = example(1, images=(picture,), boxes=(Box(x0, y0, x1, y1),))
    rows = FileRows([one], text=words, fit=fit, seed=index, augment=augment)
    (row,), batch, _ = of(rows, words, fit, count=1)
    (shown_box,), (learned,) = row.pictures[0].boxes[0], row.pictures[0].learned
    moved = rows.augment.drawn(index, 0).moved
    at_edge = min(x0, y0) < 8 or max(x1, y1) > 92
    if any(moved) and at_edge:  # edges are repeated, and what is painted there with them
        return
    assert shown_box == pytest.approx(learned, abs=1.01 / side)
