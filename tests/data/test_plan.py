"""Plan: where what is in a picture lies on its canvas and in its tiles, to under a pixel."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data import images
from seesay.data.geometry import clipped
from seesay.data.plan import FITS, Plan, fixed, num_tiles, place, sides_of
from seesay.data.resolution import best, native, split
from seesay.errors import DataError

SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
TILE = (48, 64)


@st.composite
def plans(draw) -> Callable[[], Plan]:
    """What makes a plan of any kind, of a picture of any size."""
    size, fit = draw(SIZES), draw(st.sampled_from(FITS))
    most = draw(st.integers(1, 9))
    kind = draw(st.sampled_from(["fixed", "best", "split", "native"]))
    if kind == "fixed":
        grid = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        return partial(fixed, size, tile=TILE, grid=grid, fit=fit)
    if kind == "native":
        size = (max(size[0], size[1] // 100 + 1), max(size[1], size[0] // 100 + 1))
        return partial(native, size, unit=28)
    if kind == "split":
        return partial(split, size, tile=(56, 56), max_tiles=most, fit=fit)
    return partial(best, size, tile=TILE, max_tiles=most, fit=fit)


@given(plans(), st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_points_come_back_from_canvas_and_tiles(made, at):
    plan = made()
    point = np.array([(at[0] * plan.size[1], at[1] * plan.size[0])])
    for map in (plan.map, *plan.maps):
        assert np.abs(map.inverse().points(map.points(point)) - point).max() < 1e-6
    shares = plan.shares.points(np.array([at]))[0] * plan.canvas[::-1]
    assert shares == pytest.approx(plan.map.points(point)[0], abs=1e-6)


@given(plans())
def test_tiles_are_the_canvas_and_nothing_else(made):
    plan = made()
    rows, columns = plan.grid
    assert plan.tile == (plan.canvas[0] / rows, plan.canvas[1] / columns)
    assert len(plan.tiles) == len(plan.maps) == plan.num_tiles == num_tiles(plan.grid)
    own = plan.tiles[: rows * columns]
    back = plan.map.inverse().sides(sides_of(plan.canvas))
    around = (min(t[0] for t in own), min(t[1] for t in own), max(t[2] for t in own),
              max(t[3] for t in own))  # fmt: skip
    assert around == pytest.approx(back, abs=1e-6)
    area = sum((t[2] - t[0]) * (t[3] - t[1]) for t in own)
    assert area == pytest.approx((back[2] - back[0]) * (back[3] - back[1]))
    if plan.num_tiles > 1:  # the small one shows all of the canvas
        small = plan.maps[-1].sides(back)
        assert clipped(small, within=sides_of(plan.tile)) == pytest.approx(small, abs=1e-6)


@given(plans())
def test_a_fit_keeps_what_it_says(made):
    plan = made()
    height, width = plan.size
    whole = plan.map.sides(sides_of(plan.size))
    if plan.fit == "crop":
        assert plan.content == sides_of(plan.canvas)
        assert clipped(plan.shown, within=sides_of(plan.size)) == plan.shown
    else:
        assert clipped(whole, within=sides_of(plan.canvas)) == pytest.approx(whole)
    if plan.fit == "stretch":
        assert plan.shares.sides((0.0, 0.0, 1.0, 1.0)) == (0.0, 0.0, 1.0, 1.0)
    elif plan.fit == "crop":
        across, down = plan.map.xx, plan.map.yy
        assert across == pytest.approx(down)
    else:
        # Proportions are kept to within a pixel of the canvas.
        high, wide = whole[3] - whole[1], whole[2] - whole[0]
        scale = min(plan.canvas[1] / width, plan.canvas[0] / height)
        assert abs(wide - max(1, width * scale)) <= 0.5
        assert abs(high - max(1, height * scale)) <= 0.5


PARTS = st.tuples(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.1, 0.5), st.floats(0.1, 0.5))


@given(plans(), PARTS)
def test_a_part_is_shown_as_the_whole_would_be(made, part):
    plan = made()
    sides = (part[0], part[1], part[0] + part[2], part[1] + part[3])
    own = plan.within(sides)
    assert (own.canvas, own.grid, own.tokens) == (plan.canvas, plan.grid, plan.tokens)
    left, top, right, bottom = own.shares.sides(sides)
    assert (min(left, top) >= -1e-6 and max(right, bottom) <= 1 + 1e-6) or plan.fit == "crop"
    assert plan.fit != "stretch" or (left, top, right, bottom) == pytest.approx((0, 0, 1, 1))


def marked(size, box) -> np.ndarray:
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    return pixels


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(40, 300), st.integers(40, 300)),
    st.sampled_from(FITS),
    st.integers(1, 6),
    st.booleans(),
    st.data(),
)
def test_pixels_go_where_the_map_says(size, fit, most, part, data):
    """To within a pixel of the canvas, in every tile, of what is bright."""
    plan = best(size, tile=(32, 32), max_tiles=most, fit=fit)
    if part:
        plan = plan.within((0.1, 0.2, 0.7, 0.9))
    wide, high = size[1] // 3, size[0] // 3
    left, top = data.draw(st.integers(0, size[1] - wide)), data.draw(st.integers(0, size[0] - high))
    box = (left, top, left + wide, top + high)
    canvas, seen = images.laid(marked(size, box), plan), clipped(box, within=plan.shown)
    assert canvas.shape == (*plan.canvas, 3)
    tiles = images.tiles(canvas[None], plan.grid, fit=fit)
    for pixels, map in zip(tiles, plan.maps, strict=True):
        bright = np.argwhere(pixels[..., 0] > 191)  # margins are grey
        wanted = seen and clipped(map.sides(seen), within=sides_of(plan.tile))
        if wanted is None or min(wanted[2] - wanted[0], wanted[3] - wanted[1]) < 2:
            continue
        (y0, x0), (y1, x1) = bright.min(axis=0), bright.max(axis=0) + 1
        assert (x0, y0, x1, y1) == pytest.approx(wanted, abs=1.01)


def test_known_places():
    assert place((100, 200), (50, 50), fit="stretch") == ((0, 0, 200, 100), (0, 0, 50, 50))
    assert place((100, 200), (50, 50), fit="pad") == ((0, 0, 200, 100), (0, 12, 50, 37))
    assert place((100, 200), (50, 50), fit="crop") == ((50, 0, 150, 100), (0, 0, 50, 50))
    with pytest.raises(DataError, match="unknown fit 'strech'"):
        place((1, 1), (1, 1), fit="strech")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_size_is_read_from_the_header(tmp_path, format, orientation):
    from PIL import Image

    path, exif = tmp_path / "a", Image.Exif()
    exif[0x0112] = orientation
    more = {"exif": exif} if format not in ("GIF", "BMP") else {}
    Image.new("RGB", (40, 30)).save(path, format, **more)
    whole = images.load(path)
    assert images.size(path) == images.size(path.read_bytes()) == (whole.height, whole.width)
    assert images.size(np.asarray(whole)) == (whole.height, whole.width)
