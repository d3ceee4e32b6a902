"""VQA v2's two files and GQA's one, with pictures by number in the folders of COCO and GQA."""

import pytest
from data.sets import picture, reasons, refusal, write

from seesay.data.sources import read
from seesay.data.vqa import pair
from seesay.tasks import vqa as task

QUESTIONS = "v2_OpenEnded_mscoco_train2014_questions.json"
ANNOTATIONS = "v2_mscoco_train2014_annotations.json"


def asked(number, question, image):
    return {"question_id": number, "question": question, "image_id": image}


def answered(number, image, *answers, kind="other"):
    said = [{"answer": a, "answer_confidence": "yes", "answer_id": i + 1}
            for i, a in enumerate(answers)]  # fmt: skip
    return {"question_id": number, "image_id": image, "answers": said, "answer_type": kind,
            "multiple_choice_answer": answers[0] if answers else ""}  # fmt: skip


ASKED = [asked(90, "how many cats?", 9), asked(91, "is it red?", 9), asked(250, "what?", 25)]
ANSWERED = [
    answered(250, 25, *["dog"] * 10),
    answered(90, 9, *["2"] * 6, *["3"] * 3, "two", kind="number"),
    answered(91, 9, *["yes"] * 2, *["no"] * 8, kind="yes/no"),
]


def vqa(tmp_path, asked=ASKED, answered=ANSWERED, *, apart=False):
    """Both files, beside each other or in folders of their own, and the pictures."""
    for number in (9, 25):
        picture(tmp_path / "train2014" / f"COCO_train2014_{number:012d}.jpg")
        picture(tmp_path / "val2014" / f"COCO_val2014_{number:012d}.jpg")
    questions = tmp_path / ("Questions" if apart else "vqa") / QUESTIONS
    answers = tmp_path / ("Annotations" if apart else "vqa") / ANNOTATIONS
    write(questions, {"data_subtype": "train2014", "questions": asked})
    return questions, write(answers, {"data_subtype": "train2014", "annotations": answered})


@pytest.mark.parametrize("apart", [False, True])
def test_either_file_finds_the_other(tmp_path, apart):
    questions, annotations = vqa(tmp_path, apart=apart)
    found = read(questions)
    assert found.format == "VQA questions" and not found.broken
    assert [(e.question, e.answer) for e in found.examples] == [
        ("how many cats?", "2"), ("is it red?", "no"), ("what?", "dog"),
    ]  # fmt: skip
    assert str(found.examples[1].origin) == f"{questions}:2"
    assert found.examples[0].group == "train2014/COCO_train2014_000000000009.jpg"
    assert found.examples[1].labels == {"kind": "yes/no"}
    assert read(annotations).examples == found.examples
    for folder in [tmp_path] if apart else [questions.parent, tmp_path]:
        assert read(folder).examples == found.examples


def test_all_ten_answers_are_scored(tmp_path):
    questions, _ = vqa(tmp_path)
    examples = read(questions).examples
    assert [len(e.votes) for e in examples] == [10, 10, 10]
    scores = task.score(["3", "no", "cat"], examples)
    assert scores["answers"].value == pytest.approx(1 / 3)
    assert scores["answers_soft"].value == pytest.approx((0.9 + 1 + 0) / 3)


def test_what_does_not_go_together(tmp_path):
    questions, annotations = vqa(
        tmp_path,
        [*ASKED, asked(99, "what?", 9), asked(5, "what?", 5), "x", asked(7, "what?", 9)],
        [*ANSWERED, answered(5, 5, "a"), answered(7, 25, "a"), "x"],
    )
    root = tmp_path / "train2014"
    assert reasons(questions) == {
        f"{QUESTIONS}:4": "no answer to question 99 among 5",
        f"{QUESTIONS}:5": f"no picture '5' in {tmp_path} (train2014, val2014)",
        f"{QUESTIONS}:6": "not an object",
        f"{QUESTIONS}:7": "asked of picture 9, answered of picture 25",
    }
    assert f"no picture '5' in {root}" in reasons(questions, root=root)[f"{QUESTIONS}:5"]
    annotations.write_text("[]")
    assert "a JSON list; expected an object" in refusal(questions)
    annotations.write_bytes(b'{"annotations": "\xff"}')
    assert "not UTF-8: byte 0xff" in refusal(questions)
    annotations.unlink()
    said = refusal(questions)
    assert "questions without the annotations that belong to them" in said
    assert "'annotations' in its name" in said


def test_answers_without_questions(tmp_path):
    questions, annotations = vqa(tmp_path)
    questions.rename(questions.with_name("others.json"))
    assert "annotations without the questions" in refusal(annotations)


def test_clevr(tmp_path):
    picture(tmp_path / "images" / "val" / "CLEVR_val_000000.png")
    row = {"image_filename": "CLEVR_val_000000.png", "question": "how many?", "answer": "3"}
    path = write(tmp_path / "questions" / "CLEVR_val_questions.json", {"questions": [row]})
    (example,) = read(path).examples
    assert (example.question, example.answer, example.votes) == ("how many?", "3", ())


def test_names_that_go_together():
    assert pair(QUESTIONS)[0] == pair(ANNOTATIONS)[0] != pair(QUESTIONS.replace("2014", "2015"))[0]
    assert pair(ANNOTATIONS)[1] == "annotations" and pair("train.json")[1] == ""
    assert pair("questions.csv")[1] == ""


def gqa(tmp_path, **more):
    for name in ("2405722", "n161313"):
        picture(tmp_path / "images" / f"{name}.jpg")
    rows = {
        "201307251": {"imageId": "2405722", "question": "What is this bird called?",
                      "answer": "parrot", "fullAnswer": "This is a parrot.",
                      "types": {"structural": "query", "semantic": "cat"}},
        "201640614": {"imageId": "n161313", "question": "Is it red?", "answer": "no",
                      "fullAnswer": "No, it is blue.", "types": {"structural": "verify"}},
    }  # fmt: skip
    return write(tmp_path / "questions" / "train_balanced_questions.json", rows | more)


def test_gqa(tmp_path):
    path = gqa(tmp_path)
    found = read(path)
    assert found.format == "GQA" and not found.broken
    assert [(e.question, e.answer) for e in found.examples] == [
        ("What is this bird called?", "parrot"), ("Is it red?", "no"),
    ]  # fmt: skip
    assert found.examples[0].labels == {"kind": "query"}
    assert found.examples[1].group == "images/n161313.jpg"
    full = read(path, columns={"answer": "fullAnswer"}).examples
    assert full[1].answer == "No, it is blue."
    assert read(tmp_path).examples == found.examples


def test_broken_gqa(tmp_path):
    path = gqa(tmp_path, a={"imageId": "7", "question": "?", "answer": "x"}, b=3,
               c={"imageId": "2405722", "question": "?"})  # fmt: skip
    name = path.name
    assert reasons(path) == {
        f"{name}:3": f"no picture '7' in {tmp_path} (images)",
        f"{name}:4": "not an object",
        f"{name}:5": "no answer: it is empty",
    }
    write(path.with_name("a.json"), {"x": {"y": 1}})
    assert "known by their keys: COCO captions" in refusal(path.with_name("a.json"))
