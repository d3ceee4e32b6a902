"""What does not fit is named as training cuts it; what is oddly long by a rule that is stated."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from seesay.data import lengths
from seesay.data.fit import Fit
from seesay.data.lengths import empty, odd, too_long
from seesay.data.text import learn
from seesay.errors import LengthError
from seesay.records import Example, Origin, Turn


def example(number: int, answer: str, question: str = "", **fields) -> Example:
    turns = (Turn("user", question),) if question else ()
    return Example((b"x",), (*turns, Turn("assistant", answer)), Origin("a", number), **fields)


def test_too_long_is_what_training_cuts():
    words = learn(tiny.WORDS, kind="character")
    fit = Fit((16, 16), picture_tokens=4, row_tokens=20)
    examples = [
        example(1, "red", "two"),
        example(2, "red" * 9, "two"),
        example(3, "red", "two" * 9),
        example(4, "redredred", "two"),
    ]
    found = too_long(examples, text=words, fit=fit)
    assert [(each.origin.row, each.tokens, each.room, each.fits) for each in found] == [
        (2, 33, 16, True), (3, 33, 16, False)
    ]  # fmt: skip
    for one in examples:
        room = fit.room_of(one, (4,))
        if one.origin.row == 3:
            with pytest.raises(LengthError):
                words.encode(one.turns, limit=room)
            continue
        lost = words.encode(one.turns, limit=room).lost
        assert len(lost) == (33 - 16 if one.origin.row == 2 else 0)
    assert "33 tokens, room for 16: its end is cut off" in str(found[0])


def test_pictures_that_leave_no_room():
    words = learn(tiny.WORDS, kind="character")
    fit = Fit((16, 16), picture_tokens=10, row_tokens=20)
    many = Example((b"x", b"y"), (Turn("assistant", "red"),), Origin("a", 1))
    (found,) = too_long([many], text=words, fit=fit)
    assert (found.room, found.fits) == (0, False) and "training stops" in str(found)


def test_tiles_chosen_for_each_picture():
    """Each takes its own tokens; one whose size cannot be read, the fewest."""
    words = learn(tiny.WORDS, kind="character")
    fit = Fit((16, 16), picture_tokens=4, row_tokens=20, tiles="best", max_tiles=2)
    wide, square = (np.zeros((16, side, 3), np.uint8) for side in (32, 16))
    shown = [replace(example(n, "redred"), images=(own,)) for n, own in enumerate((wide, square))]
    shown.append(example(2, "redred"))
    assert [lengths.tokens_of(each, fit) for each in shown] == [(12,), (4,), (4,)]
    long = [replace(each, turns=example(0, "red" * 4).turns) for each in shown]
    found = too_long(long, text=words, fit=fit)
    assert [(each.origin.row, each.tokens, each.room, each.fits) for each in found] == [
        (0, 14, 8, True)
    ]


def test_more_pictures_than_a_sequence_may_hold():
    words = learn(tiny.WORDS, kind="character")
    fit = Fit((16, 16), picture_tokens=4, row_tokens=64, tiles="best", max_tiles=2,
              sequence_budget=8)  # fmt: skip
    page = np.zeros((16, 32, 3), np.uint8)
    several = [replace(example(n, "red"), images=(page,) * n) for n in (1, 2, 3)]
    found = too_long(several, text=words, fit=fit)
    assert [(each.origin.row, each.fits) for each in found] == [(3, False)]
    with pytest.raises(LengthError, match="sequence_budget"):
        fit.plans(several[2].images)


def test_answers_that_say_nothing():
    found = empty([example(1, "-"), example(2, "…!"), example(3, "猫"), example(4, "5")])
    assert found == ["a:1: the answer is only '-'", "a:2: the answer is only '…!'"]


def test_odd_lengths():
    examples = [example(i, "a" * (20 + i % 7), task="caption") for i in range(60)]
    examples += [example(100, "b" * 300, task="caption"), example(101, "b", task="caption")]
    found = odd(examples)
    assert [(each.origin.row, each.characters, each.middle) for each in found] == [
        (100, 300, 23.0), (101, 1, 23.0)
    ]  # fmt: skip
    assert str(found[0]) == "a:100: a caption of 300 characters; usual: 23"
    assert odd(examples[-10:]) == []


def test_short_answers_of_a_closed_set_are_not_odd():
    answers = ["yes", "no", "rectangle", "teal"] * 20
    assert odd([example(i, text, "what is it?") for i, text in enumerate(answers)]) == []


@given(st.lists(st.integers(1, 400), min_size=20, max_size=60))
def test_nothing_is_odd_that_is_not_about_three_times_as_long_or_short(sizes):
    found = odd([example(i, "a" * size) for i, size in enumerate(sizes)])
    for each in found:
        factor = (1 + each.characters) / (1 + each.middle)
        # Of an even number of texts, the middle of the logarithms is not that of the lengths.
        assert max(factor, 1 / factor) > 2
    assert len(found) <= len(sizes) / 2
    assert lengths.LEAST_DEVIATION * lengths.DEVIATIONS > 1
