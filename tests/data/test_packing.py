"""Packing: rows are full, nothing is lost, and sharing a row changes nothing but the padding."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from seesay.config import DataConfig, SourceConfig
from seesay.data.collate import Row, collate
from seesay.data.fit import Fit
from seesay.data.packing import fill, packed, split
from seesay.data.rows import FileRows
from seesay.data.stream import Stream
from seesay.data.text import Document, learn
from seesay.errors import LengthError
from seesay.records import Batch, Example, Origin, Turn

TEXT = learn(tiny.WORDS, vocabulary=400)
FIT = Fit(size=(16, 16), picture_tokens=4, row_tokens=128, packed=True)

lengths = st.lists(st.integers(1, 30), max_size=20)


def document(length: int, *, learned: bool = False) -> Document:
    """Of so many tokens, the last of them to be learned or none."""
    which = np.zeros(length, bool)
    which[-1] = learned
    return Document(np.full(length, 5, np.int64), which)


# Documents, in order.


@given(lengths, st.integers(30, 60), st.none() | st.integers(1, 5))
def test_split_keeps_the_order_and_loses_nothing(lengths, room, most):
    rows = split(lengths, room=room, most=most)
    assert [i for row in rows for i in row] == list(range(len(lengths)))
    assert all(rows)
    assert all(sum(lengths[i] for i in row) <= room for row in rows)
    assert most is None or all(len(row) <= most for row in rows)


@given(lengths, st.integers(30, 60), st.none() | st.integers(1, 5))
def test_split_starts_a_row_only_where_it_must(lengths, room, most):
    rows = split(lengths, room=room, most=most)
    for row, following in zip(rows, rows[1:], strict=False):
        full = sum(lengths[i] for i in row) + lengths[following[0]] > room
        assert full or len(row) == most


def test_a_document_may_fill_a_row_and_not_one_token_more():
    assert split([5, 5, 1], room=5) == [[0], [1], [2]]
    with pytest.raises(LengthError, match="takes 6 tokens but a row has room for 5") as error:
        split([1, 6], room=5)
    assert "data.row_tokens" in error.value.fix


@given(st.lists(st.tuples(st.integers(1, 25), st.booleans()), max_size=12), st.integers(0, 60))
def test_fill_takes_whatever_still_fits_in_order(plan, room):
    documents = [document(length, learned=learned) for length, learned in plan]
    taken = fill(documents, room=room)
    left, at = room, 0
    for i, own in enumerate(documents):
        if own.num_inputs <= left:
            assert taken[at] == i
            left, at = left - own.num_inputs, at + 1
    assert len(taken) == at
    assert sum(documents[i].num_inputs for i in taken) <= room


def test_fill_passes_over_what_does_not_fit():
    small, large, last = document(1), document(9, learned=True), document(2, learned=True)
    assert fill([small, large, last], room=3) == [0, 2]
    assert fill([large], room=7) == []
    assert fill([large], room=8) == [0]  # its last token is not read


# Groups, best fit.


@given(st.lists(st.integers(1, 80), max_size=40), st.integers(40, 80))
def test_packed_loses_nothing_and_overfills_nothing(lengths, room):
    bins = packed(lengths, room=room)
    assert sorted(i for each in bins for i in each) == list(range(len(lengths)))
    for each in bins:
        assert sum(lengths[i] for i in each) <= room or len(each) == 1
    assert packed(lengths, room=room) == bins


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_packed_opens_a_row_only_where_no_other_has_room(lengths):
    """No two rows would fit in one."""
    filled = sorted(sum(lengths[i] for i in each) for each in packed(lengths, room=60))
    assert len(filled) < 2 or filled[0] + filled[1] > 60


def test_packed_spelled_out():
    assert packed([7, 3, 5, 5, 2, 12], room=10) == [[0, 1], [2, 3], [4], [5]]
    assert packed([], room=10) == []


# Streams.


def mixed(number: int = 300, seed: int = 0) -> list[Example]:
    """Captions, questions, words without a picture and several pictures, of unlike lengths."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(number):
        pictures = tuple(tiny.picture(i % 7) for _ in range([1, 1, 1, 0, 2][i % 5]))
        words = ["red", "blue", "two", "a", "small", "ring"]
        said = " ".join(random.choice(words, size=int(random.integers(1, 40))))
        asked = (Turn("user", "what colour is it ?"),) if i % 2 else ()
        turns = (*asked, Turn("assistant", said))
        made.append(Example(pictures, turns, Origin("mixed.csv", i), group=f"{i}"))
    return made


