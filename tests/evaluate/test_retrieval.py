"""Retrieval: by vectors, pair by pair, re-ranked; ties, several captions, chance."""

from dataclasses import replace

import numpy as np
import pytest
from evaluate.colours import NAMES, Both, Dual, Pairs, example

from seesay.errors import CapabilityError, DataError, SeesayError
from seesay.evaluate import How, evaluate
from seesay.records import Turn


def captions(several=1, *, labelled=False):
    """A picture a colour, with so many captions."""
    return [
        each
        for i, colour in enumerate(NAMES)
        for each in example(
            colour,
            *[f"{'very ' * k}{colour}" for k in range(several)],
            task="retrieve",
            seed=i,
            labels={"first": str(i < 3)} if labelled else {},
        )
    ]


def test_one_that_embeds():
    result = evaluate(Dual(), captions(labelled=True))
    names = ["r1", "r5", "median_rank"]
    assert list(result.scores) == [f"{way}_{name}" for way in ("text", "image") for name in names]
    assert all(score.value == 1 and score.n == 6 for score in result.scores.values())
    assert result.controls["text_r1_chance"].value == pytest.approx(1 / 6)
    assert result.controls["text_r5_chance"].value == pytest.approx(5 / 6)
    assert result.controls["image_median_rank_chance"].value == 3
    # All grey pictures are alike: a tie finds nothing.
    assert result.controls["image_r1_blank"].value == 0
    assert result.controls["text_r1_shuffled"].value == 0
    assert "text_r1_question" not in result.controls
    assert list(result.controls_of("text_r1")) == ["blank", "shuffled", "chance"]
    assert result.slices["first=True"]["image_r1"].n == 3
    assert {record.score for record in result.records} == {"text_r1"}
    assert all(record.right and record.answer == record.truth for record in result.records)


def test_any_caption_of_its_own_is_a_hit():
    made = captions(several=2)
    result = evaluate(Dual(), made)
    assert result.scores["text_r1"].n == 6 and result.scores["image_r1"].n == 12
    assert result.scores["text_r10"].value == 1  # a name that begins as another does
    assert result.scores["text_r1"].value == result.scores["image_r1"].value == 1
    assert result.controls["text_r1_chance"].value == pytest.approx(2 / 12)
    assert result.controls["image_r1_chance"].value == pytest.approx(1 / 6)
    # A second caption that is wrong costs its own search, not its picture's.
    made[1] = replace(made[1], turns=(Turn("assistant", "green or blue"),))
    result = evaluate(Dual(), made, controls=())
    assert result.scores["text_r1"].value == 1
    assert result.scores["image_r1"].value == pytest.approx(11 / 12)


def test_a_caption_of_several_pictures_belongs_to_all():
    alike = [*captions(), *example("red", "red", task="retrieve", seed=9)]
    result = evaluate(Dual(), alike)
    assert result.scores["text_r1"].value == result.scores["image_r1"].value == 1
    assert result.controls["text_r1_chance"].value == pytest.approx(1 / 6)
    assert result.controls["image_r1_chance"].value == pytest.approx((5 + 2 * 2) / 7 / 7)


def test_one_that_reads_pairs_ranks_in_pools():
    pairs = Pairs()
    whole = evaluate(pairs, captions(2))
    assert whole.scores["text_r1"].value == whole.scores["image_r1"].value == 1 and pairs.most == 12
    assert whole.notes == {}
    pairs = Pairs()
    parts = evaluate(pairs, captions(2), how=How(pool=3))
    assert pairs.most == 6 and parts.scores["image_r1"].value == 1
    assert parts.controls["image_r1_chance"].value == pytest.approx(1 / 3)
    assert parts.controls["text_r1_chance"].value == pytest.approx(1 / 3)
    assert parts.controls["image_r1_blank"].value == 0
    assert "3 pictures at a time" in parts.notes["retrieve"]


def test_the_nearest_are_ranked_anew():
    by_vectors = evaluate(Both(), captions(), controls=())
    again = evaluate(Both(), captions(), controls=(), how=How(rerank=4))
    whole = evaluate(Both(), captions(), controls=(), how=How(rerank=99))
    for name in ("text_r1", "image_r1"):
        assert by_vectors.scores[name].value < again.scores[name].value
        assert whole.scores[name].value == 1
    with pytest.raises(CapabilityError, match="cannot choose"):
        evaluate(Dual(), captions(), how=How(rerank=4))


def test_batches_change_nothing():
    results = [evaluate(Dual(), captions(2), batch=size).as_dict() for size in (1, 5, 64)]
    assert results[0] == results[1] == results[2]
    dual = Dual()
    evaluate(dual, captions(), batch=4)
    assert dual.embedded == [4, 2, 4, 2, 1]  # pictures, texts; one grey picture


def test_what_cannot_be_retrieved():
    with pytest.raises(DataError, match="1 picture to retrieve from"):
        evaluate(Dual(), example("red", "red", "rosy", task="retrieve"))
    first = captions()[0]
    two = replace(first, images=first.images * 2, group="two")
    with pytest.raises(DataError, match="2 pictures in one example") as error:
        evaluate(Dual(), [*captions(), two])
    assert error.value.where == "data.csv:0"
    with pytest.raises(CapabilityError, match="no vectors"):
        evaluate(type("Neither", (Pairs,), {"choose": Dual.choose})(), captions())


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (np.ones((3, 2)), "shape .3, 2. for 6 items"),
        (np.ones(6), "shape"),
        (np.full((6, 2), 0.5), "length 0.7071, not 1"),
        (np.full((6, 2), np.nan), "length nan"),
    ],
)
def test_vectors_that_are_none(found, message):
    broken = type("Broken", (Dual,), {"embed": lambda self, images=(), texts=(): found})()
    with pytest.raises(SeesayError, match=message):
        evaluate(broken, captions())


def test_progress_reaches_its_end():
    seen = []
    evaluate(Dual(), captions(2), batch=4, progress=lambda *counts: seen.append(counts))
    assert seen[-1] == (36, 36) and seen == sorted(seen)
