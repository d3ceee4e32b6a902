"""Data sets of Hugging Face's hub: streamed by `datasets`, here from files that stand for it."""

import os
import subprocess
import sys

import fsspec
import pytest
from data.layouts import png
from data.sets import refusal

from seesay.data import hub
from seesay.data.sources import read

datasets = pytest.importorskip("datasets")
PETS = "hf://datasets/someone/pets"


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """Two splits as the hub gives them, of Parquet files; what was asked for."""
    datasets.disable_progress_bars()
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]),
         "extra": datasets.Value("string")}
    )  # fmt: skip
    files = {}
    for split, count in (("train", 5), ("test", 2)):
        rows = [{"image": {"bytes": png(i), "path": None}, "label": i % 2, "extra": "x"}
                for i in range(count)]  # fmt: skip
        files[split] = str(tmp_path / f"{split}.parquet")
        datasets.Dataset.from_list(rows, features=features).to_parquet(files[split])
    load, asked = datasets.load_dataset, []

    def loaded(*given, **options):
        asked.append((given, options))
        return load("parquet", data_files=files, streaming=options["streaming"],
                    cache_dir=str(tmp_path / "cache"))  # fmt: skip

    monkeypatch.setattr(datasets, "load_dataset", loaded)
    return asked


def test_rows_are_streamed(pets):
    found = read(f"{PETS}:train")
    assert found.format == "Hugging Face hub" and not found.broken
    assert [e.answer for e in found.examples] == ["cat", "dog", "cat", "dog", "cat"]
    assert found.examples[0].images == (png(0),)  # as it is stored, not decoded and stored again
    assert str(found.examples[3].origin) == f"{PETS}:train:4"
    assert pets == [(("someone/pets", None), {"revision": None, "streaming": True})]
    assert len(read(f"{PETS}:train[:2]").examples) == 2
    read(f"{PETS}@v1.0/small:test")
    assert pets[-1] == (("someone/pets", "small"), {"revision": "v1.0", "streaming": True})


def test_what_is_meant_must_be_said(pets, tmp_path, monkeypatch):
    said = refusal(PETS)
    assert "it holds 2 splits: train, test" in said and said.endswith(f"such as {PETS}:train")
    assert "no split 'dev'\n  there are: train, test" in refusal(f"{PETS}:dev")
    assert "no name of a data set on the hub" in refusal("hf://datasets/a b")
    assert "no name" in refusal("hf://datasets/../secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "someone" / "pets").mkdir(parents=True)
    assert "there is a folder someone/pets here too" in refusal(f"{PETS}:train")


def test_what_is_not_there(pets, monkeypatch):
    def broken(*_, **__):
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(datasets, "load_dataset", broken)
    said = refusal(PETS)
    assert f"{PETS}: cannot be opened: ConnectionError: no route\n  it needs the network" in said
    assert "hf download --repo-type dataset someone/pets" in said
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refusal(PETS).endswith("pip install 'seesay[data]'")


def test_a_stream_that_ends_early(pets, monkeypatch):
    class Breaking:
        features = None

        def __iter__(self):
            yield {"image": {"bytes": png(0), "path": None}, "caption": "a cat"}
            raise TimeoutError("nothing came")

        def decode(self, enable):
            assert enable is False
            return self

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: {"train": Breaking()})
    assert "cannot be read after row 1: TimeoutError: nothing came" in refusal(PETS)


def test_pictures_elsewhere_on_the_hub(monkeypatch):
    fsspec.filesystem("memory").pipe("/a.png", png(7))
    known = {"hf://datasets/x/y@main/a.png": "memory:///a.png"}
    opened = fsspec.open
    monkeypatch.setattr(fsspec, "open", lambda path, mode: opened(known[path], mode))
    cell = {"bytes": None, "path": "hf://datasets/x/y@main/a.png"}
    assert hub._with_bytes([cell]) == [{"bytes": png(7), "path": cell["path"]}]
    other = {"bytes": None, "path": "http://example.org/a.png"}
    assert hub._with_bytes(other) == other  # which the finder refuses


def test_offline_it_says_so():
    """By the real package, in a process of its own."""
    code = f"from seesay.data.sources import read; read('{PETS}')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         env=environment, timeout=120)  # fmt: skip
    last = [line for line in ran.stderr.splitlines() if "DataError" in line][-1]
    assert f"{PETS}: cannot be opened: " in last and "it needs the network" in ran.stderr
