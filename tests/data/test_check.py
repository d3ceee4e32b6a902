"""A report counts what is there, names what is broken, and tells what guessing would score."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data.layouts import LAYOUTS, pictures, png, tar
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from seesay.data.check import check
from seesay.data.counts import answers, pairs
from seesay.data.sheet import sheet
from seesay.errors import DataError
from seesay.records import Box, Example, Origin, Turn


def page(report) -> str:
    console = Console(file=io.StringIO(), width=200)
    report.render(console)
    return console.file.getvalue()  # pyright: ignore


def test_counts(table):
    rows = ["images/0000.png,how many?,1,count", "images/0000.png,which colour?,red,colour"]
    rows += ["images/0001.png,how many?,2,count", "images/0001.png,多少?,2,count"]
    report = check(table("image,question,answer,kind\n" + "\n".join(rows)))
    assert (report.rows, report.examples, report.pictures) == (4, 4, 2)
    assert report.tasks == {"vqa": 4} and report.format == "CSV"
    assert report.formats == {"PNG": 2} and report.kinds == {"colour": 2}
    assert (report.width.least, report.height.most) == (8, 6)
    assert report.questions.characters.least == 3 and report.questions.words.most == 2
    assert report.answers.top[0] == ("2", 2, 0.5) and report.answers.distinct == 3
    assert report.slices == {"kind": {"count": 3, "colour": 1}}
    assert not (report.broken or report.duplicates or report.contradictions or report.sheet)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path, layout):
    rows = [{"question": "what?", "answer": answer} for answer in ("cat", "dog", "cat")]
    report = check(LAYOUTS[layout](tmp_path, rows))
    assert (report.examples, report.pictures, report.answers.majority) == (3, 3, 2 / 3)
    assert json.loads(json.dumps(report.as_dict()))["answers"]["top"][0][0] == "cat"


def test_pictures_that_do_not_decode(table, tmp_path):
    path = table("image,caption\nimages/0000.png,a\nimages/0000.png,b\nimages/0001.png,c\n,d\n")
    cut = (tmp_path / "images" / "0000.png").read_bytes()[:45]
    (tmp_path / "images" / "0000.png").write_bytes(cut)
    report = check(path)
    reasons = {str(each.origin): each.why for each in report.broken}
    assert reasons[f"{path}:5"] == "no picture: an empty cell"
    why = reasons[f"{path}:2"]
    assert "cannot be decoded" in why and "0000.png; 2 examples" in why and len(reasons) == 2
    assert report.as_dict()["broken"][0]["where"] == f"{path}:5"
    assert "2 rows or pictures are broken" in " ".join(report.notes)
    assert "broken (2)" in page(report)


def test_nothing_but_broken_rows(table):
    report = check(table("image,caption\ngone.png,a\n"), sheet="none.png")
    assert report.examples == 0 and len(report.broken) == 1 and report.sheet == ""
    assert "gone.png" in page(report)


def test_duplicates_and_contradictions(table, tmp_path):
    rows = ["images/0000.png,which?,red", "copy.png,which?,blue", "images/0001.png,which?,red"]
    (tmp_path / "copy.png").write_bytes(png(0))
    path = table("image,question,answer\n" + "\n".join(rows))
    report = check(path)
    first = str(tmp_path / "images" / "0000.png")
    assert report.duplicates == [[str(tmp_path / "copy.png"), first]]
    assert report.contradictions == [f"'which?': 'red' ({path}:2), 'blue' ({path}:3)"]
    shown = page(report)
    assert "same picture, several names (1)" in shown and "contradictions (1)" in shown


def test_captions_beside_questions_are_no_answers(table):
    rows = ["images/0000.png,red?,yes,", "images/0001.png,red?,no,", "images/0000.png,,,a cat"]
    report = check(table("image,question,answer,caption\n" + "\n".join(rows)))
    assert report.tasks == {"vqa": 2, "caption": 1} and not report.broken
    assert (report.answers.count, report.answers.majority) == (2, 0.5)


def test_duplicates_in_shards_and_none_among_captions(tmp_path):
    files = {"1.png": png(1), "1.txt": b"a", "2.png": png(1), "2.txt": b"b"}
    report = check(tar(tmp_path / "a.tar", files))
    assert report.duplicates == [[f"{tmp_path}/a.tar/1", f"{tmp_path}/a.tar/2"]]
    assert report.contradictions == []


def test_kinds_of_pictures(tmp_path):
    pictures(tmp_path, 0)
    for number, (mode, ending) in enumerate((("CMYK", "jpg"), ("RGBA", "png"), ("L", "webp"))):
        Image.new(mode, (10 + number, 20)).save(tmp_path / f"{number}.{ending}")
        (tmp_path / f"{number}.txt").write_text("x")
    report = check(tmp_path)
    assert report.formats == {"JPEG": 1, "PNG": 1, "WebP": 1}
    assert report.kinds == {"CMYK": 1, "alpha": 1, "colour": 1}
    assert (report.width.least, report.width.middle, report.width.most) == (10, 11, 12)


def test_pairs_of_a_dialogue():
    turns = (Turn("user", "a?"), Turn("assistant", "b"), Turn("user", "c?"), Turn("assistant", "d"))
    assert pairs(Example((), turns, Origin("x"))) == [("a?", "b"), ("c?", "d")]
    assert pairs(Example((), turns[1:2], Origin("x"))) == [("", "b")]


def slowly(turns: list[tuple[str, str]]) -> float:
    """The leave-one-out score of the question alone, word for word."""
    right = 0.0
    for i, (question, answer) in enumerate(turns):
        others = turns[:i] + turns[i + 1 :]
        same = [a for q, a in others if q == question] or [a for _, a in others]
        counts = Counter(same)
        best = [a for a, count in counts.items() if count == max(counts.values())]
        right += (answer in best) / max(1, len(best))
    return right / len(turns)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyzw")), min_size=1))
def test_the_blind_score_is_as_defined(turns):
    found = answers(turns)
    assert found.blind == pytest.approx(max(slowly(turns), found.majority))


def test_progress(table):
    seen = []
    path = table("image,caption\nimages/0000.png,a\nimages/0001.png,b\n")
    check(path, seen=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


# The contact sheet


def example(number: int, text: str, question: str = "", **fields) -> Example:
    turns = (Turn("user", question),) if question else ()
    array = np.full((20, 30 + number, 3), 200, np.uint8)
    return Example((array,), (*turns, Turn("assistant", text)), Origin("a", number), **fields)


def test_a_sheet_has_pictures_and_text(tmp_path):
    examples = [
        example(1, "一只猫坐在垫子上" * 9),
        example(2, "a" * 300),
        example(3, "red", "which colour?", boxes=(Box(2, 2, 9, 9), Box(9, 9, 2, 2))),
        example(4, "two\nlines\tand a tab"),
        Example((), (Turn("assistant", "no picture"),), Origin("b")),
        Example((b"broken",), (Turn("assistant", "x"),), Origin("c", 7)),
    ]
    path = tmp_path / "new" / "sheet.png"
    assert sheet(examples, path, columns=4) == 6
    with Image.open(path) as image:
        assert image.width == 4 * 168 + 8 and image.height == 2 * 232 + 8
        assert (np.asarray(image) < 60).any()
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_a_sheet_is_the_same_again_and_of_different_pictures(tmp_path):
    examples = [example(i // 3, str(i), group=str(i // 3)) for i in range(30)]
    assert sheet(examples, tmp_path / "a.png") == 10
    sheet(examples, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_sheet_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="sheet.png: cannot be written: "):
        sheet([example(1, "x")], tmp_path / "file" / "sheet.png")
    with pytest.raises(DataError, match="no examples to show"):
        sheet([], tmp_path / "sheet.png")


# The real material


def test_material(material, tmp_path):
    report = check(material / "easy-vqa/dev.csv", sheet=tmp_path / "sheet.png")
    assert (report.examples, report.pictures, report.broken) == (3892, 400, [])
    # The published score of the question alone is 67.0.
    assert 0.6 < report.answers.blind < 0.7 and report.answers.distinct == 13
    assert "question alone scores" in page(report) and Path(report.sheet).stat().st_size > 10_000


def test_material_in_shards(material):
    report = check(material / "shapes/val-000.tar")
    assert report.pictures == 1024 and report.contradictions == []
    assert 0.6 < report.answers.majority < 0.65
