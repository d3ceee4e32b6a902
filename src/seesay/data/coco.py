"""COCO's annotations: captions and boxes of listed pictures; RefCOCO: words for one box."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seesay.data.album import Album, root_of, splits_in
from seesay.data.finder import Refused
from seesay.data.objects import MEANT
from seesay.data.tables import Row, Table, id_in, json_object, listed, plain
from seesay.errors import DataError
from seesay.records import Origin

# RefCOCO adds the number of the object: COCO_train2014_000000581857_16.jpg.
_OBJECT = re.compile(r"^(COCO_\w+?_\d{12})_\d+(\.\w+)$")
Id = int | str | None
CONVERT = (
    "if you trust it, convert it where it comes from: python -c 'import json, pickle; "
    'json.dump(pickle.load(open("refs(unc).p", "rb")), open("refs.json", "w"))\''
)


def table(path: Path, value: Mapping[str, Any], root: Path | None) -> Table:
    """COCO's captions, a row each, or its boxes, a row for each picture that has some.

    Raises:
        DataError: the annotations are neither.
    """
    root = root or root_of(path)
    pictures = _Pictures(path, value["images"], root)
    keys = {key for entry in value["annotations"][:100] if isinstance(entry, dict) for key in entry}
    if "caption" in keys:
        captions = listed(path, value["annotations"], lambda each: [pictures.caption(each)])
        return plain(path, ("image", "caption"), captions, format="COCO captions", root=root)
    if "bbox" in keys:
        boxed = list(_boxed(path, value, pictures))
        return plain(path, ("image", "objects"), boxed, format="COCO detection", root=root)
    raise DataError(
        f"{len(value['annotations'])} annotations with neither 'caption' nor 'bbox': they have "
        f"{', '.join(sorted(keys)) or 'nothing'}",
        where=str(path),
        fix="give a file of captions or of boxes (captions_…, instances_…)",
    )


class _Pictures:
    """The pictures that a file lists, by their ids."""

    def __init__(self, path: Path, images: Sequence[Any], root: Path) -> None:
        entries = [entry for entry in images if isinstance(entry, dict)]
        self.by_id = {id_in(entry, "id"): entry for entry in entries}
        self.times = Counter(id_in(entry, "id") for entry in entries)
        self.album, self.near = Album(root), splits_in(path.stem)
        self._names: dict[Id, str] = {}

    def name(self, number: Id) -> str:
        """The picture of an id, as it is named from the root."""
        if number not in self._names:
            self._names[number] = self._found(number)
        return self._names[number]

    def _found(self, number: Id) -> str:
        entry = self._entry(number)
        words = (str(entry[key]) for key in ("coco_url", "flickr_url") if entry.get(key))
        near = (*self.near, *(split for word in words for split in splits_in(word)))
        return self.album.find(str(entry.get("file_name") or number), near=near)

    def size(self, number: Id) -> list[Any] | None:
        """The width and height that its boxes are meant for, where that is said."""
        entry = self._entry(number)
        sides = [entry.get("width"), entry.get("height")]
        return sides if all(sides) else None

    def _entry(self, number: Id) -> Mapping[str, Any]:
        if self.times[number] != 1:
            raise Refused(f"image_id {number} is {self.times[number]} of the {len(self.by_id)} "
                          "images; expected 1")  # fmt: skip
        return self.by_id[number]

    def caption(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row of a caption."""
        return {"image": self.name(id_in(entry, "image_id")), "caption": entry.get("caption")}


def _boxed(path: Path, value: Mapping[str, Any], pictures: _Pictures) -> Iterator[Row]:
    names = _categories(value)
    own: dict[Id, list[Mapping[str, Any]]] = defaultdict(list)
    for number, entry in enumerate(value["annotations"], 1):
        image = id_in(entry, "image_id") if isinstance(entry, dict) else None
        if image in pictures.by_id:
            own[image].append(entry)
        else:
            known = len(pictures.by_id)
            yield Origin(str(path)), f"annotation {number}: image_id {image} is none of {known}"
    for number, image in enumerate(value["images"], 1):
        if isinstance(image, dict) and (entries := own.get(id_in(image, "id"))):
            origin = Origin(str(path), number)
            try:
                yield origin, _objects(entries, id_in(image, "id"), names, pictures)
            except Refused as why:
                yield origin, str(why)


