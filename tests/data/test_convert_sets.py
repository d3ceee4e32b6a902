"""Sets, boxes of every kind and what comes from elsewhere: written, and read the same again."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from data.layouts import as_shards, png
from data.sets import SIZE, lines, picture
from data.test_coco import CATEGORIES, box, caption, coco, ref, refcoco
from data.test_nlvr import nlvr
from data.test_vqa import gqa, vqa
from PIL import Image

from seesay.data.convert import LAYOUTS, convert
from seesay.data.images import load
from seesay.data.sources import read
from seesay.data.split import split
from seesay.records import Example

OTHER = {"sentence": "no box", "identifier": "72-1", "directory": "5", "label": "false"}


def captions(folder: Path) -> Path:
    """Several of one picture."""
    said = [caption(1, "a cat", 9), caption(2, "a dog\n", 25), caption(3, "a pet", 9)]
    return coco(folder, "captions_val2017.json", said)


def detection(folder: Path) -> Path:
    """Of fractions of pixels; persons are a crowd, so that they are not counted."""
    annotations = [
        box(1, 9, 18, [4.1, 3.3, 20.7, 15.2]),
        box(2, 9, 1, [0, 0, 10, 10]),
        box(3, 9, 1, [0, 0, 40, 30], iscrowd=1),
        box(4, 25, 18, [0.1, 0.2, 0.3, 29.9]),
        box(5, 25, 18, [20, 10, 20.4, 20.9]),
    ]
    return coco(folder, "instances_val2017.json", annotations, categories=CATEGORIES)


def references(folder: Path) -> str:
    """One split of two."""
    refs = [ref(0, ["the lady", "him"]), ref(1, ["b"], split="testA"), ref(1, ["c"])]
    return f"{refcoco(folder, refs)}:train"


def nothing_in_it(folder: Path) -> Path:
    """Class numbers of boxes, as Hugging Face's Parquet has them; and a picture of nothing."""
    category = {"feature": {"names": ["dog", "cat"], "_type": "ClassLabel"}, "_type": "List"}
    cells = [{"bbox": [[1, 1, 5, 4], [0, 0, 2, 2]], "category": [1, 0]},
             {"bbox": [], "category": []}]  # fmt: skip
    data = pyarrow.table({"image": [png(0), png(1)], "objects": cells, "place": ["here", "there"]})
    features = {"info": {"features": {"objects": {"bbox": {}, "category": category}}}}
    metadata = {"huggingface": json.dumps(features)}
    path = folder / "a.parquet"
    pyarrow.parquet.write_table(data.replace_schema_metadata(metadata), path)
    return path


def side_by_side(folder: Path) -> Path:
    """Labels in a column of their own, corners in text, a slice beside them."""
    picture(folder / "a.png")
    path = folder / "a.csv"
    path.write_text('image,xyxy,label,kind\na.png,"[4,3,24,18]",dog,far\na.png,"[0,0,9,9]",cat,\n')
    return path


def category_alone(folder: Path) -> Path:
    picture(folder / "a.png")
    path = folder / "a.csv"
    path.write_text('image,bbox,category,type\na.png,"[4,3,20,15]",dog,far\n')
    return path


def beside_text(folder: Path) -> Path:
    """Boxes of some captions; of answers, as several people gave them."""
    picture(folder / "a.png")
    own = {"image": "a.png", "boxes": [{"x": 4, "y": 3, "width": 20, "height": 15, "name": "dog"}]}
    said = [
        {**own, "question": "what is it?", "answer": ["dog", "cat", "dog"]},
        {"image": "a.png", "question": "is it?", "answer": "yes"},
        {**own, "caption": "a dog"},
    ]
    return lines(folder / "c.jsonl", said)


def asked_for(folder: Path) -> Path:
    picture(folder / "a.png")
    row = {"image": "a.png", "bbox": [4, 3, 20, 15], "question": "find it", "category": "small"}
    return lines(folder / "q.jsonl", [row, {**row, "type": "b"}])


def talked_of(folder: Path) -> Path:
    picture(folder / "a.png")
    talk = [{"from": "human", "value": "<image>\nwhere?"}, {"from": "gpt", "value": "there"}]
    row = {"image": "a.png", "conversations": talk, "objects": {"bbox": [[1, 2, 3, 4]]}}
    return lines(folder / "t.jsonl", [row])


