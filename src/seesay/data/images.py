"""Images: a file, bytes or an array -> an RGB picture or (H, W, 3) uint8 pixels of one size.

Shapes: H height, W width, in that order everywhere but in Pillow's own (width, height).
"""

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image

from seesay.coordinates import Sides
from seesay.data import video
from seesay.data.decode import (
    HEAD,
    REDUCED,
    Facts,
    decode,
    encoded,
    ending,
    inspect,
    measure,
    name,
)
from seesay.data.plan import FITS as FITS
from seesay.data.plan import Plan, Size, overview_fit, place, sides_of
from seesay.data.plan import num_tiles as num_tiles
from seesay.errors import DataError, PictureError, nearest
from seesay.records import Clip, Frame, Picture, Within

PADDING = (127, 127, 127)  # the middle of the range: near zero once normalised


def load(picture: Picture, *, where: str = "") -> Image.Image:
    """The whole picture, upright, in RGB; transparent pixels are white.

    Raises:
        PictureError: empty, truncated, too large, of another format, or no picture at all.
    """
    return _image(picture, where)


def size(picture: Picture, *, where: str = "") -> Size:
    """Height and width of the upright picture; of a file, its header alone is read, and of a
    video, its first frame.

    Raises:
        PictureError: as `load`, but for what only decoding shows.
    """
    picture = picture.frames[0] if isinstance(picture, Clip) else picture
    if isinstance(picture, Frame) and picture.at is not None:
        picture = replace(picture, at=0.0)  # all are of one size, and the first is soon decoded
    plain = _plain(picture, where)
    if isinstance(plain, np.ndarray):
        height, width = _checked(plain, where).shape[:2]
        return height, width
    width, height = measure(plain, where=where or name(plain))
    return height, width


def sizes(pictures: Sequence[Picture], *, where: str = "") -> list[Size]:
    """The size of each picture; a video file is opened once.

    Raises:
        PictureError: as `size`.
    """
    made: list[Size] = []
    for run in video.runs(pictures):
        # The frames of a folder are files of their own, and may differ.
        made += [size(run[0], where=where)] * len(run)
    return made


def pixels(picture: Picture, *, size: tuple[int, int] | int, fit: str = "stretch",
           where: str = "") -> np.ndarray:  # fmt: skip
    """The picture as uint8 (H, W, 3) of `size` (height, width).

    `fit`: "stretch" changes the proportions, "pad" keeps them and adds grey margins, "crop" keeps
    them and cuts the longer side. An array that already has the size is returned as it is.

    Raises:
        PictureError: as `load`.
        DataError: a size that is not positive, or an unknown `fit`.
    """
    canvas = _size(size)
    if fit not in FITS:
        raise DataError(f"unknown fit '{fit}'", fix=nearest(fit, FITS))
    picture = _plain(picture, where)
    if isinstance(picture, np.ndarray) and picture.shape[:2] == canvas:
        return _checked(picture, where)
    image = _image(picture, where, wanted=(canvas[1], canvas[0]))
    return _laid(image, canvas, *place((image.height, image.width), canvas, fit=fit))


def laid(picture: Picture, plan: Plan, *, where: str = "") -> np.ndarray:
    """The picture as uint8 (H, W, 3) on the canvas of its plan, with grey margins.

    Raises:
        PictureError: as `load`.
    """
    (height, width), (left, top, right, bottom) = plan.size, plan.content
    shown = plan.shown
    if isinstance(picture, np.ndarray) and _as_it_is(picture, plan):
        return _checked(picture, where)
    # Of a part, the whole must come so much larger.
    wide = math.ceil((right - left) * width / (shown[2] - shown[0]))
    high = math.ceil((bottom - top) * height / (shown[3] - shown[1]))
    image = _image(picture, where, wanted=(wide, high))
    across, down = image.width / width, image.height / height
    part = (shown[0] * across, shown[1] * down, shown[2] * across, shown[3] * down)
    return _laid(image, plan.canvas, part, plan.content)


def _as_it_is(picture: np.ndarray, plan: Plan) -> bool:
    whole = sides_of(plan.canvas)
    return picture.shape[:2] == plan.canvas == plan.size and plan.shown == plan.content == whole


