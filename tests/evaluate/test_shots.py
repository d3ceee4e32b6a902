"""Shots: examples shown before what is asked, by lot or by likeness, and what is known without."""

import numpy as np
import pytest
from evaluate.colours import COLOURS, NAMES, Dual, example

from seesay import scenes
from seesay.errors import CapabilityError, DataError
from seesay.evaluate import How, evaluate
from seesay.predict import Answer

WORDS = dict(zip(NAMES, ("dax", "wug", "fep", "toma", "zib", "koba"), strict=True))


class Learner:
    """Knows no name: says what was said of the shot whose picture is likest."""

    interleaved = True

    def __init__(self):
        self.prompts = []

    def answer(self, prompts):
        self.prompts += prompts
        return [Answer(self.say(prompt)) for prompt in prompts]

    def say(self, prompt):
        *shown, asked = [np.asarray(p).reshape(-1, 3).mean(axis=0) for p in prompt.images]
        said = [turn.text for turn in prompt.turns if turn.role == "assistant"]
        assert len(shown) == len(said)
        marks = [len(turn.pictures) for turn in prompt.turns if turn.role == "user"]
        assert marks == ([1] * len(prompt.images) if said else [0])
        if not said:
            return "nothing"
        return said[int(np.argmin([np.abs(one - asked).sum() for one in shown]))]

    def choose(self, prompts, options):
        raise CapabilityError("this one cannot choose")

    def embed(self, images=(), *, texts=()):
        raise CapabilityError("no embeddings")


def named(count=36, *, first=0, task="vqa", kind="name"):
    """Pictures whose colours have names of no meaning."""
    return [
        each
        for i in range(first, first + count)
        for each in example(NAMES[i % 6], WORDS[NAMES[i % 6]], task=task, seed=i, question="what?",
                            labels={"kind": kind})
    ]  # fmt: skip


def test_shots_are_what_is_learned_from():
    dev = named(60, first=100)
    values = []
    for shots in (1, 4, 24):
        made = evaluate(Learner(), named(), how=How(dev=dev, shots=shots), controls=("blank",))
        values.append(made.scores["answers"].value)
        assert made.controls["answers_no_shots"].value == 0
        assert made.controls["answers_shuffled_shots"].value < 0.5
    assert values[0] < 0.4 < values[2] and values == sorted(values)


def test_the_likest_are_found_and_come_last():
    learner, dev = Learner(), named(60, first=100)
    how = How(dev=dev, shots=2, nearest=Dual())
    made = evaluate(learner, named(), how=how, controls=())
    assert made.scores["answers"].value == 1
    asked = learner.prompts[0]
    near = [np.abs(np.asarray(p).reshape(-1, 3).mean(0) - np.array(COLOURS["red"])).sum()
            for p in asked.images[:2]]  # fmt: skip
    assert max(near) < 60 and asked.turns[1].text == asked.turns[3].text == WORDS["red"]


def test_shots_are_alike_for_a_seed_and_different_pictures():
    how = How(dev=[*named(30, first=100), *named(30, first=100, kind="other")], shots=5)
    one, again, other = Learner(), Learner(), Learner()
    for learner, seed in ((one, 0), (again, 0), (other, 1)):
        evaluate(learner, named(), how=how, controls=(), seed=seed)
    told = [[[t.text for t in p.turns] for p in each.prompts] for each in (one, again, other)]
    assert told[0] == told[1] != told[2]
    for prompt in one.prompts[:36]:
        assert len({np.asarray(p).tobytes() for p in prompt.images}) == 6


def test_shots_are_of_the_same_kind_where_there_are_enough():
    dev = [*named(12, first=100), *named(12, first=200, kind="other")]
    for e in dev[12:]:
        object.__setattr__(e, "turns", (e.turns[0], e.turns[1].__class__("assistant", "other")))
    learner = Learner()
    evaluate(learner, named(), how=How(dev=dev, shots=6), controls=())
    assert not any(turn.text == "other" for prompt in learner.prompts for turn in prompt.turns)
    evaluate(learner, named(), how=How(dev=dev, shots=16), controls=())
    assert any(turn.text == "other" for prompt in learner.prompts for turn in prompt.turns)


def test_bound_names_are_known_by_their_shots_alone():
    """One that binds as it should is right, and at chance where answers are mixed."""

    class Binder(Learner):
        def say(self, prompt):
            *shown, asked = [self.scene_of[np.asarray(p).tobytes()] for p in prompt.images]
            bound = "colour" if "colour" in prompt.turns[-1].text else "shape"
            said = [turn.text for turn in prompt.turns if turn.role == "assistant"]
            names = {getattr(s, bound): name for s, name in zip(shown, said, strict=True)}
            return names.get(getattr(asked, bound), "nothing")

    world, binder = scenes.World(split="test"), Binder()
    made = [scenes.bound(world, index, shots=4, resolution=32) for index in range(300)]
    binder.scene_of = {
        each.images[0].tobytes(): each.scene.objects[0] for e in made for each in (*e.shots, e)
    }
    result = evaluate(binder, made, controls=("question",))
    assert result.scores["answers"].value == 1 and result.slices["kind=bind"]
    assert result.controls["answers_no_shots"].value == 0
    assert 0.4 < result.controls["answers_shuffled_shots"].value < 0.6
    assert result.controls["answers_chance"].value == pytest.approx(0.5)
    assert result.slice_controls["bound=colour"]["answers_no_shots"].value == 0


# What takes no shots.


class Deaf(Learner):
    interleaved = False


def test_one_that_reads_no_pictures_among_words_says_so():
    how = How(dev=named(12, first=100), shots=2)
    with pytest.raises(CapabilityError, match="reads no pictures among words"):
        evaluate(Deaf(), named(), how=how)
    with pytest.raises(CapabilityError, match="reads no pictures among words"):
        evaluate(Deaf(), [scenes.bound(scenes.World(), 0)])
    assert evaluate(Deaf(), named(), how=How(dev=named(12, first=100)), controls=("question",))


def test_classes_by_vectors_are_learned_as_ever():
    dev = [e for i in range(100, 124) for e in example(
        NAMES[i % 6], NAMES[i % 6], task="classify", seed=i, options=NAMES)]  # fmt: skip
    asked = [e for i in range(18) for e in example(
        NAMES[i % 6], NAMES[i % 6], task="classify", seed=i, options=NAMES)]  # fmt: skip
    made = evaluate(Dual(), asked, how=How(dev=dev, shots=1), controls=())
    assert {"classes", "classes_mean", "classes_probe"} <= made.scores.keys()
    assert not any("shots" in name for name in made.controls)


def test_fewer_examples_than_shots_are_an_error():
    with pytest.raises(DataError, match="9 examples are to be shown but there are 6") as error:
        evaluate(Learner(), named(), how=How(dev=named(6, first=100), shots=9))
    assert error.value.fix and "--shots 6" in error.value.fix


def test_examples_without_shots_count_in_the_controls_as_they_were():
    """A test of both: the controls are of all of it, and nobody is asked twice for nothing."""
    world, learner = scenes.World(split="test"), Learner()
    bound = [scenes.bound(world, index, shots=2, resolution=16) for index in range(10)]
    made = evaluate(learner, [*named(20), *bound], controls=())
    assert made.scores["answers"].n == made.controls["answers_no_shots"].n == 30
    assert len(learner.prompts) == 30 + 2 * 10
