"""Annotation sets as they are published, small: JSON beside folders of pictures."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from seesay.data.sources import read
from seesay.errors import DataError

SIZE = (40, 30)  # width and height of the pictures


def picture(path: Path, *, size: tuple[int, int] = SIZE, shade: int = 0) -> Path:
    """A picture file, with the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    Image.new("RGB", size, (shade, 90, 200)).save(file, "JPEG" if path.suffix == ".jpg" else "PNG")
    path.write_bytes(file.getvalue())
    return path


def write(path: Path, value: Any) -> Path:
    """A JSON file, with the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
    return path


def lines(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    """A file of one JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def images(*numbers: int, year: str = "val2017") -> list[dict[str, Any]]:
    """COCO's list of pictures."""
    return [
        {"id": n, "file_name": f"{n:012d}.jpg", "width": SIZE[0], "height": SIZE[1],
         "coco_url": f"http://images.cocodataset.org/{year}/{n:012d}.jpg"}
        for n in numbers
    ]  # fmt: skip


def reasons(source: Path, **options: Any) -> dict[str, str]:
    """Why rows are broken, by file:row."""
    found = read(source, limit_broken=1.0, **options)
    return {str(each.origin).rpartition("/")[2]: each.why for each in found.broken}


def refusal(source: object, **options: Any) -> str:
    """What reading is refused with."""
    try:
        read(source, **options)  # pyright: ignore[reportArgumentType]
    except DataError as error:
        return str(error)
    raise AssertionError(f"{source} was read")
