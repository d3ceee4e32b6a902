"""Every layout gives the same examples; every bad one says where, how much and what to do."""

import json
import os
import re
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from data.layouts import LAYOUTS, as_csv, as_jsonl, as_parquet, pictures, png, tar
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data import finder, shards
from seesay.data.images import load
from seesay.data.sources import read
from seesay.errors import DataError
from seesay.records import Example, Turn

CAPTIONS = [{"caption": text} for text in ("a cat", 'say "hi", twice', "一只猫", "two\nlines", "5")]
QUESTIONS = [
    {"question": "what is it?", "answer": "a cat"},
    {"question": "多少?", "answer": "3"},
    {"question": "is it; red, or\tnot?", "answer": "no"},
]


def said(examples: list[Example]) -> list[tuple]:
    """What does not depend on the layout, pixels included."""
    return [
        (tuple(load(image).tobytes() for image in example.images), example.turns, example.task)
        for example in examples
    ]


def refusal(source: object, **options) -> str:
    with pytest.raises(DataError) as caught:
        read(source, **options)  # pyright: ignore[reportArgumentType]
    return str(caught.value)


def whys(source: Path, **options) -> dict[str, str]:
    """Reasons by file:row, for rows that are broken among others that are not."""
    found = read(source, limit_broken=1.0, **options)
    assert found.rows == len(found.broken) + len({e.origin for e in found.examples})
    return {str(each.origin).rpartition("/")[2]: each.why for each in found.broken}


# Layouts


