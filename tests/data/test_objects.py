"""Cells of boxes in every form give the same boxes; broken ones say both numbers."""

import json
import math

import pyarrow
import pyarrow.parquet
import pytest
from data.layouts import pictures, png
from data.sets import lines, picture, reasons, refusal
from hypothesis import given
from hypothesis import strategies as st

from seesay.coordinates import SCALE, text_box
from seesay.data import objects
from seesay.data.finder import Refused
from seesay.data.sources import read
from seesay.records import Box

SIZE = (40, 30)
DOG, CAT = Box(4, 3, 24, 18, "dog"), Box(0, 0, 10, 10, "cat")
FORMS = [
    {"bbox": [[4, 3, 20, 15], [0, 0, 10, 10]], "categories": ["dog", "cat"]},
    {"bboxes": [[4, 3, 20, 15], [0, 0, 10, 10]], "label": ["dog", "cat"], "area": [300, 100]},
    [{"bbox": [4, 3, 20, 15], "category": "dog"}, {"bbox": [0, 0, 10, 10], "category": "cat"}],
    [{"left": 4, "top": 3, "right": 24, "bottom": 18, "label": "dog"},
     {"x": 0, "y": 0, "w": 10, "h": 10, "label": "cat"}],
    [{"xmin": 4, "ymin": 3, "xmax": 24, "ymax": 18, "name": "dog"},
     {"x": 0.0, "y": 0.0, "width": 10.0, "height": 10.0, "name": "cat"}],
]  # fmt: skip


@pytest.mark.parametrize("cell", [*FORMS, *map(json.dumps, FORMS)])
def test_forms_of_one_cell(cell):
    found = objects.things(cell, size=SIZE)
    assert found.boxes == (DOG, CAT) and found.size == SIZE
    assert objects.holds_boxes(cell)


def test_labels():
    names = {"category": ("dog", "cat")}
    numbered = {"bbox": [[4, 3, 20, 15], [0, 0, 10, 10]], "category": [0, 1]}
    assert objects.things(numbered, size=SIZE, names=names).boxes == (DOG, CAT)
    assert objects.things([4, 3, 20, 15], size=SIZE, label="dog").boxes == (DOG,)
    assert objects.things([[4, 3, 20, 15]], size=SIZE).boxes == (Box(4, 3, 24, 18),)
    corners = objects.things([[4, 3, 24, 18]], size=SIZE, corners=True, label="dog")
    assert corners.boxes == (DOG,)
    one = {"bbox": [4, 3, 20, 15], "category": "dog"}
    assert objects.things(one, size=SIZE).boxes == (DOG,)
    assert objects.things([], size=SIZE).boxes == ()


@pytest.mark.parametrize(
    "cell", [None, 3, "cat", "[1", [], {}, ["cat", "dog"], [1, 2, 3], {"cat": 2}, [{"name": "cat"}]]
)
def test_other_cells_hold_no_boxes(cell):
    assert not objects.holds_boxes(cell)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (None, "no boxes: an empty cell"),
        ("cat", "no boxes, but the text 'cat'"),
        (7, "no boxes, but 7"),
        ({"cat": 2}, "no boxes among cat; known: bbox"),
        ({"bbox": [[1, 2, 3, 4]], "label": ["a", "b"]}, "1 boxes and 2 labels"),
        ([[1, 2, 3, 4], [1, 2, 3]], "box 2 has 3 numbers; expected 4"),
        ([[1, 2, math.nan, 4]], "box 1 is no four numbers"),
        ([[0.1, 0.2, 0.5, 0.5]], "is in shares of the picture, [0.1, 0.2, 0.5, 0.5]; expected pix"),
        ({"bbox": 3}, "no boxes, but 3"),
        ([{"left": 4, "top": 3, "right": 2, "bottom": 5}], "inverted: from 4,3 to 2,5"),
    ],
)
def test_broken_cells(cell, why):
    with pytest.raises(Refused) as caught:
        objects.things(cell, size=SIZE)
    assert why in str(caught.value)


sides = st.floats(0, 1)


