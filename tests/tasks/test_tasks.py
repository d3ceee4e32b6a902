"""Tasks: what is asked, how an answer is read, how it is scored."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.records import Example, Origin, Turn
from seesay.tasks import TASKS, Task, caption, classify, dialogue, match, vqa

PIXELS = np.zeros((4, 4, 3), np.uint8)


def example(answer="yes", *, question="?", task="vqa", group="", options=(), scene=None):
    turns = (Turn("user", question), Turn("assistant", answer))
    return Example(
        images=(PIXELS,), turns=turns, origin=Origin("test.csv", 1), task=task, group=group,
        options=options, scene=scene,
    )  # fmt: skip


def test_the_table_is_whole():
    assert {name: task.SCORE for name, task in TASKS.items()} == {
        "caption": "captions",
        "vqa": "answers",
        "dialogue": "replies",
        "match": "matching",
        "classify": "classes",
        "retrieve": "text_r1",
        "moderate": "categories",
        "ground": "boxes",
    }
    assert all(isinstance(task, Task) for task in TASKS.values())


@pytest.mark.parametrize("task", TASKS.values())
def test_a_prompt_has_all_but_the_truth(task):
    turns = (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d"))
    several = Example(images=(), turns=turns, origin=Origin("x"))
    assert task.prompt(several) == turns[:3]
    bare = Example(images=(), turns=(Turn("assistant", "d"),), origin=Origin("x"))
    assert task.prompt(bare) == (Turn("user", ""),)


def test_parse():
    assert vqa.parse(" yes\nbecause it is") == "yes"
    assert vqa.parse("Answer: two ") == "two"
    assert vqa.parse("10:30") == "10:30"
    assert vqa.parse("") == vqa.parse(" \n") == ""
    assert caption.parse(" a dog\n on grass ") == "a dog on grass"


def test_votes_are_scored_beside_the_truth():
    votes = ("two",) * 6 + ("three",) * 2 + ("four",) * 2
    voted, few = replace(example("two"), votes=votes), replace(example("two"), votes=("two", "2"))
    scores = vqa.score(["3", "two", "3"], [voted, example("two"), few])
    assert scores["answers"].rows[:, 0].tolist() == [0, 1, 0]
    assert scores["answers_soft"].rows[:, 0].tolist() == pytest.approx([0.6, 1, 0])
    assert list(vqa.score(["two"], [few])) == ["answers"]


def test_vqa_and_classify():
    truths = [example("two"), example("red")]
    assert vqa.score(["2.", "blue"], truths)["answers"].value == 0.5
    assert classify.score(["2.", "red"], truths)["classes"].value == 1
    with pytest.raises(DataError, match="no answer to score against") as error:
        vqa.score(["x"], [example("")])
    assert error.value.where == "test.csv:1"


def test_a_dialogue_is_right_by_its_last_reply():
    truths = [example("A red circle."), example("two")]
    scores = dialogue.score(["a red  circle", "a red circle"], truths)
    assert scores["replies"].rows[:, 0].tolist() == [1, 0]
    assert scores["replies_rouge_l"].value == pytest.approx(0.5)
    assert dialogue.parse("a red\n circle ") == "a red circle"


def test_match_is_right_when_the_first_option_is_chosen():
    pair = example("true", task="match", options=("a red dog", "a dog red"))
    assert match.score(["a red dog", "a dog red"], [pair, pair])["matching"].value == 0.5
    long = example("true", task="match", options=("first\nsecond", "first\nthird"))
    assert match.score(["first\nthird"], [long])["matching"].value == 0


def test_captions_of_photographs():
    several = [example("A dog."), example("Two cats on a mat")]
    references = [["A dog.", "a brown dog"], ["two cats on a mat"]]
    scores = caption.score(["a brown DOG", "three birds"], several, references=references)
    assert set(scores) == {"captions", "cider", "bleu4", "rouge_l"}
    assert scores["captions"].rows[:, 0].tolist() == [1, 0]
    full = caption.score(["a dog", "two cats on a mat"], several, references=references)
    assert full["rouge_l"].value == pytest.approx(1)
    assert full["bleu4"].value == pytest.approx(1, abs=1e-3)
    assert full["cider"].value > scores["cider"].value


def test_captions_of_scenes_need_not_be_the_reference(monkeypatch):
    fake = types.ModuleType("seesay.scenes.stream")
    setattr(fake, "is_right", lambda text, scene, language: f"{language} {scene}" in text)  # noqa: B010
    monkeypatch.setitem(sys.modules, "seesay.scenes.stream", fake)
    drawn = [example("x", scene="circle"), example("x", scene="star")]
    drawn.append(example("一个", scene="circle"))
    scores = caption.score(["en circle", "en circle", "en circle"], drawn)
    assert set(scores) == {"captions"}
    assert scores["captions"].rows[:, 0].tolist() == [1, 0, 0]


def test_one_question_a_picture_with_several_captions():
    several = [example("a", group="1"), example("b", group="1"), example("c", group="2")]
    chinese = example("甲", question="描述", group="1")
    assert caption.once([*several, chinese], ["1", "1", "2", "1"]) == [0, 2, 3]
    assert vqa.once(several, ["1", "1", "2"]) == [0, 1, 2]
