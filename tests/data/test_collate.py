"""Collate: rows become one batch in which every token, target and position is where it belongs."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data import collate
from seesay.data.collate import ROUND, Row
from seesay.data.text import Document
from seesay.errors import LengthError
from seesay.records import Batch

PAD, PICTURE = 0, 1
PICTURE_TOKENS = 3
SIDE = 2


def document(tokens: Sequence[int], learned: Sequence[int] | None = None) -> Document:
    """Tokens, of which those with a 1 are learned; all but the first where nothing is said."""
    which = [0] + [1] * (len(tokens) - 1) if learned is None else learned
    return Document(np.array(tokens, np.int64), np.array(which[: len(tokens)], bool))


def pictures(number: int, *, first: int = 0) -> np.ndarray:
    """Pictures of one shade each, counted from `first`."""
    shades = np.arange(first, first + number, dtype=np.uint8)
    return np.broadcast_to(shades[:, None, None, None], (number, SIDE, SIDE, 3)).copy()


def packed(*rows: Row) -> Batch:
    return collate.collate(rows, picture_token=PICTURE, picture_tokens=PICTURE_TOKENS, pad=PAD)


# One batch, spelled out.


def test_a_row_spelled_out():
    """Two pictures, then documents whose learned last token is only a target, then padding."""
    row = Row(pictures(2), (document([5, 6, 7], [0, 0, 1]), document([8, 9], [0, 0])), "a.csv:7")
    batch = packed(row)
    padding = -10 % ROUND
    rest, less = [0] * padding, [-1] * padding
    assert batch.tokens_BT.tolist() == [[1, 1, 1, 1, 1, 1, 5, 6, 8, 9, *rest]]
    assert batch.targets_BT.tolist() == [[-1, -1, -1, -1, -1, -1, -1, 7, -1, -1, *less]]
    assert batch.positions_BT.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 6, 7, *rest]]
    assert batch.documents_BT.tolist() == [[0, 0, 0, 0, 0, 0, 1, 1, 2, 2, *less]]
    assert batch.groups_BT.tolist() == [[0] * 10 + less]
    assert batch.horizon_BT is not None
    assert batch.horizon_BT[0, :10].tolist() == [5] * 6 + [7, 7] + [9, 9]
    assert batch.origins == ("a.csv:7",) and batch.skipped == ()


def test_how_far_each_turn_sees():
    """The user's turns to their ends, the assistant's words to themselves, the first too."""
    turns = document([2, 5, 3, 6, 4, 2, 7, 3, 8, 4], [0, 0, 0, 1, 1, 0, 0, 0, 1, 1])
    batch = packed(Row(pictures(1), (turns, document([6, 8, 4], [1, 1, 1]))))
    assert batch.horizon_BT is not None
    assert batch.horizon_BT[0, :14].tolist() == [2] * 3 + [5] * 3 + [6, 7] + [10] * 3 + [11] + [
        12,
        13,
    ]


def test_the_last_token_of_a_document_has_no_target_in_the_next():
    """The next document begins with a token to learn, which nothing before it may predict."""
    batch = packed(Row(pictures(1), (document([5, 6], [0, 0]), document([7, 8], [1, 1]))))
    assert batch.tokens_BT[0, PICTURE_TOKENS : PICTURE_TOKENS + 4].tolist() == [5, 6, 7, PAD]
    assert batch.targets_BT[0, PICTURE_TOKENS : PICTURE_TOKENS + 4].tolist() == [-1, -1, 8, -1]


def test_pictures_are_in_the_order_of_the_rows_and_channels_first():
    rows = [Row(pictures(2, first=1), (document([5, 6]),)), Row(pictures(1, first=9), ())]
    rows[0].pictures[0, 0, 1] = (10, 20, 30)
    batch = packed(*rows)
    assert batch.pictures_NCHW.shape == (3, 3, SIDE, SIDE)
    assert batch.pictures_NCHW.dtype == torch.uint8
    assert batch.pictures_NCHW[:, 0, 1, 1].tolist() == [1, 2, 9]
    assert batch.pictures_NCHW[0, :, 0, 1].tolist() == [10, 20, 30]


def test_rows_without_pictures_begin_at_position_0():
    batch = packed(Row(pictures(0), (document([5, 6], [0, 0]),)))
    assert len(batch.pictures_NCHW) == 0
    assert batch.tokens_BT[0, :3].tolist() == [5, 6, PAD]
    assert batch.positions_BT[0, :2].tolist() == [0, 1]
    assert batch.documents_BT[0, :3].tolist() == [1, 1, -1]


# Any batch.

# Plain values: what is checked at run time draws random numbers, which strategies must not.
documents = st.lists(st.tuples(st.integers(2, 50), st.booleans()), min_size=1, max_size=25)
batches = st.lists(
    st.tuples(st.integers(0, 3), st.lists(documents, max_size=4)), min_size=1, max_size=4
)


def spoken(pairs: list[tuple[int, bool]]) -> Document:
    """A document of (token, learned)."""
    return document([token for token, _ in pairs], [learned for _, learned in pairs])


def rows_of(plan: list[tuple[int, list[list[tuple[int, bool]]]]]) -> list[Row]:
    return [
        Row(pictures(number), tuple(map(spoken, own)), f"row {b}")
        for b, (number, own) in enumerate(plan)
    ]


@settings(max_examples=40)
@given(batches)
def test_rows_are_padded_to_the_next_multiple(plan):
    rows = rows_of(plan)
    batch = packed(*rows)
    longest = max(row.length(PICTURE_TOKENS) for row in rows)
    width = batch.tokens_BT.shape[1]
    assert width % ROUND == 0 and longest <= width < longest + ROUND
    for b, row in enumerate(rows):
        used = row.length(PICTURE_TOKENS)
        assert (batch.tokens_BT[b, used:] == PAD).all()
        for name in ("targets_BT", "documents_BT", "groups_BT"):
            assert (getattr(batch, name)[b, used:] == -1).all()
        assert (batch.groups_BT[b, :used] == 0).all() and (batch.documents_BT[b, :used] >= 0).all()


@settings(max_examples=40)
@given(batches)
def test_each_document_comes_back_from_its_number(plan):
    """Its tokens, positions that follow the pictures', and what is learned, one place earlier."""
    rows = rows_of(plan)
    batch = packed(*rows)
    for b, row in enumerate(rows):
        prefix = len(row.pictures) * PICTURE_TOKENS
        for number, own in enumerate(row.documents, start=1):
            place = batch.documents_BT[b] == number
            read = own.num_inputs
            assert batch.tokens_BT[b, place].tolist() == own.tokens[:read].tolist()
            assert batch.positions_BT[b, place].tolist() == list(range(prefix, prefix + read))
            targets = batch.targets_BT[b, place].tolist()
            wanted = [*np.where(own.learned, own.tokens, -1)[1:].tolist(), -1]
            assert targets == wanted[:read]
            assert sum(target >= 0 for target in targets) == own.learned[1:].sum()
        pictures_at = batch.documents_BT[b] == 0
        assert (batch.tokens_BT[b, pictures_at] == PICTURE).all()
        assert (batch.targets_BT[b, pictures_at] == -1).all()
        assert batch.positions_BT[b, pictures_at].tolist() == list(range(prefix))
    assert batch.origins == tuple(row.origin for row in rows)


