"""COCO's captions and boxes and RefCOCO's references, in the folders that they are unpacked to."""

import json

import pytest
from data.sets import SIZE, images, picture, reasons, refusal, write

from seesay.coordinates import text_box
from seesay.data import boxes as places
from seesay.data.sources import read
from seesay.records import Box, Turn
from seesay.tasks import ground

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]


def caption(number, text, image):
    return {"id": number, "image_id": image, "caption": text}


def box(number, image, category, bbox, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **more}


def coco(tmp_path, name, annotations, *, pictures=(9, 25), listed=None, **more):
    """annotations/NAME.json beside val2017."""
    for number in pictures:
        picture(tmp_path / "val2017" / f"{number:012d}.jpg")
    value = {"images": listed or images(*pictures), "annotations": annotations, **more}
    return write(tmp_path / "annotations" / name, value)


def test_captions(tmp_path):
    said = [caption(1, "a cat", 9), caption(2, "a dog\n", 25), caption(3, "a pet", 9)]
    path = coco(tmp_path, "captions_val2017.json", said)
    found = read(path)
    assert found.format == "COCO captions" and not found.broken
    assert [e.answer for e in found.examples] == ["a cat", "a dog", "a pet"]
    assert [str(e.origin) for e in found.examples] == [f"{path}:{n}" for n in (1, 2, 3)]
    assert found.examples[0].group == found.examples[2].group == "val2017/000000000009.jpg"
    assert {e.task for e in found.examples} == {"caption"}
    # The folder that holds one set will do, and so will another place for the pictures.
    assert read(tmp_path).examples == found.examples
    (tmp_path / "val2017").rename(tmp_path / "elsewhere")
    assert len(read(path, root=tmp_path / "elsewhere").examples) == 3


def test_broken_captions(tmp_path):
    said = [caption(1, " ", 9), caption(2, "a cat", 7), "text", caption(4, "a cat", 25),
            caption(5, "a cat", 3)]  # fmt: skip
    listed = [*images(9, 25), images(25)[0], *images(3)]
    path = coco(tmp_path, "captions_val2017.json", said, listed=listed)
    assert reasons(path) == {
        "captions_val2017.json:1": "no caption: it is empty",
        "captions_val2017.json:2": "image_id 7 is 0 of the 3 images; expected 1",
        "captions_val2017.json:3": "not an object",
        "captions_val2017.json:4": "image_id 25 is 2 of the 3 images; expected 1",
        "captions_val2017.json:5": "no picture '000000000003.jpg'",
    }


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path):
    outside = picture(tmp_path / "secret" / "1.jpg")
    (tmp_path / "data" / "val2017").mkdir(parents=True)
    (tmp_path / "data" / "val2017" / "2.jpg").symlink_to(outside)
    names = ["../secret/1.jpg", str(outside), "2.jpg", "val2017/../../secret/1.jpg", "/etc/passwd"]
    listed = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    said = [caption(i, "a cat", i) for i in range(len(names))]
    path = write(tmp_path / "data" / "annotations" / "captions_val2017.json",
                 {"images": listed, "annotations": said})  # fmt: skip
    found = reasons(path)
    assert len(found) == len(names)
    assert all("is outside of the data folder" in why for why in found.values())


def test_pictures_of_one_name(tmp_path):
    """Of two splits the one that is meant; else both are named."""
    for split in ("train2017", "val2017"):
        picture(tmp_path / split / "000000000009.jpg")
    value = {"images": images(9), "annotations": [caption(1, "a cat", 9)]}
    path = write(tmp_path / "annotations" / "mine.json", value)
    assert read(path).examples[0].group == "val2017/000000000009.jpg"
    del value["images"][0]["coco_url"]
    write(path, value)
    assert reasons(path)["mine.json:1"] == (
        "2 pictures are called '000000000009.jpg': train2017/000000000009.jpg, "
        "val2017/000000000009.jpg"
    )


def test_detection(tmp_path):
    """Where what is there once is, and how many of each there are."""
    annotations = [
        box(1, 9, 18, [4, 3, 20, 15]), box(2, 9, 1, [0, 0, 10, 10]), box(3, 9, 1, [20, 0, 9, 9]),
    ]  # fmt: skip
    path = coco(tmp_path, "instances_val2017.json", annotations, categories=CATEGORIES)
    found = read(path)
    assert found.format == "COCO detection" and (found.rows, len(found.broken)) == (1, 0)
    asked = [(e.task, e.question, e.answer) for e in found.examples]
    assert asked == [
        ("ground", "where is the dog?", "(100,100),(600,600)"),
        ("vqa", "how many of these are there: dog?", "1"),
        ("vqa", "how many of these are there: person?", "2"),
    ]
    dog = found.examples[0]
    assert dog.boxes == (Box(4, 3, 24, 18, "dog"),) and len(found.examples[2].boxes) == 2
    assert {str(e.origin) for e in found.examples} == {f"{path}:1"}
    # What is said is what is scored, and what a head learns.
    assert ground.score([dog.answer], [dog])["boxes"].value == 1.0
    assert ground.true_box(dog) == text_box(dog.answer)
    assert places.sides(dog) == pytest.approx((0.1, 0.1, 0.6, 0.6))
    assert places.sides(found.examples[2]) is None
    assert [e.task for e in read(path, task="ground").examples] == ["ground"]


