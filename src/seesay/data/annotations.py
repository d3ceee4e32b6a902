"""Annotations: sets in JSON that are known by their keys: COCO, RefCOCO, VQA, GQA, NLVR."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.data import coco, nlvr, vqa
from seesay.data.columns import ROLES
from seesay.data.tables import Row, Table

KNOWN = (
    "COCO captions and detection (images, annotations), RefCOCO (refs; sentences), VQA v2 "
    "(questions, annotations), GQA (imageId, question, answer), NLVR and NLVR2 (identifier, "
    "sentence, label)"
)


def of_object(path: Path, value: Mapping[str, Any], root: Path | None) -> Table | None:
    """The table of a file that holds one object; None where it is no known set."""
    lists = {key for key, each in value.items() if isinstance(each, list)}
    if {"images", "annotations"} <= lists:
        return coco.table(path, value, root)
    if "refs" in lists:
        return coco.references(path, value["refs"], root)
    if "questions" in lists or ("annotations" in lists and vqa.holds_answers(value)):
        return vqa.table(path, value, root)
    first = next(iter(value.values()), None)
    if isinstance(first, dict) and {"imageId", "question"} <= first.keys():
        return vqa.gqa(path, value, root)
    return None


def of_rows(
    path: Path, rows: Sequence[Row], columns: Collection[str], root: Path | None
) -> Table | None:
    """The table of a file that lists objects; None where it is no known set."""
    if "sentences" in columns and {"ref_id", "ann_id", "bbox"} & set(columns):
        return coco.references(path, [row for _, row in rows], root)
    named = set(ROLES["image"]) & set(columns)
    if {"identifier", "sentence", "label"} <= set(columns) and not named:
        return nlvr.table(path, rows, root)
    return None
