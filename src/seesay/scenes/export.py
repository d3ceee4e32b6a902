"""Export: a world as a folder of PNG pictures and one JSONL file a split, for any other tool.

A film is a folder of its frames, numbered from 0.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from seesay import writing
from seesay.errors import SeesayError
from seesay.records import Box, Example
from seesay.scenes.films import moving
from seesay.scenes.motion import film
from seesay.scenes.render import boxes, draw
from seesay.scenes.stream import examples
from seesay.scenes.world import World


def export(
    directory: Path | str,
    world: World | Sequence[World],
    count: int,
    *,
    resolution: int = 64,
    start: int = 0,
    questions: int = 6,
    captions: int = 1,
    frames: int = 0,
) -> dict[str, int]:
    """Write `count` pictures of each world from index `start`; return how many of what.

    With `frames`, as many films of so many frames: `videos/000000/0.png`, …, and in place of
    `image` a row has `video`, the folder, and no boxes.

    The folder gets `images/000000.png`, … and `train.jsonl` (or another split's name), a row for
    each caption {image, kind, question, caption, boxes}, whose question may be empty, and for each
    question {image, kind, question, answer, reasoning, options, boxes}; a box is {left, top,
    right, bottom, label} in pixels. `data.sources.read` takes such a file. It appears whole or not
    at all. Raises SeesayError where the folder is not empty or cannot be written.
    """
    directory = Path(directory)
    worlds = [world] if isinstance(world, World) else list(world)
    _check(worlds, count)
    counts = {"videos" if frames else "pictures": 0, "captions": 0, "questions": 0}
    settings = _Settings(resolution, questions, captions, frames)
    with writing.new_folder(directory) as unfinished:
        (unfinished / ("videos" if frames else "images")).mkdir()
        for one in worlds:
            indices = range(start, start + count)
            _write_world(unfinished, one, indices, counts=counts, settings=settings)
    return counts


def _check(worlds: list[World], count: int) -> None:
    if count < 1:
        raise SeesayError(f"{count} pictures cannot be exported: 1 is the least", where="count")
    splits = [world.split for world in worlds]
    if len(set(splits)) < len(splits):
        raise SeesayError(
            f"two worlds share a split, and each split is one file: {', '.join(splits)}",
            where="world",
        )


class _Settings(NamedTuple):
    """What `examples` is asked for each picture."""

    resolution: int
    questions: int
    captions: int
    frames: int = 0


def _write_world(
    directory: Path, world: World, indices: range, *, counts: dict[str, int], settings: _Settings
) -> None:
    with (directory / f"{world.split}.jsonl").open("w", encoding="utf-8") as file:
        for index in indices:
            write = _write_film if settings.frames else _write_picture
            for row in write(directory, world, index, counts, settings):
                counts["captions" if "caption" in row else "questions"] += 1
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_picture(
    directory: Path, world: World, index: int, counts: dict[str, int], settings: _Settings
) -> Iterator[dict[str, Any]]:
    resolution, questions, captions, _ = settings
    name = f"images/{counts['pictures']:06d}.png"
    Image.fromarray(draw(world.scene(index), resolution)).save(directory / name)
    counts["pictures"] += 1
    made = examples(world, index, questions=questions, captions=captions, resolution=resolution)
    yield from (_row(example, name, resolution) for example in made)


def _write_film(
    directory: Path, world: World, index: int, counts: dict[str, int], settings: _Settings
) -> Iterator[dict[str, Any]]:
    name = f"videos/{counts['videos']:06d}"
    (directory / name).mkdir()
    made = film(world, index, frames=settings.frames)
    for number, scene in enumerate(made.scenes):
        picture = draw(scene, settings.resolution)
        Image.fromarray(picture).save(directory / name / f"{number}.png")
    counts["videos"] += 1
    for example in moving(world, index, **settings._asdict()):
        row = {"video": name, "kind": example.labels["kind"], "question": example.question}
        if example.task == "caption":
            yield row | {"caption": example.answer}
        else:
            yield row | {"answer": example.answer, "options": list(example.options)}


def _row(example: Example, image: str, resolution: int) -> dict[str, Any]:
    row: dict[str, Any] = {"image": image, "kind": example.labels["kind"]}
    row["question"] = example.question
    if example.task == "caption":
        row["caption"] = example.answer
        return row | {"boxes": [_plain(box) for box in boxes(example.scene, resolution)]}
    row["answer"], row["reasoning"] = example.answer, example.turns[-1].reasoning
    row["options"] = list(example.options)
    return row | {"boxes": [_plain(box) for box in example.boxes]}


def _plain(box: Box) -> dict[str, float | str]:
    sides = {"left": box.left, "top": box.top, "right": box.right, "bottom": box.bottom}
    return {**sides, "label": box.label}
