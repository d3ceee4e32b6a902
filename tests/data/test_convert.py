"""Whatever can be read is written in any layout, and read again it is the same."""

import json
import tempfile
from pathlib import Path

import pyarrow.parquet
import pytest
from data.layouts import LAYOUTS, as_csv, as_jsonl, as_shards, pictures, png, tar
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data import parquet
from seesay.data.beside import Beside
from seesay.data.convert import LAYOUTS as WRITTEN
from seesay.data.convert import convert
from seesay.data.dialogue import messages, turns_of
from seesay.data.images import load
from seesay.data.parquet import Parquet
from seesay.data.sources import read
from seesay.errors import DataError
from seesay.records import Example, Turn

CAPTIONS = [{"caption": text} for text in ("a cat", 'say "hi", twice', "一只猫", "two\nlines", "5")]
QUESTIONS = [
    {"question": "what is it?", "answer": "a cat", "kind": "what"},
    {"question": "多少?", "answer": "3", "kind": "count"},
    {"question": "is it; red, or\tnot?", "answer": "no", "kind": "red"},
]
STATEMENTS = [{"sentence": f"it is {i}", "label": str(i % 2)} for i in range(4)]
CLASSES = [{"label": name} for name in ("cat", "dog", "cat")]
# Rows that only JSON can hold: lists of pictures, captions, options and turns.
TURNS = [
    {"from": "human", "value": "1: <image> 2: <image>\nsame?"},
    {"from": "gpt", "value": "<think>red blue</think>no"},
]
RICH = {
    "options": [{"image": 0, "question": "?", "options": ["b", "a"], "answer": "0"}],
    "reasoning": [{"image": 0, "question": "?", "reasoning": "red blue", "answer": "no"}],
    "captions": [{"image": 0, "captions": ["a", "b"]}, {"image": 1, "captions": "c"}],
    "pictures": [
        {"image": 0, "question": "same?", "answer": "no", "type": "one"},
        {"image": [0, 1], "question": "left <image> or right <image>?", "answer": "left"},
        {"image": [1, 0, 2], "question": "same?", "answer": "yes", "type": "three"},
    ],
    "mixed": [
        {"image": 0, "question": "what?", "answer": "a cat"},
        {"image": 0, "caption": "a grey cat"},
        {"image": 1, "question": "describe it", "caption": "a dog"},
    ],
    "talk": [
        {"image": [0, 1], "conversations": TURNS},
        {"image": 2, "conversations": [{"role": "assistant", "content": "a cat"}]},
        {"image": 2, "messages": None, "conversations": [*TURNS[1:]]},
    ],
}


def said(examples: list[Example], *, classes: bool = True) -> list[tuple]:
    """What does not depend on the layout, pixels included; without what LLaVA's cannot hold."""
    return [
        (
            tuple(load(image).tobytes() for image in e.images),
            e.turns,
            dict(e.labels),
            (e.task, e.options) if classes else None,
        )
        for e in examples
    ]


def equal(source: Path | str, out: Path, to: str, **options) -> None:
    """Convert, read again, compare."""
    made = convert(source, out, to=to, **options)
    before, after = read(source, limit_broken=1, **options), read(out)
    classes = to != "llava"
    assert said(after.examples, classes=classes) == said(before.examples, classes=classes)
    assert not after.broken and made.rows == before.rows - len(before.broken)
    assert [p.name for p in out.parent.iterdir() if p.name.startswith(".")] == []


def rich(folder: Path, name: str) -> Path:
    """A table of `RICH` beside its pictures."""
    names = pictures(folder, 3)
    lines = []
    for row in RICH[name]:
        image = row["image"]
        named = [names[i] for i in image] if isinstance(image, list) else names[image]
        lines.append(json.dumps(row | {"image": named}) + "\n")
    (folder / "rich.jsonl").write_text("".join(lines))
    return folder / "rich.jsonl"


@pytest.mark.parametrize("to", WRITTEN)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_becomes_every_other(tmp_path, layout, to):
    for number, rows in enumerate((CAPTIONS, QUESTIONS, STATEMENTS, CLASSES)):
        (tmp_path / str(number) / "from").mkdir(parents=True)
        source = LAYOUTS[layout](tmp_path / str(number) / "from", rows)
        equal(source, tmp_path / str(number) / "out", to)


@pytest.mark.parametrize("to", WRITTEN)
@pytest.mark.parametrize("name", RICH)
def test_what_only_json_holds(tmp_path, name, to):
    source = rich(tmp_path / "from", name)
    if (name, to) == ("mixed", "parquet"):
        with pytest.raises(DataError, match="rich.jsonl:3: a caption asked for by 'describe it'"):
            convert(source, tmp_path / "out", to=to)
        assert not (tmp_path / "out").exists()
        return
    if (name, to) == ("talk", "llava"):
        equal(source, tmp_path / "again", "jsonl")
    equal(source, tmp_path / "out", to)