@settings(max_examples=40)
@given(batches)
def test_a_row_is_the_same_beside_others_as_alone(plan):
    rows = rows_of(plan)
    together = packed(*rows)
    for b, row in enumerate(rows):
        alone, used = packed(row), row.length(PICTURE_TOKENS)
        for name in ("tokens_BT", "targets_BT", "positions_BT", "documents_BT", "groups_BT"):
            assert torch.equal(getattr(together, name)[b, :used], getattr(alone, name)[0, :used])
    pixels = np.concatenate([row.pictures for row in rows])
    assert (together.pictures_NCHW.permute(0, 2, 3, 1).numpy() == pixels).all()


# What cannot be.


@pytest.mark.parametrize(("number", "has"), [(0, 1), (1, 4), (2, 7)])
def test_picture_tokens_in_the_text_are_an_error_that_names_the_row(number, has):
    good = Row(pictures(1), (document([5, 6]),), "a.csv:1")
    bad = Row(pictures(number), (document([5, PICTURE, 6]),), "a.csv:2")
    with pytest.raises(LengthError) as error:
        packed(good, bad)
    assert error.value.where == "a.csv:2" and error.value.fix
    said = f"{has} picture tokens stand in the text but the pictures give {number * PICTURE_TOKENS}"
    assert error.value.what == said


