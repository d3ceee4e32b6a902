"""Augment: a changed picture, and the words that are then true of it."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes.oracle import Oracle

from seesay import scenes
from seesay.coordinates import box_text, text_box
from seesay.data import images
from seesay.data.augment import Augment, Change
from seesay.data.geometry import is_cut
from seesay.data.operations import CUTTING, OPERATIONS, applied, moving
from seesay.data.plan import FITS, Plan, fixed
from seesay.data.seen import View
from seesay.errors import DataError
from seesay.records import Box, Example, Origin, Turn
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


@given(st.booleans(), st.integers(0, 3), st.sampled_from(["RGB", "RBG", "GRB", "BGR"]))
def test_a_change_undone_is_no_change(mirrored, quarters, channels):
    """Mirrored, turned and recoloured as often as it takes to come back."""
    change = Change(mirrored, quarters, channels)
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
    with pytest.raises(DataError, match="of many shapes do not fit when they are turned"):
        Augment(turn=True).check([example], size=None)
    with pytest.raises(DataError, match="'orange'") as error:
        Augment(recolour=True).check([example], size=(8, 8))
    assert error.value.where == "a.csv:3"


# What texts say of boxes, places, colours and numbers.


def asked(answer: str, question: str = "what ?", size=(40, 60), **more) -> Example:
    turns = (Turn("user", question), Turn("assistant", answer))
    return Example((np.zeros((*size, 3), np.uint8),), turns, Origin("a.csv", 3), **more)


def plan_of(example: Example, fit: str = "stretch") -> Plan:
    (picture,) = example.images
    return fixed(picture.shape[:2], tile=(32, 32), fit=fit)


def drawn(augment: Augment, example: Example, *, count: int = 60, fit: str = "stretch"):
    """What is done to an example, visit by visit."""
    return [augment.drawn(1, i).fitting([example], [plan_of(example, fit)]) for i in range(count)]


ALL = Augment(shift=3, random_crop=0.3, jitter=0.5, rand_augment=3, magnitude=6)
TILTS = {"rotate", "shear_x", "shear_y"}
TINTS = {"colour", "hue", "equalize", "posterize"}
LIGHTS = {"brightness", "contrast", "autocontrast"}


def names(changes) -> set[str]:
    return {name for change in changes for name, _ in change.operations}


@pytest.mark.parametrize(("answer", "cropped", "missing"), [
    ("a dog runs", True, set()),
    ("a red dog", True, TINTS),
    ("一只红色的狗", True, TINTS),
    ("it is bright", True, TINTS | LIGHTS),
    ("a dog on the left", False, TILTS | {"translate_x", "translate_y"}),
    ("two dogs", False, {"translate_x", "translate_y"}),
    ("(200,300),(600,700)", True, TILTS),
])  # fmt: skip
def test_what_a_text_says_is_left_true(answer, cropped, missing):
    made = drawn(ALL, asked(answer), count=250)
    assert any(change.crop for change in made) == cropped
    assert names(made) == set(OPERATIONS) - missing


def test_what_is_asked_and_the_options_count_as_well():
    colours = drawn(ALL, asked("yes", "is it red ?")), drawn(ALL, asked("a", options=("red", "a")))
    assert all(not names(made) & TINTS and names(made) & LIGHTS for made in colours)
    assert not any(change.crop for change in drawn(ALL, asked("3", "how many dogs ?")))


BOX = st.tuples(st.floats(0, 0.8), st.floats(0, 0.8), st.floats(0.05, 0.2), st.floats(0.05, 0.2))


@settings(max_examples=80, deadline=None)
@given(BOX, st.integers(0, 10**6), st.sampled_from(FITS))
def test_no_box_of_a_text_is_cut_off(box, seed, fit):
    """And where it then lies is where the map says, to under a pixel of the picture."""
    left, top, wide, high = box
    width, height = 300, 200
    own = Box(left * width, top * height, (left + wide) * width, (top + high) * height)
    example = asked(box_text(own, width=width, height=height), size=(height, width), boxes=(own,))
    plan = plan_of(example, fit)
    plain = View.of(plan, box_text="thousandths")
    change = replace(ALL, flip=True, turn=True).drawn(seed).fitting([example], [plan])
    (view,) = change.views([plan], box_text="thousandths")
    share = tuple(s / r for s, r in zip((own.left, own.top, own.right, own.bottom),
                                        (width, height) * 2, strict=True))  # fmt: skip
    if is_cut(plain.map.sides(share), within=plain.part, by=(0, 0)):
        return  # the fit itself does
    after = view.map.sides(share)
    assert not is_cut(after, within=view.part, by=(0.51 / 32, 0.51 / 32))
    back = view.map.inverse().sides(after)
    assert back == pytest.approx(share, abs=0.01 / max(width, height))


@pytest.mark.parametrize("change", [
    Change(mirrored=True), Change(quarters=1), Change(quarters=3, mirrored=True),
    Change(moved=(2, -3)), Change(crop=(0.1, 0.2, 0.9, 0.8)),
    Change(operations=(("translate_x", 0.1), ("translate_y", -0.1))),
    Change(True, 2, moved=(1, 1), crop=(0.0, 0.1, 0.8, 0.9)),
])  # fmt: skip
@pytest.mark.parametrize("fit", FITS)
def test_box_text_goes_where_what_is_in_it_goes(change, fit):
    """A bright thing in a picture, drawn, changed and found again, and what is said of it."""
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[50:75, 70:105] = 255
    said = box_text(Box(70, 50, 105, 75), width=160, height=120)
    plan = fixed((120, 160), tile=(64, 64), fit=fit)
    (view,) = change.views([plan], box_text="pixels")
    shown = change.picture(images.laid(pixels, change.plan(plan))[None])[0, ..., 0]
    (y0, x0), (y1, x1) = np.argwhere(shown > 190).min(axis=0), np.argwhere(shown > 190).max(axis=0)
    told = text_box(view.tell(f"it is at {said}"), width=1000, height=1000)
    assert told is not None
    found = (told.left, told.top, told.right, told.bottom)
    assert found == pytest.approx((x0, y0, x1 + 1, y1 + 1), abs=1.1)
    again = text_box(view.read(view.tell(said)), width=160, height=120)
    assert again is not None
    there = (again.left, again.top, again.right, again.bottom)
    assert there == pytest.approx((70, 50, 105, 75), abs=160 / 64)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"identity"}))
def test_operations_do_what_they_are_called(name):
    """Each changes a picture; what leaves things in their place leaves a box where it was."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(40, 180, (24, 30, 3)).astype(np.uint8)
    amount = OPERATIONS[name].most / 2
    made = applied(pixels, name, amount)
    assert made.shape == pixels.shape and made.dtype == np.uint8 and (made != pixels).any()
    moves = moving(name, amount, size=(24, 30))
    assert (moves is not None) == (name in CUTTING)
    if name in ("brightness", "contrast", "colour", "sharpness"):
        assert np.abs(applied(pixels, name, 0.0).astype(int) - pixels).max() <= 1
    grey = np.repeat(pixels[..., :1], 3, axis=-1)
    if moves is None and name != "posterize":
        made = applied(grey, name, amount).astype(int)
        assert np.abs(made - made[..., :1]).max() <= 2  # grey stays grey


def test_hue_turns_around_the_circle():
    red = np.full((2, 2, 3), (200, 0, 0), np.uint8)
    thirds = applied(applied(red, "hue", 1 / 3), "hue", 1 / 3)
    assert thirds[0, 0].argmax() == 2 and applied(thirds, "hue", 1 / 3)[0, 0].argmax() == 0


@given(st.floats(0.05, 0.99), st.integers(0, 10**6))
def test_a_random_crop_shows_its_share(least, seed):
    crop = Augment(random_crop=least).drawn(seed).crop
    assert crop is not None
    left, top, right, bottom = crop
    assert 0 <= left < right <= 1 + 1e-9 and 0 <= top < bottom <= 1 + 1e-9
    assert least - 1e-6 <= (right - left) * (bottom - top) <= 1 + 1e-9


def test_new_changes_do_not_disturb_older_ones():
    """What was drawn for a seed before there were crops is drawn still."""
    old = Augment(flip=True, turn=True, recolour=True, shift=2)
    for index in range(20):
        new = replace(old, jitter=0.3, random_crop=0.5, rand_augment=2).drawn(4, index)
        assert replace(new, operations=(), crop=None) == old.drawn(4, index)
