"""A feed has the rows that training takes in, in their order, and its words."""

import numpy as np
import pytest
import torch
from train import runs

from seesay import config
from seesay.data.sources import read
from seesay.train import auto, parallel, setup
from seesay.train.feed import feed


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch):
    monkeypatch.setattr(setup, "SCENES_READ", 20)


def test_the_rows_are_those_of_training(tmp_path):
    """Of the pictures that are not held back; however many are in a batch."""
    folder = runs.pictures(tmp_path / "data")
    table = runs.table(folder, data={"pack": False}, steps=2, batch=4)
    fed = feed(table, held_back=0.2)
    plan, given = auto.settle(table, say=lambda line: None)
    trained, held = auto.hold_back(plan, given, share=0.2, say=lambda line: None)
    assert [len(each) for each in fed.examples] == [len(each) for each in trained] and held
    words = setup.learn_text(plan, trained)
    assert fed.text.tokenizer.to_str() == words.tokenizer.to_str()
    run = setup.prepare(plan, out=tmp_path / "run", examples=trained, device="cpu")
    assert fed.fit == run.stream.fit
    first = [run.stream.step(step, 0.0) for step in range(3)]
    whole = fed.stream(batch=12).step(0, 0.0)
    assert list(whole.origins) == [origin for batch in first for origin in batch.origins]
    pictures = torch.cat([batch.pictures_NCHW for batch in first])
    assert torch.equal(whole.pictures_NCHW, pictures)
    for row in range(12):
        one = first[row // 4].tokens_BT[row % 4]
        width = min(len(one), whole.tokens_BT.shape[1])
        assert torch.equal(whole.tokens_BT[row, :width], one[:width])
    assert run.stream.rank == 0 and parallel.talks()


def test_nothing_is_held_back_where_training_would_not(tmp_path):
    folder = runs.pictures(tmp_path / "data", 8)
    table = runs.table(folder)
    assert len(feed(table).examples[0]) == 8
    table["data"]["dev"] = str(folder)
    assert len(feed(table, held_back=0.2).examples[0]) == 8
    one = runs.pictures(tmp_path / "one", 1)
    assert len(feed(runs.table(one), held_back=0.2).examples[0]) == 1


def test_a_tokenizer_that_is_given_is_taken(tmp_path):
    folder = runs.pictures(tmp_path / "data", 8)
    other = setup.learn_text(
        config.recipe(runs.table(folder)), [read(runs.pictures(tmp_path / "b", 3)).examples]
    )
    assert feed(runs.table(folder), text=other).text is other


def test_scenes_need_no_data():
    fed = feed(runs.table())
    batch = fed.stream(batch=3).step(0, 1.0)
    assert fed.examples == [[]] and len(batch.tokens_BT) == 3
    assert np.asarray(batch.pictures_NCHW).any()
