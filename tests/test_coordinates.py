"""Coordinates: a box said and read is the box; what other models say is read too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.coordinates import box_text, only_box, says_box, text_box
from seesay.metrics.boxes import iou
from seesay.records import Box

SIDE = st.integers(0, 640)


def test_a_box_as_text():
    box = Box(64, 48, 320, 480)
    assert box_text(box, width=640, height=480) == "(100,100),(500,999)"
    assert box_text(box, width=640, height=480, step=200) == "(200,200),(600,999)"
    assert text_box("(100,100),(500,999)", width=640, height=480) == Box(64, 48, 320, 479.52)


@given(SIDE, SIDE, SIDE, SIDE)
def test_said_and_read_it_is_the_same_box(a, b, c, d):
    box = Box(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1)
    said = box_text(box, width=641, height=641)
    read = text_box(said, width=641, height=641)
    assert read is not None and says_box(said)
    sides = zip((box.left, box.top, box.right, box.bottom),
                (read.left, read.top, read.right, read.bottom), strict=True)  # fmt: skip
    assert all(abs(true - got) <= 0.65 for true, got in sides)


@pytest.mark.parametrize(
    "text",
    [
        "(120,340),(260,480)",
        " (120, 340) , (260, 480) ",
        "[120, 340, 260, 480]",
        "120 340 260 480",
        "<box>(120,340),(260,480)</box>",
        "<ref>the red ring</ref><box>(120,340),(260,480)</box>",
        "<box>120 340 260 480</box>",
        '{"bbox_2d": [120, 340, 260, 480], "label": "ring"}',
        '```json\n[{"bbox_2d": [120, 340, 260, 480]}, {"bbox_2d": [1, 2, 3, 4]}]\n```',
        "the 3 rings: [[120,340,260,480]]",
        "[0.120, 0.340, 0.260, 0.480]",
        "[0.12,0.34,0.26,0.48].",
        "<loc_120><loc_340><loc_260><loc_480>",
    ],
)
def test_what_models_say(text):
    box = text_box(text)
    assert box is not None and iou(box, Box(120, 340, 260, 480)) == pytest.approx(1)


def test_location_tokens_of_paligemma():
    box = text_box("<loc0256><loc0128><loc0512><loc0384> ring", width=1024, height=1024)
    assert box == Box(128, 256, 384, 512)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "on the left",
        "(120,340)",
        "[1, 2, 3]",
        "(260,480),(120,340)",
        "[5, 5, 5, 9]",
        "[-3, 5, 5, 9]",
        "[1200, 40, 1300, 90]",
        "1, 2 or 3, 4",
        "(1,2),(3",
        "<loc0001><loc0002><loc0003>",
    ],
)
def test_what_is_no_box(text):
    assert text_box(text) is None and not says_box(text)


def test_four_numbers_are_not_yet_a_box_in_brackets():
    assert text_box("1 2 3 4") is not None and not says_box("1, 2, 3, 4")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it is at (120,340),(260,480).", True),
        ("[120, 340, 260, 480]", True),
        ("<loc_120><loc_340><loc_260><loc_480>", True),
        ("(120,340),(260,480) and (1,2),(3,4)", False),
        ("[[120, 340, 260, 480], [1, 2, 3, 4]]", False),
        ("<loc_120><loc_340><loc_260><loc_480> and <loc_1><loc_2><loc_3><loc_4>", False),
        ("(120,340),(260,480), or [1, 2, 3, 4]", False),
        ("120 340 260 480", None),
        ("at the top left", False),
    ],
)
def test_the_only_box_of_a_text(text, found):
    box = Box(120, 340, 260, 480)
    for bare, wanted in ((False, bool(found)), (True, found is None or found)):
        assert only_box(text, bare=bare) == (box if wanted else None)
