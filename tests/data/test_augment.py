"""Augment: a changed picture, and the words that are then true of it."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes.oracle import Oracle

from seesay import scenes
from seesay.data.augment import Augment, Change
from seesay.errors import DataError
from seesay.records import Example, Origin, Turn
from seesay.scenes.render import draw
from seesay.scenes.world import SPAN

TURNS = (Turn("user", "what is left of it?"), Turn("assistant", "a red thing", "top right"))
SQUARE = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3), dtype=np.uint8)
ramp = np.arange(2 * 8 * 9 * 3, dtype=np.uint8).reshape(2, 8, 9, 3)


def test_nothing_asked_for_changes_nothing():
    assert Augment().drawn(0, 0).picture(ramp) is ramp
    assert Augment().drawn(0, 0).turns(TURNS) == TURNS


def test_flipping_mirrors_about_half_of_the_rows():
    made = [Augment(flip=True).drawn(0, i).picture(ramp) for i in range(200)]
    mirrored = [bool((each == ramp[:, :, ::-1]).all()) for each in made]
    whole = [bool((each == ramp).all()) for each in made]
    assert all(a != b for a, b in zip(mirrored, whole, strict=True))
    assert 70 < sum(mirrored) < 130


def moved(pixels: np.ndarray, down: int, right: int) -> np.ndarray:
    """Each pixel is the one so far up and left of it, or the nearest at the edge."""
    height, width = pixels.shape[1:3]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return pixels[:, rows][:, :, columns]


def test_shifting_moves_all_pictures_of_a_row_and_repeats_the_edges():
    ways = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    seen = Counter()
    for index in range(400):
        made = Augment(shift=2).drawn(0, index).picture(ramp)
        seen[next(way for way in ways if (made == moved(ramp, *way)).all())] += 1
    assert len(seen) == 25 and max(seen.values()) < 40


@given(
    st.booleans(), st.integers(0, 3), st.tuples(st.integers(-1, 1), st.integers(-1, 1)),
    st.integers(1, 4), st.integers(1, 4), st.integers(5, 6), st.integers(5, 7),
)  # fmt: skip
def test_a_box_goes_where_what_is_in_it_goes(mirrored, quarters, moves, left, top, right, bottom):
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    pixels[:, top:bottom, left:right] = 255
    change = Change(mirrored, quarters, moved=moves)
    sides = change.box((left / 8, top / 8, right / 8, bottom / 8), size=(8, 8))
    rows, columns = np.nonzero(change.picture(pixels)[0, ..., 0])
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert [8 * side for side in sides] == pytest.approx(found)


def test_a_box_moves_by_pixels_of_an_oblong_picture():
    assert Change(moved=(2, -4)).box((0.5, 0.5, 1.0, 1.0), size=(8, 16)) == (0.25, 0.75, 0.75, 1.25)


changes = st.builds(
    Change, st.booleans(), st.integers(0, 3), st.sampled_from(["RGB", "RBG", "GRB", "BGR"])
)


@given(changes)
def test_a_change_undone_is_no_change(change):
    """Mirrored, turned and recoloured as often as it takes to come back."""
    back = 4 if change.quarters % 2 and not change.mirrored else 2
    pixels, turns = SQUARE, TURNS
    for _ in range(back):
        pixels, turns = change.picture(pixels), change.turns(turns)
    assert (pixels == SQUARE).all() and turns == TURNS


def changed(scene: scenes.Scene, change: Change) -> scenes.Scene:
    """The graph of the picture that a change makes of a scene's."""

    def placed(x: int, y: int) -> tuple[int, int]:
        x = SPAN - x if change.mirrored else x
        for _ in range(change.quarters):
            x, y = y, SPAN - x
        return x, y

    def coloured(colour: str) -> str:
        return change.text(colour)

    things = []
    for thing in scene.objects:
        x, y = placed(thing.x, thing.y)
        things.append(replace(thing, x=x, y=y, colour=coloured(thing.colour)))
    return replace(scene, objects=tuple(things))


# What does not stay a colour of the world when red, green and blue change places.
OTHER = re.compile("orange|purple|pink|yellow|cyan")
ASKED = ("where", "relation", "chained", "refer", "statement", "colour")