@pytest.mark.parametrize("rows", [CAPTIONS, QUESTIONS], ids=["captions", "questions"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same(tmp_path, layout, rows):
    expected = said(read(as_csv(tmp_path / "csv", rows)).examples)
    source = LAYOUTS[layout](_made(tmp_path / "other"), rows)
    found = read(source)
    assert said(found.examples) == expected and not found.broken
    assert found.rows == len(rows)
    assert [e.answer for e in found.examples] == [list(row.values())[-1] for row in rows]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1)
words = words.map(str.strip).filter(bool)


@settings(max_examples=25, deadline=None)
@given(st.lists(words, min_size=1, max_size=6), st.sampled_from(sorted(LAYOUTS)))
def test_any_text_round_trips(texts, layout):
    with tempfile.TemporaryDirectory() as folder:
        source = LAYOUTS[layout](Path(folder), [{"caption": text} for text in texts])
        assert [example.answer for example in read(source).examples] == texts


def test_a_folder_with_one_table_reads_it_and_says_so(tmp_path):
    as_jsonl(tmp_path, CAPTIONS)
    found = read(tmp_path)
    assert found.path == str(tmp_path / "train.jsonl") and "train.jsonl: JSONL, 5" in found.summary
    assert dict(found.columns) == {"image": "image", "caption": "caption"}
    assert str(found.examples[2].origin) == f"{tmp_path}/train.jsonl:3"


def test_several_tables_are_asked_about(tmp_path):
    for name in ("dev.csv", "train.csv", "data-00.tar", "data-01.tar", "config.json"):
        (tmp_path / name).write_text("x")
    said = refusal(tmp_path)
    assert "3 data sets: data-*.tar, dev.csv, train.csv" in said
    assert f"such as {tmp_path}/train.csv" in said


def test_tables_and_splits_in_folders_below(tmp_path):
    as_csv(tmp_path / "train", CAPTIONS)
    assert len(read(tmp_path).examples) == 5
    as_csv(tmp_path / "dev", CAPTIONS)
    assert "2 data sets: dev/train.csv, train/train.csv" in refusal(tmp_path)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            pictures(tmp_path / "classes" / split / name, 1)
    said = refusal(tmp_path / "classes")
    assert "2 data sets: test, train" in said and said.endswith("classes/train")
    assert len(read(tmp_path / "classes" / "train").examples) == 2


def test_class_folders(tmp_path):
    for name in ("train", "bus", "狗"):  # `train` is a class here, not a split
        pictures(tmp_path / name, 2)
    (tmp_path / "LICENSE").write_text("free")
    (tmp_path / "bus" / "Thumbs.db").write_text("")
    found = read(tmp_path)
    assert found.format == "class folders" and found.rows == 6
    example = found.examples[0]
    assert example.task == "classify" and example.options == ("bus", "train", "狗")
    assert example.turns == (Turn("user", "what is this?"), Turn("assistant", "bus"))
    (tmp_path / "stray.png").write_bytes(png(1))
    (tmp_path / "bus" / "phone.heic").write_bytes(b"\0\0\0\x1cftypheic")
    reasons = whys(tmp_path)
    assert reasons["stray.png"] == "in no class's folder" and "HEIC" in reasons["phone.heic"]


def test_sidecars(tmp_path):
    pictures(tmp_path, 4)
    images = tmp_path / "images"
    (images / "0000.txt").write_bytes(b"\xef\xbb\xbfa cat\n")
    (images / "0001.txt").write_text(" \n")
    (images / "0002.txt").write_bytes("caf\u00e9".encode("latin-1"))
    (images / "lonely.txt").write_text("no picture")
    (images / "README.txt").write_text("about")
    reasons = whys(tmp_path)
    assert reasons["0001.png"] == "no caption: it is empty"
    assert reasons["0002.png"].startswith("0002.txt is not UTF-8: byte 0xe9 at offset 3")
    assert reasons["0003.png"] == "no text beside it: expected 0003.txt"
    assert reasons["lonely.txt"] == "no picture beside it" and len(reasons) == 4
    assert read(tmp_path, limit_broken=1).examples[0].answer == "a cat"


def test_shards_of_other_shapes(tmp_path):
    files = {
        "a/1.cls": b"cat", "a/1.jpg": png(1), "a/2.png": png(2), "a/2.cls": b"dog",
        "3.left.png": png(3), "3.right.png": png(4), "3.cls": b"cat",
        "4.cls": b"cat", "5.png": png(5), "6.json": b"[1]", "6.png": png(6),
        "7.cls": b"\xff", "7.png": png(7), "8.png": b"", "8.cls": b"cat", "__index__": b"",
    }  # fmt: skip
    path = tar(tmp_path / "data.tar", files)
    found = read(tmp_path, limit_broken=1)
    assert [(e.answer, len(e.images)) for e in found.examples] == [
        ("cat", 1), ("dog", 1), ("cat", 2),
    ]  # fmt: skip
    assert found.examples[0].options == ("cat", "dog")
    assert str(found.examples[0].origin) == f"{path}/a/1"
    reasons = whys(path)
    assert reasons["4"] == "no picture: an empty list" and reasons["5"] == "no label: it is empty"
    assert "not JSON: a list; expected an object" in reasons["6"]
    assert "7.cls is not UTF-8" in reasons["7"] and reasons["8"] == "an empty picture: 0 bytes"


# What columns mean


def test_names_of_columns(table):
    path = table("Image Path,QUESTION,answer,Type\nimages/0000.png,how many?,2,count\n")
    example = read(path).examples[0]
    assert (example.question, example.answer) == ("how many?", "2")
    assert example.labels == {"Type": "count"} and example.group == "images/0000.png"
    chinese = table("图片,问题,答案\nimages/0000.png,几个?,两个\n")
    assert read(chinese).examples[0].answer == "两个"


def test_given_columns(table):
    path = table("foto,frage,antwort,text\nimages/0000.png,wie viele?,zwei,x\n")
    given = {"image": "foto", "question": "frage", "answer": "Antwort"}
    assert read(path, columns=given).examples[0].answer == "zwei"
    assert "no column 'fotos' (for image)\n  did you mean 'foto'?" in refusal(
        path, columns={"image": "fotos"}
    )
    assert "'questoin' is not what a column can be\n  did you mean 'question'?" in refusal(
        path, columns={"questoin": "frage"}
    )
    assert "no picture column among 'foto', 'frage', 'antwort', 'text'" in refusal(path)
    said = refusal(path, columns={"image": "foto", "question": "frage"})
    assert "a question but no answer" in said and "--map answer=NAME (in a recipe: " in said


def test_roles_that_no_column_has(table):
    path = table("image,question,answer,caption,kind\nimages/0000.png,what?,cat,a cat,pet\n")
    assert read(path).examples[0].labels == {"kind": "pet"}
    assert "caption" in read(path).columns
    plain = read(path, columns={"kind": "", "caption": ""})
    assert plain.examples[0].labels == {} and "caption" not in plain.columns
    assert read(path, columns={"question": ""}).examples[0].task == "caption"
    assert "no picture column" in refusal(path, columns={"image": ""})


def test_no_header_is_told(table):
    said = refusal(table("images/0000.png,a cat\nimages/0001.png,a dog\n"))
    assert "the first row looks like data: write a header" in said


def test_the_task_chooses_among_texts(table):
    path = table("image,caption,question,answer,label\nimages/0000.png,a cat,what?,cat,animal\n")
    answers = {"vqa": "cat", "caption": "a cat", "retrieve": "a cat", "classify": "animal"}
    for task, answer in answers.items():
        example = read(path, task=task).examples[0]
        assert (example.task, example.answer) == (task, answer)
    assert read(path).examples[0].task == "vqa"
    assert read(path, columns={"caption": "caption"}).examples[0].answer == "a cat"


def test_captions_beside_questions(table):
    path = table(
        "image,question,answer,caption,options\n"
        "images/0000.png,what?,a cat,not looked at,a cat|a dog\n"
        "images/0000.png,,,a grey cat,\n"
        "images/0001.png,what?,,a dog,\n"
        "images/0002.png,,,,\n"
        "images/0002.png,,a cat,a cat,\n"
    )
    first, second = read(path, limit_broken=1.0).examples
    assert (first.task, first.answer, first.options) == ("vqa", "a cat", ("a cat", "a dog"))
    assert (second.task, second.turns, second.options) == (
        "caption", (Turn("assistant", "a grey cat"),), ()
    )  # fmt: skip
    assert whys(path) == {
        "train.csv:4": "no answer: it is empty",
        "train.csv:5": "no question: it is empty",
        "train.csv:6": "no question: it is empty",
    }
    assert "caption: caption" in read(path, limit_broken=1.0).summary
    assert len(whys(path, task="vqa")) == 4
    assert "caption" not in read(path, task="vqa", limit_broken=1.0).columns


def test_captions_beside_statements_and_under_names_of_their_own(table):
    """The labels of the statements stay as they are; a title is no caption unless it is said."""
    text = "image,sentence,label,words,title\nimages/0000.png,it is red,1,,\n"
    path = table(text + "images/0001.png,it is blue,0,,\nimages/0001.png,,,a blue thing,a thing\n")
    assert len(read(path, limit_broken=1.0).examples) == 2
    named = {"sentence": "sentence", "label": "label", "caption": "words"}
    found = read(path, columns=named, limit_broken=0.0).examples
    assert [(e.task, e.answer, e.options) for e in found] == [
        ("vqa", "true", ("false", "true")), ("vqa", "false", ("false", "true")),
        ("caption", "a blue thing", ()),
    ]  # fmt: skip


def test_a_caption_asked_for_in_words(table):
    rows = [
        {"image": "images/0000.png", "question": "what?", "answer": "a cat"},
        {"image": "images/0000.png", "question": "describe it", "captions": ["a cat", "a pet"]},
        {"image": "images/0001.png", "question": "what?", "answer": "", "captions": ["a dog"]},
    ]
    path = table("\n".join(map(json.dumps, rows)), "a.jsonl")
    found = read(path, limit_broken=1.0).examples
    assert [(e.task, e.question, e.answer) for e in found] == [
        ("vqa", "what?", "a cat"),
        ("caption", "describe it", "a cat"),
        ("caption", "describe it", "a pet"),
    ]
    assert whys(path) == {"a.jsonl:3": "no answer: it is empty"}


@pytest.mark.parametrize(
    ("labels", "options"),
    [("True False", "false true"), ("1 0", "false true"), ("yes no", "no yes")],
)
def test_statements(table, labels, options):
    first, second = labels.split()
    rows = f"images/0000.png,it is red,{first}\nimages/0000.png,it is blue,{second}\n"
    examples = read(table("image,sentence,label\n" + rows)).examples
    assert examples[0].options == tuple(options.split()) and examples[0].task == "vqa"
    assert examples[0].question == "it is red"
    assert examples[0].answer == options.split()[1] and examples[1].answer == options.split()[0]
    assert examples[0].group == examples[1].group


def test_labels_that_are_numbers_or_truth_values(tmp_path):
    images = [png(i) for i in range(3)]
    for values, expected in (
        ([True, False, True], ["true", "false", "true"]),
        ([3, 4, 3], ["3", "4", "3"]),
        ([3.0, 4.0, float("nan")], ["3", "4"]),
    ):
        path = tmp_path / "a.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"image": images, "label": values}), path)
        found = read(path, limit_broken=0.5)
        assert [example.answer for example in found.examples] == expected
        assert found.examples[0].options == tuple(sorted(set(expected)))


def test_class_names_of_hugging_face(tmp_path):
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    data = pyarrow.table({"image": [png(0), png(1)], "label": [1, 0]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pyarrow.parquet.write_table(data.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    assert [e.answer for e in read(tmp_path).examples] == ["dog", "cat"]


def test_several_captions_and_answers(table):
    row = {"image": "images/0000.png", "captions": ["a cat", "", "a pet"]}
    examples = read(table(json.dumps(row), "a.jsonl")).examples
    assert [e.answer for e in examples] == ["a cat", "a pet"]
    assert len({e.group for e in examples}) == 1
    voted = {"image": "images/0000.png", "question": "?", "answers": ["1", "2", "2"]}
    assert read(table(json.dumps(voted), "a.jsonl")).examples[0].answer == "2"
    voted["answers"] = [{"answer": "no"}, {"answer": "yes"}, {"answer": "yes"}]  # pyright: ignore
    assert read(table(json.dumps(voted), "a.jsonl")).examples[0].answer == "yes"


@pytest.mark.parametrize("answer", ["b", "1", "red"])
def test_options(table, answer):
    path = table(f"image,question,options,answer\nimages/0000.png,?,blue|red,{answer}\n")
    example = read(path).examples[0]
    assert (example.options, example.answer) == (("blue", "red"), "red")
    wrong = table("image,question,options,answer\nimages/0000.png,?,blue|red,7\n")
    assert whys(wrong) == {"train.csv:2": "the answer '7' is none of the options blue, red"}


# Conversations


def conversation(table, turns: object, image: object = "images/0000.png") -> Path:
    return table(json.dumps([{"image": image, "conversations": turns}]), "llava.json")


def test_reasoning(table):
    path = table(
        "image,question,reasoning,answer\nimages/0000.png,same?,red blue,no\n"
        "images/0000.png,what?,,cat\n"
    )
    same, what = read(path).examples
    assert same.turns == (Turn("user", "same?"), Turn("assistant", "no", "red blue"))
    assert what.turns == (Turn("user", "what?"), Turn("assistant", "cat"))
    assert same.answer == "no"
    row = {"image": "images/0000.png", "question": "same?", "why": ["red", "blue"], "answer": "no"}
    several = table(json.dumps(row), "b.jsonl")
    assert read(several, columns={"reasoning": "why"}).examples[0].turns[-1].reasoning == "red"
    captions = table("image,caption,reasoning\nimages/0000.png,a cat,whiskers\n", "c.csv")
    assert read(captions).examples[0].turns == (Turn("assistant", "a cat"),)


@pytest.mark.parametrize("before", ["red blue</think>no", "<think>\nred blue\n</think>\n\nno"])
def test_reasoning_in_a_conversation(table, before):
    turns = [{"from": "human", "value": "<image>\nsame?"}, {"from": "gpt", "value": before}]
    path = table(json.dumps([{"image": "images/0000.png", "conversations": turns}]), "t.json")
    assert read(path).examples[0].turns[-1] == Turn("assistant", "no", "red blue")


def test_llava(table):
    turns = [
        {"from": "system", "value": "Be short."},
        {"from": "human", "value": "<image>\nhow many?"},
        {"from": "gpt", "value": "two"},
        {"from": "human", "value": "which colour?"},
        {"from": "gpt", "value": "red"},
    ]
    example = read(conversation(table, turns)).examples[0]
    assert example.task == "dialogue" and example.turns == (
        Turn("user", "Be short.\nhow many?"),
        Turn("assistant", "two"),
        Turn("user", "which colour?"),
        Turn("assistant", "red"),
    )
    assert read(conversation(table, turns[:3])).examples[0].task == "vqa"
    shown = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "a cat"}]
    assert read(conversation(table, shown)).examples[0].turns == (Turn("assistant", "a cat"),)


def test_chat_messages_of_two_pictures(table):
    parts = [{"type": "image"}, {"type": "image_url"}, {"type": "text", "text": "same?"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": "no"}]
    row = {"images": ["images/0000.png", "images/0001.png"], "messages": messages}
    example = read(table(json.dumps(row), "a.jsonl")).examples[0]
    assert len(example.images) == 2 and example.question == "same?"
    cell = json.dumps(messages).replace('"', '""')
    csv = table(f'image,messages\nimages/0000.png,"{cell}"\n')
    assert whys(csv) == {"train.csv:2": "2 <image> marks and 1 pictures"}


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([], "no conversation"),
        ("hello", "not JSON"),
        ([{"from": "human", "value": "hi"}], "does not end with the assistant's turn"),
        ([{"from": "cat", "value": "hi"}], "turn 1 is from 'cat'; known: human"),
        ([{"from": "gpt", "value": "a"}, {"from": "gpt", "value": "b"}], "second turn of the"),
        ([{"from": "human", "value": "?"}, {"from": "gpt", "value": " "}], "turn 2 is empty"),
        ([{"from": "human", "value": None}], "turn 1 is empty"),
        ([{"from": "human", "value": "?"}, {"from": "gpt", "value": "so</think>"}], "2 reasons"),
        (["hi"], "turn 1 is a str"),
        ([{"from": "gpt", "value": "\ud800"}], "not valid Unicode"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "type 'audio'"),
        ([{"from": "human", "value": "<image><image>"}, {"from": "gpt", "value": "a"}], "2 <image"),
        (
            [{"from": "human", "value": "?"}, {"from": "gpt", "value": "a"},
             {"from": "human", "value": "and?"}],
            "does not end with the assistant's turn",
        ),
    ],
)
def test_broken_conversations(table, turns, why):
    (reason,) = whys(conversation(table, turns)).values()
    assert why in reason


# Broken rows


def test_broken_rows_are_left_out_and_listed(table):
    rows = ["images/0000.png,a cat"] * 97 + ["images/0001.png,", "gone.png,x", "images/0001.png"]
    found = read(table("image,caption\n" + "\n".join(rows)))
    assert (len(found.examples), found.rows) == (97, 100)
    assert "3 broken rows left out" in found.summary
    assert [(each.origin.row, each.why) for each in found.broken] == [
        (99, "no caption: it is empty"),
        (100, "no picture 'gone.png'"),
        (101, "1 cells; the header has 2"),
    ]


def test_too_many_broken_rows(table):
    rows = [f"gone{i}.png,x" for i in range(8)] + ["images/0000.png,a cat"] * 2
    path = table("image,caption\n" + "\n".join(rows))
    said = refusal(path)
    assert f"{path}: 8 of 10 rows are broken (80.0%); the limit is 5.0%:" in said
    assert f"{path}:2: no picture 'gone0.png'" in said and "and 3 more" in said
    assert f"pictures are looked for in {path.parent}: put the table where they" in said
    said = refusal(table("image,caption\nimages/0000.png,\n"))
    assert "1 of 1 rows" in said and "limit_broken = 0.2" in said
    assert "--set data.limit_broken=0.2" in said and "--limit-broken 0.2" in said


def test_pictures_that_are_not_right(table, tmp_path):
    (tmp_path / "outside.png").write_bytes(png(1))
    inner = tmp_path / "data"
    pictures(inner, 1)
    (inner / "empty.png").touch()
    (inner / "page.png").write_text("<html>404</html>")
    (inner / "link.png").symlink_to(tmp_path / "outside.png")
    (inner / "fine.png").symlink_to(inner / "images" / "0000.png")
    (inner / "folder.png").mkdir()
    (inner / "up").symlink_to(tmp_path)
    os.mkfifo(inner / "pipe.png")
    cases = {
        "../outside.png": "is outside of the data folder",
        "images/../../outside.png": "is outside of the data folder",
        str(tmp_path / "outside.png"): "is outside of the data folder",
        "/etc/passwd": "is outside of the data folder",
        "link.png": "is outside of the data folder",
        "up/outside.png": "is outside of the data folder",
        "empty.png": "an empty picture: 0 bytes",
        "page.png": "looks like a web page",
        "folder.png": "a folder 'folder.png' that is no video: 0 frames in it",
        "pipe.png": "is not a file",
        "": "an empty cell",
        "https://example.org/a.png": "is a web address: download it",
        "images/0000.PNG": "no picture 'images/0000.PNG' (there is '0000.png')",
        "images/0000": "(there is '0000.png')",
        "a" * 5000: "cannot be opened: File name too long",
        "a\0b": "cannot be opened: ",
    }
    right = ["images/0000.png", "fine.png", str(inner / "images/0000.png"), r"images\0000.png"]
    lines = [{"image": name, "caption": "x"} for name in [*cases, *right]]
    path = inner / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = read(path, limit_broken=1)
    assert len(found.examples) == len(right)
    for each, (name, why) in zip(found.broken, cases.items(), strict=True):
        assert why in each.why, name
    reasons = whys(table("image,caption\n../train.csv,x\n"), root=tmp_path / "images")
    assert "outside of the data folder" in reasons["train.csv:2"]


def test_another_root(table, tmp_path):
    path = table("image,caption\n0000.png,a cat\n")
    assert read(path, root=tmp_path / "images").examples[0].group == "0000.png"


def test_cells_that_are_not_right(table):
    rows = [
        {"image": None, "caption": "x"}, {"image": 7, "caption": "x"}, {"caption": "x"},
        {"image": [], "caption": "x"}, {"image": "images/0000.png", "caption": None},
        {"image": "images/0000.png", "caption": "\ud800"},
        {"image": "images/0000.png", "caption": [[]]},
    ]  # fmt: skip
    lines = [*map(json.dumps, rows), "{", "[1]", "", "[" * 100_000]
    reasons = list(whys(table("\n".join(lines), "a.jsonl")).items())
    expected = [
        "an empty cell", "holds a int: 7", "an empty cell", "an empty list", "it is empty",
        "not valid Unicode", "it is empty", "not JSON", "a JSON list; expected an object",
        "not JSON",
    ]  # fmt: skip
    for (_, why), part in zip(reasons, expected, strict=True):
        assert part in why
    assert reasons[-1][0] == "a.jsonl:11"


def test_ragged_and_odd_csv(table):
    text = 'image,caption\r\nimages/0000.png,a,b\r\n\r\nimages/0000.png,"two\r\nlines"\r\n'
    path = table(text + 'images/0000.png,"a"b\r\nimages/0000.png,a cat\r\n')
    assert whys(path) == {
        "train.csv:2": "3 cells; the header has 2",
        "train.csv:6": "not a row: ',' expected after '\"'",
    }
    assert [e.origin.row for e in read(path, limit_broken=1).examples] == [4, 7]


def test_an_open_quote_is_not_one_broken_row(table):
    rows = "images/0000.png,a cat\n" * 50
    said = refusal(table(f'image,caption\n{rows}images/0000.png,"a cat\n{rows}'))
    assert "train.csv:52: a quote is not closed by line 102" in said and "close the quote" in said


# Files that cannot be read


def test_encodings(table):
    plain = "image,caption\nimages/0000.png,一只猫\n"
    assert read(table(b"\xef\xbb\xbf" + plain.encode())).examples[0].answer == "一只猫"
    said = refusal(table("image,caption\nimages/0000.png,猫在桌子上\n".encode("gb18030")))
    assert "train.csv:2: not UTF-8: byte 0xd4 at offset 32" in said
    assert "iconv -f GB18030 -t UTF-8" in said
    said = refusal(table("image,caption\na.png,caf\u00e9 au lait\n".encode("latin-1")))
    assert "byte 0xe9 at offset 23" in said and "iconv -f WINDOWS-1252" in said
    assert "UTF-16, not UTF-8" in refusal(table(plain.encode("utf-16")))


def test_files_that_are_not_data(tmp_path):
    def file(name: str, data: bytes = b"x") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    said = refusal(file("train.csv").with_stem("tran"))
    assert "no such file or folder\n  did you mean 'train.csv'?" in said
    assert "there is no folder" in refusal(tmp_path / "no" / "a.csv")
    assert "no file matches it" in refusal(tmp_path / "train-*.tar")
    assert "empty: 0 bytes" in refusal(file("e.csv", b""))
    said = refusal(file("a.xlsx"))
    assert "unknown ending '.xlsx'" in said and ".csv, .tsv, .jsonl, .ndjson, .json" in said
    assert "a file without an ending" in refusal(file("data"))
    assert "'.gz' is packed\n  unpack it first" in refusal(file("a.tar.gz"))
    assert "a single picture, not a data set" in refusal(file("a.png"))
    assert "not Parquet" in refusal(file("a.parquet"))
    assert "not a tar file" in refusal(file("a.tar"))
    assert "no samples in it" in refusal(tar(tmp_path / "b.tar", {"a.md": b"x"}))
    assert "not JSON: Expecting" in refusal(file("a.json", b'[{"image": "a.png"'))
    said = refusal(file("b.json", b'{"images": []}'))
    assert "a JSON dict; expected a list" in said and "known by their keys: COCO captions" in said
    assert "not UTF-8: byte 0xff at offset 2" in refusal(file("c.json", b'["\xff"]'))
    assert "no rows under its header" in refusal(file("h.csv", b"image,caption\n"))
    assert "no header row" in refusal(file("n.csv", b"\n\n"))
    assert "not a file" in refusal(_pipe(tmp_path / "pipe.csv"))


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def test_folders_that_are_not_data(tmp_path):
    assert "no pictures and no tables in it\n  needed: a table (.csv" in refusal(tmp_path)
    pictures(tmp_path, 3)
    said = refusal(tmp_path)
    assert "3 pictures and no text" in said and "a folder for each class" in said


def test_cut_short_shards_and_tables(tmp_path):
    path = as_parquet(tmp_path, [{"caption": str(i)} for i in range(300)])
    data = bytearray(path.read_bytes())
    data[200:4000] = bytes(3800)
    path.write_bytes(data)
    said = refusal(path, limit_broken=1)
    assert re.search("cannot be read after row|broken", said)
    whole = tar(tmp_path / "a.tar", {f"{i}.png": png(i) for i in range(50)}).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:20_000])
    assert "cut short" in refusal(tmp_path / "a.tar")


