"""VQA v2 and GQA: questions and answers that name pictures by number, as they are published."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.data.album import Album, root_of, splits_in
from seesay.data.finder import Refused
from seesay.data.tables import Table, id_in, json_object, listed, plain
from seesay.errors import DataError

_WHICH = re.compile(r"(questions|annotations)", re.IGNORECASE)
# What was said, by ten people or by one.
_SAID = ("answers", "answer", "multiple_choice_answer")
_FORM = re.compile(r"(openended|multiplechoice)_", re.IGNORECASE)


def pair(name: str) -> tuple[str, str]:
    """What a file of VQA shares with its other half, and which half it is.

    `v2_OpenEnded_mscoco_val2014_questions.json` goes with `v2_mscoco_val2014_annotations.json`.
    """
    found = _WHICH.search(name) if name.lower().endswith(".json") else None
    return _WHICH.sub("*", _FORM.sub("", name)).lower(), found[1].lower() if found else ""


def holds_answers(value: Mapping[str, Any]) -> bool:
    """Whether annotations are answers to questions."""
    return bool(value["annotations"]) and "question_id" in _first(value["annotations"])


def _first(entries: Sequence[Any]) -> Mapping[str, Any]:
    return next((entry for entry in entries if isinstance(entry, dict)), {})


def table(path: Path, value: Mapping[str, Any], root: Path | None) -> Table:
    """The questions of VQA v2 with all their answers: of one of its two files, or of both.

    Raises:
        DataError: the file that belongs to it is not there, or is not JSON.
    """
    if "questions" not in value:
        other = _other(path)
        return _asked(other, json_object(other), value["annotations"], root or root_of(path))
    answers: Sequence[Any] = value.get("annotations") or ()
    if not answers and "answer" not in _first(value["questions"]):
        answers = json_object(_other(path)).get("annotations") or ()
    return _asked(path, value, answers, root or root_of(path))


def _other(path: Path) -> Path:
    """The questions of these answers, or the answers to these questions."""
    key, half = pair(path.name)
    # Of the folders beside, those alone that are called so: what else is there may be anything.
    beside = (path.parent.parent / name for name in ("Questions", "Annotations"))
    near = (each for folder in (path.parent, *beside) for each in sorted(folder.glob("*.json")))
    found = (each for each in near if pair(each.name)[0] == key and pair(each.name)[1] != half)
    other = next(found, None) if half else None
    if other is None:
        missing = {"questions": "annotations", "annotations": "questions"}.get(half, "annotations")
        raise DataError(
            f"{half or 'questions'} without the {missing} that belong to them",
            where=str(path),
            fix=f"put the file beside it that is called so, with '{missing}' in its name",
        )
    return other


def _asked(path: Path, value: Mapping[str, Any], answers: Sequence[Any], root: Path) -> Table:
    by_question = {id_in(a, "question_id"): a for a in answers if isinstance(a, dict)}
    near = (*splits_in(str(value.get("data_subtype", ""))), *splits_in(path.stem))
    album = Album(root)
    rows = listed(path, value["questions"], lambda asked: [_row(asked, by_question, album, near)])
    columns = ("image", "question", "answers", "kind")
    return plain(path, columns, rows, format="VQA questions", root=root)


def _row(
    asked: Mapping[str, Any],
    answers: Mapping[Any, Mapping[str, Any]],
    album: Album,
    near: Sequence[str],
) -> Mapping[str, Any]:
    number = id_in(asked, "question_id")
    found = answers.get(number, asked)
    said = next((found[key] for key in _SAID if found.get(key) is not None), None)
    if said is None:
        raise Refused(f"no answer to question {number} among {len(answers)}")
    if (other := found.get("image_id")) != asked.get("image_id"):
        raise Refused(f"asked of picture {asked.get('image_id')}, answered of picture {other}")
    # CLEVR names its pictures.
    name = str(asked.get("image_filename", asked.get("image_id")))
    return {
        "image": album.find(name, near=near),
        "question": asked.get("question"),
        "answers": said,
        "kind": found.get("answer_type"),
    }


def gqa(path: Path, value: Mapping[str, Any], root: Path | None) -> Table:
    """The questions of GQA, by the structural type of each."""
    root = root or root_of(path)
    album = Album(root)
    rows = listed(path, value.values(), lambda asked: [_gqa_row(asked, album)])
    columns = ("image", "question", "answer", "fullAnswer", "kind")
    return plain(path, columns, rows, format="GQA", root=root)


def _gqa_row(asked: Mapping[str, Any], album: Album) -> Mapping[str, Any]:
    types = asked.get("types")
    return {
        "image": album.find(str(asked.get("imageId"))),
        "kind": types.get("structural") if isinstance(types, dict) else None,
        **{key: asked.get(key) for key in ("question", "answer", "fullAnswer")},
    }
