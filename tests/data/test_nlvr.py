"""NLVR's and NLVR2's lines, with pictures by the sets' own naming."""

from data.sets import lines, picture, reasons

from seesay.data.sources import read


def nlvr(tmp_path, *rows):
    """train/train.json beside train/images/5."""
    for order in range(6):
        picture(tmp_path / "train" / "images" / "5" / f"train-72-0-{order}.png", shade=order)
    picture(tmp_path / "train" / "images" / "5" / "train-72-1-0.png")
    first = {"sentence": "there is a box", "identifier": "72-0", "directory": "5", "label": "true",
             "evals": {"r0": "true"}, "structured_rep": [[], [], []]}  # fmt: skip
    return lines(tmp_path / "train" / "train.json", [first, *rows])


def test_nlvr(tmp_path):
    other = {"sentence": "there is a sea", "identifier": "72-1", "directory": "5", "label": "false"}
    path = nlvr(tmp_path, other)
    found = read(path)
    assert found.format == "NLVR" and not found.broken
    assert [(e.question, e.answer) for e in found.examples] == [
        *[("there is a box", "true")] * 6, ("there is a sea", "false"),
    ]  # fmt: skip
    assert {e.options for e in found.examples} == {("false", "true")}
    assert [e.group for e in found.examples[:2]] == [
        "images/5/train-72-0-0.png", "images/5/train-72-0-1.png",
    ]  # fmt: skip
    assert [e.origin.row for e in found.examples] == [1] * 6 + [2]
    assert read(tmp_path / "train").examples == found.examples


def test_nlvr2(tmp_path):
    folder = tmp_path / "images" / "train" / "12"
    for name in ("train-10171-0-img0.png", "train-10171-0-img1.png"):
        picture(folder / name)
    row = {"sentence": "both are red", "identifier": "train-10171-0-2", "directory": 12,
           "label": "True", "left_url": "http://x", "right_url": "http://y"}  # fmt: skip
    path = lines(tmp_path / "data" / "train.json", [row, {**row, "label": "False"}])
    found = read(path)
    assert [(e.answer, len(e.images)) for e in found.examples] == [("true", 2), ("false", 2)]
    assert found.examples[0].group == (
        "images/train/12/train-10171-0-img0.png|images/train/12/train-10171-0-img1.png"
    )
    # A few more that are not there.
    lines(path, [row, {**row, "identifier": "train-3-0-0"}, {**row, "identifier": "7"},
                 {**row, "sentence": ""}])  # fmt: skip
    assert reasons(path) == {
        "train.json:2": f"no picture 'train-3-0-img0' in {tmp_path} (images)",
        "train.json:3": "'7' is no identifier of NLVR (72-0) or NLVR2 (train-10171-0-0)",
        "train.json:4": "no sentence: it is empty",
    }


def test_a_line_without_a_picture(tmp_path):
    gone = {"sentence": "x", "identifier": "99-1", "directory": "5", "label": "true"}
    path = nlvr(tmp_path, gone)
    path.write_text(path.read_text() + "not JSON\n")
    found = reasons(path)
    assert found["train.json:2"] == f"no picture 'train-99-1-0' in {path.parent} (images)"
    assert found["train.json:3"].startswith("not JSON") and len(found) == 2