def test_class_folders(tmp_path):
    for name in ("cat", "dog"):
        pictures(tmp_path / "from" / name, 2)
    for to in ("jsonl", "parquet", "tar", "imagefolder"):
        equal(tmp_path / "from", tmp_path / to, to)


words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1)
words = words.map(str.strip).filter(bool)


@settings(max_examples=15, deadline=None)
@given(
    texts=st.lists(words, min_size=1, max_size=4),
    layout=st.sampled_from(sorted(LAYOUTS)),
    to=st.sampled_from(sorted(WRITTEN)),
)
def test_any_text_round_trips(texts, layout, to):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "from").mkdir()
        rows = [{"question": text, "answer": text[::-1].strip() or "x"} for text in texts]
        equal(LAYOUTS[layout](Path(folder) / "from", rows), Path(folder) / "out", to)


spoken = words.filter(lambda text: "<" not in text and "\n" not in text)


@given(st.lists(st.tuples(spoken, spoken), min_size=1, max_size=3), st.data())
def test_turns_are_written_as_they_are_read(pairs, data):
    """With pictures in front, or at any places of what is said."""
    turns = [turn for ask, say in pairs for turn in (Turn("user", ask), Turn("assistant", say))]
    front = data.draw(st.integers(0, 3))
    assert list(turns_of(messages(turns, num_pictures=front), num_pictures=front)) == turns
    first = turns[0].text
    at = data.draw(st.integers(1, len(first)).filter(lambda at: not first[at - 1].isspace()))
    turns[0] = Turn("user", first, pictures=(0, at))
    turns[1] = Turn("assistant", turns[1].text, "because")
    assert list(turns_of(messages(turns, num_pictures=2), num_pictures=2)) == turns


def test_names_that_nobody_knows_become_known(table, tmp_path):
    path = table(
        "foto,frage,antwort,art,alt,id\nimages/0000.png,wie viele?,zwei,zahl,ein Bild,7\n"
    )
    given = {"image": "foto", "question": "frage", "answer": "antwort", "kind": "art"}
    for to in ("jsonl", "tar", "parquet"):
        made = convert(path, tmp_path / to, to=to, columns=given)
        (example,) = read(tmp_path / to).examples
        assert (example.question, example.answer) == ("wie viele?", "zwei")
        assert example.labels == {"kind": "zahl"} and made.lost == []
    row = json.loads((tmp_path / "jsonl" / "data.jsonl").read_text())
    assert row["alt"] == "ein Bild" and row["id"] == "7"


def test_a_column_that_would_be_read_as_another_is_left_out(table, tmp_path):
    path = table("image,words,caption\nimages/0000.png,a cat,not this\n")
    made = convert(path, tmp_path / "out", to="jsonl", columns={"caption": "words"})
    assert made.lost == ["caption"] and read(tmp_path / "out").examples[0].answer == "a cat"


def test_files_are_linked_and_not_copied(tmp_path):
    source = as_csv(tmp_path / "from", CAPTIONS)
    convert(source, tmp_path / "out", to="jsonl")
    name = "images/0000.png"
    assert (tmp_path / "out" / name).samefile(tmp_path / "from" / name)
    (tmp_path / "from" / "link.png").symlink_to(tmp_path / "from" / name)
    (tmp_path / "from" / "train.csv").write_text("image,caption\nlink.png,x\nlink.png,y\n")
    convert(source, tmp_path / "again", to="llava")
    linked = tmp_path / "again" / "images" / "link.png"
    assert linked.samefile(tmp_path / "from" / name) and not linked.is_symlink()


def test_files_are_copied_where_they_cannot_be_linked(tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("another disk")))
    equal(as_csv(tmp_path / "from", CAPTIONS), tmp_path / "out", "imagefolder")


def test_pictures_at_home_stay_there(tmp_path):
    names = pictures(tmp_path, 1)
    beside = Beside(tmp_path / "draft", root=tmp_path, home=tmp_path)
    assert beside.name(tmp_path / names[0], where="") == names[0] and beside.linked == 0


# Shards.


def test_shards_are_as_large_as_asked_and_have_an_index(tmp_path):
    source = as_shards(tmp_path, [{"caption": f"number {i}"} for i in range(9)])
    made = convert(source, tmp_path / "out", to="tar", shard=6000)
    assert len(made.files) > 2 and made.files[0] == "data-00000.tar"
    samples = 0
    for name in made.files:
        path = tmp_path / "out" / name
        head, *lines = path.with_suffix(".idx").read_text().splitlines()
        assert head == f"v1.2 {len(lines)}"
        data = path.read_bytes()
        for line in lines:
            ending, offset, size, member, *rest = line.split()
            assert ending == "png" and member == f"{samples:09}.png" and rest[0] == "json"
            assert data[int(offset) : int(offset) + int(size)] == png(samples)
            text = data[int(rest[1]) : int(rest[1]) + int(rest[2])]
            assert json.loads(text) == {"caption": f"number {samples}"}
            samples += 1
    assert samples == 9 and [e.answer for e in read(tmp_path / "out").examples][8] == "number 8"


