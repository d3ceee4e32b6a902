"""Images: a file, bytes or an array -> an RGB picture or (H, W, 3) uint8 pixels of one size.

Shapes: H height, W width, in that order everywhere but in Pillow's own (width, height).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image

from seesay.data import video
from seesay.data.decode import Facts, decode, encoded, inspect, name
from seesay.errors import DataError, PictureError, nearest
from seesay.records import Clip, Frame, Picture

FITS = ("stretch", "pad", "crop")
PADDING = (127, 127, 127)  # the middle of the range: near zero once normalised


def load(picture: Picture, *, where: str = "") -> Image.Image:
    """The whole picture, upright, in RGB; transparent pixels are white.

    Raises:
        PictureError: empty, truncated, too large, of another format, or no picture at all.
    """
    return _image(picture, where)


def pixels(picture: Picture, *, size: tuple[int, int] | int, fit: str = "stretch",
           where: str = "") -> np.ndarray:  # fmt: skip
    """The picture as uint8 (H, W, 3) of `size` (height, width).

    `fit`: "stretch" changes the proportions, "pad" keeps them and adds grey margins, "crop" keeps
    them and cuts the longer side. An array that already has the size is returned as it is.

    Raises:
        PictureError: as `load`.
        DataError: a size that is not positive, or an unknown `fit`.
    """
    height, width = _size(size)
    if fit not in FITS:
        raise DataError(f"unknown fit '{fit}'", fix=nearest(fit, FITS))
    picture = _plain(picture, where)
    if isinstance(picture, np.ndarray) and picture.shape[:2] == (height, width):
        return _checked(picture, where)
    image = _image(picture, where, wanted=(width, height))
    return np.array(_fitted(image, (width, height), fit))


def several(pictures: Sequence[Picture], *, size: tuple[int, int] | int, fit: str = "stretch",
            where: str = "") -> np.ndarray:  # fmt: skip
    """Pictures as `pixels` makes them, (N, H, W, 3); the frames of a video are decoded together.

    Raises:
        PictureError, DataError: as `pixels`.
    """
    made = np.empty((len(pictures), *_size(size), 3), np.uint8)
    for place, picture in enumerate(video.decoded(pictures, where=where)):
        made[place] = pixels(picture, size=size, fit=fit, where=where)
    return made


def num_tiles(tiles: tuple[int, int]) -> int:
    """How many pictures become of one that is cut into rows and columns, and a small one of it."""
    count = tiles[0] * tiles[1]
    return count if count == 1 else count + 1


def tiles(pictures: np.ndarray, tiles: tuple[int, int], *, fit: str = "stretch") -> np.ndarray:
    """Pictures (N, H, W, 3) cut into rows and columns: row by row, then a small one of the whole.

    As SmolVLM (arXiv:2504.05299) does: (N·n, h, w, 3), a tile's size. 1 × 1 is the picture itself.
    """
    rows, columns = tiles
    if rows * columns == 1:
        return pictures
    cut = rearrange(pictures, "N (r h) (c w) C -> N (r c) h w C", r=rows, c=columns)
    how = "pad" if fit == "pad" else "stretch"  # nothing of it may be cut off
    size = (cut.shape[2], cut.shape[3])
    small = [pixels(picture, size=size, fit=how) for picture in pictures]
    every = [np.concatenate((own, one[None])) for own, one in zip(cut, small, strict=True)]
    return np.concatenate([cut[:0].reshape(0, *cut.shape[2:]), *every])


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
    return inspect(encoded(picture, where), where=where)


def _plain(picture: Picture, where: str) -> Path | bytes | np.ndarray:
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


def _inside(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same proportions that fits in `room`."""
    scale = min(room[0] / size[0], room[1] / size[1])
    width, height = (max(1, round(side * scale)) for side in size)
    return min(room[0], width), min(room[1], height)


def _fitted(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    if fit == "pad":
        inner = _resized(image, _inside(image.size, size))
        page = Image.new("RGB", size, PADDING)
        page.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
        return page
    return _resized(image, size, box=_middle(image.size, size) if fit == "crop" else None)


def _middle(size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box in the middle of `size` with the proportions of `shape`."""
    scale = min(size[0] / shape[0], size[1] / shape[1])
    left, top = (size[0] - shape[0] * scale) / 2, (size[1] - shape[1] * scale) / 2
    return max(left, 0.0), max(top, 0.0), size[0] - max(left, 0.0), size[1] - max(top, 0.0)


def _resized(image: Image.Image, size: tuple[int, int],
             box: tuple[float, float, float, float] | None = None) -> Image.Image:  # fmt: skip
    if image.size == size and box in (None, (0.0, 0.0, *size)):
        return image
    # Pillow's filters widen when shrinking, so this is antialiased both ways.
    return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