def as_file(picture: Picture, *, where: str = "") -> tuple[bytes, str]:
    """A picture as it lies in a file, and that file's ending; pixels as a PNG.

    Raises:
        PictureError: empty, too large, or not to be read.
    """
    picture = _plain(picture, where)
    if isinstance(picture, np.ndarray):
        made = io.BytesIO()
        Image.fromarray(_checked(picture, where)).save(made, "PNG")
        return made.getvalue(), ".png"
    data = encoded(picture, where or name(picture))
    return data, ending(data[:HEAD])


def tiles(pictures: np.ndarray, tiles: tuple[int, int], *, fit: str = "stretch") -> np.ndarray:
    """Pictures (N, H, W, 3) cut into rows and columns: row by row, then a small one of the whole.

    As SmolVLM (arXiv:2504.05299) does: (N·n, h, w, 3), a tile's size. 1 × 1 is the picture itself.
    """
    rows, columns = tiles
    if rows * columns == 1:
        return pictures
    cut = rearrange(squares(pictures, tiles), "(N n) h w C -> N n h w C", n=rows * columns)
    size = (cut.shape[2], cut.shape[3])
    small = [pixels(picture, size=size, fit=overview_fit(fit)) for picture in pictures]
    every = [np.concatenate((own, one[None])) for own, one in zip(cut, small, strict=True)]
    return np.concatenate([cut[:0].reshape(0, *cut.shape[2:]), *every])


def squares(pictures: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Pictures (N, H, W, 3) cut into rows and columns alone, row by row: (N·n, h, w, 3)."""
    return rearrange(pictures, "N (r h) (c w) C -> (N r c) h w C", r=grid[0], c=grid[1])


def examine(picture: Picture, *, where: str = "") -> Facts:
    """Decode every pixel and say what the picture is.

    Raises:
        PictureError: as `load`.
    """
    picture = _plain(picture, where)
    if isinstance(picture, np.ndarray):
        height, width = _checked(picture, where).shape[:2]
        return Facts("array", "colour", width, height)
    where = where or name(picture)
    return inspect(encoded(picture, where), where=where)[0]


def _plain(picture: Picture, where: str) -> Path | Within | bytes | np.ndarray:
    """A picture by itself: a frame's own, or its pixels; a clip shows its first."""
    picture = picture.frames[0] if isinstance(picture, Clip) else picture
    if isinstance(picture, Frame):
        picture = next(video.decoded([picture], where=where))
    assert not isinstance(picture, Frame | Clip)
    return picture


def _size(size: tuple[int, int] | int) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        what = f"a picture size of {height}x{width} is not positive"
        raise DataError(what, fix="give height and width in pixels")
    return height, width


def _checked(picture: np.ndarray, where: str) -> np.ndarray:
    right = picture.ndim == 3 and picture.shape[2] == 3 and picture.size > 0
    if right and picture.dtype == np.uint8:
        return picture
    raise PictureError(
        f"an array of shape {picture.shape} and type {picture.dtype}; expected (H, W, 3) and uint8",
        where=where or "array",
        fix="give RGB pixels from 0 to 255 as numpy.uint8",
    )


def _image(picture: Picture, where: str, *, wanted: tuple[int, int] | None = None) -> Image.Image:
    picture = _plain(picture, where)
    if isinstance(picture, np.ndarray):
        return Image.fromarray(_checked(picture, where))
    where = where or name(picture)
    return decode(encoded(picture, where), where=where, wanted=wanted)


def _laid(image: Image.Image, canvas: Size, shown: Sides, content: Sides) -> np.ndarray:
    """A part of a picture, in its pixels, where its content lies on a canvas."""
    left, top, right, bottom = (round(side) for side in content)
    inner = _resized(image, (right - left, bottom - top), box=shown)
    if inner.size == (canvas[1], canvas[0]):
        return np.array(inner)
    page = Image.new("RGB", (canvas[1], canvas[0]), PADDING)
    page.paste(inner, (left, top))
    return np.array(page)


def _resized(image: Image.Image, size: tuple[int, int], *, box: Sides) -> Image.Image:
    if image.size == size and box == (0.0, 0.0, *size):
        return image
    left, top, right, bottom = box  # rounding may reach beyond the edge by the last digit
    box = max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom)
    # Pillow's filters widen when shrinking, so this is antialiased both ways. What a JPEG gave
    # smaller has been averaged once: linear is nearer to the whole brought down, and faster.
    how = Image.Resampling.BILINEAR if image.info.get(REDUCED) else Image.Resampling.BICUBIC
    return image.resize(size, how, box=box, reducing_gap=3.0)
