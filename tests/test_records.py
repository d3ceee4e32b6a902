"""Records: an example says what is asked and answered, and a batch moves whole."""

import dataclasses
import pickle

import numpy as np
import pytest
import tiny
import torch

from seesay.data.collate import Row, collate
from seesay.records import Batch, Box, Example, Origin, Turn

ROWS = ("tokens_BT", "targets_BT", "positions_BT", "documents_BT", "groups_BT", "horizon_BT")
TENSORS = (*ROWS, "pictures_NCHW")


def example(*turns: tuple[str, str]) -> Example:
    return Example((), tuple(Turn(role, text) for role, text in turns), Origin("a.csv", 7))  # type: ignore[arg-type]


@pytest.fixture
def batch() -> Batch:
    words = tiny.text()
    row = Row(tiny.picture()[None], (tiny.document(words, "what ?", "red"),), "a.csv:7")
    made = collate([row, row], picture_token=words.picture, picture_tokens=4, pad=words.pad)
    return dataclasses.replace(made, skipped=("b.png: broken",))


@pytest.mark.parametrize(("origin", "said"), [
    (Origin("a.csv", 7), "a.csv:7"), (Origin("a.csv", 0), "a.csv:0"), (Origin("a.png"), "a.png"),
])  # fmt: skip
def test_an_origin_is_named_as_errors_name_it(origin, said):
    assert str(origin) == said


@pytest.mark.parametrize(("turns", "question", "answer"), [
    ([], "", ""),
    ([("assistant", "a star")], "", "a star"),
    ([("user", "what ?")], "what ?", ""),
    ([("user", "what ?"), ("assistant", "a star")], "what ?", "a star"),
    ([("user", "what ?"), ("assistant", "a star"), ("user", "red ?"), ("assistant", "yes")],
     "red ?", "yes"),
    ([("user", "what ?"), ("assistant", "a star"), ("user", "red ?")], "red ?", "a star"),
    ([("user", "what ?"), ("assistant", "")], "what ?", ""),
    ([("user", ""), ("assistant", "a star")], "", "a star"),
])  # fmt: skip
def test_the_question_and_the_answer_are_the_last_turns(turns, question, answer):
    found = example(*turns)
    assert (found.question, found.answer) == (question, answer)


def test_an_example_is_a_question_unless_said_otherwise():
    """And no two examples share the labels one of them is given."""
    one, other = example(), example()
    assert (one.task, one.group, one.options, one.boxes, one.scene) == ("vqa", "", (), (), None)
    assert one.labels == {} and one.labels is not other.labels


@pytest.mark.parametrize("record", [
    Origin("a"), Turn("user", "a"), Box(0, 0, 1, 1), example(("user", "a")),
], ids=lambda record: type(record).__name__)  # fmt: skip
def test_records_are_not_changed_once_made(record):
    name = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, name, None)
    again = pickle.loads(pickle.dumps(record))  # as data workers send them
    assert again == record


def test_a_batch_goes_to_a_device_whole(batch):
    moved = batch.to("meta")
    for name in TENSORS:
        tensor = getattr(moved, name)
        assert tensor.device.type == "meta" and tensor.shape == getattr(batch, name).shape
        assert getattr(batch, name).device.type == "cpu"
    assert moved.origins == ("a.csv:7", "a.csv:7") and moved.skipped == ("b.png: broken",)


def test_a_batch_that_is_there_already_is_the_same(batch):
    stayed = batch.to("cpu")
    for name in TENSORS:
        assert torch.equal(getattr(stayed, name), getattr(batch, name))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only where there is a GPU")
def test_a_pinned_batch_holds_the_same(batch):
    pinned = batch.pin_memory()
    for name in TENSORS:
        assert getattr(pinned, name).is_pinned()
        assert torch.equal(getattr(pinned, name), getattr(batch, name))
    assert pinned.origins == batch.origins


def test_the_tensors_of_a_batch_are_those_the_legend_names(batch):
    fields = [f.name for f in dataclasses.fields(Batch)]
    there = {name for name in fields if isinstance(getattr(batch, name), torch.Tensor)}
    assert there == set(TENSORS)
    for name in ROWS:
        assert getattr(batch, name).dtype == torch.int64 and getattr(batch, name).shape == (2, 16)
    assert batch.pictures_NCHW.dtype == torch.uint8
    assert np.array_equal(batch.pictures_NCHW[1].permute(1, 2, 0), tiny.picture())


def test_some_rows_of_a_batch(batch):
    labelled = dataclasses.replace(batch, labels_NAP=torch.arange(8).view(2, 1, 4))
    few = labelled.rows(slice(1, 2), width=8, pictures=slice(1, 2))
    for name in ROWS:
        assert torch.equal(getattr(few, name), getattr(batch, name)[1:, :8])
    assert torch.equal(few.pictures_NCHW, batch.pictures_NCHW[1:])
    assert few.labels_NAP is not None and few.labels_NAP.tolist() == [[[4, 5, 6, 7]]]
    assert few.origins == ("a.csv:7",) and few.skipped == batch.skipped
    assert dataclasses.replace(batch, horizon_BT=None).rows(slice(1), width=4).horizon_BT is None