def test_a_shard_that_is_cut_is_reported_beside_the_others(tmp_path):
    """Cut in a file, cut between two files, no tar at all: alone an error, else one broken row."""
    for number in range(3):
        names = range(10 * number, 10 * number + 10)
        files = {f"{i}.png": png(i) for i in names} | {f"{i}.txt": b"a cat" for i in names}
        tar(tmp_path / f"train-{number:03d}.tar", files)
    path = tmp_path / "train-001.tar"
    whole = path.read_bytes()
    assert len(read(tmp_path).examples) == 30
    for cut, why in (
        (5000, "cut short: unexpected end of data (5000 bytes)"),
        (5 * 1024, "cut short: no end after its 5 files, at byte 5120 of 5120"),
        (5 * 1024 + 100, "cut short: no end after its 5 files, at byte 5120 of 5220"),
    ):
        path.write_bytes(whole[:cut])
        said = refusal(path)
        assert f"{path}: {why}\n  write or download it again" in said
        found = read(tmp_path, limit_broken=0.05)
        assert len(found.examples) == 20
        assert [(str(each.origin), each.why) for each in found.broken] == [
            (str(path), f"{why}; write or download it again")
        ]
    # Bytes in the middle that are no header: what follows would be missed in silence.
    path.write_bytes(whole[: 5 * 1024] + b"x" * 512 + whole[5 * 1024 + 512 :])
    assert "no end after its 5 files" in refusal(path)
    path.write_bytes(b"x" * 2000)
    assert "not a tar file" in read(tmp_path).broken[0].why
    for other in (0, 2):
        (tmp_path / f"train-{other:03d}.tar").write_bytes(whole[:5000])
    assert "unexpected end of data" in refusal(tmp_path)


