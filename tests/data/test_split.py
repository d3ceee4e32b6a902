"""Every row goes to one side, and what looks the same goes to the same one."""

import io
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data.layouts import LAYOUTS, as_csv, as_shards, pictures, png, tar
from data.test_hashes import copies, photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seesay import writing
from seesay.data import hashes, survey
from seesay.data.decode import encoded
from seesay.data.images import load
from seesay.data.sources import read
from seesay.data.split import split
from seesay.errors import DataError
from seesay.records import Example


@pytest.fixture(autouse=True, scope="module")
def exactly():
    """Pictures of one colour, as most are here, are told apart however little they differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashes, "LEVELS", 0)
        yield


def said(examples: list[Example]) -> Counter:
    return Counter(
        (tuple(load(image).tobytes() for image in e.images), e.turns, e.task, e.options)
        for e in examples
    )


def parts(made, folder: Path) -> dict[str, list[Example]]:
    """The examples of each part, read from its files."""
    found = {}
    for part in made.parts:
        files = [folder / name for name in part.files]
        found[part.name] = [example for file in files for example in read(file).examples]
        assert part.rows > 0 and len(found[part.name]) >= part.rows
    return found


def whole(made, folder: Path) -> Counter:
    return sum((said(examples) for examples in parts(made, folder).values()), Counter())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path, layout):
    """Of one picture a row that is not like another: every row is there, once."""
    rows = [{"question": f"is it {i}?", "answer": ("yes", "no")[i % 2]} for i in range(10)]
    (tmp_path / "from").mkdir()
    source = LAYOUTS[layout](tmp_path / "from", rows)
    made = split(source, tmp_path / "out", dev=0.2, test=0.1)
    assert [part.name for part in made.parts] == ["train", "dev", "test"]
    assert [part.rows for part in made.parts] == [7, 2, 1] and made.rows == made.groups == 10
    ending = {"as_shards": ".tar"}.get(layout, ".parquet" if "parquet" in layout else ".jsonl")
    assert all(part.files[0].endswith(ending) for part in made.parts)
    assert whole(made, tmp_path / "out") == said(read(source).examples)


@pytest.mark.parametrize("to", ["jsonl", "parquet", "tar", "imagefolder", "llava"])
def test_into_another_layout(tmp_path, to):
    source = as_csv(tmp_path / "from", [{"caption": str(i)} for i in range(6)])
    made = split(source, tmp_path / "out", dev=0.4, to=to)
    assert whole(made, tmp_path / "out") == said(read(source).examples)


def with_copies(folder: Path) -> Path:
    """Ten photographs, each with near copies, in any order."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(10):
        original = photo(number, 96)
        for how, copy in {"as it is": original, **copies(original)}.items():
            name = f"{how}-{number}.png"
            if isinstance(copy, bytes):
                (folder / name).write_bytes(copy)
            else:
                copy.save(folder / name)
            rows.append(json.dumps({"image": name, "caption": str(number)}) + "\n")
    np.random.default_rng(0).shuffle(rows)
    (folder / "all.jsonl").write_text("".join(rows))
    return folder / "all.jsonl"


def test_near_copies_stay_together(tmp_path, monkeypatch):
    monkeypatch.setattr(hashes, "LEVELS", 48)
    source = with_copies(tmp_path / "from")
    for seed in range(3):
        out = tmp_path / str(seed)
        made = split(source, out, dev=0.3, test=0.2, seed=seed)
        assert made.groups == 10 and made.near == made.pictures == 70
        sides = {name: {e.answer for e in found} for name, found in parts(made, out).items()}
        assert [len(sides[name]) for name in ("train", "dev", "test")] == [5, 3, 2]
        assert len(set.union(*sides.values())) == 10
    again = split(source, tmp_path / "again", dev=0.3, test=0.2, seed=2)
    before = parts(made, tmp_path / "2")
    assert {n: said(e) for n, e in parts(again, tmp_path / "again").items()} == {
        n: said(e) for n, e in before.items()
    }