def stream(fit: Fit = FIT, *, batch: int = 64) -> Stream:
    rows = FileRows(mixed(), text=TEXT, fit=fit, seed=0)
    config = DataConfig(sources=(SourceConfig(path="mixed.csv"),))
    return Stream([rows], config=config, text=TEXT, fit=fit, batch=batch)


def used(batch: Batch) -> float:
    """The share of its positions that are no padding."""
    return float((batch.groups_BT >= 0).float().mean())


def test_mixed_data_fills_its_rows():
    made = stream()
    shares = [used(made.step(step, 0.0)) for step in range(4)]
    apart = stream(replace(FIT, packed=False))
    assert min(shares) >= 0.95, shares
    assert max(used(apart.step(step, 0.0)) for step in range(4)) < 0.6


def groups(batch: Batch) -> list[tuple]:
    """Each group: its tokens, targets, positions, documents and how far each place sees."""
    found = []
    horizon_BT = batch.horizon_BT
    assert horizon_BT is not None
    for b, groups_T in enumerate(batch.groups_BT):
        for group in range(int(groups_T.max()) + 1):
            places = (groups_T == group).nonzero()[:, 0]
            assert (places.diff() == 1).all()
            own = [t[b, places].tolist() for t in (batch.tokens_BT, batch.targets_BT,
                                                   batch.positions_BT, batch.documents_BT)]
            found.append((*own, (horizon_BT[b, places] - places[0]).tolist()))
    return [tuple(map(tuple, each)) for each in found]


@pytest.mark.parametrize("step", [0, 3])
def test_a_packed_batch_holds_what_an_unpacked_one_does(step):
    together, apart = stream().step(step, 0.0), stream(replace(FIT, packed=False)).step(step, 0.0)
    assert len(together.tokens_BT) < 0.7 * len(apart.tokens_BT) == 0.7 * 64
    assert sorted(groups(together)) == sorted(groups(apart))
    assert len(together.pictures_NCHW) == len(apart.pictures_NCHW)
    assert sorted(", ".join(together.origins).split(", ")) == sorted(apart.origins)


def test_pictures_stand_in_the_order_of_their_marks():
    """Each group's own shade is that of its picture."""
    rows = [
        Row(np.full((n, 2, 2, 3), shade, np.uint8), (document(length),), f"{shade}")
        for shade, (n, length) in enumerate([(1, 9), (2, 3), (0, 4), (1, 5), (3, 1)], start=1)
    ]
    batch = collate(rows, picture_token=1, picture_tokens=2, pad=0, room=16)
    shades = batch.pictures_NCHW[:, 0, 0, 0].tolist()
    assert len(batch.tokens_BT) < 5
    expected = [int(s) for row in batch.origins for s in row.split(", ") for _ in range(
        len(rows[int(s) - 1].pictures))]  # fmt: skip
    assert shades == expected


def test_what_answers_are_about_and_where_they_are_goes_along():
    rows = [
        Row(np.zeros((1, 2, 2, 3), np.uint8), (document(6, learned=True),), "a",
            about=(np.full((1, 2, 2), number),), located=(np.full(4, number / 10, np.float32),))
        for number in (1, 2, 3)
    ]  # fmt: skip
    batch = collate(rows, picture_token=1, picture_tokens=2, pad=0, room=24)
    assert len(batch.tokens_BT) == 1 and batch.about_BTAO is not None
    assert batch.boxes_BT4 is not None
    places = (batch.targets_BT[0] >= 0).nonzero()[:, 0]
    assert batch.about_BTAO[0, places, 0, 0].tolist() == [1, 2, 3]
    assert torch.allclose(batch.boxes_BT4[0, places, 0], torch.tensor([0.1, 0.2, 0.3]))
    assert (batch.about_BTAO >= 0).any(dim=(2, 3)).sum() == 3
