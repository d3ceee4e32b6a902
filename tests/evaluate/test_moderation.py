"""Moderation: decisions by a threshold from other data, scores of flagging, reasons."""

import numpy as np
import pytest
from evaluate.colours import NAMES, Dual, Pairs, Writer, example

from seesay.errors import CapabilityError, DataError
from seesay.evaluate import How, evaluate

POLICY = ("red", "blue", "none")


def policy(count=24, *, first=0):
    """Red and blue are forbidden; a third of the pictures each, the rest is green."""
    return [
        each
        for i in range(first, first + count)
        for each in example(
            ("red", "blue", "green")[i % 3], POLICY[i % 3], task="moderate", seed=i, options=POLICY
        )
    ]


def test_decisions_and_flags():
    result = evaluate(Pairs(), policy())
    names = ["categories", "flag_precision", "flag_recall", "flag_f1", "flag_ap"]
    assert list(result.scores) == names
    assert all(score.value == 1 for score in result.scores.values())
    assert result.controls["categories_chance"].value == pytest.approx(1 / 3)
    assert result.controls["flag_ap_blank"].value == pytest.approx(2 / 3)
    assert "flag_ap_question" not in result.controls
    assert "0.5" in result.notes["moderate"] and "--dev" in result.notes["moderate"]


class Timid(Pairs):
    """Says of everything that it is most likely fine, of what is not a little less."""

    def likely(self, image, options):
        chances = super().likely(image, options)
        fine = np.array([option == "none" for option in options])
        return 0.2 * chances + 0.8 * fine


def test_the_threshold_is_chosen_on_other_data():
    timid = evaluate(Timid(), policy())
    assert timid.scores["flag_recall"].value == 0 and timid.scores["flag_ap"].value == 1
    result = evaluate(Timid(), policy(), how=How(dev=policy(9, first=100)))
    assert result.scores["flag_f1"].value == result.scores["categories"].value == 1
    assert "9 other examples" in result.notes["moderate"]
    with pytest.raises(DataError, match="3 of the 3 pictures to learn from are also measured on"):
        evaluate(Timid(), policy(), how=How(dev=policy(3)))


def test_reasons_are_of_the_decision_and_kept():
    records = evaluate(Writer(), policy(), controls=()).records
    assert {record.reasoning for record in records} == {f"why? {name}" for name in POLICY}
    assert all(record.reasoning == f"why? {record.answer}" for record in records)
    assert not any(record.reasoning for record in evaluate(Pairs(), policy()).records)


def test_a_slice_without_anything_to_flag_has_no_recall():
    labelled = [
        each
        for i, e in enumerate(policy())
        for each in example(
            ("red", "blue", "green")[i % 3], e.answer, task="moderate", seed=i, options=POLICY,
            labels={"kind": e.answer},
        )
    ]  # fmt: skip
    slices = evaluate(Pairs(), labelled, controls=()).slices
    assert "flag_recall" in slices["kind=red"] and "flag_recall" not in slices["kind=none"]
    assert "categories" in slices["kind=none"]


def test_by_templates():
    how = How(templates=("the forbidden colour {}",))
    assert evaluate(Dual(), policy(), how=how, controls=()).scores["flag_ap"].value > 0.9


def test_what_cannot_be_moderated():
    with pytest.raises(DataError, match="nothing to flag"):
        evaluate(Pairs(), policy()[2::3])
    bare = example("red", "red", task="moderate", options=NAMES)
    with pytest.raises(
        DataError, match="0 of the categories red, .* say that a picture is allowed"
    ):
        evaluate(Pairs(), bare)
    writes = type("Writes", (Writer,), {"choose": Dual.choose})()
    with pytest.raises(CapabilityError, match="cannot choose"):
        evaluate(writes, policy())
