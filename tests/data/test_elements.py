"""JSON read element by element is what it is when read whole; values are kept as they were."""

import io
import json
from pathlib import Path

import pytest
from data.layouts import pictures
from hypothesis import given
from hypothesis import strategies as st

from seesay.data import elements, spool
from seesay.data.elements import Elements
from seesay.data.sources import read
from seesay.data.spool import Spool
from seesay.errors import DataError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
chunks = st.integers(1, 40)


def stream(text: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "surrogatepass")), "utf-8", newline="")


def parsed(text: str) -> list:
    return list(Elements(stream(text), "a.json").list())


@given(st.lists(values), chunks, st.sampled_from([None, 1]), st.booleans())
def test_a_list_is_what_it_is_read_whole(given, chunk, indent, plain):
    text = "\n " + json.dumps(given, indent=indent, ensure_ascii=plain) + " \n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "CHUNK", chunk)
        assert parsed(text) == json.loads(text) == given


@given(st.lists(values, min_size=1), chunks, st.data())
def test_what_is_not_json_is_told_as_when_read_whole(given, chunk, data):
    text = json.dumps(given, indent=1)
    place = data.draw(st.integers(1, len(text)))
    broken = data.draw(st.sampled_from([text[:place], text[:place] + "}" + text[place:]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elements, "CHUNK", chunk)
        try:
            whole = json.loads(broken)
        except json.JSONDecodeError as error:
            with pytest.raises(DataError) as told:
                parsed(broken)
            # Python's own C scanner and its checks between elements differ in words alone.
            assert told.value.what.startswith("not JSON: ") and "line " in told.value.what
            assert f"(char {error.pos})" in told.value.what or "delimiter" in str(error)
        else:
            assert parsed(broken) == whole


def test_the_place_of_an_error_is_that_of_the_file(monkeypatch):
    monkeypatch.setattr(elements, "CHUNK", 64)
    rows = [json.dumps({"image": f"{i}.png", "caption": "a\u00e9"}) for i in range(1000)]
    rows[700] = rows[700][:-1]
    text = "[\n" + ",\n".join(rows) + "\n]"
    with pytest.raises(json.JSONDecodeError) as whole:
        json.loads(text)
    with pytest.raises(DataError) as told:
        parsed(text)
    assert told.value.what == f"not JSON: {whole.value}"
    assert told.value.where == "a.json:701"
    for wrong in ('[1, 2]]', '[1 2]', '[1,]', '[', '["a'):
        with pytest.raises(DataError, match="not JSON: "):
            parsed(wrong)


def test_no_more_is_held_than_an_element_takes(monkeypatch):
    monkeypatch.setattr(elements, "CHUNK", 100)
    reader = Elements(stream(json.dumps([{"a": "x" * 30}] * 500)), "a.json")
    assert max(len(reader._text) for _ in reader.list()) < 400
    long = Elements(stream(json.dumps([{"a": "x" * 10_000}, 5])), "a.json")
    assert [len(str(each)) for each in long.list()] == [len(str({"a": "x" * 10_000})), 1]


def written(tmp_path: Path, text: str, name: str) -> Path:
    pictures(tmp_path, 1)
    (tmp_path / name).write_text(text, "utf-8")
    return tmp_path / name


ROW = {"image": "images/0000.png", "caption": "a cat"}


def test_one_bad_row_among_many_is_told_by_its_number(tmp_path):
    lines = [json.dumps(ROW)] * 1000
    lines[700] = lines[700][:-1]
    found = read(written(tmp_path, "\n".join(lines), "a.jsonl"))
    assert len(found.examples) == 999
    assert str(found.broken[0].origin).endswith("a.jsonl:701")
    assert found.broken[0].why.startswith("not JSON: Expecting ',' delimiter: line 1 column 48")
    rows = [json.dumps(ROW)] * 1000
    rows[700] = "5"
    found = read(written(tmp_path, f"[{','.join(rows)}]", "a.json"))
    assert str(found.broken[0].origin).endswith("a.json:701") and len(found.examples) == 999
    rows[700] = '{"image": nothing}'
    with pytest.raises(DataError, match=r"a\.json:701: not JSON: Expecting value: line 1 column"):
        read(written(tmp_path, f"[{','.join(rows)}]", "a.json"))


def test_a_column_that_comes_late_is_a_column(tmp_path):
    rows = [ROW | {"caption": ""}] * 30 + [ROW | {"kind": "pet"}]
    text = "\n".join(map(json.dumps, rows))
    found = read(written(tmp_path, text, "a.jsonl"), limit_broken=1)
    assert found.examples[0].labels == {"kind": "pet"} and len(found.broken) == 30
    assert read(written(tmp_path, text, "a.json"), limit_broken=1).examples == [
        type(e)(e.images, e.turns, type(e.origin)(e.origin.file[:-1], e.origin.row), e.task,
                e.group, labels=e.labels)
        for e in found.examples
    ]  # fmt: skip


def test_lines_end_at_line_feeds_alone(tmp_path):
    odd = json.dumps(ROW | {"caption": "a\u2028b\x85c"}, ensure_ascii=False)
    found = read(written(tmp_path, f"{odd}\r\n\n{odd}", "a.jsonl"))
    assert [e.answer for e in found.examples] == ["a\u2028b\x85c"] * 2
    assert [e.origin.row for e in found.examples] == [1, 3]
    (tmp_path / "a.jsonl").write_bytes(odd.encode() + b"\n\xff\n")
    with pytest.raises(DataError, match=r"a\.jsonl:2: not UTF-8: byte 0xff"):
        read(tmp_path / "a.jsonl")


@given(st.lists(values), st.integers(1, 6), st.integers(0, 8))
def test_a_spool_gives_back_what_was_added(given, most, kept):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "MOST", most)
        patch.setattr(spool, "_PIECE", 16)
        made = Spool()
        for value in given:
            made.add(value)
        assert list(made) == given == list(made) and len(made) == len(given)
        made.cut(kept)
        assert list(made) == given[:kept] and len(made) == len(given[:kept])
        made.add("more")
        assert list(made) == [*given[:kept], "more"]


def test_a_full_disk_is_told(monkeypatch):
    import errno
    import os

    monkeypatch.setattr(spool, "MOST", 1)
    made = Spool()

    def full(*how):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DataError, match="rows cannot be kept on disk: No space left") as told:
        made.add("a")
        list(made)
    assert "TMPDIR" in told.value.fix