def test_each_row_is_counted_for_itself():
    more = Row(pictures(2), (document([PICTURE, 5]),))
    with pytest.raises(LengthError, match="7 picture tokens .* give 6"):
        packed(more, Row(pictures(1), (document([5]),)))


def test_what_an_answer_is_about_stands_where_its_first_word_is_predicted():
    one, two = np.array([[[3, -1], [5, -1]]]), np.array([[[0, 1], [2, 4]]])
    asked = (document([5, 6, 7, 8], [0, 0, 1, 1]), document([9, 7], [0, 1]))
    batch = packed(
        Row(pictures(1), asked[:1]), Row(pictures(1), asked, about=(one, two)), Row(pictures(1), ())
    )
    assert batch.about_BTAO is not None and batch.about_BTAO.shape[2:] == (2, 2)
    places = (batch.about_BTAO >= 0).any(dim=(2, 3)).nonzero().tolist()
    assert places == [[1, PICTURE_TOKENS + 1], [1, PICTURE_TOKENS + 3]]
    assert [batch.targets_BT[b, t].item() for b, t in places] == [7, 7]
    for (b, t), about in zip(places, (one, two), strict=True):
        assert batch.about_BTAO[b, t].tolist() == about[0].tolist()
    assert packed(Row(pictures(1), asked)).about_BTAO is None
    # Nothing to predict: nowhere to say what it is about, least of all at a picture.
    silent = packed(Row(pictures(1), (document([5, 6], [0, 0]),), about=(two,)))
    assert silent.about_BTAO is not None and (silent.about_BTAO == -1).all()
    # Each answer of a conversation, as far as it goes.
    talk = document([5, 6, 7, 8, 5, 9, 7, 8], [0, 0, 1, 1, 0, 0, 1, 1])
    both = packed(Row(pictures(1), (talk,), about=(np.concatenate((one, two, one)),)))
    assert both.about_BTAO is not None
    known = (both.about_BTAO[0] >= 0).any(dim=(1, 2)).nonzero()[:, 0].tolist()
    assert known == [PICTURE_TOKENS + 1, PICTURE_TOKENS + 5]
    assert both.about_BTAO[0, known].tolist() == np.concatenate((one, two)).tolist()


def test_where_answers_are_stands_where_their_first_words_are_predicted():
    one, two, unknown = np.array([[0.5, 0.4, 0.2, 0.1], [0.1, 0.2, 0.2, 0.3], [np.nan] * 4])
    # Of a conversation, the last answer; its reasoning is of it.
    talk = document([5, 6, 7, 3, 5, 8, 9, 6], [0, 1, 1, 0, 0, 1, 1, 1])
    asked = (document([5, 6, 7, 8], [0, 0, 1, 1]), document([9, 7], [0, 1]), talk)
    batch = packed(
        Row(pictures(1), asked[:1]),
        Row(pictures(1), asked, located=(one, unknown, two)),
        Row(pictures(1), (document([5, 6], [0, 0]),), located=(two,)),
    )
    assert batch.boxes_BT4 is not None and batch.boxes_BT4.dtype == torch.float32
    known_BT = ~batch.boxes_BT4.isnan().any(dim=2)
    first, third = PICTURE_TOKENS + 1, PICTURE_TOKENS + 3 + 1 + 4
    assert known_BT.nonzero().tolist() == [[1, first], [1, third]]
    assert batch.targets_BT[known_BT].tolist() == [7, 8]
    assert batch.boxes_BT4[known_BT].tolist() == np.stack((one, two)).astype(np.float32).tolist()
    assert packed(Row(pictures(1), asked)).boxes_BT4 is None
    # Rows that are cut take theirs with them.
    cut = batch.rows(slice(1, 2), width=8, pictures=slice(1, 2)).boxes_BT4
    assert cut is not None and cut.shape == (1, 8, 4) and not cut[0, first].isnan().any()


def test_rows_that_do_not_say_what_is_in_their_patches_are_unknown():
    labels = np.arange(2 * 3, dtype=np.int64).reshape(1, 2, 3)
    said = Row(pictures(1), (document([5, 6]),), labels=labels)
    silent = Row(pictures(2), (document([5, 6]),))
    batch = packed(silent, said)
    assert batch.labels_NAP is not None
    assert batch.labels_NAP.tolist() == [[[-1] * 3] * 2] * 2 + labels.tolist()
    assert packed(silent).labels_NAP is None