@pytest.mark.parametrize("index", range(24))
def test_what_is_asked_of_a_changed_picture_is_true_of_it(index):
    """By a reader of its own, on the changed graph, for every change of places and colours."""
    change = Change(index >= 12, index % 4, ("RGB", "GBR", "BGR")[index % 3])
    seen, recoloured = 0, change.channels != "RGB"
    for number in range(150 if recoloured else 30):
        made = scenes.examples(
            scenes.World(seed=3, objects=(2, 3) if recoloured else (2, 6)),
            number,
            captions=0,
            kinds=dict.fromkeys(ASKED, 1.0),
            resolution=16,
        )
        if recoloured and OTHER.search(" ".join(t.colour for t in made[0].scene.objects)):
            continue
        oracle = Oracle(changed(made[0].scene, change))
        for example in made:
            if recoloured and OTHER.search(example.question):
                continue
            asked, said = change.turns(example.turns)
            assert oracle.answer(asked.text) == said.text, (example.question, asked.text)
            seen += 1
    assert seen > 20


def test_a_mirrored_picture_is_the_picture_of_the_mirrored_scene():
    """And so for a turned one, of things that look alike from all sides."""
    seen = 0
    for number in range(300):
        scene = scenes.World(seed=4, objects=(1, 3)).scene(number)
        round_ = {(thing.shape, thing.texture) for thing in scene.objects}
        if not round_ <= {("circle", "solid"), ("ring", "solid"), ("square", "solid")}:
            continue
        seen += 1
        for change in (Change(True), Change(quarters=1), Change(True, 3)):
            made = change.picture(draw(scene, 32)[None])[0].astype(int)
            wanted = draw(changed(scene, change), 32).astype(int)
            assert np.abs(made - wanted).mean() < 3
    assert seen > 3


@pytest.mark.parametrize(("change", "text", "then"), [
    (Change(True), "Left of the top right corner", "Right of the top left corner"),
    (Change(True), "圆形在左边", "圆形在右边"),
    (Change(True), "it is bright and leftover", "it is bright and leftover"),
    (Change(quarters=1), "is it to the right of the box, at the top left?",
     "is it above the box, at the bottom left?"),
    (Change(quarters=2), "above", "below"),
    (Change(quarters=3), "在上边", "在右边"),
    (Change(channels="GRB"), "Red and yellow, not cyan", "Green and yellow, not magenta"),
    (Change(channels="GRB"), "红色和青色", "绿色和品红色"),
])  # fmt: skip
def test_words_that_change(change, text, then):
    assert change.text(text) == then


def test_colours_change_as_they_are_shown():
    for way in ("RGB", "RBG", "GRB", "GBR", "BRG", "BGR"):
        change = Change(channels=way)
        for name, shown in {"red": (1, 0, 0), "cyan": (0, 1, 1), "yellow": (1, 1, 0)}.items():
            made = change.picture(np.full((1, 1, 1, 3), shown, np.uint8))[0, 0, 0]
            names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue",
                     (1, 1, 0): "yellow", (0, 1, 1): "cyan", (1, 0, 1): "magenta"}  # fmt: skip
            assert change.text(name) == names[tuple(made.tolist())]


def test_every_change_comes_about():
    augment = Augment(flip=True, turn=True, recolour=True, shift=1)
    drawn = {augment.drawn(0, i) for i in range(6000)}
    assert len(drawn) == 2 * 4 * 6 * 9
    assert augment.drawn(5, 7) == augment.drawn(5, 7)


def test_what_would_not_be_true_is_refused():
    example = Example((Path("a.png"),), (Turn("user", "an orange?"),), Origin("a.csv", 3))
    Augment(flip=True, turn=True).check([example], size=(8, 8))
    with pytest.raises(DataError, match="8×16"):
        Augment(turn=True).check([example], size=(8, 16))
    with pytest.raises(DataError, match="'orange'") as error:
        Augment(recolour=True).check([example], size=(8, 8))
    assert error.value.where == "a.csv:3"


def test_boxes_do_not_move_with_the_picture():
    said = [Example((), (Turn("assistant", "(120,340),(260,480)"),), Origin("a.csv", 3))]
    for change in ({"flip": True}, {"turn": True}, {"shift": 2}):
        with pytest.raises(DataError, match="would stay where it was") as error:
            Augment(**change).check(said, size=(16, 16))
        assert error.value.where == "a.csv:3"
    Augment(recolour=True).check(said, size=(16, 16))