def _categories(value: Mapping[str, Any]) -> dict[Id, str]:
    listed = value.get("categories")
    entries = listed if isinstance(listed, list) else []
    return {id_in(e, "id"): str(e.get("name")) for e in entries if isinstance(e, dict)}


def _objects(
    entries: Sequence[Mapping[str, Any]], number: Id, names: Mapping[Id, str], pictures: _Pictures
) -> Mapping[str, Any]:
    image, kinds = pictures.name(number), [id_in(entry, "category_id") for entry in entries]
    unknown = [kind for kind in kinds if kind not in names]
    if names and unknown:
        raise Refused(f"category_id {unknown[0]} is none of the {len(names)} categories")
    objects = {
        "bbox": [entry.get("bbox") for entry in entries],
        "categories": [names.get(kind, "") for kind in kinds],
        "iscrowd": [entry.get("iscrowd", 0) for entry in entries],
        MEANT: pictures.size(number),
    }
    return {"image": image, "objects": objects}


def references(path: Path, refs: Iterable[Any], root: Path | None) -> Table:
    """RefCOCO's references: where what each sentence names is, by splits.

    Boxes that are not among them are taken from the `instances.json` beside.

    Raises:
        DataError: there is none.
    """
    root, refs = root or root_of(path), list(refs)
    given = all("bbox" in ref for ref in refs if isinstance(ref, dict))
    boxes, pictures = ({}, None) if given else _instances(path, root)
    album = Album(root)

    def rows(ref: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        box = ref.get("bbox", boxes.get(id_in(ref, "ann_id")))
        if box is None:
            raise Refused(f"ann_id {ref.get('ann_id')} is none of the {len(boxes)} instances")
        size = pictures.size(id_in(ref, "image_id")) if pictures else None
        image, objects = _referred(ref, album), {"bbox": [box], MEANT: size}
        sentences = ref.get("sentences")
        if not isinstance(sentences, list) or not sentences:
            raise Refused("no sentences: it is empty")
        said = [_sentence(each) for each in sentences]
        for text in said:
            asked = f"where is {text}?"
            yield {"image": image, "question": asked, "boxes": objects, "split": ref.get("split")}

    made = listed(path, refs, rows)
    columns = ("image", "question", "boxes", "split")
    found = plain(path, columns, made, format="RefCOCO", root=root)
    splits = any(row["split"] for _, row in made if not isinstance(row, str))
    return replace(found, split="split") if splits else found


def _referred(ref: Mapping[str, Any], album: Album) -> str:
    name, number = str(ref.get("image") or ref.get("file_name") or ""), ref.get("image_id")
    if found := _OBJECT.match(name):
        name = found[1] + found[2]
    # The pictures of 2014 are there in 2017 under other names.
    known = album.has(name.rpartition(".")[0]) or number is None
    return album.find(name if known else str(number), near=splits_in(name))


def _sentence(entry: Any) -> str:
    text = entry
    if isinstance(entry, dict):
        text = entry.get("sent") or entry.get("raw")
    if not isinstance(text, str) or not text.strip():
        raise Refused("a sentence that is empty")
    return text.strip().removesuffix(".")


def _instances(path: Path, root: Path) -> tuple[dict[Id, Any], _Pictures]:
    """The boxes of annotations by their ids, and the pictures they are in."""
    folders = (path.parent, path.parent.parent, path.parent.parent / "annotations")
    found = [each for folder in folders for each in sorted(folder.glob("instances*.json"))]
    if not found:
        what = "references without boxes, and no instances.json beside them"
        raise DataError(what, where=str(path), fix="put RefCOCO's or COCO's own there")
    value = json_object(found[0])
    try:
        boxes = {id_in(entry, "id"): entry["bbox"] for entry in value["annotations"]}
        return boxes, _Pictures(path, value["images"], root)
    except (TypeError, KeyError, AttributeError) as error:
        what = f"no instances of COCO: {type(error).__name__}: {error}"
        raise DataError(what, where=str(found[0]), fix="download it again") from None
