"""Pictures that lie in larger files: the same as those held in memory, until the file changes."""

import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from data.layouts import png, tar
from hypothesis import given
from hypothesis import strategies as st

from seesay.config import DataConfig, SourceConfig
from seesay.data import images, order, store, within
from seesay.data.decode import encoded, measure
from seesay.data.fit import Fit
from seesay.data.rows import FileRows
from seesay.data.sources import read
from seesay.data.stream import Stream, loader
from seesay.data.text import learn
from seesay.data.within import Lying, placed
from seesay.errors import DataError, PictureError
from seesay.records import Cell, Example, Span, Stamp, Within, identity
from seesay.train import auto

COUNT = 40
PICTURES = [png(i) for i in range(COUNT)]
TEXTS = [f"a {i}" for i in range(COUNT)]
TEXT = learn(["a cat", *TEXTS], vocabulary=300)
FIT = Fit(size=(8, 8), picture_tokens=4, row_tokens=40)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing is open yet, and no long waits."""
    monkeypatch.setattr(within, "_here", None)
    monkeypatch.setattr(within, "PAUSE", 0.01)


def as_tar(folder: Path) -> Path:
    files = {}
    for i in range(COUNT):
        files |= {f"{i:03}.png": PICTURES[i], f"{i:03}.txt": TEXTS[i].encode()}
    return tar(folder / "a.tar", files)


def as_parquet(folder: Path, images: object = None, **more) -> Path:
    data = pyarrow.table({"image": images or PICTURES, "caption": TEXTS})
    pyarrow.parquet.write_table(data, folder / "a.parquet", **{"row_group_size": 7} | more)
    return folder / "a.parquet"


def as_structs(folder: Path) -> Path:
    return as_parquet(folder, [{"bytes": data, "path": "x.png"} for data in PICTURES])


def as_stream(folder: Path) -> Path:
    data = pyarrow.table({"image": PICTURES, "caption": TEXTS})
    with pyarrow.ipc.new_stream(folder / "a.arrow", data.schema) as file:
        file.write_table(data, max_chunksize=9)
    return folder / "a.arrow"


def as_feather(folder: Path) -> Path:
    cells = [{"bytes": data, "path": None} for data in PICTURES]
    data = pyarrow.table({"image": cells, "caption": TEXTS})
    with pyarrow.ipc.new_file(folder / "a.arrow", data.schema) as file:
        file.write_table(data, max_chunksize=9)
    return folder / "a.arrow"


LAYOUTS = [as_tar, as_parquet, as_structs, as_stream, as_feather]
each_layout = pytest.mark.parametrize("layout", LAYOUTS)


def contents(examples) -> list[bytes]:
    return [encoded(picture, "") for example in examples for picture in example.images]


@each_layout
def test_they_stay_in_their_file(tmp_path, layout):
    found = read(layout(tmp_path)).examples
    assert all(isinstance(e.images[0], Within) for e in found)
    assert contents(found) == PICTURES
    assert contents(reversed(found)) == PICTURES[::-1]
    first = found[3].images[0]
    assert images.size(first) == (6, 8) == measure(PICTURES[3], where="")[::-1]
    np.testing.assert_array_equal(
        images.pixels(first, size=(6, 8)), images.pixels(PICTURES[3], size=(6, 8))
    )
    assert images.examine(first).format == "PNG"


def test_lists_of_pictures(tmp_path):
    pairs = [[PICTURES[i], PICTURES[-i]] for i in range(COUNT)]
    structs = [[{"bytes": data, "path": None} for data in pair] for pair in pairs]
    for cells in (pairs, structs):
        found = read(as_parquet(tmp_path, cells)).examples
        assert [contents([e]) for e in found] == pairs
        assert isinstance(found[1].images[1], Cell) and found[1].images[1].place == 1


@each_layout
def test_few_and_many_are_kept_alike(tmp_path, monkeypatch, layout):
    path = layout(tmp_path)
    few = read(path).examples
    monkeypatch.setattr(store, "MOST", 10)
    many = read(path).examples
    assert isinstance(many, store.Stored) and list(many) == few
    assert contents(many) == PICTURES


def _contents(examples) -> list[bytes]:
    return contents(examples)


@pytest.mark.parametrize("how", ["fork", "spawn"])
@each_layout
def test_processes_and_threads_read_side_by_side(tmp_path, layout, how):
    found = read(layout(tmp_path)).examples
    assert contents(found) == PICTURES
    parts = [found[i::4] for i in range(4)]
    if how == "fork":
        with get_context("fork").Pool(2) as pool:
            made = pool.map(_contents, parts)
    else:  # which is what a spawned process is given: no handle goes along
        parts = pickle.loads(pickle.dumps(parts))
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(_contents, parts))
    assert made == [PICTURES[i::4] for i in range(4)]


def test_few_files_are_open_however_many_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(within, "FILES", 3)
    for i in range(COUNT):
        tar(tmp_path / f"train-{i:03}.tar", {"0.png": PICTURES[i], "0.txt": b"a cat"})
    before = len(os.listdir("/proc/self/fd"))
    found = read(tmp_path).examples
    assert contents(found) == PICTURES
    assert len(os.listdir("/proc/self/fd")) - before <= 3
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda e: encoded(e.images[0], ""), found * 5)) == PICTURES * 5


def test_row_groups_are_kept_while_there_is_room(tmp_path, monkeypatch):
    found = read(as_parquet(tmp_path, compression="none", use_dictionary=False)).examples
    groups, real = [], within._group

    def counted(table, picture):
        groups.append(picture.group)
        return real(table, picture)

    monkeypatch.setattr(within, "_group", counted)
    assert contents(found) == PICTURES and groups == list(range(6))
    assert contents(found[::-1]) == PICTURES[::-1] and len(groups) == 6
    # A group takes about 600 bytes: with room for two, those that were read last stay.
    monkeypatch.setattr(within, "_here", None)
    monkeypatch.setattr(within, "ROOM", 1600)
    groups.clear()
    assert contents(found) == PICTURES and groups == list(range(6))
    assert contents(found[-7:]) == PICTURES[-7:] and groups == list(range(6))
    assert contents(found[:1]) == PICTURES[:1] and groups == [*range(6), 0]
    # One that there is no room for is passed through, and not kept.
    monkeypatch.setattr(within, "_here", None)
    monkeypatch.setattr(within, "ROOM", 100)
    groups.clear()
    assert contents(found) == PICTURES and not groups


def test_what_a_shard_lacks_is_no_matter_for_the_others(tmp_path, monkeypatch):
    """Rows come in an order of their own, and each is read without any file but its own."""
    for i in range(3):
        tar(tmp_path / f"train-{i}.tar", {"0.png": PICTURES[i], "0.txt": b"a cat"})
    found = read(tmp_path / "train-*.tar").examples
    made = FileRows(found, text=TEXT, fit=FIT, seed=0)
    for i in (0, 2):
        (tmp_path / f"train-{i}.tar").unlink()
    monkeypatch.setattr(within, "_here", None)  # an open file would be there still
    assert contents(found[1:2]) == PICTURES[1:2]
    there = [i for i in range(3) if made.rows[order.permuted(i, size=3, seed=0)] == [1]]
    assert [made.row(i, None).origin for i in there] == [str(found[1].origin)]
    with pytest.raises(PictureError, match="No such file"):
        [made.row(i, None) for i in range(3)]


@each_layout
@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_where_it_stood(tmp_path, monkeypatch, layout, workers):
    """Pictures come from their file in the order of the seed, whoever reads them, from any step."""
    found = read(layout(tmp_path)).examples
    held = [replace(e, images=(encoded(e.images[0], ""),)) for e in found]

    def batches(examples, *, workers: int, start: int = 0) -> list:
        monkeypatch.setattr(within, "_here", None)
        rows = FileRows(examples, text=TEXT, fit=FIT, seed=3)
        config = DataConfig(sources=(SourceConfig(),))
        made = Stream([rows], config=config, text=TEXT, fit=FIT, batch=7)
        place = order.Place.first((1.0,)).after(7 * start)
        steps = made.steps(start=start, total=9, progress=lambda step: 0.0, place=place)
        return [batch for _, batch in loader(made, steps, workers=workers)]

    whole = batches(held, workers=0)
    resumed = batches(found, workers=workers, start=4)
    assert len(resumed) == 5 and len({w.origins for w in whole}) == 9
    for one, other in zip(whole[4:], resumed, strict=True):
        assert one.origins == other.origins and not other.skipped
        assert torch.equal(one.pictures_NCHW, other.pictures_NCHW)
        assert torch.equal(one.tokens_BT, other.tokens_BT)


@each_layout
def test_a_file_that_changed_is_told(tmp_path, layout):
    path = layout(tmp_path)
    found = read(path).examples
    assert contents(found[:1]) == PICTURES[:1]
    before, size = path.stat(), path.stat().st_size
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(DataError) as told:
        contents(found[1:2])
    assert not isinstance(told.value, PictureError)  # which would be left out in silence
    assert f"{path}: it has changed since it was read: {size} bytes of " in str(told.value)
    assert f", {size + 4} bytes of " in str(told.value) and "--resume" in told.value.fix
    # Of the same size, at another time.
    os.truncate(path, size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    with pytest.raises(DataError, match="it has changed"):
        contents(found[1:2])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert contents(found) == PICTURES


def test_what_fails_is_tried_again(tmp_path, monkeypatch):
    found = read(as_tar(tmp_path)).examples
    real, faults = os.pread, [OSError(5, "Input/output error")] * 2

    def failing(*how):
        if faults:
            raise faults.pop()
        return real(*how)

    monkeypatch.setattr(os, "pread", failing)
    assert contents(found[:2]) == PICTURES[:2] and not faults
    faults += [OSError(5, "Input/output error")] * 3
    with pytest.raises(PictureError, match=r"a\.tar at byte 512 cannot be read in 3 tries: Input"):
        encoded(found[0].images[0], "a.csv:3")
    Path(tmp_path / "a.tar").unlink()
    monkeypatch.setattr(within, "_here", None)
    with pytest.raises(PictureError, match="cannot be read: No such file"):
        contents(found[:1])


def test_a_shard_that_fails_while_it_is_read_is_tried_again(tmp_path, monkeypatch):
    for i in range(3):
        tar(tmp_path / f"train-{i}.tar", {"0.png": PICTURES[i], "0.txt": b"a cat"})
    real, faults, asked = tarfile.TarFile.next, 2, []

    def failing(self):
        nonlocal faults
        if str(self.name).endswith("train-1.tar") and self.offset:
            asked.append(self.offset)
            if faults:
                faults -= 1
                raise OSError(5, "Input/output error")
        return real(self)

    monkeypatch.setattr(tarfile.TarFile, "next", failing)
    found = read(tmp_path / "train-*.tar")
    assert contents(found.examples) == PICTURES[:3] and not found.broken and not faults
    faults = 99
    found = read(tmp_path / "train-*.tar", limit_broken=0.4)
    assert [e.origin.file[-13:] for e in found.examples] == ["train-0.tar/0", "train-2.tar/0"]
    (broken,) = found.broken
    assert str(broken.origin) == str(tmp_path / "train-1.tar")
    assert broken.why.startswith("cannot be read in 3 tries: Input/output error; ")


def test_another_schema_than_before_is_no_picture_of_before(tmp_path):
    path = as_parquet(tmp_path)
    found = read(path).examples
    pyarrow.parquet.write_table(pyarrow.table({"caption": TEXTS}), path)
    with pytest.raises(DataError, match="it has changed"):
        contents(found)


def test_the_same_picture_twice_is_one(tmp_path):
    """Wherever it lies, it is told by its bytes: it is never on both sides of a split."""
    files = {"0.png": PICTURES[0], "0.txt": b"a", "1.png": PICTURES[0], "1.txt": b"b"}
    tar(tmp_path / "a.tar", files | {"2.png": PICTURES[2], "2.txt": b"c"})
    first, second, third = read(tmp_path).examples
    assert first.group == second.group != third.group
    assert identity(first.images[0]) == identity(second.images[0]) != identity(third.images[0])
    (marks,) = auto._apart([[first, second, third]])
    assert marks[0] == marks[1] != marks[2]


def test_samples_whose_files_lie_apart_are_joined(tmp_path):
    """All pictures first, then all texts; what is there twice is still told."""
    files = {f"{i}.png": PICTURES[i] for i in range(9)} | {f"{i}.txt": b"a cat" for i in range(9)}
    found = read(tar(tmp_path / "a.tar", files)).examples
    assert contents(found) == PICTURES[:9]
    with tarfile.open(tmp_path / "a.tar", "a") as file:
        file.addfile(tarfile.TarInfo("3.txt"))
    (broken,) = read(tmp_path / "a.tar", limit_broken=1).broken
    assert broken.why == "two files of the same name" and broken.origin.file.endswith("/3")


@given(st.integers(0, 3), st.booleans())
def test_cells_keep_their_shape(number, nested):
    data = [{"bytes": b"x", "path": "a"}] * number if nested else [b"x"] * number
    there = Stamp("a", 1, 2)
    made = placed(data, lambda place: Span(there, place or 0, 1))
    assert made == data
    inner = [each["bytes"] if nested else each for each in made]
    assert [each.at.start for each in inner if isinstance(each, Lying)] == list(range(number))
    for other in (None, "a.png", b"a"):
        assert placed(other, lambda place: None) == other


def test_they_are_kept_with_what_they_are(tmp_path):
    found = read(as_parquet(tmp_path)).examples
    writer = store.Writer(tmp_path)
    for example in found:
        writer.add(example)
    kept = writer.done()
    assert list(kept) == found and isinstance(kept[0], Example)