def test_crowds_are_not_counted(tmp_path):
    annotations = [box(1, 9, 18, [4, 3, 20, 15]), box(2, 9, 1, [0, 0, 5, 5]),
                   box(3, 9, 1, [0, 0, 40, 30], iscrowd=1)]  # fmt: skip
    path = coco(tmp_path, "instances_val2017.json", annotations, categories=CATEGORIES)
    assert [e.question for e in read(path).examples] == [
        "where is the dog?", "how many of these are there: dog?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bbox", "why"),
    [
        ([30, 3, 20, 15], "box 1 is outside: from 30,3 to 50,18, in a picture of 40×30 pixels"),
        ([-5, 3, 20, 15], "box 1 is outside: from -5,3 to 15,18"),
        ([4, 3, -2, 15], "box 1 is inverted or empty: -2 wide, 15 high"),
        ([4, 3, 2, 0], "box 1 is inverted or empty: 2 wide, 0 high"),
        ([4, 3, 20], "box 1 has 3 numbers; expected 4"),
        ([4, 3, 20, None], "box 1 is no four numbers"),
        (None, "box 1 has 0 numbers"),
        ("here", "box 1 has 0 numbers"),
    ],
)
def test_broken_boxes(tmp_path, bbox, why):
    path = coco(tmp_path, "instances.json", [box(1, 9, 18, bbox), box(2, 25, 1, [0, 0, 9, 9])],
                categories=CATEGORIES)  # fmt: skip
    (reason,) = reasons(path).values()
    assert why in reason


def test_a_side_may_be_rounded(tmp_path):
    path = coco(tmp_path, "instances.json", [box(1, 9, 18, [20, 10, 20.4, 20.9])],
                categories=CATEGORIES)  # fmt: skip
    assert read(path).examples[0].boxes == (Box(20, 10, 40, 30, "dog"),)


def test_boxes_of_pictures_that_were_resized_since(tmp_path):
    path = coco(tmp_path, "instances.json", [box(1, 9, 18, [4, 3, 20, 15])], pictures=(9,),
                categories=CATEGORIES)  # fmt: skip
    picture(tmp_path / "val2017" / "000000000009.jpg", size=(20, 15))
    assert reasons(path) == {"instances.json:1": "boxes of a picture of 40×30 pixels; it has 20×15"}


def test_other_broken_annotations(tmp_path):
    annotations = [box(1, 9, 77, [4, 3, 20, 15]), box(2, 6, 1, [0, 0, 9, 9]), "x"]
    path = coco(tmp_path, "instances.json", annotations, categories=CATEGORIES)
    assert [each.why for each in read(path, limit_broken=1).broken] == [
        "annotation 2: image_id 6 is none of 2", "annotation 3: image_id None is none of 2",
        "category_id 77 is none of the 2 categories",
    ]  # fmt: skip
    panoptic = coco(tmp_path, "panoptic.json", [{"image_id": 9, "segments_info": []}])
    said = refusal(panoptic)
    assert "1 annotations with neither 'caption' nor 'bbox': they have image_id" in said
    assert "0 annotations" in refusal(coco(tmp_path, "panoptic.json", []))


def test_too_small_to_be_said(tmp_path):
    picture(tmp_path / "val2017" / "000000000009.jpg", size=(4000, 3000))
    listed = [{"id": 9, "file_name": "000000000009.jpg"}]
    value = {"images": listed, "annotations": [box(1, 9, 18, [100, 100, 1, 1])],
             "categories": CATEGORIES}  # fmt: skip
    path = write(tmp_path / "annotations" / "instances.json", value)
    assert [e.task for e in read(path).examples] == ["vqa"]  # it can still be counted


# RefCOCO


def ref(number, sentences, *, split="train", image=9, **more):
    said = [{"raw": text.upper(), "sent": text, "tokens": text.split()} for text in sentences]
    name = f"COCO_train2014_{image:012d}_{number}.jpg"
    return {"ref_id": number, "ann_id": number, "image_id": image, "file_name": name,
            "category_id": 1, "split": split, "sentences": said, **more}  # fmt: skip


