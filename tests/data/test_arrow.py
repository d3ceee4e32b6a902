"""Arrow files, and folders that Hugging Face's `datasets` saved."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from data.layouts import png
from data.sets import refusal

from seesay.data import arrow
from seesay.data.decode import encoded
from seesay.data.sources import read
from seesay.records import Turn

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def made(number: int = 4):
    """Pictures, class numbers, and texts."""
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(number)],
            "label": [i % 2 for i in range(number)]}  # fmt: skip
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_saved_folder(tmp_path):
    made(5).save_to_disk(tmp_path / "saved", num_shards=2)
    found = read(tmp_path / "saved")
    assert found.format == "Arrow" and not found.broken
    assert [e.answer for e in found.examples] == ["cat", "dog", "cat", "dog", "cat"]
    assert found.examples[0].options == ("cat", "dog")
    assert [encoded(e.images[0], "") for e in found.examples] == [png(i) for i in range(5)]
    origin = found.examples[3].origin
    assert (origin.file, origin.row) == (str(tmp_path / "saved/data-00001-of-00002.arrow"), 1)
    # Rows that were chosen or put in another order are as they were saved.
    made(5).select([3, 0]).save_to_disk(tmp_path / "some")
    some = read(tmp_path / "some").examples
    assert [encoded(e.images[0], "") for e in some] == [png(3), png(0)]


def test_a_dictionary_of_splits(tmp_path):
    both = datasets.DatasetDict({"train": made(3), "test": made(1)})
    both.save_to_disk(tmp_path / "saved")
    said = refusal(tmp_path / "saved")
    assert "2 data sets: train, test" in said and said.endswith("saved/train")
    assert len(read(tmp_path / "saved" / "train").examples) == 3
    datasets.DatasetDict({"train": made(3)}).save_to_disk(tmp_path / "one")
    assert len(read(tmp_path / "one").examples) == 3
    # Beside each other, in a folder of folders.
    made(2).save_to_disk(tmp_path / "two" / "a")
    assert len(read(tmp_path / "two").examples) == 2


def test_pictures_by_path_and_several_in_a_row(tmp_path):
    (tmp_path / "here.png").write_bytes(png(1))
    several = datasets.Features(
        {"images": datasets.Sequence(datasets.Image()), "question": datasets.Value("string"),
         "answer": datasets.Value("string")}
    )  # fmt: skip
    row = {"images": [{"bytes": png(0), "path": None}, {"bytes": png(2), "path": "x.png"}],
           "question": "same?", "answer": "no"}  # fmt: skip
    datasets.Dataset.from_list([row], features=several).save_to_disk(tmp_path / "saved")
    (example,) = read(tmp_path / "saved").examples
    assert [encoded(each, "") for each in example.images] == [png(0), png(2)]
    assert example.turns[0] == Turn("user", "same?")
    # A path without bytes is a name like any other: inside of the folder, or refused.
    cells = [{"bytes": None, "path": "here.png"}, {"bytes": None, "path": "/etc/passwd"}]
    data = pyarrow.table({"image": cells, "caption": ["a cat", "a dog"]})
    with pyarrow.ipc.new_stream(tmp_path / "a.arrow", data.schema) as file:
        file.write_table(data)
    found = read(tmp_path / "a.arrow", limit_broken=1)
    assert [e.answer for e in found.examples] == ["a cat"]
    assert "is outside of the data folder" in found.broken[0].why


def test_feather_too(tmp_path):
    data = pyarrow.table({"image": [png(0), png(1)], "caption": ["a cat", "a dog"]})
    with pyarrow.ipc.new_file(tmp_path / "a.arrow", data.schema) as file:
        for batch in data.to_batches(max_chunksize=1):
            file.write_batch(batch)
    found = read(tmp_path)
    assert [(e.answer, e.origin.row) for e in found.examples] == [("a cat", 1), ("a dog", 2)]


def test_rows_of_large_batches_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "AT_ONCE", 3)
    made(8).save_to_disk(tmp_path / "saved")
    assert [e.origin.row for e in read(tmp_path / "saved").examples] == list(range(1, 9))


def test_folders_that_are_not_whole(tmp_path):
    folder = tmp_path / "saved"
    made(5).save_to_disk(folder, num_shards=2)
    data = folder / "data-00001-of-00002.arrow"
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    assert "cannot be read after row" in refusal(folder)
    data.write_bytes(b"x" * 100)
    assert "not Arrow" in refusal(folder)
    data.unlink()
    said = refusal(folder)
    assert "1 of 2 data files are there: no data-00001-of-00002.arrow" in said
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(state | {"_indices_data_files": [{}]}))
    assert "load it with `datasets` and save it again" in refusal(folder)
    (folder / "state.json").write_text("{")
    assert "state.json: not JSON" in refusal(folder)


def test_names_do_not_lead_out_of_the_folder(tmp_path):
    folder = tmp_path / "saved"
    made(1).save_to_disk(folder)
    (folder / "data-00000-of-00001.arrow").rename(tmp_path / "data-00000-of-00001.arrow")
    named = {"_data_files": [{"filename": "../data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(named))
    assert "0 of 1 data files are there" in refusal(folder)


def parquet(path, *, names=("cat", "dog"), **columns):
    features = {"label": {"names": list(names), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    data = pyarrow.table({"image": [png(0)], **columns}).replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(data, path)


def test_shards_with_another_schema(tmp_path):
    first, second = tmp_path / "train-000.parquet", tmp_path / "train-001.parquet"
    parquet(first, label=[0])
    parquet(second, label=[1])
    assert [e.answer for e in read(tmp_path).examples] == ["cat", "dog"]
    parquet(second, label=[1], names=("dog", "cat"))
    assert f"the classes of 'label' are dog, cat; {first} has cat, dog" in refusal(tmp_path)
    parquet(second, label=["dog"])
    assert f"column 'label' holds text; in {first} numbers" in refusal(tmp_path)
    parquet(second, caption=["dog"])
    assert f"columns image, caption; {first} has image, label" in refusal(tmp_path)
    assert "read them one by one" in refusal(tmp_path)
