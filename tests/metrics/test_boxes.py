"""Boxes: overlaps by hand and by counting pixels."""

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.metrics.boxes import iou, ious
from seesay.records import Box


def test_by_hand():
    box = Box(0, 0, 4, 4)
    assert iou(box, box) == 1
    assert iou(box, Box(2, 0, 6, 4)) == pytest.approx(8 / 24)
    assert iou(box, Box(4, 0, 8, 4)) == iou(box, Box(5, 5, 6, 6)) == 0
    assert iou(box, Box(1, 1, 3, 3)) == 0.25
    assert iou(Box(1, 1, 1, 1), Box(1, 1, 1, 1)) == 0
    assert iou(Box(4, 4, 0, 0), box) == 0


def test_by_counting_pixels():
    random = np.random.default_rng(0)
    for _ in range(50):
        corners = np.sort(random.integers(0, 12, size=(2, 2, 2)), axis=1)
        masks = np.zeros((2, 12, 12), bool)
        boxes = []
        for mask, ((left, top), (right, bottom)) in zip(masks, corners.tolist(), strict=True):
            mask[top:bottom, left:right] = True
            boxes.append(Box(left, top, right, bottom))
        either = (masks[0] | masks[1]).sum()
        expected = (masks[0] & masks[1]).sum() / either if either else 0
        assert iou(*boxes) == pytest.approx(expected)


def test_no_box_overlaps_with_nothing():
    box = Box(0, 0, 2, 2)
    assert ious([None, box], [box, box]).tolist() == [0, 1]
    with pytest.raises(DataError, match="1 boxes against 2 truths"):
        ious([box], [box, box])
