"""Store: what is kept on disk comes back as it was, and groups are what dictionaries gave."""

import os
import pickle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from data.layouts import png
from hypothesis import given
from hypothesis import strategies as st

from seesay.data import sources, store
from seesay.data.groups import Groups, grouped, mark, parted
from seesay.data.packing import split
from seesay.data.store import Chosen, Stored, Writer, chosen, evenly, some
from seesay.errors import DataError, LengthError
from seesay.records import Box, Example, Origin, Turn

# Plain values: what is checked at run time draws random numbers, which strategies must not.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
turns = st.tuples(st.sampled_from(["user", "assistant"]), texts, texts, st.just((0, 3)))
numbers = st.floats(0, 1000, allow_nan=False)
plans = st.fixed_dictionaries({
    "images": st.lists(texts, max_size=2),
    "turns": st.lists(turns, max_size=3),
    "origin": st.tuples(texts, st.none() | st.integers(0, 10**12)),
    "task": st.sampled_from(["vqa", "caption"]),
    "group": texts,
    "options": st.lists(texts, max_size=3).map(tuple),
    "boxes": st.lists(st.tuples(numbers, numbers, numbers, numbers, texts), max_size=2),
    "labels": st.dictionaries(texts, texts, max_size=2),
})  # fmt: skip


def made_of(plan: dict) -> Example:
    return Example(**plan | {
        "images": tuple(Path("a") / f"x{name}".replace("\0", "") for name in plan["images"]),
        "turns": tuple(Turn(*each) for each in plan["turns"]),
        "origin": Origin(*plan["origin"]),
        "boxes": tuple(Box(*each) for each in plan["boxes"]),
    })  # fmt: skip


def stored(given: list[Example], folder: Path | None = None, **more) -> Stored:
    writer = Writer(folder)
    for each in given:
        writer.add(each)
    return writer.done(**more)


@given(st.lists(plans, max_size=6))
def test_what_is_kept_comes_back_as_it_was(plans):
    given = [made_of(plan) for plan in plans]
    made = stored(given)
    assert list(made) == given and len(made) == len(given)
    assert list(reversed(made)) == given[::-1]


def example(number: int) -> Example:
    asked = Turn("user", f"what is {number}?"), Turn("assistant", f"{number}")
    return Example((Path(f"{number}.png"),), asked, Origin("a.csv", number), group=f"{number}")


EVERY = [example(i) for i in range(50)]


def test_some_of_them_are_views():
    made = stored(EVERY)
    assert made[-1] == EVERY[-1] and made[3] == EVERY[3]
    assert isinstance(made[5:9], Chosen) and list(made[5:9]) == EVERY[5:9]
    assert list(made[::-7]) == EVERY[::-7] and list(made[10:30][2:4]) == EVERY[12:14]
    assert list(chosen(made, [4, 2])) == [EVERY[4], EVERY[2]] == chosen(EVERY, [4, 2])
    for outside in (50, -51):
        with pytest.raises(IndexError):
            made[outside]
        with pytest.raises(IndexError):
            made[:20][outside]


def test_some_are_drawn_and_evenly_taken_alike_from_lists_and_from_disk():
    made = stored(EVERY)
    assert list(some(made, 7, seed=3)) == some(EVERY, 7, seed=3)
    assert some(made, None, seed=0) is made and some(made, 50, seed=0) is made
    assert list(evenly(made, 10)) == EVERY[::5] == list(evenly(EVERY, 10))
    assert list(evenly(made, 51)) == EVERY and len(list(evenly(EVERY, 49))) == 25


def test_examples_are_finished_as_they_are_read():
    made = stored(EVERY, finish=lambda e: Example(e.images, e.turns, e.origin, options=("a",)))
    assert made[7].options == ("a",) and made[7].turns == EVERY[7].turns


