"""Boxes: what is known of where an example's answer is, whatever holds its picture."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from PIL import Image

from seesay.data import boxes
from seesay.data.augment import Change
from seesay.data.seen import View
from seesay.records import Box, Example, Origin, Turn

TEXT = tiny.text()
RED = Example((tiny.picture(size=(8, 16)),), (Turn("user", "what ?"), Turn("assistant", "red")),
              Origin("a.csv", 1))  # fmt: skip
DOCUMENT = TEXT.encode(RED.turns)


def test_an_examples_own_box_is_in_pixels_of_its_picture(tmp_path):
    boxed = replace(RED, boxes=(Box(4, 2, 8, 9),))
    wanted = (0.25, 0.25, 0.5, 1.0)  # nothing lies beyond the picture
    assert boxes.sides(boxed) == wanted
    Image.fromarray(RED.images[0]).save(tmp_path / "red.png")
    assert boxes.sides(replace(boxed, images=(tmp_path / "red.png",))) == wanted
    assert boxes.sides(RED) is None
    box = boxes.located(boxed, DOCUMENT)
    assert box.dtype == np.float32 and box.tolist() == [0.375, 0.625, 0.25, 0.75]


@pytest.mark.parametrize(
    ("box", "change"),
    [(Box(4, 2, 4, 8), Change()), (Box(8, 4, 2, 8), Change()),
     (Box(0, 0, 2, 2), Change(moved=(0, -2)))],
)  # fmt: skip
def test_a_box_with_nothing_in_it_is_none(box, change):
    view = View(change.map((8, 16)))
    found = boxes.located(replace(RED, boxes=(box,)), DOCUMENT, view=view)
    assert np.isnan(found).all()