def test_many_pictures_of_a_sample_keep_their_order(tmp_path):
    names = pictures(tmp_path, 12)
    (tmp_path / "a.jsonl").write_text(json.dumps({"image": names, "caption": "all"}))
    equal(tmp_path / "a.jsonl", tmp_path / "out", "tar")


# Parquet.


def test_hugging_face_opens_parquet_and_imagefolders(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    source = rich(tmp_path / "from", "pictures")
    convert(source, tmp_path / "several", to="parquet")
    convert(as_jsonl(tmp_path / "one", QUESTIONS), tmp_path / "out", to="parquet")
    convert(as_jsonl(tmp_path / "two", QUESTIONS), tmp_path / "folder", to="imagefolder")
    convert(source, tmp_path / "folders", to="imagefolder")
    how = {"split": "train", "cache_dir": str(tmp_path / "cache")}
    for name, count in (("out", 1), ("folder", 1), ("several", 3), ("folders", 3)):
        found = datasets.load_dataset(str(tmp_path / name), **how)
        column = "images" if name == "folders" else "image"
        cell = found[2][column]
        assert len(found) == 3 and found[0]["question"]
        assert [image.size for image in (cell if count > 1 else [cell])] == [(8, 6)] * count


def test_a_column_that_comes_to_hold_more_is_widened(tmp_path, monkeypatch):
    """Files that are written already are written anew, and all have one schema."""
    monkeypatch.setattr(parquet, "GROUP_ROWS", 2)
    values = [1, 2, 2.5, None, "x", ["y", "z"], True, 2**70, {"a": [1]}]
    pictures(tmp_path, 1)
    image = tmp_path / "images" / "0000.png"
    writer = Parquet(tmp_path, stem="a", beside=Beside(tmp_path, root=tmp_path), shard=1)
    for number, value in enumerate(values):
        row = {"caption": "a", "more": value}
        writer.add([image] * (2 if number == 7 else 1), row, where="")
    names = writer.finish()
    assert names == [f"a-{i:05}-of-00005.parquet" for i in range(5)]
    tables = [pyarrow.parquet.read_table(tmp_path / name) for name in names]
    assert len({str(table.schema) for table in tables}) == 1
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row["more"] for row in rows] == [
        ["1"], ["2"], ["2.5"], None, ["x"], ["y", "z"], ["true"], [str(2**70)], ['{"a": [1]}']
    ]  # fmt: skip
    assert [len(row["image"]) for row in rows] == [1] * 7 + [2, 1]
    assert sorted(p.name for p in tmp_path.glob(".*")) == []


def test_memory_holds_a_row_group_and_no_more(tmp_path, monkeypatch):
    """Of tars and Parquet as of files: what is held is let go."""
    held: list[int] = []
    monkeypatch.setattr(parquet, "GROUP_BYTES", 400)
    write = Parquet._flush
    monkeypatch.setattr(Parquet, "_flush", lambda self: (held.append(self.held), write(self)))
    source = as_shards(tmp_path, [{"caption": str(i)} for i in range(30)])
    convert(source, tmp_path / "out", to="parquet")
    assert len(held) > 3 and max(held) < 400 + 2 * len(png(1))


# What cannot be.


def test_broken_rows_are_left_out_and_named(table, tmp_path):
    path = table("image,caption\nimages/0000.png,a\ngone.png,b\n")
    with pytest.raises(DataError, match="1 of 2 rows are broken"):
        convert(path, tmp_path / "out", to="jsonl")
    assert not (tmp_path / "out").exists()
    made = convert(path, tmp_path / "out", to="jsonl", limit_broken=0.5)
    assert made.rows == 1 and made.as_dict()["broken"][0]["where"] == f"{path}:3"


def test_all_or_nothing(table, tmp_path):
    path = table("image,caption\nimages/0000.png,a\nimages/0001.png,b\n")
    with pytest.raises(DataError, match="unknown layout 'tars'\n  did you mean 'tar'"):
        convert(path, tmp_path / "out", to="tars")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(DataError, match="exists and is not an empty folder"):
        convert(path, tmp_path / "full", to="tar")
    cut = tar(tmp_path / "a.tar", {"1.png": png(1), "1.txt": b"a", "2.png": b"", "2.txt": b"b"})
    with pytest.raises(DataError, match="broken"):
        convert(cut, tmp_path / "out", to="tar")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "full", "images", "train.csv"]
