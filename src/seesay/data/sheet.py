"""Sheet: a contact sheet, pictures in a grid with what is asked and answered under each."""

import os
import random
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from seesay.data.images import load
from seesay.errors import DataError, PictureError
from seesay.records import Example

# The first that is there is taken; all but the last have Chinese letters.
FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "msyh.ttc",
    "DejaVuSans.ttf",
)
SIZE, LINE, LINES, GAP = 13, 16, 4, 8
INK, GREY, FRAME = (20, 20, 20), (140, 140, 140), (220, 40, 40)


def sheet(examples: Sequence[Example], path: Path, *, num_pictures: int = 24, columns: int = 6,
          cell: int = 160, seed: int = 0) -> int:  # fmt: skip
    """Write a PNG of different pictures drawn by chance; returns how many there are on it.

    A picture that does not decode shows why instead. Boxes are drawn where an example has them.

    Raises:
        DataError: no examples, or a file that cannot be written.
    """
    if not examples:
        raise DataError("no examples to show", where=str(path))
    chosen = _chosen(examples, num_pictures, seed)
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    width, height = cell + GAP, cell + GAP + LINES * LINE
    page = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    font = _font()
    for number, example in enumerate(chosen):
        corner = (GAP + number % columns * width, GAP + number // columns * height)
        _draw(page, example, corner=corner, cell=cell, font=font)
    _save(page, Path(path))
    return len(chosen)


def _chosen(examples: Sequence[Example], number: int, seed: int) -> list[Example]:
    order = random.Random(seed).sample(range(len(examples)), len(examples))
    chosen: dict[str, Example] = {}
    for index in order:
        example = examples[index]
        chosen.setdefault(example.group or str(index), example)
        if len(chosen) == number:
            break
    return list(chosen.values())


def _draw(page: Image.Image, example: Example, *, corner: tuple[int, int], cell: int,
          font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> None:  # fmt: skip
    left, top = corner
    draw = ImageDraw.Draw(page)
    colour, text = INK, _text(example)
    try:
        picture = _thumbnail(example, cell)
        page.paste(picture, (left + (cell - picture.width) // 2, top + cell - picture.height))
    except PictureError as error:
        colour, text = FRAME, f"{example.origin}: {error.what}"
        draw.rectangle((left, top, left + cell, top + cell), outline=GREY)
    for number, line in enumerate(_wrapped(text, font, cell)):
        draw.text((left, top + cell + number * LINE), line, fill=colour, font=font)


def _thumbnail(example: Example, cell: int) -> Image.Image:
    if not example.images:
        return Image.new("RGB", (cell, cell), (240, 240, 240))
    image = load(example.images[0], where=str(example.origin)).copy()
    draw = ImageDraw.Draw(image)
    for box in example.boxes:
        sides = sorted((box.left, box.right)), sorted((box.top, box.bottom))
        (x0, x1), (y0, y1) = sides
        draw.rectangle((x0, y0, x1, y1), outline=FRAME, width=max(1, max(image.size) // cell * 2))
    scale = cell / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _text(example: Example) -> str:
    first = next((turn.text for turn in example.turns if turn.role == "assistant"), "")
    asked = next((turn.text for turn in example.turns if turn.role == "user"), "")
    more = f" (1 of {len(example.images)} pictures)" if len(example.images) > 1 else ""
    return " ".join(f"{asked} → {first}{more}".removeprefix(" → ").split())


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
             width: int) -> list[str]:  # fmt: skip
    """Lines of at most `width` pixels, broken at spaces where there are any; the rest is cut."""
    lines: list[str] = []
    while text and len(lines) < LINES:
        fits = _fitting(text, font, width)
        space = text.rfind(" ", 0, fits + 1)
        end = space if 0 < space and fits < len(text) else fits
        lines.append(text[:end])
        text = text[end:].lstrip()
    if text:
        lines[-1] = lines[-1][:-1] + "…"
    return lines


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> int:
    end = min(len(text), width // 3)
    while end > 1 and font.getlength(text[:end]) > width:
        end -= 1
    return end


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, SIZE)
        except OSError:
            continue
    return ImageFont.load_default(SIZE)


def _save(page: Image.Image, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        page.save(partial, "PNG")
        os.replace(partial, path)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=str(path)) from None
    finally:
        with suppress(OSError):
            partial.unlink()
