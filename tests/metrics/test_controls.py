"""Controls: blank, shuffled and the question alone."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from seesay.metrics.controls import blank, question_alone, shuffled


def test_blank_is_grey():
    picture = blank(3, 5)
    assert picture.shape == (3, 5, 3) and set(picture.ravel().tolist()) == {128}


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 2), max_size=12), st.integers(0, 9))
def test_never_a_picture_for_itself(num_pictures, seed):
    instead = shuffled(num_pictures, seed=seed)
    assert all(group != other for group, other in instead.items())
    assert all(num_pictures[group] == num_pictures[other] for group, other in instead.items())
    assert sorted(instead) == sorted(instead.values())
    sizes = Counter(num_pictures.values())
    assert set(instead) == {g for g, count in num_pictures.items() if count and sizes[count] > 1}
    assert instead == shuffled(num_pictures, seed=seed)


def test_the_majority_answer_of_other_pictures():
    questions = ["colour?", "colour?", "colour?", "colour?", "shape?", "new?"]
    answers = ["red", "red", "blue", "red", "circle", "x"]
    groups = ["1", "2", "3", "3", "4", "5"]
    # The first has blue and two reds left; the third's own picture is left out whole; the last two
    # questions are asked of no other picture, and red is the most frequent answer there is.
    assert question_alone(questions, answers, groups) == ["red"] * 6


def test_its_own_answer_does_not_count():
    assert question_alone(["q", "q"], ["yes", "no"], ["1", "2"]) == ["no", "yes"]
    assert question_alone(["q"], ["yes"], ["1"]) == [""]


rows = st.lists(
    st.tuples(st.sampled_from("pq"), st.sampled_from("abc"), st.sampled_from("1234")), max_size=14
)


@given(rows, st.sampled_from(["", "a", "bc", "d"]))
def test_equals_counting_plainly(rows, options):
    def plainly(question, group):
        others = [(q, a) for q, a, g in rows if g != group and (not options or a in options)]
        votes = Counter(a for q, a in others if q == question) or Counter(a for _, a in others)
        return min(votes, key=lambda a: (-votes[a], a), default="")

    expected = [plainly(question, group) for question, _, group in rows]
    columns = ([q for q, _, _ in rows], [a for _, a, _ in rows], [g for _, _, g in rows])
    assert question_alone(*columns, options=[list(options)] * len(rows)) == expected
