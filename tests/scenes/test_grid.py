"""Grid: what is in each cell is what the picture shows there."""

import numpy as np

from seesay import scenes
from seesay.scenes import grid, render
from seesay.scenes.world import COLOURS, SHAPES, SIZES, SPAN, TEXTURES

WORLD = scenes.World(seed=5)
GRID = (8, 8)


def test_every_thing_that_is_seen_holds_a_patch_or_is_nearly_hidden():
    for index in range(200):
        scene = WORLD.scene(index)
        named = grid.patches(scene, GRID)
        for thing, mask in zip(scene.objects, render.masks(scene, 64), strict=True):
            look = [SHAPES.index(thing.shape), COLOURS.index(thing.colour)]
            look += [SIZES.index(thing.size), TEXTURES.index(thing.texture)]
            held = (named == np.array(look)[:, None]).all(axis=0)
            assert held.any() or mask.sum() < 40


def test_a_cell_names_the_front_most_thing_whose_circle_reaches_its_middle():
    for index in range(50):
        scene = WORLD.scene(index)
        named = grid.patches(scene, GRID).reshape(-1, *GRID)
        for row in range(GRID[0]):
            for column in range(GRID[1]):
                y, x = ((at + 0.5) * SPAN / 8 for at in (row, column))
                near = [
                    thing
                    for thing in scene.objects
                    if (thing.x - x) ** 2 + (thing.y - y) ** 2 <= thing.radius**2
                ]
                if near:
                    assert named[1, row, column] == COLOURS.index(near[-1].colour)
                else:
                    assert named[:, row, column].tolist() == [len(SHAPES), -1, -1, -1]


def test_a_picture_alone_is_the_one_its_words_are_about():
    alone = scenes.picture(WORLD, 3)
    assert not alone.turns
    for example in scenes.examples(WORLD, 3):
        assert (example.images[0] == alone.images[0]).all()
        assert example.group == alone.group