def test_nothing_is_left_on_disk(tmp_path):
    made = stored(EVERY, tmp_path)
    assert [path.name for path in made.path.parent.iterdir()] == ["examples.jsonl"]
    del made
    assert list(tmp_path.iterdir()) == []
    Writer(tmp_path).discard()
    assert list(tmp_path.iterdir()) == []


def _read_in(made: Stored, index: int) -> Example:
    return made[index]


def test_processes_read_it_side_by_side(tmp_path):
    made = stored(EVERY, tmp_path)
    assert made[0] == EVERY[0]
    with get_context("fork").Pool(2) as pool:
        assert pool.starmap(_read_in, [(made, i) for i in range(50)]) == EVERY
    assert made[1] == EVERY[1] and os.path.exists(made.path)
    assert list(pickle.loads(pickle.dumps(made))) == EVERY


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path):
    writer = Writer(tmp_path)
    os.close(writer._file.fileno())
    long = Example((), (Turn("assistant", "a" * (2 << 20)),), Origin("a.csv"))
    with pytest.raises(DataError, match="cannot be kept on disk") as error:
        writer.add(long)
    assert "TMPDIR" in error.value.fix and list(tmp_path.iterdir()) == []


# Groups.


@given(st.lists(st.integers(0, 9)), st.integers(20, 40))
def test_groups_are_those_of_a_dictionary(names, room):
    by_name: dict[int, list[int]] = {}
    for i, name in enumerate(names):
        by_name.setdefault(name, []).append(i)
    marks = np.array([mark(str(name)) for name in names], np.uint64)
    groups = grouped(marks)
    assert list(groups) == list(by_name.values())
    lengths = np.array([3 + i % 15 for i in range(len(names))], np.int32)
    rooms = np.full(len(names), room, np.int32)
    rows = [
        [own[i] for i in row]
        for own in by_name.values()
        for row in split(lengths[own].tolist(), room=room)
    ]
    assert list(parted(groups, lengths, rooms)) == rows


def test_groups_are_a_sequence():
    groups = Groups(np.array([4, 2, 0, 1]), np.array([0, 1, 3, 4]))
    assert len(groups) == 3 and groups[1] == [2, 0] and groups[-1] == [1]
    assert groups[:2] == [[4], [2, 0]]
    with pytest.raises(IndexError):
        groups[3]


def test_what_is_longer_than_its_room_is_refused():
    groups = grouped(np.zeros(2, np.uint64))
    with pytest.raises(LengthError, match="takes 9 tokens but a row has room for 8"):
        parted(groups, np.array([3, 9]), np.array([8, 8]))


@pytest.mark.parametrize("most", [3, 100])
def test_many_rows_are_kept_on_disk_and_read_as_few_are(tmp_path, monkeypatch, most):
    """Labels are named, and offered to choose among, when all of them are known."""
    rows = [{"image": "a.png", "label": "Yes" if i % 3 else "no", "kind": f"{i}"} for i in range(7)]
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "rows.csv").write_text(
        "image,label,kind\n" + "".join(",".join(row.values()) + "\n" for row in rows)
    )
    monkeypatch.setattr(store, "MOST", most)
    found = sources.read(tmp_path / "rows.csv").examples
    assert isinstance(found, Stored if most == 3 else list)
    assert [example.answer for example in found] == [row["label"] for row in rows]
    assert {example.options for example in found} == {("Yes", "no")}
    assert [example.origin.row for example in found] == list(range(2, 9))


def test_a_bad_row_among_many_is_told_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MOST", 10)
    (tmp_path / "a.png").write_bytes(png(0))
    lines = [f"a.png,what is {i}?,it is {i}\n" for i in range(1000)]
    lines[700] = "a.png,what is 700?\n"
    (tmp_path / "rows.csv").write_text("image,question,answer\n" + "".join(lines))
    found = sources.read(tmp_path / "rows.csv")
    assert len(found.examples) == 999 and isinstance(found.examples, Stored)
    (broken,) = found.broken
    assert str(broken.origin).endswith("rows.csv:702")
    assert broken.why == "2 cells; the header has 3"
