"""Grids: what is drawn is what is there, and every answer is right by a reader of its own."""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest

from seesay import scenes
from seesay.errors import SeesayError
from seesay.scenes.grid import KINDS, STEPS, Grid, asked, grid, listed, pair, picture
from seesay.scenes.world import COLOURS, SHAPES, World

WORLD = World(seed=4)
FORM = re.compile(r"is an? (\w+)(?: shape)?((?: (?:above|below|left of|right of))*)(?: a)? (\w+)"
                  r"(?: shape)?")  # fmt: skip


def made(count: int, **options) -> list:
    return [e for i in range(count) for e in asked(WORLD, i, **options)]


def seen(example) -> list[list[tuple[str, ...]]]:
    """What is in each cell, from the pixels alone: colour by the strongest channel."""
    pixels = example.images[0].astype(int)
    side = len(pixels) // 3
    cells = pixels.reshape(3, side, 3, side, 3).transpose(0, 2, 1, 3, 4)
    colours = ("red", "green", "blue")
    return [
        [(colours[int(c.sum(axis=(0, 1)).argmax())],) if c.any() else () for c in row]
        for row in cells
    ]


def answer(question: str, cells: Grid) -> bool:
    """From the words: every way from one cell to another, tried."""
    found = FORM.fullmatch(question)
    assert found, question
    steps = re.findall("above|below|left of|right of", found[2])
    down = sum(STEPS[step][0] for step in steps)
    right = sum(STEPS[step][1] for step in steps)

    def called(i: int, j: int, noun: str) -> bool:
        thing = cells.cells[i][j]
        return thing is not None and noun in (thing.shape, thing.colour)

    ways = 0
    for i in range(3):
        for j in range(3):
            last = STEPS[steps[-1]] if steps else (0, 0)
            between, there = (i + last[0], j + last[1]), (i + down, j + right)
            inside = all(0 <= k < 3 for k in (*between, *there))
            ways += inside and called(i, j, found[3]) and called(*there, found[1])
    return ways > 0


def test_every_answer_is_right():
    examples = made(150, questions=5)
    for example in examples:
        assert example.answer == ("yes" if answer(example.question, example.scene) else "no")
    assert {e.labels["kind"] for e in examples} == set(KINDS) and len(examples) > 600
    yes = sum(e.answer == "yes" for e in examples) / len(examples)
    assert 0.43 < yes < 0.57


def test_nothing_is_told_by_the_question():
    told = defaultdict(list)
    for example in made(300, questions=3, kinds={"is": 1.0}):
        told[example.question].append(example.answer == "yes")
    often = [answers for answers in told.values() if len(answers) > 15]
    assert len(often) > 10
    for answers in often:
        assert abs(sum(answers) - len(answers) / 2) < 2 * len(answers) ** 0.5


def test_steps_do_not_leave_the_grid():
    """What is left of right of a thing at the right edge is nowhere."""
    cells = grid(WORLD, 0).cells
    thing = next(thing for row in cells for thing in row if thing)
    edge = Grid(((None, None, None), (None, None, thing), (None, None, None)))
    assert pair(edge, thing.shape, (), thing.colour) == ((1, 2), (1, 2))
    assert not pair(edge, thing.shape, ("left of", "right of"), thing.colour)
    assert pair(edge, thing.shape, ("right of", "left of"), thing.colour)


def test_pictures_show_what_is_in_the_cells():
    sizes = Counter()
    for example in made(40, questions=1, kinds={"is": 1.0, "beside": 1.0}, height=60):
        assert example.images[0].shape == (60, 60, 3)
        named = [[(t.colour,) if t else () for t in row] for row in example.scene.cells]
        assert seen(example) == named
        sizes.update(bool(t) for row in example.scene.cells for t in row)
    assert 0.15 < sizes[False] / sizes.total() < 0.35
    again = picture(grid(WORLD, 3), 60)
    np.testing.assert_array_equal(again, picture(grid(WORLD, 3), 60))


def test_captions_and_labels():
    (example,) = asked(WORLD, 2, questions=0, captions=1)
    assert example.task == "caption" and example.answer == listed(example.scene)
    named = [cell for row in example.answer.split("; ") for cell in row.split(", ")]
    labels = scenes.patches(example.scene, (6, 6)).reshape(5, 6, 6)
    for k, name in enumerate(named):
        i, j = divmod(k, 3)
        middle = labels[:, 2 * i + 1, 2 * j + 1]
        if name == "nothing":
            assert middle.tolist() == [len(SHAPES), -1, -1, -1, 0]
        else:
            colour, shape = name.split()
            assert middle.tolist() == [SHAPES.index(shape), COLOURS.index(colour), -1, -1, 1]
    assert not asked(WORLD, 2, questions=0)[0].turns


def test_what_questions_are_about():
    for example in made(60, questions=3):
        found = FORM.fullmatch(example.question)
        assert found and bool(example.objects) == (example.answer == "yes")
        for name, k in zip((found[1], found[3]), example.objects, strict=False):
            i, j = example.scene.things[k]
            thing = example.scene.cells[i][j]
            assert name in (thing.shape, thing.colour)
            about = scenes.about(example.scene, (k,))[:, 0].tolist()
            looks = [SHAPES.index(thing.shape), COLOURS.index(thing.colour)]
            assert about == [*looks, -1, -1, 3 * i + j]


def test_unknown_kinds_are_refused():
    with pytest.raises(SeesayError, match="no kind of question 'besides'"):
        asked(WORLD, 0, kinds={"besides": 1.0})
