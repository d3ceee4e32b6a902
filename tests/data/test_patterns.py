"""Braces and stars: the names that a pattern stands for."""

import string

import pytest
from data.layouts import png, tar
from data.sets import refusal
from hypothesis import given
from hypothesis import strategies as st

from seesay.data import patterns
from seesay.data.patterns import expanded
from seesay.data.sources import read
from seesay.errors import DataError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("a{8..11}.tar", ["a8.tar", "a9.tar", "a10.tar", "a11.tar"]),
        ("a{08..10}", ["a08", "a09", "a10"]),
        ("{a,b}/{1..2}", ["a/1", "a/2", "b/1", "b/2"]),
        ("a{3..1}", ["a3", "a2", "a1"]),
        ("a{0..0}", ["a0"]),
        ("x{a,{1..2}}", ["xa", "x1", "x2"]),
        ("a{b}.tar", ["a{b}.tar"]),
        ("a{.tar", ["a{.tar"]),
        ("a{,b}", ["a", "ab"]),
    ],
)
def test_expanded(pattern, names):
    assert sorted(expanded(pattern)) == sorted(names) and len(expanded(pattern)) == len(names)


@given(st.integers(0, 500), st.integers(0, 80), st.integers(1, 5))
def test_every_number_once(first, count, width):
    names = expanded(f"s-{{{first:0{width}d}..{first + count:0{width}d}}}.tar")
    assert [int(name[2:-4]) for name in names] == list(range(first, first + count + 1))


@given(st.text(string.ascii_letters + "{},.*[]0123456789", max_size=12))
def test_any_text_is_expanded(text):
    assert all(isinstance(name, str) for name in expanded(text))


def test_far_too_many():
    for pattern in ("{0..99999999}", "{0..400}{0..400}"):
        with pytest.raises(DataError, match="names; more than 100000 cannot be meant"):
            expanded(pattern)


def test_files(tmp_path):
    for number in range(4):
        tar(tmp_path / f"train-{number:03d}.tar", {f"{number}.png": png(number),
            f"{number}.txt": b"a cat"})  # fmt: skip
    assert len(read(str(tmp_path / "train-{000..002}.tar")).examples) == 3
    assert len(read(str(tmp_path / "train-{{000..001},*3}.tar")).examples) == 3
    assert len(patterns.files(str(tmp_path / "{train-*,train-000}.tar"))) == 4
    said = refusal(str(tmp_path / "train-{002..005}.tar"))
    assert "train-004.tar: no such file or folder" in said
    # A file whose name has braces in it is itself.
    (tmp_path / "train-000.tar").rename(tmp_path / "train-{0..1}.tar")
    assert len(read(tmp_path / "train-{0..1}.tar").examples) == 1
