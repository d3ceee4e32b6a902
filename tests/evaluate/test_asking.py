"""Classes by vectors: prompt templates, means of shots, a probe; and what is learned from."""

import numpy as np
import pytest
from evaluate.colours import NAMES, Dual, Pairs, example, unit

from seesay.errors import CapabilityError, DataError, RecipeError
from seesay.evaluate import How, evaluate


def classes(count=18, *, first=0, names=NAMES):
    return [
        each
        for i in range(first, first + count)
        for each in example(
            names[i % 6], names[i % 6], task="classify", seed=i, options=names, question="what?"
        )
    ]


def test_classes_by_their_names():
    """One that only embeds is asked so without being told to."""
    result = evaluate(Dual(), classes())
    assert result.scores["classes"].value == 1
    assert result.controls["classes_chance"].value == pytest.approx(1 / 6)
    assert result.controls["classes_blank"].value <= 1 / 6
    record = result.records[0]
    assert record.right and record.log_probability is not None and record.log_probability > -0.5


def test_templates_are_embedded_instead_of_choosing():
    class Foreign(Dual):
        """Takes a bare word for another."""

        def told(self, text):
            bare = NAMES[(NAMES.index(text.split()[-1]) + 1) % 6]
            return super().told(text if "picture" in text else bare)

        choose = Pairs.choose
        likely = Pairs.likely
        most = 0

    assert evaluate(Foreign(), classes(), controls=()).scores["classes"].value < 0.2
    how = How(templates=("a picture of something {}", "the picture is {}"))
    assert evaluate(Foreign(), classes(), how=how, controls=()).scores["classes"].value == 1
    with pytest.raises(CapabilityError, match="no vectors"):
        evaluate(Pairs(), classes(), how=how)
    with pytest.raises(RecipeError, match="0 places"):
        evaluate(Dual(), classes(), how=How(templates=("a picture",)))


class Nameless(Dual):
    """Knows no colour by its name; pictures it sees well."""

    def told(self, text):
        return unit([[1.0, len(text), 3.0]])[0]


def test_classes_by_a_few_pictures_of_each():
    dev = classes(24, first=100)
    for shots in (0, 1, 2):
        result = evaluate(Nameless(), classes(), how=How(dev=dev, shots=shots), controls=("blank",))
        assert result.scores["classes"].value < 0.5
        ways = ("mean", "knn", "probe")
        assert all(result.scores[f"classes_{way}"].value == 1 for way in ways)
        assert result.controls["classes_probe_blank"].value <= 1 / 6
        assert result.controls["classes_mean_chance"].value == pytest.approx(1 / 6)
    assert list(result.controls_of("classes")) == ["blank", "chance"]


def test_each_picture_is_embedded_once():
    dual = Dual()
    evaluate(dual, classes(), how=How(dev=classes(24, first=100)), controls=("shuffled",))
    assert sum(n for n in dual.embedded if n > 1) == 18 + 24 and dual.embedded.count(1) == 6


def test_what_cannot_be_learned_from():
    with pytest.raises(DataError, match="class 'blue' has 4 labelled examples; 5 wanted"):
        evaluate(Dual(), classes(), how=How(dev=classes(24, first=100), shots=5))
    with pytest.raises(DataError, match="6 of the 24 pictures to learn from are also measured on"):
        evaluate(Dual(), classes(), how=How(dev=classes(24, first=12)))


def test_one_that_cannot_embed_is_not_probed():
    result = evaluate(Pairs(), classes(), how=How(dev=classes(24, first=100)))
    assert set(result.scores) == {"classes"}
    assert set(result.skipped) == {"classify_mean", "classify_knn", "classify_probe"}


def test_equal_chances_favour_no_place():
    class Flat(Pairs):
        def likely(self, image, options):
            return np.full(len(options), 1 / len(options))

    value = evaluate(Flat(), classes(240), controls=()).scores["classes"].value
    assert 0.05 < value < 0.3