@given(st.tuples(sides, sides, sides, sides), st.integers(1, 3000), st.integers(1, 3000),
       st.booleans())  # fmt: skip
def test_a_box_is_kept_or_refused(shares, width, height, corners):
    """Inside of its picture a box comes back as it was; what is said of it is near it."""
    left, right = sorted((shares[0] * width, shares[2] * width))
    top, bottom = sorted((shares[1] * height, shares[3] * height))
    numbers = [left, top, right, bottom] if corners else [left, top, right - left, bottom - top]
    try:
        (box,) = objects.things([numbers], size=(width, height), corners=corners).boxes
    except Refused as why:
        if "in shares" in str(why):
            assert max(numbers) <= 1
        else:
            assert "inverted" in str(why) and min(right - left, bottom - top) < 1e-6
        return
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((left, top, right, bottom))
    try:
        said = text_box(objects.said(box, (width, height)), width=width, height=height)
    except Refused:
        assert min((right - left) / width, (bottom - top) / height) < 2 / SCALE
        return
    assert said is not None
    for name, side in (("left", width), ("right", width), ("top", height), ("bottom", height)):
        assert abs(getattr(said, name) - getattr(box, name)) <= side / SCALE + 1e-6


@given(st.integers(-50, 90), st.integers(-50, 90), st.integers(-9, 60), st.integers(-9, 60))
def test_nothing_outside_or_inverted_passes(left, top, wide, high):
    fits = wide > 0 and high > 0 and min(left, top) >= -1 and left + wide <= 41 and top + high <= 31
    fits = fits and left < 40 and top < 30 and left + wide > 0 and top + high > 0
    if not fits:
        with pytest.raises(Refused):
            objects.things([[left, top, wide, high]], size=SIZE)
        return
    (box,) = objects.things([[left, top, wide, high]], size=SIZE).boxes
    assert 0 <= box.left < box.right <= 40 and 0 <= box.top < box.bottom <= 30


# In tables


def test_imagefolder_of_hugging_face(tmp_path):
    """metadata.jsonl as its page on object detection writes it."""
    picture(tmp_path / "0001.png")
    picture(tmp_path / "0002.png", shade=9)
    rows = [
        {"file_name": "0001.png", "objects": {"bbox": [[4, 3, 20, 15]], "categories": ["dog"]}},
        {"file_name": "0002.png", "objects": {"bbox": [], "categories": []}},
    ]
    path = lines(tmp_path / "metadata.jsonl", rows)
    found = read(tmp_path)
    assert (found.rows, len(found.broken)) == (2, 0)  # a picture of nothing is not broken
    assert [(e.task, e.answer) for e in found.examples] == [
        ("ground", "(100,100),(600,600)"), ("vqa", "1"),
    ]  # fmt: skip
    assert found.examples[0].boxes == (DOG,) and found.examples[0].origin.row == 1
    lines(path, [rows[0], {**rows[1], "objects": {"bbox": [[30, 3, 20, 15]]}}])
    assert reasons(path) == {
        "metadata.jsonl:2": "box 1 is outside: from 30,3 to 50,18, in a picture of 40×30 pixels"
    }
    lines(path, [rows[1]] * 2)
    assert "2 rows without a box" in refusal(path)


def test_boxes_beside_text(tmp_path):
    picture(tmp_path / "a.png")
    row = {"image": "a.png", "boxes": [[4, 3, 20, 15]], "labels": ["dog"]}
    said = [{**row, "caption": "a dog"}, {"image": "a.png", "caption": "no boxes"}]
    examples = read(lines(tmp_path / "c.jsonl", said)).examples
    assert [(e.task, e.answer, len(e.boxes)) for e in examples] == [
        ("caption", "a dog", 1), ("caption", "no boxes", 0),
    ]  # fmt: skip
    del row["labels"]
    (placed,) = read(lines(tmp_path / "q.jsonl", [{**row, "question": "find it"}])).examples
    assert (placed.task, placed.question, placed.answer) == (
        "ground", "find it", "(100,100),(600,600)",
    )  # fmt: skip
    asked = {**row, "question": "what is it?", "answer": "a dog"}
    (answered,) = read(lines(tmp_path / "v.jsonl", [asked])).examples
    assert (answered.task, answered.answer, len(answered.boxes)) == ("vqa", "a dog", 1)
    several = [{**row, "boxes": [[4, 3, 20, 15], [0, 0, 9, 9]], "question": "find it"}, asked]
    found = reasons(lines(tmp_path / "s.jsonl", several), columns={"question": "question"},
                    task="ground")  # fmt: skip
    assert found == {"s.jsonl:1": "2 boxes; a question of where something is has 1"}


