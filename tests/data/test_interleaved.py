"""Interleaved: pictures inside conversations, from the marks in a file to the tokens of a batch."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from seesay.data.augment import Augment, Change
from seesay.data.collate import Row, collate
from seesay.data.dialogue import turns_of
from seesay.data.examples import _turns
from seesay.data.finder import Refused
from seesay.data.fit import Fit
from seesay.data.rows import FileRows
from seesay.data.text import PICTURE, SPECIALS, Template
from seesay.errors import DataError, LengthError
from seesay.records import Example, Origin, Turn

WORDS = tiny.text()
FIT = Fit(size=(16, 16), picture_tokens=3, row_tokens=60)


def shades(number: int) -> np.ndarray:
    """Pictures of one shade each, from 0 up."""
    made = np.arange(number, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(made, (number, 16, 16, 3)).copy()


def user(text: str, *pictures: int) -> Turn:
    return Turn("user", text, pictures=pictures)


def said(text: str, *pictures: int, reasoning: str = "") -> Turn:
    return Turn("assistant", text, reasoning, pictures)


# Rendering.


@pytest.mark.parametrize(("turns", "text", "learned"), [
    ([user("what ?", 0), said("red")], "<user><picture>what ?<assistant>red<end>", ["red<end>"]),
    ([user("one", 0, 3)], "<user><picture>one<picture><assistant>", []),
    ([user("", 0)], "<user><picture><assistant>", []),
    ([said("a star", 0, 0, 2)], "<assistant><picture><picture>a <picture>star<end>",
     ["a ", "star<end>"]),
    ([said("a", 0, reasoning="b")], "<assistant><picture>b</think>a<end>", ["b</think>a<end>"]),
    ([said("a", 1, reasoning="b")], "<assistant>b</think>a<picture><end>", ["b</think>a", "<end>"]),
])  # fmt: skip
def test_marks_stand_where_pictures_are_shown_and_are_not_learned(turns, text, learned):
    made, spans = Template().render(turns)
    assert made == text and [made[start:end] for start, end in spans] == learned


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=12),
                          st.text(max_size=5)), max_size=4))  # fmt: skip
def test_turns_that_show_nothing_are_rendered_as_ever(plan):
    template, text, spans = Template(), "", []
    from seesay.data.text import disarm

    for role, words, reasoning in plan:
        text += f"<{role}>"
        if role == "assistant":
            thought = disarm(reasoning) + "</think>" if reasoning else ""
            start, text = len(text), text + thought + disarm(words) + "<end>"
            spans.append((start, len(text)))
        else:
            text += disarm(words)
    text += "<assistant>" if plan and plan[-1][0] == "user" else ""
    assert template.render([Turn(*each) for each in plan]) == (text, spans)


@given(st.text("a<picture>", max_size=30), st.lists(st.integers(0, 30), max_size=3))
def test_only_pictures_that_are_shown_have_marks(text, places):
    places = tuple(sorted(min(place, len(text)) for place in places))
    document = WORDS.encode([user(text, *places)], picture_tokens=2)
    assert (document.tokens == WORDS.picture).sum() == document.pictured == 2 * len(places)
    made, _ = Template().render([user(text, *places)])
    assert made.count(PICTURE) == len(places)
    assert not any(mark in made.replace(PICTURE, " ")[6:-11] for mark in SPECIALS)


@pytest.mark.parametrize("places", [(3,), (-1,), (1, 0)])
def test_a_picture_outside_its_text_is_an_error(places):
    with pytest.raises(DataError, match=r"pictures at characters .* of a text of 2"):
        WORDS.encode([user("ab", *places)])


def test_text_is_cut_and_pictures_never():
    turns = [user("ab", 0, 2), said("red")]
    whole = WORDS.encode(turns, picture_tokens=4)
    assert len(whole) == 4 + 2 * 4 + 5 - 1 and whole.pictured == 8
    cut = WORDS.encode(turns, picture_tokens=4, limit=len(whole) - 2)
    assert cut.pictured == 8 and len(cut) == len(whole) - 2
    long = [user("ab", 0), said("red"), user("cd", 2), said("red")]
    with pytest.raises(LengthError, match="8 tokens of the pictures in it take 24 .* room for 18"):
        WORDS.encode(long, picture_tokens=4, limit=18, where="a:1")


# Rows.


def packed(*rows: Row):
    return collate(rows, picture_token=WORDS.picture, picture_tokens=3, pad=WORDS.pad)


def document(*turns: Turn):
    return WORDS.encode(turns, picture_tokens=3)


def test_a_row_spelled_out():
    """One picture in front, one in each conversation, and one that shows nothing."""
    asked = document(user("a", 1), said("e"))
    told = document(said("e", 0))
    plain = document(user("a"), said("e"))
    batch = packed(Row(shades(3), (asked, told, plain)))
    p, u, a, s, b = (WORDS.tokenizer.token_to_id(t)
                     for t in ("<picture>", "<user>", "a", "<assistant>", "e"))  # fmt: skip
    width = 3 + 7 + 5 + 4
    assert batch.tokens_BT[0, :width].tolist() == [
        *[p] * 3, u, a, *[p] * 3, s, b, s, *[p] * 3, b, u, a, s, b
    ]  # fmt: skip
    assert batch.documents_BT[0, :width].tolist() == [0] * 3 + [1] * 7 + [2] * 5 + [3] * 4
    assert batch.positions_BT[0, :width].tolist() == [*range(3), *range(3, 10), *range(3, 8),
                                                      *range(3, 7)]  # fmt: skip
    e = WORDS.end
    assert batch.targets_BT[0, :width].tolist() == [
        *[-1] * 8, b, e, -1, -1, -1, b, e, -1, -1, b, e
    ]  # fmt: skip
    assert batch.horizon_BT is not None
    assert batch.horizon_BT[0, :width].tolist() == [
        *[2] * 3, *[8] * 6, 9, *[13] * 4, 14, *[17] * 3, 18
    ]  # fmt: skip


def test_pictures_are_counted_row_by_row_with_both_numbers():
    two = document(user("a", 0, 1))
    with pytest.raises(LengthError, match="6 picture tokens .* the pictures give 3") as error:
        packed(Row(shades(2), (two,)), Row(shades(1), (two,), "a.csv:2"))
    assert error.value.where == "a.csv:2"


# Files.


def example(turns, number: int = 0, pictures: int = 2) -> Example:
    images = tuple(shades(pictures))
    return Example(images, tuple(turns), Origin("a.csv", number), group="g")


def rows_of(*examples: Example, fit: Fit = FIT, **changes) -> FileRows:
    return FileRows(examples, text=WORDS, fit=fit, seed=0, augment=Augment(**changes))


def test_rows_show_what_is_inside_once_a_conversation():
    """Those that share their pictures in front share a row; others have rows of their own."""
    plain = [example([user("a"), said("b")], i) for i in range(2)]
    inside = [example([user("a"), said("b"), user("a", 0), said("b")], i) for i in range(2)]
    made = rows_of(*plain, *inside)
    rows = sorted((made.row(i, None) for i in range(len(made.rows))), key=lambda r: len(r.pictures))
    assert [[len(d) for d in row.documents] for row in rows] == [[5, 5], [13, 13]]
    assert [row.pictures[:, 0, 0, 0].tolist() for row in rows] == [[0, 1], [0, 1, 1]]
    packed(*rows)


def test_a_model_that_reads_no_pictures_among_words_has_them_in_front():
    turns = [user("a", 0), said("b"), user("a", 0), said("b")]
    row = rows_of(example(turns), fit=replace(FIT, interleaved=False)).row(0, None)
    assert len(row.pictures) == 2 and row.documents[0].pictured == 0


def test_what_is_said_among_pictures_is_no_claim():
    told = replace(example([said("a star", 0, 1)]), task="caption")
    fit = replace(FIT, claimed=True)
    assert rows_of(told, fit=fit).row(0, None).claims == ()
    front = replace(told, turns=(said("a star"),))
    assert len(rows_of(front, fit=fit).row(0, None).claims) == 1


@pytest.mark.parametrize(("turns", "row_tokens", "said"), [
    ([user("a", 0, 0, 1)], 60, "3 pictures are shown in a conversation with 2"),
    ([user("a", 0, 0), said("b")], 7, "2 pictures take 6 tokens, a row holds 7"),
])  # fmt: skip
def test_what_cannot_be_shown_is_an_error(turns, row_tokens, said):
    with pytest.raises(DataError, match=said) as error:
        rows_of(example(turns), fit=replace(FIT, row_tokens=row_tokens))
    assert error.value.where == "a.csv:0"


def test_words_changed_along_with_pictures_keep_them_in_their_place():
    turn = user("left of it, right of that", 4, 11)
    (made,) = Change(mirrored=True).turns([turn])
    assert made == user("right of it, left of that", 5, 12)


# Marks in files.


def talk(*texts: str, pictures: int) -> tuple[Turn, ...]:
    speakers = ("human", "gpt")
    return turns_of(
        [{"from": speakers[i % 2], "value": text} for i, text in enumerate(texts)],
        num_pictures=pictures,
    )


@pytest.mark.parametrize(("texts", "pictures", "turns"), [
    (["<image>\nwhat?", "red"], 1, [user("what?"), said("red")]),
    (["what? <image>", "red"], 1, [user("what?"), said("red")]),
    (["<image> <image>\nwhat?", "red"], 2, [user("what?"), said("red")]),
    (["<image>\nwhat?", "red", "<image>\nthis?", "blue"], 2,
     [user("what?", 0), said("red"), user("this?", 0), said("blue")]),
    (["1: <image> 2: <image>\nwhat differs?", "red"], 2,
     [user("1: 2:\nwhat differs?", 2, 5), said("red")]),
    (["what? <image> <image>", "red"], 2, [user("what?", 5, 5), said("red")]),
    (["<image>", "a cat", "<image>", "a dog"], 2,
     [user("", 0), said("a cat"), user("", 0), said("a dog")]),
    (["", "a cat <image> and\n<image> a dog"], 2, [said("a cat and a dog", 5, 9)]),
])  # fmt: skip
def test_marks_in_conversations(texts, pictures, turns):
    assert talk(*texts, pictures=pictures) == tuple(turns)


@pytest.mark.parametrize(("texts", "why"), [
    (["a", "<image>", "<image>", "b"], "turn 2 says nothing"),
    (["a <image>", "<think>b <image></think> c"], "turn 2 shows a picture in its reasoning"),
    (["a <image>", "b"], "1 <image> marks and 2 pictures"),
])  # fmt: skip
def test_marks_that_mean_nothing_are_refused(texts, why):
    with pytest.raises(Refused, match=why):
        talk(*texts, pictures=2)


def test_marks_in_questions_and_captions():
    assert _turns("is <image> as <image>", "yes", pictures=2) == (user("is as", 2, 5), said("yes"))
    assert _turns("", "a <image> b <image>", pictures=2) == (said("a b", 1, 3),)
    for question, pictures in (("is <image> as <image>", 1), ("<image>what", 1), ("what", 2)):
        assert _turns(question, "yes", pictures=pictures) == (user(question), said("yes"))
