"""The numbers are those of what is there, counted another way."""

import io
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from rich.console import Console

from seesay.config import DataConfig, SourceConfig
from seesay.data.decode import Facts
from seesay.data.fit import Fit
from seesay.data.rows import FileRows
from seesay.data.stats import stats
from seesay.data.stream import Stream
from seesay.data.text import learn
from seesay.errors import DataError
from seesay.records import Example, Origin, Turn

FIT = Fit((16, 16), picture_tokens=4, row_tokens=40, blank=True)
WORDS = learn(tiny.WORDS, kind="character")


def example(number: int, answer: str, question: str = "", task: str = "vqa") -> Example:
    turns = (Turn("user", question),) if question else ()
    picture = f"{number}".encode()
    said = (*turns, Turn("assistant", answer))
    return Example((picture,), said, Origin("a", number), task=task, group=str(number))


EXAMPLES = [
    example(1, "red", "two"),
    example(1, "yes", "two"),
    example(2, "two", "two"),
    example(3, "a small ring", task="caption"),
]


def batches(examples, steps: int = 1, fit: Fit = FIT):
    rows = FileRows(examples, text=WORDS, fit=fit, seed=0)
    config = DataConfig(sources=(SourceConfig(path="x"),))
    stream = Stream([rows], config=config, text=WORDS, fit=fit, batch=len(rows.rows))
    return [stream.step(step, 1.0) for step in range(steps)]


def test_numbers():
    found = stats(EXAMPLES, source="a", text=WORDS, fit=FIT, batches=batches(EXAMPLES))
    assert (found.examples, found.tasks) == (4, {"vqa": 3, "caption": 1})
    assert (found.pictures, found.shown) == (3, 4)
    assert found.questions.count == 3 and found.texts.characters.most == 12
    assert found.answers.count == 3 and found.answers.entropy == pytest.approx(np.log2(3))
    tokens = found.tokens
    assert tokens.vocabulary == len(WORDS)
    # Each answer with the mark that ends it; the marks of the turns and the question are read.
    assert (tokens.learned.least, tokens.learned.most) == (4, 13)
    assert (tokens.read.least, tokens.read.most) == (1, 5)
    assert (tokens.all.least, tokens.all.most) == (13, 18)
    assert (tokens.cut, tokens.unfit) == (0, 0)
    packing = found.packing
    assert packing and packing.rows == 3 and packing.documents.most == 2
    # Documents without the last token, which is never read, behind the pictures.
    lengths = [4 + 8 + 8, 4 + 8, 4 + 13]
    assert (packing.tokens.least, packing.tokens.most) == (min(lengths), max(lengths))
    assert packing.used == sum(lengths) / (3 * 24)


def test_blank_pictures_are_packed_as_real_ones_are():
    """No picture is decoded: these bytes are none."""
    with pytest.raises(DataError, match="none of the 3 pictures"):
        batches(EXAMPLES, fit=replace(FIT, blank=False))
    made = batches(EXAMPLES, 3)
    real = np.zeros((8, 8, 3), np.uint8)
    there = [replace(example, images=(real,)) for example in EXAMPLES]
    for one, other in zip(made, batches(there, 3, replace(FIT, blank=False)), strict=True):
        assert torch.equal(one.tokens_BT, other.tokens_BT)
        assert one.pictures_NCHW.shape == other.pictures_NCHW.shape


def test_rows_that_are_shared():
    """As many documents, in fewer rows."""
    fit = replace(FIT, packed=True, row_tokens=64)
    alone, shared = (
        stats(EXAMPLES, source="a", text=WORDS, fit=own, batches=batches(EXAMPLES, fit=own)).packing
        for own in (replace(fit, packed=False), fit)
    )
    assert alone and shared and (alone.rows, shared.rows) == (3, 1)
    assert (alone.groups.most, shared.groups.most) == (1, 3)
    assert shared.documents.most == 4 and shared.used > alone.used


def test_tiles_chosen_for_each_picture():
    fit = replace(FIT, tiles="best", max_tiles=2, row_tokens=64)
    pages = [np.zeros(size, np.uint8) for size in ((16, 16, 3), (16, 32, 3))]
    two = [replace(e, images=(p,)) for e, p in zip(EXAMPLES[1:3], pages, strict=True)]
    found = stats(two, source="a", text=WORDS, fit=fit, batches=batches(two, fit=fit))
    assert (found.tokens.pictures.least, found.tokens.pictures.most) == (4, 12)
    assert found.packing and found.packing.tokens.most == 12 + 8


def test_too_long_and_never_packed():
    long = [example(1, "red" * 20), example(2, "red", "two" * 20)]
    found = stats(long, source="a", text=WORDS, fit=FIT)
    assert (found.tokens.cut, found.tokens.unfit) == (1, 1) and found.packing is None
    assert found.width is None


def test_the_page_and_json():
    facts = [Facts("PNG", "colour", 20, 30), Facts("JPEG", "colour", 10, 5)]
    found = stats(
        EXAMPLES, source="a", text=WORDS, fit=FIT, batches=batches(EXAMPLES), facts=facts
    )
    console = Console(file=io.StringIO(), width=200)
    found.render(console)
    page = console.file.getvalue()  # pyright: ignore
    for text in ("4; vqa 3, caption 1", "3, shown 4 times", "10 - 15 - 20", "PNG 1, JPEG 1",
                 "3 different; 1.58 bits", "positions in use", "padding 31.9%"):  # fmt: skip
        assert text in page, text
    assert found.as_dict()["packing"]["row_tokens"] == 40
    assert found.as_dict()["tokens"]["learned"]["most"] == 13


def test_progress():
    seen = []
    stats(EXAMPLES, source="a", text=WORDS, fit=FIT, seen=lambda *told: seen.append(told))
    assert seen == [("examples", number, 4) for number in (1, 2, 3, 4)]
