"""Render: pixels, masks and boxes agree, at every resolution, and never change."""

import hashlib

import numpy as np
import pytest

from seesay.errors import SeesayError
from seesay.scenes import Object, Scene, World, render
from seesay.scenes.world import COLOURS, SHAPES, SIZES, TEXTURES

SCENES = [World(seed=21).scene(i) for i in range(60)]


@pytest.mark.parametrize("resolution", [32, 64, 100, 224])
def test_drawing_changes_what_the_masks_say(resolution):
    """Outside all masks and their rims the picture is background; inside, it is not."""
    for scene in SCENES[:15]:
        picture = render.draw(scene, resolution)
        assert picture.shape == (resolution, resolution, 3) and picture.dtype == np.uint8
        ground = np.array(render.RGB[scene.background])
        drawn = (picture != ground).any(axis=2)
        full = render.full_masks(scene, resolution)
        assert drawn[full.any(axis=0)].all()
        assert (drawn.sum() - full.any(axis=0).sum()) < 0.35 * drawn.sum() + 60


def test_visible_pixels_belong_to_the_front_most():
    for scene in SCENES:
        full, visible = render.full_masks(scene, 64), render.masks(scene, 64)
        assert visible.sum(axis=0).max() <= 1
        assert (visible.any(axis=0) == full.any(axis=0)).all()
        shares = visible.sum(axis=(1, 2)) / full.sum(axis=(1, 2))
        assert shares.min() >= 0.6
        for i in range(len(full)):
            hidden = full[i + 1 :].any(axis=0)
            assert (visible[i] == (full[i] & ~hidden)).all()


def test_every_object_of_many_scenes_stays_visible():
    world = World(seed=22, objects=(5, 6))
    for index in range(400):
        scene = world.scene(index)
        full, visible = render.full_masks(scene, 64), render.masks(scene, 64)
        assert (visible.sum(axis=(1, 2)) >= 0.6 * full.sum(axis=(1, 2))).all()


@pytest.mark.parametrize("resolution", [64, 96, 256])
def test_boxes_are_tight(resolution):
    for scene in SCENES[:25]:
        full = render.full_masks(scene, resolution)
        for box, mask, thing in zip(
            render.boxes(scene, resolution), full, scene.objects, strict=True
        ):
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert (box.left, box.right) == (columns[0], columns[-1] + 1)
            assert (box.top, box.bottom) == (rows[0], rows[-1] + 1)
            assert box.label == f"{thing.colour} {thing.shape}"


def test_sizes_at_64_pixels():
    for shape in SHAPES:
        across = []
        for size in SIZES:
            scene = Scene((Object(shape, "red", size, "solid", 512, 512),), "white")
            (box,) = render.boxes(scene, 64)
            across.append(max(box.right - box.left, box.bottom - box.top))
        assert 10 <= across[0] <= 14 and 16 <= across[1] <= 22


def test_looks_are_all_different():
    """Any two looks differ by many pixels, also at 64 pixels and small."""
    pictures = {
        (shape, texture, colour): render.draw(
            Scene((Object(shape, colour, "small", texture, 512, 512),), "grey"), 64
        ).astype(int)
        for shape in SHAPES
        for texture in TEXTURES
        for colour in COLOURS
    }
    items = list(pictures.items())
    for at, (name, picture) in enumerate(items):
        for other, another in items[:at]:
            if sum(a != b for a, b in zip(name, other, strict=True)) == 1:
                assert (abs(picture - another).max(axis=2) > 40).sum() >= 8, (name, other)


def test_objects_beyond_the_edge_are_cut():
    things = tuple(
        Object("circle", "red", "large", "solid", x, y)
        for x, y in ((0, 0), (1023, 0), (0, 1023), (1023, 1023), (512, 0))
    )
    scene = Scene(things, "white")
    full = render.full_masks(scene, 64)
    assert (full.sum(axis=(1, 2)) > 30).all()
    drawn = (render.draw(scene, 64) != render.RGB["white"]).any(axis=2)
    assert drawn[full.any(axis=0)].all()


def test_too_small_a_picture_is_refused():
    with pytest.raises(SeesayError, match="16"):
        render.draw(SCENES[0], 8)


def test_pixels_never_change():
    digest = hashlib.sha256()
    for resolution in (32, 64, 100, 256):
        for index in range(20):
            digest.update(render.draw(World(seed=23).scene(index), resolution).tobytes())
    assert digest.hexdigest() == "e22440fa9653522f9d8800bf0e49caddc34993dd977dd3146301a957386b8572"