def test_two_pictures_of_one_name(tmp_path):
    pictures(tmp_path, 2)
    (tmp_path / "images" / "0000.jpg").write_bytes(png(5))
    for name in ("0000.txt", "0001.txt"):
        (tmp_path / "images" / name).write_text("a cat")
    why = "2 pictures of one name: 0000.jpg, 0000.png"
    assert whys(tmp_path) == {"0000.jpg": why, "0000.png": why}


def test_a_split_of_a_table(table):
    path = table("image,caption,split\nimages/0000.png,a,train\nimages/0001.png,b,val\n")
    assert len(read(path).examples) == 2
    found = read(f"{path}:val")
    assert [e.answer for e in found.examples] == ["b"] and found.path == f"{path}:val"
    assert "no split 'test'\n  there are: train, val" in refusal(f"{path}:test")
    other = table("image,caption\nimages/0000.png,a\n", "other.csv")
    assert "a column 'split' says what is what" in refusal(f"{other}:val")


def test_shards_that_do_not_go_together(tmp_path):
    as_csv(tmp_path / "a", CAPTIONS)
    as_csv(tmp_path / "b", CAPTIONS)
    assert "beside other pictures" in refusal(tmp_path / "*" / "train.csv")
    (tmp_path / "a" / "dev.csv").write_text("image,label\na,b\n")
    said = refusal(tmp_path / "a" / "*.csv")
    assert f"columns image, caption; {tmp_path}/a/dev.csv has image, label" in said
    (tmp_path / "a" / "x.jsonl").write_text("{}")
    assert "files of 2 kinds match: .csv, .jsonl" in refusal(tmp_path / "a" / "*.*")


