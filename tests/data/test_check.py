"""A report counts what is there, names what is broken, and tells what guessing would score."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from data.layouts import LAYOUTS, pictures, png, tar
from data.test_hashes import copies, photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from seesay.data.check import check
from seesay.data.counts import answers, entropy, pairs
from seesay.data.fit import Fit
from seesay.data.sheet import sheet
from seesay.data.text import learn
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


# What looks nearly the same, what is in both, what may be wrong.


def photos(folder: Path, numbers: range, *, how: str = "as it is") -> list[str]:
    """Photographs in a folder, or one kind of near copy of them; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        original = photo(number, 96)
        copy = original if how == "as it is" else copies(original)[how]
        path = folder / f"{number}.png"
        path.write_bytes(copy) if isinstance(copy, bytes) else copy.save(path)
    return [f"{folder.name}/{number}.png" for number in numbers]


def asked_of(path: Path, names: list[str], answers: list[str]) -> Path:
    rows = "".join(f"{n},what?,{a}\n" for n, a in zip(names, answers, strict=True))
    path.write_text("image,question,answer\n" + rows)
    return path


def test_near_duplicates(tmp_path):
    names = photos(tmp_path / "a", range(4)) + photos(tmp_path / "b", range(2), how="jpeg")
    report = check(asked_of(tmp_path / "all.csv", names, ["1", "2", "3", "4", "1", "9"]))
    assert report.near == [
        [f"{tmp_path}/a/{i}.png", f"{tmp_path}/b/{i}.png"] for i in range(2)
    ]
    assert report.duplicates == [] and report.contradictions == []
    (said,) = report.near_contradictions
    assert "'what?': '2'" in said and "'9'" in said
    assert "4 pictures look nearly the same as another" in " ".join(report.notes)
    assert "nearly the same picture (2)" in page(report)


def test_near_duplicates_in_a_file_are_named_by_their_rows(tmp_path):
    names = photos(tmp_path / "a", range(2)) + photos(tmp_path / "b", range(1), how="jpeg")
    cells = [(tmp_path / name).read_bytes() for name in names]
    table = pyarrow.table({"image": cells, "caption": ["x", "y", "z"]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    report = check(tmp_path / "a.parquet")
    assert report.near == [[f"{tmp_path}/a.parquet:1", f"{tmp_path}/a.parquet:3"]]


def test_what_is_in_both(tmp_path):
    train = photos(tmp_path / "train", range(6))
    test = photos(tmp_path / "test", range(4, 6)) + photos(
        tmp_path / "near", range(2), how="brighter"
    )
    test += photos(tmp_path / "new", range(20, 23))
    here = asked_of(tmp_path / "train.csv", train, list("abcdef"))
    there = asked_of(tmp_path / "test.csv", test, list("efabxyz"))
    shared = check(here, against=there).against
    assert shared and (shared.pictures, shared.rows, shared.path) == (7, 7, str(there))
    at = str(tmp_path)
    assert shared.same == [(f"{at}/train/{i}.png", f"{at}/test/{i}.png") for i in (4, 5)]
    assert shared.near == [(f"{at}/train/{i}.png", f"{at}/near/{i}.png") for i in (0, 1)]
    assert shared.asked == [(f"{here}:6", f"{there}:2"), (f"{here}:7", f"{there}:3")]
    report = check(here, against=there)
    said = " ".join(report.notes)
    assert f"2 of 7 pictures of {there} are here too" in said
    assert f"2 others of {there} look nearly the same" in said
    assert "in both: pictures (2)" in page(report)
    assert json.loads(json.dumps(report.as_dict()))["against"]["near"][0][0].endswith("0.png")


def test_near_copies_of_each_other_on_the_other_side_are_all_named(tmp_path):
    """Whose prints are equal as well as near."""
    train = photos(tmp_path / "train", range(1))
    other = photos(tmp_path / "near", range(1), how="jpeg") + ["near/again.png"]
    again = Image.open(tmp_path / "near" / "0.png")
    again.load()
    again.save(tmp_path / "near" / "again.png")  # the same pixels, not the same bytes
    here = asked_of(tmp_path / "train.csv", train, ["a"])
    shared = check(here, against=asked_of(tmp_path / "test.csv", other, ["a", "a"])).against
    assert shared and shared.same == [] and len(shared.near) == 2


def test_nothing_in_both(tmp_path):
    here = asked_of(tmp_path / "a.csv", photos(tmp_path / "a", range(3)), list("abc"))
    there = asked_of(tmp_path / "b.csv", photos(tmp_path / "b", range(7, 9)), list("ab"))
    report = check(here, against=there)
    assert report.notes[-1] == f"nothing is in {there} too"


def test_candidates_for_wrong_answers(tmp_path):
    """Of pictures of two colours: the one with the other's name is named."""
    for number in range(60):
        name, level = ("dark", 40) if number % 2 else ("light", 220)
        picture = np.full((12, 12, 3), level + number // 6, np.uint8)
        picture[number % 12] = number * 4
        folder = tmp_path / (name if number != 7 else "light")
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
    report = check(tmp_path)
    (doubt,) = report.doubts
    assert doubt.origin.file == f"{tmp_path}/light/7.png" and doubt.other == "dark"
    assert report.judged[0].agreement > 0.9
    assert "may be wrong (candidates) (1)" in page(report)
    assert report.as_dict()["doubts"][0]["origin"] == f"{tmp_path}/light/7.png"


def test_empty_odd_and_too_long(table):
    long = "word " * 60
    rows = [f"images/{i % 3:04}.png,a caption of a cat" for i in range(30)]
    rows += ["images/0001.png,?", f"images/0002.png,{long}"]
    path = table("image,caption\n" + "\n".join(rows))
    words = learn(["a caption of a cat word ?"], kind="character")
    report = check(path, text=words, fit=Fit((16, 16), picture_tokens=4, row_tokens=40))
    assert report.empty == [f"{path}:32: the answer is only '?'"]
    assert len(report.long) == 1 and f"{path}:33: 301 tokens, room for 36" in report.long[0]
    assert {text.split(" ")[0] for text in report.odd} == {f"{path}:32:", f"{path}:33:"}
    shown = page(report)
    assert "too long for the recipe (1)" in shown and "odd lengths (2)" in shown
    assert check(path).long == []


# Counting.


def test_entropy():
    assert entropy([1, 1, 1, 1]) == 2 and entropy([5, 0]) == 0 and entropy([]) == 0
    found = answers([("a?", "x"), ("a?", "y"), ("b?", "z"), ("b?", "z")])
    assert (found.entropy, found.entropy_given) == (1.5, 0.5)


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