def test_columns_side_by_side(tmp_path):
    """Boxes in one column and their labels in another, one box or several."""
    picture(tmp_path / "a.png")
    path = tmp_path / "a.csv"
    path.write_text('image,bbox,category\na.png,"[4, 3, 20, 15]",dog\na.png,"[0,0,10,10]",cat\n')
    assert [e.boxes for e in read(path).examples if e.task == "ground"] == [(DOG,), (CAT,)]
    row = {"image": "a.png", "boxes": [[4, 3, 20, 15], [0, 0, 10, 10]], "labels": ["dog", "cat"]}
    examples = read(lines(tmp_path / "b.jsonl", [row])).examples
    assert [e.boxes for e in examples if e.task == "ground"] == [(DOG,), (CAT,)]
    path.write_text('image,xyxy,category\na.png,"[4, 3, 24, 18]",dog\n')
    assert read(path).examples[0].boxes == (DOG,)


def test_boxes_that_are_not_wanted(tmp_path):
    """A column is left alone where the user says that none is the boxes'."""
    picture(tmp_path / "a.png")
    path = lines(tmp_path / "a.jsonl", [{"image": "a.png", "bbox": [1, 2, 99, 4], "label": "cat"}])
    assert "box 1 is outside" in reasons(path)["a.jsonl:1"]
    (example,) = read(path, columns={"boxes": ""}).examples
    assert (example.task, example.answer, example.boxes) == ("classify", "cat", ())


def test_a_column_that_is_only_called_so(tmp_path):
    picture(tmp_path / "a.png")
    rows = [{"image": "a.png", "objects": ["cat", "dog"], "label": "home"}] * 2
    (example, _) = read(lines(tmp_path / "a.jsonl", rows)).examples
    assert (example.task, example.answer, example.boxes) == ("classify", "home", ())


def test_boxes_of_several_pictures(tmp_path):
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    row = {"image": ["a.png", "b.png"], "caption": "two", "bbox": [1, 2, 3, 4]}
    assert list(reasons(lines(tmp_path / "a.jsonl", [row])).values()) == [
        "boxes in 2 pictures; expected 1"
    ]


def test_class_numbers_within_objects(tmp_path):
    """Hugging Face's Parquet: a list of ClassLabel in a struct."""
    category = {"feature": {"names": ["dog", "cat"], "_type": "ClassLabel"}, "_type": "List"}
    for features in ({"bbox": {}, "category": category},
                     {"feature": {"category": category["feature"]}, "_type": "Sequence"},
                     {"category": [category["feature"]]}):  # fmt: skip
        cell = {"bbox": [[1, 1, 5, 4], [0, 0, 2, 2]], "category": [1, 0]}
        data = pyarrow.table({"image": [png(0)], "objects": [cell]})
        metadata = {"huggingface": json.dumps({"info": {"features": {"objects": features}}})}
        pyarrow.parquet.write_table(data.replace_schema_metadata(metadata), tmp_path / "a.parquet")
        asked = [e.question for e in read(tmp_path).examples if e.task == "ground"]
        assert asked == ["where is the cat?", "where is the dog?"]


def test_pictures_whose_size_cannot_be_read(tmp_path):
    pictures(tmp_path, 1)
    (tmp_path / "cut.png").write_bytes(png(1)[:20])
    rows = [{"image": name, "bbox": [0, 0, 2, 2]} for name in ("cut.png", "images/0000.png")]
    (why,) = reasons(lines(tmp_path / "a.jsonl", rows)).values()
    assert why.startswith("cannot be decoded")
