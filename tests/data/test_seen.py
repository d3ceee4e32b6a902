"""Seen: boxes in texts, in terms of what a model is shown of their pictures, and back."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.coordinates import box_text, text_box
from seesay.data import boxes
from seesay.data.augment import Change
from seesay.data.fit import Fit
from seesay.data.geometry import is_cut
from seesay.data.plan import FITS, fixed
from seesay.data.resolution import best
from seesay.data.rows import FileRows
from seesay.data.seen import PLAIN, View, retold
from seesay.errors import DataError
from seesay.records import Box, Example, Origin, Turn


def view(fit: str = "pad", size=(100, 200), box_text: str = "thousandths", **change) -> View:
    plan = fixed(size, tile=(50, 50), fit=fit)
    (made,) = Change(**change).views([plan], box_text=box_text)
    return made


def turns(*texts: str, pictures=()) -> tuple[Turn, ...]:
    roles = ("user", "assistant")
    shown = [*pictures, *[()] * len(texts)]
    return tuple(Turn(roles[i % 2], t, pictures=shown[i]) for i, t in enumerate(texts))  # type: ignore[arg-type]


WORDS = tiny.text()


@pytest.mark.parametrize(("seen", "told"), [
    (view("stretch"), "(100,200),(500,999)"),
    (view("pad"), "(100,340),(500,740)"),  # 12 of 50 pixels above are margin
    (view("crop"), "(0,200),(500,1000)"),
    (view("stretch", box_text="pixels"), "(5,10),(25,50)"),
    (view("pad", box_text="pixels"), "(5,17),(25,37)"),
    (view("stretch", mirrored=True), "(500,200),(900,999)"),
])  # fmt: skip
def test_what_is_told_of_a_box(seen, told):
    said = seen.tell("see (100,200),(500,1000).")
    assert said.replace("999", "1000") == f"see {told}.".replace("999", "1000")


SIDE = st.integers(8, 2000)
NOTATIONS = ("({},{}),({},{})", "[{}, {}, {}, {}]", '{{"bbox_2d": [{}, {}, {}, {}]}}',
             "<loc_{}><loc_{}><loc_{}><loc_{}>", "<box>{} {} {} {}</box>")  # fmt: skip


@settings(max_examples=150)
@given(
    st.tuples(SIDE, SIDE), st.sampled_from(FITS), st.integers(1, 6), st.booleans(),
    st.sampled_from(NOTATIONS), st.tuples(*[st.integers(0, 998)] * 4),
    st.sampled_from(["thousandths", "pixels"]),
)  # fmt: skip
def test_there_and_back_a_box_is_the_same(size, fit, most, mirrored, notation, sides, box_text):
    """To within what the numbers can say, of pictures of any size, fitted and tiled in any way."""
    left, right = sorted((sides[0], sides[2]))
    top, bottom = sorted((sides[1], sides[3]))
    given = (left, top, right + 1, bottom + 1)
    said = notation.format(*given)
    plan = best(size, tile=(448, 448), max_tiles=most, fit=fit)
    (seen,) = Change(mirrored).views([plan], box_text=box_text)
    if is_cut(seen.map.sides(tuple(s / 1000 for s in given)), within=seen.part, by=(0, 0)):  # type: ignore[arg-type]
        return
    again = text_box(seen.read(seen.tell(said)))
    assert again is not None
    # Half a number at either edge of what is shown, and half a one back; margins make a number of
    # the canvas so much larger.
    scale = (1000, 1000) if box_text == "thousandths" or "loc" in notation else plan.canvas[::-1]
    by = [1.6 * 1000 / r / (end - start) + 1.1 for r, start, end in
          zip(scale, seen.part[:2], seen.part[2:], strict=True)]  # fmt: skip
    found = (again.left, again.top, again.right, again.bottom)
    for one, other, within in zip(found, given, (*by, *by), strict=True):
        assert abs(one - other) <= within


def test_shares_stay_shares():
    assert view("pad").tell("[0.1, 0.2, 0.5, 1.0]") == "[0.100, 0.340, 0.500, 0.740]"
    assert view("pad").read("[0.100, 0.340, 0.500, 0.740]") == "[0.100, 0.200, 0.500, 1.000]"


def test_a_plain_view_changes_no_letter():
    odd = "( 1,2 ),( 30 , 40 ) and [0.1,0.2,0.3,0.40]"
    assert view("stretch") == PLAIN and retold(turns(odd, odd), [PLAIN]) == turns(odd, odd)


def test_what_is_said_on_the_margin_alone_is_told_at_the_edge():
    assert view("pad").read("(0,0),(10,10)") == "(0,0),(10,1)"
    assert view("pad").read("<loc0900><loc0100><loc1000><loc0200>").startswith("<loc1022><loc0100>")


def test_a_box_that_is_not_shown_is_an_error():
    with pytest.raises(DataError, match="lies outside of what is shown") as error:
        retold(turns("(0,0),(100,100)"), [view("crop")], where="a.csv:3")
    assert error.value.where == "a.csv:3" and "pad" in error.value.fix


def test_a_box_is_of_the_picture_shown_last():
    said = "a (100,200),(500,1000)"
    views = [view("pad"), view("pad", (200, 100)), view("stretch")]
    made = retold(turns(said, said, "b", said, pictures=[(), (), (0,)]), views[:2])
    one, other = "a (100,340),(500,740)", "a (290,200),(490,999)"
    assert made == turns(one, one, "b", other, pictures=[(), (), (0,)])
    # Within a turn too; and the places of pictures move with the words.
    (turn,) = retold(turns(f"{said} {said} c", pictures=[(23, 46)]), views)
    plain = "a (100,340),(500,740)"
    assert turn.text.startswith(plain) and turn.text[turn.pictures[0] :].startswith(f" {other}"[1:])
    thought = replace(turns("x", said)[1], reasoning=said)
    assert retold([thought], views[:1])[0].reasoning == one


def test_pictures_side_by_side_are_to_be_seen_alike():
    said = "(100,200),(500,1000)"
    alike = retold(turns(said), [view("pad"), view("pad")])
    assert alike == retold(turns(said), [view("pad")])
    for shown in ((), (0, 0)):
        with pytest.raises(DataError, match="after 2 pictures that are each shown") as error:
            retold(turns(said, pictures=[shown]), [view("pad"), view("pad", (90, 80))], where="a:1")
        assert error.value.where == "a:1"
    # Where no box is said, it is no matter.
    assert retold(turns("a"), [view("pad"), view("pad", (90, 80))]) == turns("a")


# Pixels in files.


def pixeled(answer: str, size=(480, 640), **more) -> Example:
    pictures = (np.zeros((*size, 3), np.uint8),)
    return Example(pictures, turns("where ?", answer), Origin("a.csv", 7), **more)


@given(st.tuples(SIDE, SIDE), st.tuples(*[st.floats(0, 1)] * 4))
def test_pixels_become_thousandths_and_lose_no_pixel(size, shares):
    height, width = size
    left, right = sorted(round(s * (width - 1)) for s in shares[::2])
    top, bottom = sorted(round(s * (height - 1)) for s in shares[1::2])
    if right == bottom == 0:
        return  # numbers of at most 1 are shares, whatever is written beside them
    said = f"[{left}, {top}, {right + 1}, {bottom + 1}]"
    (made,) = boxes.in_thousandths([pixeled(said, size)])
    box = text_box(made.answer, width=width, height=height)
    assert box is not None
    found = (box.left, box.top, box.right, box.bottom)
    assert found == pytest.approx((left, top, right + 1, bottom + 1), abs=0.11)


def test_pixels_beyond_their_picture_are_an_error():
    with pytest.raises(DataError, match=r"to \(650,40\) in a picture of 640×480") as error:
        boxes.in_thousandths([pixeled("(10,20),(650,40)")])
    assert error.value.where == "a.csv:7" and "boxes = 'pixels'" in error.value.fix


def test_what_says_no_box_is_as_it_was(tmp_path):
    plain, gone = pixeled("at 10, 20"), replace(pixeled("(1,2),(3,4)"), images=(tmp_path / "a",))
    assert boxes.in_thousandths([plain, gone]) == [plain, gone]


def test_all_boxes_of_an_example():
    example = pixeled("(100,200),(500,1000)", boxes=(Box(64, 48, 320, 480),))
    assert boxes.every(example) == [(0.1, 0.2, 0.5, 1.0), (0.1, 0.1, 0.5, 1.0)]
    said = box_text(Box(64, 48, 320, 480), width=640, height=480)
    assert boxes.every(pixeled(said))[0] == pytest.approx((0.1, 0.1, 0.5, 0.999))


def test_boxes_are_looked_at_before_training():
    """What cannot be said of a fitted picture is an error at once, and not after an hour."""
    fit = Fit(size=(16, 16), picture_tokens=4, row_tokens=96, how="crop")
    wide = replace(pixeled("(0,0),(50,990)", (100, 400)), task="ground")
    for answer, how, said in (
        ("(0,0),(50,990)", "crop", "lies outside of what is shown"),
        ("10 20 30 40", "pad", "has no brackets"),
    ):
        example = replace(wide, turns=turns("where ?", answer))
        with pytest.raises(DataError, match=said) as error:
            FileRows([example], text=WORDS, fit=replace(fit, how=how), seed=0)
        assert error.value.where == "a.csv:7"
        FileRows([example], text=WORDS, fit=replace(fit, how="stretch"), seed=0)
