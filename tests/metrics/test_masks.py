"""Masks: the fewest cells that hold a share, how far they cover, where they point."""

import numpy as np
import pytest

from seesay.metrics import masks


def test_the_fewest_cells_that_hold_the_mass_are_kept():
    shares = np.array([[0.5, 0.05], [0.15, 0.3]])
    assert masks.kept(shares, mass=0.5).tolist() == [[True, False], [False, False]]
    assert masks.kept(shares, mass=0.6).tolist() == [[True, False], [False, True]]
    assert masks.kept(10 * shares, mass=1.0).all()
    assert masks.kept(np.ones((5, 2)), mass=0.6).sum() == 6


def test_cells_are_enlarged_to_pixels():
    cells = np.array([[1, 2], [3, 4]])
    assert masks.enlarged(cells, (4, 2)).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert masks.enlarged(cells, (2, 2)).tolist() == cells.tolist()


def test_overlap_and_pointing():
    truth = np.zeros((4, 4), bool)
    truth[:2, :2] = True
    left = np.zeros((4, 4), bool)
    left[:, :2] = True
    assert masks.overlap(left, truth) == pytest.approx(4 / 8)
    assert masks.overlap(truth, truth) == 1 and masks.overlap(~truth, truth) == 0
    assert masks.overlap(truth & ~truth, truth & ~truth) == 1
    assert masks.points(np.array([[0.6, 0.2], [0.1, 0.1]]), truth)
    assert not masks.points(np.array([[0.1, 0.2], [0.1, 0.6]]), truth)