def saved(folder: Path) -> Path:
    """What `datasets` saves."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(3)], "label": [0, 1, 0]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder / "saved")
    return folder / "saved"


def elsewhere(folder: Path) -> str:
    """A shard at an address."""
    fsspec = pytest.importorskip("fsspec")
    as_shards(folder, [{"caption": text} for text in ("a", "b", "c")])
    system, place = fsspec.filesystem("memory"), f"memory://convert-{folder.parent.name}"
    for path in folder.glob("*.tar"):
        system.pipe_file(f"{place}/{path.name}", path.read_bytes())
    return f"{place}/*.tar"


SETS: dict[str, Callable[[Path], Path | str]] = {
    "captions": captions,
    "detection": detection,
    "references": references,
    "votes": lambda folder: vqa(folder)[0],
    "gqa": gqa,
    "nlvr": lambda folder: nlvr(folder, OTHER),
    "class numbers": nothing_in_it,
    "side by side": side_by_side,
    "category": category_alone,
    "beside text": beside_text,
    "asked for": asked_for,
    "talk": talked_of,
    "saved": saved,
    "elsewhere": elsewhere,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEESAY_CACHE", str(tmp_path / "cache"))


def said(example: Example, *, talk: bool) -> tuple:
    """All that an example says; without what conversations cannot hold."""
    pixels = tuple(load(picture).tobytes() for picture in example.images)
    own = (example.turns, dict(example.labels), example.boxes)
    return (pixels, *own, *(() if talk else (example.task, example.options, example.votes)))


@pytest.mark.parametrize("to", LAYOUTS)
@pytest.mark.parametrize("name", SETS)
def test_every_set_becomes_every_layout(tmp_path, name, to):
    (tmp_path / "from").mkdir()
    source = SETS[name](tmp_path / "from")
    before = read(source)
    made = convert(source, tmp_path / "out", to=to)
    after, talk = read(tmp_path / "out"), to == "llava"
    assert before.examples and not before.broken and not after.broken
    for one, other in zip(before.examples, after.examples, strict=True):
        assert said(other, talk=talk) == said(one, talk=talk)
    assert made.broken == [] and (talk or made.rows == before.rows)
    # And once more: what was written is as good as any other.
    convert(tmp_path / "out", tmp_path / "again", to="jsonl")
    for one, other in zip(after.examples, read(tmp_path / "again").examples, strict=True):
        assert said(other, talk=False) == said(one, talk=False)


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_parted(tmp_path, name):
    """Both sides together are what there was, and pictures are on one of them."""
    (tmp_path / "from").mkdir()
    source = SETS[name](tmp_path / "from")
    for number, path in enumerate(sorted((tmp_path / "from").rglob("*.[jp][pn]g"))):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(noise).resize(SIZE).save(path)
    before = read(source)
    if len({example.group for example in before.examples}) < 2:
        pytest.skip("one picture")
    made = split(source, tmp_path / "out", dev=0.4, near=0)
    sides = []
    for part in made.parts:
        several = [tmp_path / "out" / file for file in part.files]
        sides.append([e for path in several for e in read(path).examples])
    assert all(sides) or made.rows < 3

    def kept(example: Example) -> str:
        # Of classes, a side that lacks one says so by options.
        return repr((example.turns, example.boxes, example.votes, dict(example.labels)))

    assert sorted(map(kept, [*sides[0], *sides[1]])) == sorted(map(kept, before.examples))
    shown = [{load(p).tobytes() for e in side for p in e.images} for side in sides]
    assert not shown[0] & shown[1]
    expected = {"saved": "parquet", "class numbers": "parquet", "elsewhere": "tar"}
    assert made.layout == expected.get(name, "jsonl")


def test_columns_of_boxes_are_hugging_faces(tmp_path):
    """In Parquet a struct of lists; crowds keep their label."""
    convert(detection(tmp_path / "from"), tmp_path / "out", to="parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out")
    (first, _) = table.column("objects").to_pylist()
    assert first["bbox"][:2] == [[4.1, 3.3, 20.7, 15.2], [0.0, 0.0, 10.0, 10.0]]
    assert first["categories"] == ["dog", "person", "person"] and first["iscrowd"] == [0, 0, 1]
    datasets = pytest.importorskip("datasets")
    features = datasets.Features.from_arrow_schema(table.schema)
    assert set(features["objects"]) == {"bbox", "categories", "iscrowd"}
    assert isinstance(features["image"], datasets.Image)
