"""Boxes side by side: what is drawn is what is said, and every statement is as true as it says."""

import itertools
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from scenes.panels_oracle import is_true

from seesay import scenes
from seesay.errors import SeesayError
from seesay.scenes import panels
from seesay.scenes.forms import FORMS, USUAL
from seesay.scenes.labels import patches
from seesay.scenes.statements import judged
from seesay.scenes.world import COLOURS, SHAPES, SIZES, World

WORLD = World(seed=3)


def made(count: int, **options) -> list:
    return [e for i in range(count) for e in judged(WORLD, i, **options)]


def test_statements_are_as_true_as_they_say():
    """A reader of its own, from the words alone, comes to the same."""
    examples = made(150, statements=4)
    for example in examples:
        assert str(is_true(example.question, example.scene)).lower() == example.answer
    share = sum(e.answer == "true" for e in examples) / len(examples)
    assert 0.42 < share < 0.58 and len(examples) > 550


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_right_alone(form):
    examples = made(60, statements=2, kinds={form: 1.0})
    assert len(examples) > 25
    assert all(str(is_true(e.question, e.scene)).lower() == e.answer for e in examples)


def test_nothing_is_told_by_the_sentence():
    """Most towers' pictures have a yellow block; of sentences about one, half are true."""
    told = defaultdict(list)
    for example in made(500, statements=2, kinds={"exist": 1.0}):
        told[example.question.lower().rstrip(".")].append(example.answer == "true")
    often = [truths for text, truths in told.items() if text.endswith("block")]
    assert len(often) == 3 and min(map(len, often)) > 15  # one a colour
    for truths in often:
        assert abs(sum(truths) - len(truths) / 2) < 2 * len(truths) ** 0.5  # four deviations
    there = sum("yellow" in {i.colour for i in p.items} for p in towers(100))
    assert there > 75


def towers(count: int) -> list[panels.Panels]:
    every = (panels.panels(WORLD, index) for index in range(2 * count))
    return [p for p in every if p.towers][:count]


def test_captions_list_all_there_is():
    for index in range(30):
        example, *others = judged(WORLD, index, captions=1, statements=1)
        assert example.task == "caption" and all(e.task == "vqa" for e in others)
        boxes = [text.split(", ") for text in example.answer.split("; ")]
        for said, box in zip(boxes, example.scene.boxes, strict=True):
            if example.scene.towers:
                said[0] = said[0].removeprefix("tower of ")
                assert said == [i.colour for i in sorted(box, key=lambda item: -item.y)]
            else:
                assert Counter(said) == Counter(f"{i.size} {i.colour} {i.shape}" for i in box)


def test_unknown_forms_are_refused():
    with pytest.raises(SeesayError, match="no kind of question 'exists'"):
        judged(WORLD, 0, kinds={"exists": 1.0})
    assert set(USUAL) == set(FORMS)


def test_the_same_index_is_the_same_picture():
    again = [judged(WORLD, 5), judged(WORLD, 5)]
    assert [e.turns for e in again[0]] == [e.turns for e in again[1]]
    np.testing.assert_array_equal(again[0][0].images[0], again[1][0].images[0])
    other = judged(World(seed=3, split="dev"), 5)
    assert other[0].scene != again[0][0].scene
    assert not judged(WORLD, 5, statements=0)[0].turns


@pytest.mark.parametrize(("boxes", "size"), [(1, (64, 64)), (2, (64, 160)), (3, (64, 256))])
def test_sizes(boxes, size):
    image = judged(WORLD, 1, boxes=boxes, height=64)[0].images[0]
    assert image.shape == (*size, 3) and image.dtype == np.uint8


def test_things_touch_or_are_well_apart():
    touching = Counter()
    for index in range(80):
        for box in panels.panels(WORLD, index).boxes:
            for item in box:
                far = 100 - item.length
                assert all(at == 0 or at == far or 3 <= at <= far - 3 for at in (item.x, item.y)) \
                    or any(item.on(other) or other.on(item) for other in box)  # fmt: skip
                touching[any(item.walls)] += 1
            for a, b in itertools.combinations(box, 2):
                wide = abs(2 * a.x + a.length - 2 * b.x - b.length) / 2
                high = abs(2 * a.y + a.length - 2 * b.y - b.length) / 2
                gap = max(wide, high) - (a.length + b.length) / 2
                assert gap >= 1 or a.on(b) or b.on(a)
    assert min(touching.values()) > 80


@pytest.mark.parametrize("height", [40, 64, 100])
def test_what_is_drawn_is_what_is_there(height):
    """In the middle of each thing its colour; as much of it as its shape covers."""
    area = {"square": 1.0, "circle": np.pi / 4, "triangle": 0.5}
    for index in range(40):
        scene = panels.panels(WORLD, index)
        image, scale = panels.picture(scene, height).astype(int), height / 100
        for place, box in enumerate(scene.boxes):
            ground = round(place * 150 * scale)
            for item in box:
                x = ground + int((item.x + item.length / 2) * scale)
                y = int((item.y + item.length * 0.6) * scale)
                assert tuple(image[y, x]) == panels.RGB[item.colour]
        if height == 100:
            for colour, rgb in panels.RGB.items():
                shown = (abs(image - rgb).sum(axis=-1) == 0).sum()
                whole = sum(area[i.shape] * i.length**2 for i in scene.items if i.colour == colour)
                assert 0.75 * whole <= shown <= 1.02 * whole


def test_labels_of_patches():
    scene = panels.Panels(
        ((panels.Item("circle", "blue", 30, 0, 70),), (panels.Item("square", "black", 20, 40, 0),)),
        towers=False,
    )
    grid = patches(scene, (10, 25)).reshape(5, 10, 25)
    circle, square, nothing = SHAPES.index("circle"), SHAPES.index("square"), len(SHAPES)
    assert (grid[0, 7:, :3] == circle).all() and (grid[1, 7:, :3] == COLOURS.index("blue")).all()
    assert (grid[2, 7:, :3] == 1).all() and (grid[3] == -1).all()
    assert (grid[0, :2, 19:21] == square).all() and (grid[1, :2, 19:21] == 8).all()
    assert (grid[2, :2, 19:21] == 2).all() and scenes.PANEL_CLASSES == (9, 9, 3, 3, 2)
    assert (grid[0] == nothing).sum() == 250 - 9 - 4 and grid[4].sum() == 2 and grid[4, 8, 1] == 1
    assert (scenes.about(scene, ()) == -1).all()
    black, medium = len(COLOURS), len(SIZES)
    first = (circle, COLOURS.index("blue"), 1, -1, 6)  # left, at the bottom
    second = (square, black, medium, -1, 1)  # the middle box, at the top
    assert scenes.about(scene, (1, 0)).T.tolist() == [list(second), list(first)]


def test_what_statements_are_about():
    for example in made(60, statements=3, kinds={"exist": 1.0}):
        items = example.scene.items
        found = re.search("(yellow|black|blue)? ?(circle|square|triangle)?", example.question[11:])
        for i in example.objects:
            assert items[i].colour == (found[1] or items[i].colour)
            assert items[i].shape == (found[2] or items[i].shape)
        assert bool(example.objects) == (example.answer == "true")
