"""Shots: rows of several examples, each with its own picture, the same every time."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from seesay import scenes
from seesay.config import DataConfig, SourceConfig, StageConfig
from seesay.data.augment import Augment
from seesay.data.fit import Fit
from seesay.data.rows import FileRows, SceneRows
from seesay.data.shots import ShotRows, conversation
from seesay.data.stream import Stream
from seesay.data.text import learn
from seesay.records import Example, Origin, Turn

WORLD = scenes.World(seed=0)
DRAWN = [e for index in range(20) for e in scenes.examples(WORLD, index, resolution=16)]
BOUND = [scenes.bound(WORLD, index, shots=0, resolution=16) for index in range(40)]
TEXT = learn([*tiny.WORDS, *(t.text for e in (*DRAWN, *BOUND) for t in e.turns)], vocabulary=500)
FIT = Fit(size=(16, 16), picture_tokens=4, row_tokens=160)
SOURCE = SourceConfig(questions=4, objects=(1, 3), shots=(3, 3))


def example(number: int, question: str = "what ?", answer: str = "red", **more) -> Example:
    shade = np.full((16, 16, 3), number, np.uint8)
    given = {"images": (shade,), "group": f"picture {number}"} | more
    turns = (Turn("user", question), Turn("assistant", answer))
    return Example(turns=turns, origin=Origin("a.csv", number), **given)


def filed(examples, *, shots=(3, 3), fit: Fit = FIT, **changes) -> ShotRows:
    plain = FileRows(examples, text=TEXT, fit=fit, seed=0, augment=Augment(**changes))
    return ShotRows(plain, config=SourceConfig(path="a.csv", shots=shots))


def drawn(source: SourceConfig = SOURCE, *, fit: Fit = FIT) -> ShotRows:
    return ShotRows(SceneRows(source, text=TEXT, fit=fit, seed=0), config=source)


def words(row) -> list[str]:
    return [TEXT.decode(document.tokens.tolist()) for document in row.documents]


# Conversations.


def test_shots_stand_before_what_is_asked_each_with_its_picture():
    shots = (example(1, "a ?", "red"), replace(example(2, "b ?", "two"), turns=(
        Turn("assistant", "two"),)))  # fmt: skip
    made = conversation(replace(example(0), shots=shots))
    assert [int(picture[0, 0, 0]) for picture in made.images] == [1, 2, 0]
    assert made.turns == (
        Turn("user", "a ?", pictures=(0,)), Turn("assistant", "red"),
        Turn("user", "", pictures=(0,)), Turn("assistant", "two"),
        Turn("user", "what ?", pictures=(0,)), Turn("assistant", "red"),
    )  # fmt: skip
    assert (made.shots, made.question, made.group) == ((), "what ?", "picture 0")


def test_what_is_shown_inside_stays_there():
    turns = (Turn("user", "a b", pictures=(2,)), Turn("assistant", "red"))
    inside = replace(example(0), images=(tiny.picture(0),) * 3, turns=turns)
    made = conversation(replace(inside, shots=(example(1),)))
    assert made.turns[2].pictures == (0, 0, 2) and len(made.images) == 4
    assert conversation(inside) is inside


# Files.


def kinds() -> list[Example]:
    """Twelve pictures, a question of each of two kinds on each, and a caption."""
    return [
        e
        for i in range(12)
        for e in (
            example(i, "what colour is it ?", f"red {i}", labels={"kind": "colour"}),
            example(i, "two ?", f"yes {i}", labels={"kind": "count"}),
            replace(example(i, "", f"a star {i}"), task="caption"),
        )
    ]


def test_a_row_is_of_one_kind_and_of_different_pictures():
    rows, asked = filed(kinds()), set()
    for index in range(36):
        row = rows.row(index, None)
        (said,) = words(row)
        assert sum(said.count(word) == 4 for word in ("colour", "two ?", "a star")) == 1, said
        shown = row.pictures[:, 0, 0, 0].tolist()
        assert len(set(shown)) == 4 and row.documents[0].pictured == 16
        assert said.endswith(f" {shown[-1]}")
        asked.add(row.origin + said.rpartition(" ")[0][-6:])
    assert len(asked) == 36  # an epoch asks each once


def test_as_many_shots_as_fit():
    tight = replace(FIT, row_tokens=36)
    for index in range(12):
        wide, narrow = (filed(kinds(), fit=fit).row(index, None) for fit in (FIT, tight))
        assert wide.documents[0].num_inputs > 36 >= narrow.documents[0].num_inputs
        assert 1 < len(narrow.pictures) < len(wide.pictures)
        assert words(wide)[0].endswith(words(narrow)[0])
    # Not one: the row is the source's own.
    one = filed(kinds(), fit=replace(FIT, row_tokens=20)).row(0, None)
    assert all(not document.pictured for document in one.documents)


def test_how_many_is_drawn_between_the_least_and_the_most():
    rows = filed(kinds(), shots=(0, 2))
    counts = [len(rows.row(index, None).pictures) for index in range(60)]
    assert set(counts) == {1, 2, 3}
    plain = [rows.row(i, None) for i, count in enumerate(counts) if count == 1]
    assert all(not d.pictured for row in plain for d in row.documents)


def test_pictures_and_words_of_a_row_are_changed_together():
    rows = filed([example(i, "left ?", "left") for i in range(9)], flip=True)
    several = [words(rows.row(index, None))[0] for index in range(9)]
    assert any("left" in said and "right" in said for said in several)
    for said in several:
        turns = said.split("?")
        assert len(turns) == 5


# Scenes.


def test_drawn_rows_are_of_one_kind():
    source = replace(SOURCE, captions=0, kinds={"colour": 1.0, "count": 1.0})
    for index in range(12):
        row = drawn(source).row(index, None)
        asked = words(row)[0]
        assert len(row.pictures) == 4
        colours = ("colour",)
        assert sum(asked.count(word) for word in colours) in (0, 4), asked
    captions = replace(SOURCE, questions=0, caption_styles=("list",))
    assert len(drawn(captions).row(0, None).pictures) == 4


def test_bound_rows_are_what_the_world_says():
    source = replace(SOURCE, bind=1.0)
    for index in range(6):
        row = drawn(source).row(index, None)
        world = replace(WORLD, objects=(1, 3))
        example = conversation(scenes.bound(world, index, shots=3, resolution=16))
        assert (row.pictures == np.stack(example.images)).all()
        wanted = TEXT.encode(example.turns, picture_tokens=4)
        assert row.documents[0].tokens.tolist() == wanted.tokens.tolist()
    assert any(drawn(replace(SOURCE, bind=0.5)).row(i, None).origin != f"scenes:train:0:{i}"
               for i in range(9))  # fmt: skip


def test_labels_of_patches_go_with_every_picture():
    row = drawn(fit=replace(FIT, patches=(4, 4))).row(0, None)
    assert row.labels is not None and row.labels.shape == (4, 5, 16)


def test_a_stage_says_what_is_shown_and_one_without_words_shows_pictures():
    stage = StageConfig(until=0.5, questions=0, captions=0)
    fit = replace(FIT, patches=(4, 4))
    row = drawn(fit=fit).row(0, stage)
    assert len(row.pictures) == 1 and not row.documents


# Streams.


@pytest.mark.parametrize("rows", [lambda: drawn(replace(SOURCE, bind=0.5, shots=(0, 4))),
                                  lambda: filed(kinds(), shots=(0, 4), flip=True)])  # fmt: skip
def test_a_step_is_the_same_whatever_was_read_before(rows):
    config = DataConfig()
    streams = [Stream([rows()], config=config, text=TEXT, fit=FIT, batch=3) for _ in range(2)]
    there = [streams[0].step(step, 0.0) for step in range(5)]
    back = [streams[1].step(step, 0.0) for step in reversed(range(5))]
    for one, other in zip(there, reversed(back), strict=True):
        for name in ("tokens_BT", "targets_BT", "documents_BT", "pictures_NCHW"):
            assert (getattr(one, name) == getattr(other, name)).all()
        assert one.origins == other.origins


# Told.


def test_shots_can_be_told_instead_of_shown():
    source = {"objects": (1, 2), "pictures": False, "told": True, "shots": (2, 2)}
    bound, plain = SourceConfig(**source, bind=1.0), SourceConfig(**source)
    for row in (drawn(each).row(3, None) for each in (bound, plain)):
        assert len(row.pictures) == 0 and row.labels is None
        (said,) = words(row)
        # What is to be seen, before each of three questions or requests.
        assert said.count(" background\n") == 3 and TEXT.picture not in row.documents[0].tokens
    told = scenes.told(scenes.bound(WORLD, 0, shots=2, resolution=16))
    assert told.images == () and all(shot.images == () for shot in told.shots)
    assert all("background" in e.turns[0].text for e in (told, *told.shots))


def test_what_each_shots_answer_is_about_is_known():
    source = SourceConfig(shots=(2, 2), bind=1.0, objects=(1, 1))
    fit = replace(FIT, row_tokens=400, about=True)
    assert drawn(source, fit=fit).row(0, StageConfig(until=1.0, about=False)).about is None
    row = drawn(source, fit=fit).row(0, None)
    assert row.about is not None and row.about[0].shape[::2] == (3, 2)
    assert (row.about[0][:, :, 0] >= 0).all() and (row.about[0][:, :, 1] == -1).all()
