"""When two short answers are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import DataError
from seesay.metrics.answers import agreement, exact_match, normalise


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        ("Yes.", "yes"),
        ("a red  circle", "Red circle"),
        ("The answer is TWO!", "answer is 2"),
        ("none", "0"),
        ("don't", "dont"),
        ("1,000", "1000"),
        ("t-shirt", "T shirt"),
        ("３", "three"),
        ("红色。", "红色"),
        ("红 色", "红色"),
        ("三个", "3"),
        ("两个", "two"),
        ("5个", "five"),
        ("十", "ten"),
        ("left/right", "left, right"),
    ],
)
def test_the_same(answer, same):
    assert normalise(answer) == normalise(same)


@pytest.mark.parametrize(
    ("answer", "other"),
    [("3.5", "35"), ("-2", "2"), ("50 %", "50"), ("red", "reed"), ("A", "B"), ("?", "!"),
     ("三角形", "3角形"), ("一个红色的圆", "1"), ("1,5", "15")],
)  # fmt: skip
def test_not_the_same(answer, other):
    assert normalise(answer) != normalise(other)


def test_an_answer_never_vanishes():
    assert normalise("A") == normalise("a") == "a"
    assert normalise("The") == "the"
    assert normalise("?!") == "?!"
    assert normalise(" ") == ""


@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def test_exact_match():
    assert exact_match(["Two.", "red"], ["2", "blue"]).tolist() == [True, False]
    with pytest.raises(DataError, match="1 answers against 2"):
        exact_match(["a"], ["a", "b"])


def left_one_out(said: str, cast: list[str]) -> float:
    """VQA's accuracy as its evaluation computes it."""
    others = [cast[:i] + cast[i + 1 :] for i in range(len(cast))]
    return sum(min(1.0, rest.count(said) / 3) for rest in others) / len(others)


@given(st.lists(st.sampled_from(["red", "blue", "green"]), min_size=1, max_size=12))
def test_agreement_is_that_of_vqas_evaluation(cast):
    for said in ("red", "black"):
        assert agreement([said], [cast]).tolist() == pytest.approx([left_one_out(said, cast)])


def test_agreement_of_ten():
    votes = ["2"] * 6 + ["three"] * 2 + ["4", "5"]
    said = ["two.", "3", "4", "6"]
    assert agreement(said, [votes] * 4).tolist() == pytest.approx([1, 0.6, 0.3, 0])
    with pytest.raises(DataError, match="1 answers against 2"):
        agreement(["a"], [votes] * 2)
