"""Geometry: what goes through a map and back is where it was; points, boxes, masks go together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data.geometry import WHOLE, Affine, clipped, is_cut
from seesay.errors import DataError
from seesay.records import Box

PLACE = st.floats(-500, 500)
SCALE = st.floats(0.05, 20)
SIDE = st.integers(1, 40)
POINTS = np.array([(0.0, 0.0), (3.5, 7.25), (640.0, 480.0)])


@st.composite
def maps(draw) -> Affine:
    """Any map that has a way back."""
    made = Affine.scaled(draw(SCALE), draw(SCALE)).then(Affine.turned(draw(st.floats(-180, 180))))
    if draw(st.booleans()):
        made = made.then(Affine.mirrored(draw(PLACE)))
    return made.then(Affine.moved(draw(PLACE), draw(PLACE)))


def near(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one - other).max() < 1e-6 * max(1.0, np.abs(other).max()))


@given(maps())
def test_there_and_back_again(map):
    assert near(map.inverse().points(map.points(POINTS)), POINTS)
    assert near(map.then(map.inverse()).points(POINTS), POINTS)


@given(maps(), maps(), maps())
def test_one_map_after_another_is_a_map(a, b, c):
    one_by_one = c.points(b.points(a.points(POINTS)))
    assert near(a.then(b).then(c).points(POINTS), one_by_one)
    assert near(a.then(b.then(c)).points(POINTS), one_by_one)


@given(st.tuples(PLACE, PLACE, SCALE, SCALE), st.tuples(PLACE, PLACE, SCALE, SCALE))
def test_a_box_is_brought_onto_another(one, other):
    old = (one[0], one[1], one[0] + one[2], one[1] + one[3])
    new = (other[0], other[1], other[0] + other[2], other[1] + other[3])
    assert Affine.between(old, new).sides(old) == pytest.approx(new, abs=1e-3)


@given(st.integers(1, 4000), st.integers(1, 4000), st.floats(0, 1), st.floats(0, 1))
def test_pixels_and_shares_say_the_same(width, height, x, y):
    map = Affine.mirrored(width).then(Affine.quarter(width))
    pixels = map.points(np.array([(x * width, y * height)]))
    shares = map.shares((height, width), (width, height)).points(np.array([(x, y)]))
    assert near(shares * [height, width], pixels)


def test_a_box_keeps_its_label():
    box = Affine.mirrored(10).box(Box(1, 2, 4, 8, "cat"))
    assert box == Box(6, 2, 9, 8, "cat")


@pytest.mark.parametrize(("map", "moved"), [
    (lambda h, w: Affine.mirrored(w), lambda m: m[:, ::-1]),
    (lambda h, w: Affine.quarter(w), lambda m: np.rot90(m)),
    (lambda h, w: Affine.quarter(w).then(Affine.quarter(h)), lambda m: np.rot90(m, 2)),
    (lambda h, w: Affine.scaled(3, 2), lambda m: m.repeat(2, 0).repeat(3, 1)),
    (lambda h, w: Affine.moved(2, 1), lambda m: np.pad(m, ((1, 0), (2, 0)))[:-1, :-2]),
])  # fmt: skip
@given(height=SIDE, width=SIDE, seed=st.integers(0, 99))
def test_masks_move_as_pictures_do(map, moved, height, width, seed):
    mask = np.random.default_rng(seed).integers(0, 3, (height, width), dtype=np.uint8)
    wanted = moved(mask)
    assert (map(height, width).mask(mask, size=wanted.shape) == wanted).all()


@settings(max_examples=40)
@given(
    st.tuples(SIDE, SIDE),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(0, 99),
)
def test_a_mask_made_larger_and_small_again_is_the_mask(size, times, seed):
    mask = np.random.default_rng(seed).random(size) < 0.5
    large = (size[0] * times[0], size[1] * times[1])
    grown = Affine.scaled(times[1], times[0])
    assert (grown.inverse().mask(grown.mask(mask, size=large), size=size) == mask).all()


def test_a_picture_moves_as_its_points_do():
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[4:6, 9:11] = 255
    map = Affine.turned(20).about(15, 10).then(Affine.moved(1, 2))
    made = map.picture(pixels, fill=(0, 0, 0)).astype(float)[..., 0]
    y, x = np.mgrid[:20, :30] + 0.5
    middle = ((x * made).sum() / made.sum(), (y * made).sum() / made.sum())
    assert middle == pytest.approx(map.points(np.array([(10.0, 5.0)]))[0], abs=0.2)


def test_what_leads_nowhere_has_no_way_back():
    with pytest.raises(DataError, match="has no way back"):
        Affine.scaled(0, 2).inverse()


def test_what_of_a_box_is_left():
    assert clipped((-0.5, 0.25, 0.5, 2.0)) == (0.0, 0.25, 0.5, 1.0)
    assert clipped((1.0, 0.0, 1.5, 1.0)) is None and clipped((0.5, 0.5, 0.5, 0.9)) is None
    assert is_cut((0.0, 0.0, 1.02, 1.0), within=WHOLE, by=(0.01, 0.5))
    assert not is_cut((0.0, -0.02, 1.0, 1.0), within=WHOLE, by=(0.0, 0.03))
    assert is_cut((0.1, 0.2, 0.3, 0.4), within=(0.2, 0.0, 1.0, 1.0), by=(0.05, 0.05))
