"""Examples and export: one picture for all, folders that appear whole or not at all."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from seesay.data import sources
from seesay.errors import DataError, SeesayError
from seesay.records import Example
from seesay.scenes import World, examples, render
from seesay.scenes.export import export


def test_examples_share_one_picture():
    made = examples(World(seed=41), 7, captions=3)
    assert [e.task for e in made] == ["caption"] * 3 + ["vqa"] * 6
    for example in made:
        assert isinstance(example, Example)
        assert example.images[0] is made[0].images[0]
        assert example.group == "scenes:train:41:7"
        assert str(example.origin) == "scenes:train:41:7"
        assert example.labels["objects"] == str(len(example.scene.objects))
        assert example.turns[0].role == "user" and example.turns[-1].role == "assistant"
    assert np.array_equal(made[0].images[0], render.draw(World(seed=41).scene(7), 64))


def test_examples_travel_between_processes():
    made = examples(World(), 0, resolution=16)
    again = pickle.loads(pickle.dumps(made))
    assert [(e.question, e.answer, e.scene) for e in again] == [
        (e.question, e.answer, e.scene) for e in made
    ]


def test_export_round_trip(tmp_path):
    folder = tmp_path / "scenes"
    worlds = [World(seed=42), World(seed=42, split="dev", language="zh")]
    counts = export(folder, worlds, 5, resolution=48, start=3)
    assert counts == {"pictures": 10, "captions": 10, "questions": 60}
    assert sorted(p.name for p in folder.iterdir()) == ["dev.jsonl", "images", "train.jsonl"]
    assert len(list((folder / "images").iterdir())) == 10
    for world, first in zip(worlds, (0, 5), strict=True):
        lines = (folder / f"{world.split}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = iter(map(json.loads, lines))
        for k in range(5):
            made = examples(world, 3 + k, resolution=48)
            for example in made:
                row = next(rows)
                assert row["image"] == f"images/{first + k:06d}.png"
                assert row["kind"] == example.labels["kind"]
                assert row.get("answer", row.get("caption")) == example.answer
                assert row["question"] == example.question
                wanted = example.boxes or (example.task == "caption") * len(example.scene.objects)
                assert len(row["boxes"]) == (wanted if isinstance(wanted, int) else len(wanted))
            with Image.open(folder / row["image"]) as picture:
                assert np.array_equal(np.asarray(picture), made[0].images[0])


@pytest.mark.parametrize("captions", [1, 3])
def test_what_is_exported_is_read_as_it_was_drawn(tmp_path, captions):
    """No row is broken; captions asked for in words keep them."""
    world = World(seed=5)
    export(tmp_path / "scenes", world, 6, resolution=32, captions=captions)
    found = sources.read(tmp_path / "scenes", limit_broken=0.0)
    made = [e for i in range(6) for e in examples(world, i, captions=captions, resolution=32)]
    for read, drawn in zip(found.examples, made, strict=True):
        for name in ("task", "question", "answer", "options"):
            assert getattr(read, name) == getattr(drawn, name)
        assert read.turns[-1].reasoning == drawn.turns[-1].reasoning
        assert read.labels["kind"] == drawn.labels["kind"]
    assert not found.broken and found.rows == len(made)


def test_an_empty_folder_is_filled_and_a_full_one_is_kept(tmp_path):
    (tmp_path / "empty").mkdir()
    export(tmp_path / "empty", World(), 1)
    with pytest.raises(DataError, match="empty folder"):
        export(tmp_path / "empty", World(), 1)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="empty folder"):
        export(tmp_path / "file", World(), 1)
    with pytest.raises(SeesayError, match="0 pictures"):
        export(tmp_path / "none", World(), 0)
    with pytest.raises(SeesayError, match="share a split"):
        export(tmp_path / "twice", [World(), World(seed=1)], 1)


def test_a_broken_export_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match="No space left"):
        export(tmp_path / "scenes", World(), 1)
    assert list(tmp_path.iterdir()) == []
