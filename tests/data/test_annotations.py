"""Whatever stands in a file of a known set, it is read, or refused with a reason."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from data.sets import images, picture, write
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data.sources import read
from seesay.errors import DataError

NAMED = {"images": images(9), "categories": [{"id": 1, "name": "dog"}]}
REF = {"ref_id": 0, "ann_id": 1, "image_id": 9, "split": "val", "bbox": [4, 3, 20, 15],
       "file_name": "000000000009.jpg", "sentences": [{"sent": "the dog"}]}  # fmt: skip
ASKED = {"question_id": 4, "image_id": 9, "question": "how many?"}
VOTED = {"question_id": 4, "image_id": 9, "answer_type": "number",
         "answers": [{"answer": "2", "answer_id": i} for i in range(10)]}  # fmt: skip
SETS: dict[str, Any] = {
    "captions": NAMED | {"annotations": [{"id": 1, "image_id": 9, "caption": "a dog"}]},
    "instances": NAMED
    | {"annotations": [{"id": 1, "image_id": 9, "category_id": 1, "bbox": [4, 3, 20, 15]}]},
    "refs": [REF],
    "refs_in": {"refs": [{key: REF[key] for key in REF if key != "bbox"}]},
    "questions": {"data_subtype": "val2017", "questions": [ASKED]},
    "annotations": {"data_subtype": "val2017", "annotations": [VOTED]},
    "gqa": {"7": {"imageId": "9", "question": "red?", "answer": "no",
                  "types": {"structural": "v"}}},
    "nlvr": [{"identifier": "val-1-2-3", "sentence": "two", "label": "True", "directory": "1"}],
    "objects": [{"image": "val2017/000000000009.jpg",
                 "objects": {"bbox": [[4, 3, 20, 15]], "categories": ["dog"]}}],
}  # fmt: skip


def file_of(place: Path, name: str) -> Path:
    """A set's file, beside those that may belong to it, and the pictures that all are about."""
    picture(place / "val2017" / "000000000009.jpg")
    for side in (0, 1):
        picture(place / "val2017" / f"val-1-2-img{side}.png")
    for other in {"instances", "questions", "annotations", name}:
        write(place / f"{other}.json", SETS[other])
    return place / f"{name}.json"


@pytest.mark.parametrize("name", SETS)
def test_each_is_read(tmp_path, name):
    found = read(file_of(tmp_path, name))
    assert found.examples and not found.broken


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON value, by the keys that lead there."""
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    return [path, *(p for key, each in inner for p in places(each, (*path, key)))]


def changed(value: Any, path: tuple, other: Any) -> Any:
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], other)
    return copy


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["../x.jpg", "/etc/passwd", "\ud800", 1e400, -1, 10**30]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "bbox", "answer", "sent", "x"]), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_nothing_in_a_file_makes_it_crash(data):
    name = data.draw(st.sampled_from(sorted(SETS)))
    path = data.draw(st.sampled_from(places(SETS[name])))
    other = changed(SETS[name], path, data.draw(values))
    with tempfile.TemporaryDirectory() as place:
        file = file_of(Path(place), name)
        file.write_text(json.dumps(other))
        try:
            found = read(file, limit_broken=1.0)
        except DataError as error:
            assert error.what and error.where and error.fix
            return
        assert found.examples or found.broken
        assert all(each.why for each in found.broken)
