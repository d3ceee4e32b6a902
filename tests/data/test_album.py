"""Pictures by name, stem and number in the folders that sets use."""

import pytest
from data.sets import picture

from seesay.data.album import Album, root_of, splits_in
from seesay.data.finder import Refused


@pytest.fixture
def album(tmp_path) -> Album:
    for name in (
        "train2014/COCO_train2014_000000000009.jpg", "train2017/000000000025.jpg",
        "images/2405722.jpg", "VG_100K/7.jpg", "images/a/b/c/d/deep.png",
        "images/a/b/c/d/e/deeper.png", "right.png", "notes/not.png",
    ):  # fmt: skip
        picture(tmp_path / name)
    return Album(tmp_path)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("9", "train2014/COCO_train2014_000000000009.jpg"),
        ("000000000009", "train2014/COCO_train2014_000000000009.jpg"),
        ("COCO_train2014_000000000009.jpg", "train2014/COCO_train2014_000000000009.jpg"),
        ("25", "train2017/000000000025.jpg"),
        ("elsewhere/000000000025.jpg", "train2017/000000000025.jpg"),
        ("train2017/000000000025.jpg", "train2017/000000000025.jpg"),
        ("2405722", "images/2405722.jpg"),
        ("7", "VG_100K/7.jpg"),
        ("deep", "images/a/b/c/d/deep.png"),
        ("right.png", "right.png"),
        ("../right.png", "../right.png"),
        ("/etc/passwd", "/etc/passwd"),
        ("gone.png", "gone.png"),
    ],
)
def test_found(album, asked, found):
    assert album.find(asked) == found


@pytest.mark.parametrize("asked", ["8", "not", "deeper", "", "9.9"])
def test_not_found(album, asked):
    with pytest.raises(Refused, match=r"no picture .* \(VG_100K, images, train2014, train2017\)"):
        album.find(asked)
    assert not album.has(asked)


def test_the_nearest_of_several(tmp_path):
    for year in ("train2014/COCO_train2014_", "val2014/COCO_val2014_", "train2017/"):
        picture(tmp_path / f"{year}000000000009.jpg")
    album = Album(tmp_path)
    assert album.find("9", near=("val2014",)).startswith("val2014/")
    assert album.find("9", near=("train2017", "x")).startswith("train2017/")
    for near in ((), ("test2015",), ("train2014", "val2014")):
        with pytest.raises(Refused, match=r"\d pictures are called '9': train2014/"):
            album.find("9", near=near)


def test_root(tmp_path):
    picture(tmp_path / "coco" / "val2017" / "1.jpg")
    assert root_of(tmp_path / "coco" / "annotations" / "a.json") == tmp_path / "coco"
    assert root_of(tmp_path / "coco" / "a.json") == tmp_path / "coco"
    assert root_of(tmp_path / "none" / "b" / "a.json") == tmp_path / "none" / "b"
    picture(tmp_path / "coco" / "annotations" / "2.jpg")
    assert root_of(tmp_path / "coco" / "annotations" / "a.json").name == "annotations"


def test_splits_in_names():
    assert splits_in("captions_val2017") == ("val2017",)
    assert splits_in("http://images.cocodataset.org/train2014/1.jpg") == ("train2014",)
    assert splits_in("questions") == ()
