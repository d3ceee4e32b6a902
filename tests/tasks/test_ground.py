"""Ground: boxes said, scored against those that are known."""

from dataclasses import replace

import numpy as np
import pytest
from evaluate.colours import Dual, example

from seesay.coordinates import says_box, text_box
from seesay.errors import DataError
from seesay.evaluate import evaluate
from seesay.predict import Answer
from seesay.records import Box
from seesay.scenes import World, examples, render
from seesay.tasks import ground
from seesay.tasks.recast import recast

TRUE = example("red", "(0,0),(500,500)", task="ground", question="box the red thing")[0]


def test_scores_of_boxes_as_text():
    said = ["(0,0),(500,500)", "[0, 0, 500, 250]", "[0, 0, 500, 240]", "at the top left"]
    scores = ground.score(said, [TRUE] * 4)
    assert scores["boxes"].rows[:, 0].tolist() == [1, 1, 0, 0]
    assert scores["boxes_iou"].value == pytest.approx((1 + 0.5 + 0.48 + 0) / 4)


def test_the_examples_own_box_is_the_truth():
    boxed = replace(TRUE, boxes=(Box(0, 0, 3, 4),))  # of a picture of 6 x 4 pixels
    assert ground.true_box(boxed) == Box(0, 0, 500, 1000)
    assert ground.true_box(TRUE) == Box(0, 0, 500, 500)
    with pytest.raises(DataError, match="'left' is no box to score against") as error:
        ground.score(["(0,0),(500,500)"], example("red", "left", task="ground", seed=7))
    assert error.value.where == "data.csv:7"


def test_boxes_in_answers_can_be_asked_for():
    asked = example("red", "[0, 0, 500, 500]", "red", task="vqa", question="where?")
    assert [e.answer for e in recast(asked, "ground")] == ["[0, 0, 500, 500]"]
    with pytest.raises(DataError, match="in thousandths of the picture"):
        recast(asked[1:], "ground")


class Finder(Dual):
    """Boxes what is not of the colour in the corner: one thing alone."""

    def answer(self, prompts):
        return [Answer(self.find(np.asarray(prompt.images[0]))) for prompt in prompts]

    def find(self, pixels):
        rows, columns = np.nonzero((pixels != pixels[0, 0]).any(axis=-1))
        if not len(rows):
            return "nothing there"
        ends = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return json_box([end / len(pixels) for end in ends])


def json_box(sides):
    return '{"bbox_2d": [' + ", ".join(f"{1000 * side:.0f}" for side in sides) + "]}"


class Pointer(Finder):
    """Says where without words too; words fail it."""

    can = ("answer", "locate")

    def answer(self, prompts):
        return [Answer("over there") for _ in prompts]

    def locate(self, prompts):
        return [text_box(self.find(np.asarray(prompt.images[0]))) for prompt in prompts]


def test_boxes_by_regression_are_scored_beside_those_in_words():
    world = World(seed=1, objects=(1, 1))
    made = [
        e
        for i in range(12)
        for e in examples(world, i, questions=1, captions=0, kinds={"ground": 1.0})
    ]
    asked = []
    result = evaluate(Pointer(), made, suffix="held_out", progress=lambda *n: asked.append(n))
    scores, controls = result.scores, result.controls
    assert list(scores) == [
        "boxes_held_out", "boxes_iou_held_out",
        "boxes_regressed_held_out", "boxes_regressed_iou_held_out",
    ]  # fmt: skip
    assert scores["boxes_held_out"].value == 0 and scores["boxes_regressed_held_out"].value == 1
    assert 0.8 < scores["boxes_regressed_iou_held_out"].value < 1
    assert scores["boxes_regressed_iou_held_out"].low < scores["boxes_regressed_iou_held_out"].value
    assert controls["boxes_regressed_held_out_blank"].value == 0
    assert controls["boxes_regressed_iou_held_out_shuffled"].value < 0.6
    assert "boxes_regressed_held_out_question" in controls
    assert "boxes_regressed_held_out" in result.slices["kind=ground"]
    shown = {r.score: r.answer for r in result.records}
    assert says_box(shown["boxes_regressed_held_out"]) and not says_box(shown["boxes_held_out"])
    assert asked[-1] == (6 * len(made), 6 * len(made))


def test_what_cannot_say_where_is_not_asked_to():
    never = Pointer()
    never.can = ("answer",)
    result = evaluate(never, [TRUE, replace(TRUE, group="other")], controls=())
    assert list(result.scores) == ["boxes", "boxes_iou"] and not result.skipped


@pytest.mark.parametrize("language", ["en", "zh"])
def test_drawn_things_are_found(language):
    world = World(seed=1, objects=(1, 1), language=language)
    made = [
        e
        for i in range(12)
        for e in examples(world, i, questions=1, captions=0, kinds={"ground": 1.0})
    ]
    result = evaluate(Finder(), made)
    assert result.scores["boxes"].value == 1 and result.scores["boxes_iou"].value > 0.8
    assert result.controls["boxes_blank"].value == 0
    assert result.controls["boxes_shuffled"].value < 0.6
    assert made[0].boxes[0] == render.boxes(made[0].scene, 64)[0]
    assert {record.truth for record in result.records} == {e.answer for e in made}