def test_the_same_bytes_under_several_names_and_in_several_rows(tmp_path):
    pictures(tmp_path, 6)
    rows = [f"images/{i:04}.png" for i in range(6) for _ in range(2)] + ["copy.png"]
    (tmp_path / "copy.png").write_bytes(png(0))
    text = "".join(f"{name},{i}\n" for i, name in enumerate(rows))
    (tmp_path / "a.csv").write_text("image,caption\n" + text)
    made = split(tmp_path / "a.csv", tmp_path / "out", dev=0.25)
    assert (made.pictures, made.same, made.near, made.groups) == (7, 1, 0, 6)
    sides = [{e.images[0].name for e in each} for each in parts(made, tmp_path / "out").values()]
    assert not sides[0] & sides[1] and {"copy.png", "0000.png"} <= sides[0] | sides[1]
    assert ("copy.png" in sides[0]) == ("0000.png" in sides[0])


def test_pictures_shown_together_stay_together(tmp_path):
    """Rows that share one of several pictures are connected through it."""
    names = pictures(tmp_path, 12)
    rows = [{"image": [names[i], names[i + 1]], "caption": str(i)} for i in (0, 1, 2, 6, 8, 10)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = split(tmp_path / "a.jsonl", tmp_path / "out", dev=0.2)
    assert made.groups == 4
    (dev,) = [{e.answer for e in each} for n, each in parts(made, tmp_path / "out").items()
              if n == "dev"]  # fmt: skip
    assert len(dev) == 1 and not dev & {"0", "1", "2"}


def test_by_a_column(tmp_path):
    rows = [{"caption": str(i), "film": f"film {i // 3}"} for i in range(12)]
    source = as_csv(tmp_path / "from", rows)
    made = split(source, tmp_path / "out", dev=0.25, by="film")
    assert made.groups == 4
    films = [{int(e.answer) // 3 for e in each} for each in parts(made, tmp_path / "out").values()]
    assert not films[0] & films[1]
    row = json.loads((tmp_path / "out" / "dev.jsonl").read_text().splitlines()[0])
    assert row["film"].startswith("film ")
    with pytest.raises(DataError, match="no column 'flim'\n  did you mean 'film'?"):
        split(source, tmp_path / "again", by="flim")


def test_pictures_at_home_are_named_where_they_are(tmp_path):
    source = as_csv(tmp_path / "data", [{"caption": str(i)} for i in range(5)])
    before = sorted(path.name for path in (tmp_path / "data").iterdir())
    made = split(source, tmp_path / "data", dev=0.2)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == sorted(
        [*before, "train.jsonl", "dev.jsonl"]
    )
    assert whole(made, tmp_path / "data") == said(read(source).examples)
    with pytest.raises(DataError, match="train.jsonl: is there already"):
        split(source, tmp_path / "data", dev=0.2)
    above = split(source, tmp_path, dev=0.2)
    assert whole(above, tmp_path) == said(read(source).examples)
    assert not (tmp_path / "images").exists()


def test_all_or_nothing_among_files_that_are_there(tmp_path):
    """What stands in the way of the second file takes the first one back."""
    (tmp_path / "b.txt").write_text("mine")
    with pytest.raises(DataError, match="b.txt: is there already"):
        with writing.more_files(tmp_path) as folder:
            (folder / "a.txt").write_text("new")
            (folder / "b.txt").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]
    assert (tmp_path / "b.txt").read_text() == "mine"


def test_nothing_is_left_where_it_fails_half_way(tmp_path, monkeypatch):
    source = as_csv(tmp_path / "data", [{"caption": str(i)} for i in range(5)])
    monkeypatch.setattr("seesay.data.split.write", lambda *_, **__: 1 / 0)
    for out in (tmp_path / "data", tmp_path / "new"):
        with pytest.raises(ZeroDivisionError):
            split(source, out, dev=0.2)
    assert sorted(path.name for path in tmp_path.rglob("*"))[-1] == "train.csv"
    assert not (tmp_path / "new").exists()


def test_a_part_without_a_class_still_knows_it(tmp_path):
    """What there is to choose among is that of all rows, whatever the part has."""
    for name, count in (("cat", 12), ("dog", 12), ("owl", 1)):
        for number in range(count):
            path = tmp_path / "from" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(len(name) * 1000 + number * 7 + ord(name[0])))
    for to in ("jsonl", "parquet"):
        made = split(tmp_path / "from", tmp_path / to, dev=0.2, to=to)
        lacking = [part.lacking for part in made.parts]
        assert sorted(lacking, key=len) == [[], ["owl"]]
        for examples in parts(made, tmp_path / to).values():
            assert {e.options for e in examples} == {("cat", "dog", "owl")}
            assert {e.task for e in examples} == {"classify"}


def test_statements_whose_labels_are_numbers(tmp_path):
    rows = [{"sentence": f"it is {i}", "label": "1" if i == 3 else "0"} for i in range(8)]
    source = as_csv(tmp_path / "from", rows)
    made = split(source, tmp_path / "out", dev=0.3)
    assert whole(made, tmp_path / "out") == said(read(source).examples)


def test_pictures_that_do_not_decode_keep_their_rows(tmp_path):
    files = {}
    for number in range(6):
        data = png(number * 5)
        files |= {f"{number}.png": data[:40] if number == 2 else data, f"{number}.txt": b"a"}
    made = split(tar(tmp_path / "a.tar", files), tmp_path / "out", dev=0.3)
    assert made.unread == 1 and made.rows == 6 and sum(part.rows for part in made.parts) == 6


@settings(max_examples=20, deadline=None)
@given(
    which=st.lists(st.integers(0, 9), min_size=4, max_size=25),
    shares=st.sampled_from([(0.1, 0.0), (0.3, 0.2), (0.0, 0.5)]),
    seed=st.integers(0, 5),
)
def test_no_picture_is_ever_on_two_sides(which, shares, seed):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures(folder, 10)
        text = "".join(f"images/{i:04}.png,{row}\n" for row, i in enumerate(which))
        (folder / "a.csv").write_text("image,caption\n" + text)
        try:
            made = split(folder / "a.csv", folder / "out", dev=shares[0], test=shares[1], seed=seed)
        except DataError as error:
            assert "groups" in str(error) and not (folder / "out").exists()
            return
        found = parts(made, folder / "out")
        sides = [{image.name for e in each for image in e.images} for each in found.values()]
        assert sum(map(len, sides)) == len(set(which)) == made.groups
        assert sum(map(len, found.values())) == len(which)


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.6, 0.5), (-0.1, 0.5)])
def test_shares_that_cannot_be(tmp_path, shares):
    source = as_csv(tmp_path, [{"caption": "a"}])
    with pytest.raises(DataError, match="together they must be above 0 and below 1"):
        split(source, tmp_path / "out", dev=shares[0], test=shares[1])


