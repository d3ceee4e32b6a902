"""Labels: what is in each cell is what the picture shows there, and what an answer is about."""

import numpy as np

from seesay import scenes
from seesay.scenes import labels, render
from seesay.scenes.world import COLOURS, PLACES, SHAPES, SIZES, SPAN, TEXTURES

WORLD = scenes.World(seed=5)
GRID = (8, 8)


def test_every_thing_that_is_seen_holds_a_patch_or_is_nearly_hidden():
    for index in range(200):
        scene = WORLD.scene(index)
        named = labels.patches(scene, GRID)
        for thing, mask in zip(scene.objects, render.masks(scene, 64), strict=True):
            look = [SHAPES.index(thing.shape), COLOURS.index(thing.colour)]
            look += [SIZES.index(thing.size), TEXTURES.index(thing.texture)]
            held = (named[:4] == np.array(look)[:, None]).all(axis=0)
            assert held.any() or mask.sum() < 40


def test_a_cell_names_the_front_most_thing_whose_circle_reaches_its_middle():
    for index in range(50):
        scene = WORLD.scene(index)
        named = labels.patches(scene, GRID).reshape(-1, *GRID)
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
                    assert named[:4, row, column].tolist() == [len(SHAPES), -1, -1, -1]
        middles = {(t.y * 8 // SPAN, t.x * 8 // SPAN) for t in scene.objects}
        assert {tuple(cell) for cell in np.argwhere(named[4]).tolist()} == middles


def test_a_picture_alone_is_the_one_its_words_are_about():
    alone = scenes.picture(WORLD, 3)
    assert not alone.turns
    for example in scenes.examples(WORLD, 3):
        assert (example.images[0] == alone.images[0]).all()
        assert example.group == alone.group


def test_what_a_question_is_about_holds_its_answer():
    """Asked for one attribute of one thing, the answer is that thing's class."""
    names = ("shape", "colour", "size", "texture", "where")
    values = (SHAPES, COLOURS, SIZES, TEXTURES, PLACES)
    seen = set()
    for index in range(40):
        kinds = dict.fromkeys(names, 1.0)
        for example in scenes.examples(WORLD, index, kinds=kinds, captions=0, resolution=16):
            a = names.index(example.labels["kind"])
            about_AO = labels.about(example.scene, example.objects)
            assert about_AO.shape == (len(labels.OBJECT_CLASSES), labels.MOST_ABOUT)
            assert values[a][about_AO[a, 0]] == example.answer
            assert (about_AO[:, 1] == -1).all()
            assert all(about_AO[k, 0] < n for k, n in enumerate(labels.OBJECT_CLASSES))
            seen.add(a)
    assert len(seen) == len(names)
    scene = WORLD.scene(1)
    both = labels.about(scene, [1, 0, 0])
    assert (both[:, 0] == labels.about(scene, [1])[:, 0]).all()
    assert (both[:, 1] == labels.about(scene, [0])[:, 0]).all()
    assert (labels.about(scene, []) == -1).all()