COMPRESSED = pyarrow.ipc.IpcWriteOptions(compression="lz4")


def test_more_pictures_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(finder, "MAX_HELD", 1000)
    data = pyarrow.table({"image": [png(i) for i in range(50)], "caption": ["a"] * 50})
    # What is compressed lies nowhere as it is.
    with pyarrow.ipc.new_file(tmp_path / "a.arrow", data.schema, options=COMPRESSED) as file:
        file.write_table(data)
    said = refusal(tmp_path / "a.arrow")
    assert "more than 1000 bytes of memory" in said and "unpack them into a folder" in said


def test_the_same_bytes_are_kept_once(tmp_path):
    data = pyarrow.table({"image": [png(1), png(1), png(2)], "caption": ["a", "b", "c"]})
    pyarrow.parquet.write_table(data, tmp_path / "a.parquet")
    first, second, third = read(tmp_path).examples
    assert first.images[0] is second.images[0] and first.group == second.group != third.group


def test_members_of_a_tar_that_are_no_files_are_passed_over(tmp_path):
    import tarfile

    path = tar(tmp_path / "a.tar", {"1.png": png(1), "1.txt": b"a cat"})
    with tarfile.open(path, "a") as file:
        link = tarfile.TarInfo("2.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    assert [e.answer for e in read(path).examples] == ["a cat"]
    assert shards.ENDINGS == (".txt", ".cls", ".json")


# The real material


@pytest.mark.parametrize(
    ("source", "task", "num_examples", "num_groups", "first"),
    [
        ("easy-vqa/dev.csv", "vqa", 3892, 400, ("what shape is in the image?", "rectangle")),
        ("shapes/train-*.tar", "vqa", 13568, 13568, None),
        ("shapes/val-000.tar", "vqa", 1024, 1024, ("is a green shape a triangle", "no")),
        ("nlvr/dev-00000-of-00001.parquet", "vqa", 5934, 5686, None),
        ("emoji/noto", "caption", 1094, 1094, ("", "red heart")),
        ("clothing/validation", "classify", None, None, ("what is this?", "dress")),
    ],
)
def test_material(material, source, task, num_examples, num_groups, first):
    found = read(material / source)
    assert not found.broken and {e.task for e in found.examples} == {task}
    example = found.examples[0]
    assert num_examples in (None, len(found.examples))
    assert num_groups in (None, len({e.group for e in found.examples}))
    assert first in (None, (example.question, example.answer))
    assert load(example.images[0], where=str(example.origin)).width >= 30


def test_material_csv_and_llava_say_the_same(material):
    rows = read(material / "easy-vqa/train.csv").examples
    dialogues = read(material / "easy-vqa/llava_train.json").examples
    assert (len(rows), len(dialogues)) == (34683, 3600)
    asked = [(e.group, e.question, e.answer) for e in rows]
    told = [
        (e.group, e.turns[i].text, e.turns[i + 1].text)
        for e in dialogues
        for i in range(0, len(e.turns), 2)
    ]
    assert sorted(asked) == sorted(told)


def test_material_that_must_be_chosen_from(material):
    assert "dev.csv, llava_train.json, train.csv" in refusal(material / "easy-vqa")
    assert "train-*.tar, val-000.tar" in refusal(material / "shapes")
    assert "2 data sets: train, validation" in refusal(material / "clothing")
    assert "noto/metadata.jsonl, twemoji/metadata.jsonl" in refusal(material / "emoji")


def test_a_picture_is_looked_at_once(table, monkeypatch):
    looked = []
    sniff = finder.sniff
    monkeypatch.setattr(finder, "sniff", lambda head: looked.append(head) or sniff(head))
    rows = "images/0000.png,a\nimages/0001.png,b\ngone.png,c\n" * 50
    assert len(read(table("image,caption\n" + rows), limit_broken=1).broken) == 50
    assert len(looked) == 2