def test_too_few_to_part(tmp_path):
    source = as_csv(tmp_path / "one", [{"caption": "a"}])
    with pytest.raises(DataError, match="all 1 groups are measured on"):
        split(source, tmp_path / "out", dev=0.05)
    pictures(tmp_path, 1)
    (tmp_path / "a.csv").write_text("image,caption\n" + "images/0000.png,a\n" * 20)
    with pytest.raises(DataError, match="dev shall have 1 of 20 rows, but the smallest of 1 group"):
        split(tmp_path / "a.csv", tmp_path / "out", dev=0.05)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(DataError, match="not an empty folder"):
        split(source, tmp_path / "full")


def test_what_changes_meanwhile_is_noticed(tmp_path, monkeypatch):
    source = as_csv(tmp_path / "from", [{"caption": str(i)} for i in range(6)])
    plain = survey.Survey.read

    def read_and_lose(self, **how):
        plain(self, **how)
        for known in (self.opened.reader.finder._named, self.opened.reader.finder._folders):
            known.clear()
        (tmp_path / "from" / "images" / "0002.png").unlink()

    monkeypatch.setattr(survey.Survey, "read", read_and_lose)
    with pytest.raises(DataError, match="other rows than when it was first read"):
        split(source, tmp_path / "out", dev=0.2)
    assert not (tmp_path / "out").exists()


def test_a_row_of_shards_is_as_it_was(tmp_path):
    """The picture's bytes are not written anew."""
    jpegs = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(jpegs, "JPEG")
    source = as_shards(tmp_path, [{"caption": str(i)} for i in range(5)])
    tar(tmp_path / "b.tar", {"a.jpg": jpegs.getvalue(), "a.txt": b"red", "b.png": png(3),
                             "b.txt": b"b"})  # fmt: skip
    made = split(tmp_path / "b.tar", tmp_path / "out", dev=0.5)
    found = [e.images[0] for each in parts(made, tmp_path / "out").values() for e in each]
    assert {encoded(each, "") for each in found} == {jpegs.getvalue(), png(3)}
    assert read(source).rows == 5