def refcoco(tmp_path, refs, *, instances=True):
    """refcoco/refs.json beside images/mscoco/images/train2014."""
    place = tmp_path / "images" / "mscoco" / "images" / "train2014"
    picture(place / "COCO_train2014_000000000009.jpg")
    boxes = [box(0, 9, 1, [4, 3, 20, 15]), box(1, 9, 1, [0, 0, 8, 6])]
    named = [{**images(9)[0], "file_name": "COCO_train2014_000000000009.jpg"}]
    if instances:
        value = {"images": named, "annotations": boxes, "categories": CATEGORIES}
        write(tmp_path / "refcoco" / "instances.json", value)
    return write(tmp_path / "refcoco" / "refs.json", refs)


def test_refcoco(tmp_path):
    path = refcoco(tmp_path, [ref(0, ["the lady", "woman in blue"]), ref(1, ["left guy"])])
    found = read(tmp_path / "refcoco")
    assert found.format == "RefCOCO" and found.path == str(path) and not found.broken
    assert [(e.task, e.question, e.answer) for e in found.examples] == [
        ("ground", "where is the lady?", "(100,100),(600,600)"),
        ("ground", "where is woman in blue?", "(100,100),(600,600)"),
        ("ground", "where is left guy?", "(0,0),(200,200)"),
    ]
    assert [e.origin.row for e in found.examples] == [1, 1, 2]
    assert found.examples[0].boxes == (Box(4, 3, 24, 18),)
    assert len({e.group for e in found.examples}) == 1
    one = {"refs": [ref(0, ["the lady"])]}
    assert len(read(write(path, one)).examples) == 1


def test_refcoco_with_boxes_of_its_own(tmp_path):
    refs = [ref(0, ["the lady"], bbox=[4, 3, 20, 15]), ref(1, ["him"], bbox=[4, 3, 99, 5])]
    path = refcoco(tmp_path, refs, instances=False)
    assert [e.answer for e in read(path, limit_broken=1).examples] == ["(100,100),(600,600)"]
    assert "box 1 is outside" in reasons(path)["refs.json:2"]
    corners = read(path, columns={"corners": "boxes"}, limit_broken=1).examples
    assert corners[0].boxes == (Box(4, 3, 20, 15),)
    # Of pictures under the names of 2017 the number tells which.
    folder = tmp_path / "images" / "mscoco" / "images" / "train2014"
    (folder / "COCO_train2014_000000000009.jpg").rename(folder / "000000000009.jpg")
    assert read(path, limit_broken=1).examples[0].question == "where is the lady?"


def test_splits_are_not_mixed(tmp_path):
    refs = [ref(0, ["a"]), ref(1, ["b"], split="testA"), ref(1, ["c"], split="train")]
    path = refcoco(tmp_path, refs)
    said = refusal(path)
    assert "it holds 2 splits: train (2 rows), testA (1 rows)" in said
    assert said.endswith(f"say which, such as {path}:train")
    assert [e.question for e in read(f"{path}:train").examples] == ["where is a?", "where is c?"]
    assert read(f"{path}:testA").path == f"{path}:testA"
    assert "no split 'val'\n  there are: train, testA" in refusal(f"{path}:val")


def test_references_that_are_not_right(tmp_path):
    path = refcoco(tmp_path, [ref(0, []), ref(7, ["a"]), ref(0, [" "]), "x"])
    assert list(reasons(path).values()) == [
        "no sentences: it is empty", "ann_id 7 is none of the 2 instances",
        "a sentence that is empty", "not an object",
    ]  # fmt: skip
    (tmp_path / "refcoco" / "instances.json").write_text('{"annotations": [{}]}')
    assert "no instances of COCO: KeyError: 'bbox'" in refusal(path)
    (tmp_path / "refcoco" / "instances.json").unlink()
    assert "no instances.json beside them" in refusal(path)


def test_pickles_are_never_opened(tmp_path):
    refcoco(tmp_path, [])
    path = (tmp_path / "refcoco" / "refs.json").rename(tmp_path / "refcoco" / "refs(unc).p")
    for source in (path, path.parent):
        said = refusal(source)
        assert "a pickle, which could run any program: it is not opened" in said
        assert "json.dump(pickle.load" in said


def test_roboflow(tmp_path):
    """The annotations lie among the pictures."""
    picture(tmp_path / "train" / "a.jpg")
    value = {"images": [{"id": 0, "file_name": "a.jpg"}], "categories": CATEGORIES,
             "annotations": [box(0, 0, 18, [4, 3, 20, 15])]}  # fmt: skip
    write(tmp_path / "train" / "_annotations.coco.json", value)
    example = read(tmp_path).examples[0]
    assert example.turns == (Turn("user", "where is the dog?"),
                             Turn("assistant", "(100,100),(600,600)"))  # fmt: skip
    assert SIZE == (40, 30) and json.loads(json.dumps(value))
