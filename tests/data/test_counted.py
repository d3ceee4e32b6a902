"""What is counted once is kept: the same rows again, and counted anew where anything differs."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.layouts import png

from seesay.data import counted, sources, store
from seesay.data.counted import Counted
from seesay.data.fit import Fit
from seesay.data.groups import Groups
from seesay.data.rows import FileRows
from seesay.data.store import chosen, digest
from seesay.data.text import Template, Text, learn
from seesay.records import Example

FIT = Fit(size=(8, 8), picture_tokens=4, row_tokens=40)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of the test's own, for few examples too."""
    monkeypatch.setenv("SEESAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(counted, "LEAST", 10)
    return tmp_path / "cache" / "counted"


@pytest.fixture
def path(tmp_path) -> Path:
    """60 questions on 20 pictures, three captions of which are alike."""
    (tmp_path / "data").mkdir()
    lines = ["image,question,answer,caption"]
    for i in range(20):
        (tmp_path / "data" / f"{i}.png").write_bytes(png(i))
        lines += [f"{i}.png,what is {i} {'and what ' * (k * i % 5)}?,it is {i},"
                  for k in range(3)]  # fmt: skip
        lines += [f"{i}.png,,,{said} {i}" for said in ("this is", "a thing called", "number")]
    (tmp_path / "data" / "rows.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data" / "rows.csv"


def words(examples) -> Text:
    return learn([turn.text for e in examples for turn in e.turns], kind="bpe", vocabulary=300)


def rows(path: Path, *, fit: Fit = FIT, text: Text | None = None, said: list | None = None,
         examples=None, **more) -> FileRows:  # fmt: skip
    given = sources.read(path).examples if examples is None else examples
    text = text or words(given)
    say = (lambda line: None) if said is None else said.append
    return FileRows(given, text=text, fit=fit, seed=0, say=say, **more)


def same(one: FileRows, other: FileRows) -> bool:
    return list(one.rows) == list(other.rows) and one._captions == other._captions


@pytest.mark.parametrize("most", [50, 100_000])
@pytest.mark.parametrize("mixed", ["all", "one", "joined"])
def test_rows_are_counted_once(path, cache, monkeypatch, most, mixed):
    monkeypatch.setattr(store, "MOST", most)
    said: list[str] = []
    first = rows(path, said=said, mixed=mixed)
    (kept,) = cache.iterdir()
    assert not said and kept.suffix == ".npz"
    monkeypatch.setattr(FileRows, "_plan", None)  # nothing is counted any more
    again = rows(path, said=said, mixed=mixed)
    assert same(first, again) and bool(first._captions) == (mixed != "all")
    assert said == [f"120 examples make {len(first)} rows: counted before ({kept})"]
    for index in range(30):
        one, other = first.row(index, None), again.row(index, None)
        assert one.origin == other.origin and len(one.documents) == len(other.documents)
        for a, b in zip(one.documents, other.documents, strict=True):
            np.testing.assert_array_equal(a.tokens, b.tokens)


def test_few_and_drawn_examples_are_counted_each_time(path, cache, monkeypatch):
    monkeypatch.setattr(counted, "LEAST", 121)
    rows(path)
    assert not cache.exists()
    monkeypatch.setattr(counted, "LEAST", 10)
    blank = (np.zeros((8, 8, 3), np.uint8),)
    given = [replace(example, images=blank) for example in sources.read(path).examples]
    rows(path, examples=given)
    assert not cache.exists() and digest(given) is None


def test_whatever_differs_is_counted_anew(path, cache):
    given = list(sources.read(path).examples)
    text = words(given)
    ways = [
        {},
        {"fit": replace(FIT, row_tokens=50)},
        {"fit": replace(FIT, instructed=True)},
        {"text": learn(["a b c what is it"], kind="bpe", vocabulary=280)},
        {"text": Text(text.tokenizer, template=Template(think=""))},
        {"reasoning": False},
        {"mixed": "one"},
        {"examples": given[:100]},
        {"examples": chosen(given, np.arange(1, 101))},
        {"examples": [replace(given[0], group="other"), *given[1:]]},
    ]
    for number, way in enumerate(ways, 1):
        said: list[str] = []
        rows(path, **{"text": text, "examples": given, "said": said} | way)
        assert not said and len(list(cache.iterdir())) == number, way
    for way in ways:
        said = []
        rows(path, **{"text": text, "examples": given, "said": said} | way)
        assert len(said) == 1, way


def test_a_picture_that_changes_is_measured_anew(path, cache):
    best = Fit(size=(8, 8), picture_tokens=4, row_tokens=60, tiles="best", max_tiles=4, how="pad")
    first, said = rows(path, fit=best), []
    assert same(first, rows(path, fit=best, said=said)) and said
    picture = path.parent / "3.png"
    os.utime(picture, ns=(1, 1))
    said.clear()
    assert same(first, rows(path, fit=best, said=said)) and not said
    picture.unlink()
    examples = sources.read(path, limit_broken=1).examples
    rows(path, fit=best, said=said, examples=examples)
    assert not said


def test_what_is_kept_on_disk_goes_by_what_is_in_it(path, monkeypatch):
    few = sources.read(path).examples
    monkeypatch.setattr(store, "MOST", 20)
    many = sources.read(path).examples
    assert digest(many) == digest(sources.read(path).examples) != digest(many[1:])
    assert digest(many[1:]) == digest(chosen(many, np.arange(1, 120)))
    assert digest(few) == digest(list(few)) and digest(few[1:]) != digest(few)
    lambdas = store.Stored(many.path, many.places, finish=lambda e: e, digest=many.digest)  # type: ignore[union-attr]
    assert digest(lambdas) is None


def test_labels_that_are_named_anew_count(tmp_path, monkeypatch):
    """Of examples on disk, labels are named as they are read: what they are called matters."""
    monkeypatch.setattr(store, "MOST", 5)
    (tmp_path / "0.png").write_bytes(png(0))

    def labelled(names: list[str]) -> str | None:
        text = "".join(f"0.png,{names[i % 2]}\n" for i in range(20))
        (tmp_path / "rows.csv").write_text("image,label\n" + text)
        return digest(sources.read(tmp_path / "rows.csv").examples)

    assert labelled(["cat", "dog"]) == labelled(["cat", "dog"]) != labelled(["cat", "dogs"])
    assert labelled(["True", "False"]) != labelled(["true", "false"])


@pytest.mark.parametrize("how", ["cut", "other", "empty", "changed", "pickle", "outside", "twice"])
def test_what_is_not_whole_is_counted_anew(path, cache, how):
    first = rows(path)
    (kept,) = cache.iterdir()
    data = bytearray(kept.read_bytes())
    members, starts = first.rows.members.copy(), first.rows.starts
    if how == "cut":
        kept.write_bytes(data[:-100])
    elif how == "other":
        kept.write_bytes(b"something else")
    elif how == "empty":
        kept.write_bytes(b"")
    elif how == "changed":
        data[400] ^= 255
        kept.write_bytes(data)
    elif how == "pickle":
        np.savez(kept, rows_members=np.array([{}], object))
    else:
        members[0] = len(members) if how == "outside" else members[1]
        counted.save(kept, Counted(Groups(members, starts), Groups.of([])))
    said: list[str] = []
    assert same(first, rows(path, said=said)) and not said
    assert same(first, rows(path, said=said)) and len(said) == 1


def test_a_cache_that_cannot_be_written_to_is_no_matter(path, cache, monkeypatch):
    def full(*how, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert len(rows(path)) and list(cache.iterdir()) == []
    cache.rmdir()
    cache.write_text("not a folder")
    assert len(rows(path))


def test_those_go_that_were_not_used_for_longest(path, cache, monkeypatch):
    monkeypatch.setattr(counted, "KEPT", 2)
    given = sources.read(path).examples
    fits = [replace(FIT, row_tokens=40 + i) for i in range(3)]
    for number, fit in enumerate(fits[:2]):
        rows(path, fit=fit, examples=given)
        for kept in cache.iterdir():
            if kept.stat().st_mtime > 1000:
                os.utime(kept, (number, number))
    rows(path, fit=fits[0], examples=given)  # which is then the one used last
    rows(path, fit=fits[2], examples=given)
    said: list[str] = []
    rows(path, fit=fits[0], examples=given, said=said)
    assert len(said) == 1 and len(list(cache.iterdir())) == 2


def test_a_tokenizer_learned_again_is_the_same(path):
    """Or nothing that was counted by one would be of use to the next run."""
    given: list[Example] = list(sources.read(path).examples)
    assert words(given).tokenizer.to_str() == words(given).tokenizer.to_str()
