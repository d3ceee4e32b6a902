"""Caption metrics against pycocoevalcap's, on the same tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.errors import DataError
from seesay.metrics.text import bleu, bleu_counts, bleu_of_counts, cider, cider_d, rouge_l, tokenise

WORDS = ["a", "red", "blue", "circle", "square", "left", "of", "the", "红", "色"]
caption = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14)
corpus = st.lists(
    st.tuples(caption, st.lists(caption, min_size=1, max_size=4)), min_size=1, max_size=6
)


def theirs(scorer, said, truths):
    references = {i: [" ".join(t) for t in several] for i, several in enumerate(truths)}
    results = {i: [" ".join(one)] for i, one in enumerate(said)}
    return scorer.compute_score(references, results)


def halves(pairs):
    return [said for said, _ in pairs], [truths for _, truths in pairs]


@settings(deadline=None, max_examples=120)
@given(corpus)
def test_bleu_equals_pycocoevalcap(pairs):
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    said, truths = halves(pairs)
    scorer = BleuScorer(n=4)
    for one, several in pairs:
        scorer += (" ".join(one), [" ".join(truth) for truth in several])
    total, each = scorer.compute_score(option="closest")
    np.testing.assert_allclose(bleu(said, truths), total, rtol=0, atol=1e-9)
    ours = np.array([bleu_of_counts(row) for row in bleu_counts(said, truths)])
    np.testing.assert_allclose(ours.T, each, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=120)
@given(corpus)
def test_rouge_equals_pycocoevalcap(pairs):
    from pycocoevalcap.rouge.rouge import Rouge

    said, truths = halves(pairs)
    _, each = theirs(Rouge(), said, truths)
    np.testing.assert_allclose(rouge_l(said, truths), each, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=120)
@given(corpus)
def test_cider_d_equals_pycocoevalcap(pairs):
    from pycocoevalcap.cider.cider import Cider

    said, truths = halves(pairs)
    _, each = theirs(Cider(), said, truths)
    np.testing.assert_allclose(cider_d(said, truths), each, rtol=0, atol=1e-9)


def test_silence_scores_as_pycocoevalcap_scores_it():
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    said, truths = [[], ["a", "red", "circle"]], [[["a", "dog"]], [["a", "red", "circle"], []]]
    np.testing.assert_allclose(rouge_l(said, truths), theirs(Rouge(), said, truths)[1], atol=1e-9)
    np.testing.assert_allclose(cider_d(said, truths), theirs(Cider(), said, truths)[1], atol=1e-9)
    assert bleu([[]], [[["a", "dog"]]]).tolist() == [0, 0, 0, 0]


def test_cider_is_the_mean_cosine_of_tf_idf():
    truths = [[["red", "circle"]], [["blue", "circle"]]]
    said = [["red", "circle"], ["red", "circle"]]
    # "circle" is in both pictures, so it weighs nothing; "red" and "red circle" are in the first.
    np.testing.assert_allclose(cider(said, truths), [10 * (1 + 1 + 0 + 0) / 4, 0], atol=1e-12)
    longer = [["red", "circle", "circle", "circle"], ["red", "circle"]]
    assert cider_d(longer, truths)[0] < cider(longer, truths)[0]


def test_perfect_captions_score_full():
    said = [tokenise("A red circle left of a blue square."), tokenise("two green stars above it")]
    truths = [[one] for one in said]
    np.testing.assert_allclose(bleu(said, truths), 1, atol=1e-6)
    np.testing.assert_allclose(rouge_l(said, truths), 1)
    np.testing.assert_allclose(cider_d(said, truths), 10)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A red, well-lit T-shirt!", ["a", "red", "well-lit", "t-shirt"]),
        ("it doesn’t cost 1,000.50.", ["it", "doesn't", "cost", "1,000.50"]),
        ("红色的圆形。", ["红", "色", "的", "圆", "形"]),
        ("一个 red 圆", ["一", "个", "red", "圆"]),
        ("ＡＢＣ　１２", ["abc", "12"]),
        ("赤いりんごだ、𠮷", ["赤", "い", "り", "ん", "ご", "だ", "𠮷"]),
        ("Ça c'était_là", ["ça", "c'était", "là"]),
        ("…", []),
    ],
)
def test_tokenise(text, tokens):
    assert tokenise(text) == tokens


def test_numbers_that_do_not_match_are_named():
    with pytest.raises(DataError, match="1 captions against 2"):
        bleu([["a"]], [[["a"]], [["b"]]])
    with pytest.raises(DataError, match="no reference"):
        cider_d([["a"]], [[]])
