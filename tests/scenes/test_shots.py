"""Shots: made-up names that mean something in their row alone, and there exactly one thing."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from seesay.scenes import World, bound, named, shots
from seesay.scenes.world import HELD_OUT, SHAPES, SPLITS

COUNTS = (0, 1, 2, 3, 4, 8)


def asked(count: int = 4, number: int = 200, **world):
    return [bound(World(seed=3, **world), index, shots=count) for index in range(number)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("split", SPLITS)
def test_a_name_is_one_value_throughout_its_row(split, count):
    for example in asked(count, 40, split=split):
        meant: dict[str, str] = {}
        for each in (*example.shots, example):
            (thing,) = each.scene.objects
            value = getattr(thing, example.labels["bound"])
            assert meant.setdefault(each.answer, value) == value
            assert each.answer in each.options == example.options
            assert example.labels["bound"] in each.question and each.question == example.question
            assert (thing.colour, thing.shape) not in HELD_OUT
        assert len(example.shots) == count and len({*meant.values()}) == len(meant)


def test_two_shots_are_enough_to_know():
    for count in (2, 3, 4, 8):
        for example in asked(count, 60):
            said = Counter(shot.answer for shot in example.shots)
            assert set(said) == set(example.options) and example.answer in said


def test_nothing_but_the_shots_tells():
    """Which of the names is right, which comes first and which comes last, are coins."""
    made = asked(4, 2000)
    for same in (lambda e: e.answer == e.options[0], lambda e: e.answer == e.shots[-1].answer,
                 lambda e: e.answer == e.shots[0].answer):  # fmt: skip
        assert 0.46 < np.mean([same(e) for e in made]) < 0.54
    counts = Counter(sum(s.answer == e.options[0] for s in e.shots) for e in made)
    assert set(counts) == {1, 2, 3} and min(counts.values()) > 400
    names = Counter(name for e in made for name in e.options)
    assert set(names) == set(shots.NAMES["en"]) and max(names.values()) < 2 * min(names.values())
    values = {(e.labels["bound"], getattr(e.scene.objects[0], e.labels["bound"])) for e in made}
    assert len(values) == 16


def test_what_is_not_named_differs_by_chance():
    """No other attribute goes along with the names."""
    alike = Counter()
    for example in asked(4, 1500):
        shot = next(s for s in example.shots if s.answer == example.answer)
        one, other = example.scene.objects[0], shot.scene.objects[0]
        for name in {"shape", "colour", "size", "texture"} - {example.labels["bound"]}:
            alike[name] += getattr(one, name) == getattr(other, name)
    assert 0.44 < alike["size"] / 1500 < 0.56 and alike["texture"] / 1500 < 0.4


def test_it_is_the_same_every_time_and_another_for_another_index():
    one, again, other = (bound(World(seed=5), index) for index in (7, 7, 8))
    assert one == replace(again, images=one.images, shots=one.shots)
    for a, b in zip((*one.shots, one), (*again.shots, again), strict=True):
        assert (a.images[0] == b.images[0]).all() and a.turns == b.turns and a.scene == b.scene
    assert one.scene != other.scene
    pictures = [each.images[0].tobytes() for each in (*one.shots, one, *other.shots, other)]
    assert len(set(pictures)) == 10


def test_names_that_others_like_it_tell():
    """Each shape has one name in every picture, of one split as of another."""
    called: dict[str, set[str]] = {}
    for split in ("dev", "test"):
        for i in range(60):
            example = named(World(seed=0, split=split), i)
            (thing,) = example.scene.objects
            called.setdefault(thing.shape, set()).add(example.answer)
            assert example.answer in example.options and not example.shots
    assert sorted(called) == sorted(SHAPES) and all(len(names) == 1 for names in called.values())
    assert len(set.union(*called.values())) == len(SHAPES) == len(example.options)


def test_names_in_chinese():
    for example in asked(2, 20, language="zh"):
        assert example.question in ("这种形状叫什么", "这种颜色叫什么")
        assert set(example.options) <= set(shots.NAMES["zh"])
    assert len(set(shots.NAMES["zh"])) == len(set(shots.NAMES["en"])) == 10
