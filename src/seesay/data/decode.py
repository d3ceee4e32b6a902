"""Decode: encoded bytes -> an upright RGB picture, or an error that says why not.

Pictures are hostile until checked: the format is told from the first bytes and only the listed ones
are opened, the size is read from the header before a pixel is decoded, and a truncated file is an
error, never a grey half.
"""

import io
import os
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from seesay.data import within
from seesay.errors import PictureError, SeesayError
from seesay.records import Within

File = io.BytesIO | io.BufferedReader
MAX_PIXELS = 64_000_000  # a 64-megapixel picture is 192 MB of RGB
MAX_BYTES = 512 * 2**20
PAPER = (255, 255, 255)  # what shows through transparent pixels

# The classes are called directly: `Image.open` would try other formats and warn about big pictures.
_OPENERS: dict[str, Callable[[File, str], Image.Image]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
FORMATS = tuple(_OPENERS)
# How a file of each format is called.
ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "WebP": ".webp", "GIF": ".gif", "BMP": ".bmp",
           "TIFF": ".tiff"}  # fmt: skip
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
HEAD = 16  # bytes that `sniff` needs

# Pillow warns about odd headers; a warning is no way to treat a picture that decodes.
_QUIET = threading.Lock()
if hasattr(os, "register_at_fork"):
    # A worker forked while another thread holds the lock would wait for ever.
    os.register_at_fork(
        before=_QUIET.acquire, after_in_parent=_QUIET.release, after_in_child=_QUIET.release
    )

# EXIF orientation -> how to turn the picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
REDUCED = "reduced"  # the key of `Image.info` that says whether it came smaller than it is
_TURNED = (5, 6, 7, 8)  # those that swap width and height


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture is: format, kind (colour, grey, palette, alpha…) and upright size."""

    format: str
    kind: str
    width: int
    height: int


def decode(data: bytes, *, where: str, wanted: tuple[int, int] | None = None) -> Image.Image:
    """The picture upright in RGB, transparent pixels white; a JPEG may come at a half, a quarter or
    an eighth of its size where that is still at least `wanted` (width, height).
    """
    with refused(where):
        image, orientation = _opened(io.BytesIO(data), where)
        if wanted and isinstance(image, JpegImagePlugin.JpegImageFile):
            width, height = wanted
            whole = image.size
            image.draft(None, (height, width) if orientation in _TURNED else wanted)
            image.info[REDUCED] = image.size != whole
        return _upright(rgb(_loaded(image), where), orientation)


def inspect(data: bytes, *, where: str) -> tuple[Facts, Image.Image]:
    """Decode every pixel, say what the picture is, and give it upright in RGB."""
    with refused(where):
        image, orientation = _opened(io.BytesIO(data), where)
        kind = _kind(image)
        upright = _upright(rgb(_loaded(image), where), orientation)
    return Facts(sniff(data) or "", kind, *upright.size), upright


def measure(picture: Path | Within | bytes, *, where: str) -> tuple[int, int]:
    """(width, height) of the upright picture, from its header: no pixel is decoded.

    Raises:
        PictureError: as `encoded`, or where the header cannot be read.
    """
    if not isinstance(picture, Path):
        return _measured(io.BytesIO(encoded(picture, where)), where)
    if not file_size(picture, where):
        raise _empty(where)
    try:
        with picture.open("rb") as file:
            return _measured(file, where)
    except OSError as error:
        raise PictureError(f"cannot be read: {_reason(error)}", where=where) from None


def _measured(file: File, where: str) -> tuple[int, int]:
    with refused(where):
        image, orientation = _opened(file, where)
        width, height = image.size
    return (height, width) if orientation in _TURNED else (width, height)


def sniff(head: bytes) -> str | None:
    """The picture format that the first bytes of a file announce, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    return "BMP" if head.startswith(b"BM") else None


def ending(head: bytes) -> str:
    """How a file that begins with these bytes is to be called."""
    return ENDINGS.get(sniff(head) or "", ".png")


def not_a_picture(head: bytes) -> str:
    """Why bytes that `sniff` does not know are refused, naming what they look like."""
    text = head.lstrip().lower()
    seems = ""
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        seems = "; it looks like a web page or an SVG drawing"
    elif head[4:8] == b"ftyp":
        seems = "; it looks like HEIC, AVIF or a video"
    elif head.startswith(b"%PDF"):
        seems = "; it looks like a PDF"
    elif head.startswith(b"version https://g"):
        seems = "; it looks like a Git LFS pointer: run `git lfs pull`"
    return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture{seems}"


def name(picture: Path | Within | bytes) -> str:
    return f"{len(picture)} bytes" if isinstance(picture, bytes) else str(picture)


def encoded(picture: Path | Within | bytes, where: str) -> bytes:
    if isinstance(picture, Within):
        picture = within.read(picture, where=where)
    if isinstance(picture, bytes):
        size, data = len(picture), picture
    else:
        size, data = file_size(picture, where), b""
    if size > MAX_BYTES:
        raise PictureError(f"{size} bytes; the limit for one picture is {MAX_BYTES}", where=where)
    data = data or (b"" if isinstance(picture, bytes) else _file_bytes(picture, where))
    if not data:
        raise _empty(where)
    return data


def _empty(where: str) -> PictureError:
    return PictureError("empty: 0 bytes", where=where, fix="copy or download it again")


def file_size(path: Path, where: str) -> int:
    """Bytes of a file, which must be one."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise PictureError(f"cannot be opened: {_reason(error)}", where=where) from None
    # Reading a pipe or a device could wait for ever.
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("not a file", where=where)
    return status.st_size


def _file_bytes(picture: Path, where: str) -> bytes:
    try:
        return picture.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot be read: {_reason(error)}", where=where) from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def refused(where: str) -> Iterator[None]:
    """Whatever a decoder raises becomes a PictureError that says where."""
    fix = "open it in a viewer and save it again, or leave it out"
    try:
        yield
    except (SeesayError, MemoryError):
        raise
    except Exception as error:
        why = str(error) or type(error).__name__
        raise PictureError(f"cannot be decoded: {why}", where=where, fix=fix) from error


def _opened(file: File, where: str) -> tuple[Image.Image, int]:
    head = file.read(64)
    name = sniff(head)
    if name is None:
        raise PictureError(not_a_picture(head), where=where, fix="convert it to PNG or JPEG")
    file.seek(0)
    with _quiet():
        image = _OPENERS[name](file, "")
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{width}x{height} is {width * height} pixels; the limit is {MAX_PIXELS}",
            where=where,
            fix="make it smaller, or cut it into tiles",
        )
    return image, _orientation(image)


@contextmanager
def _quiet() -> Iterator[None]:
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _loaded(image: Image.Image) -> Image.Image:
    if isinstance(image, (JpegImagePlugin.JpegImageFile, PngImagePlugin.PngImageFile)):
        image.load()  # these two never warn, and decode beside each other in threads
        return image
    with _quiet():
        image.load()
    return image


def _orientation(image: Image.Image) -> int:
    # Read by hand: Pillow's reader warns about, or stumbles over, what cameras write.
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow turns these itself
    exif = image.info.get("exif")
    return _exif_orientation(exif) if isinstance(exif, bytes) else 1


def _exif_orientation(exif: bytes) -> int:
    """Tag 0x0112 of the first directory of an EXIF block; 1 (upright) where it cannot be read."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == 0x0112:
                return value
    except struct.error:
        pass
    return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _kind(image: Image.Image) -> str:
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return "alpha"
    names = {"1": "1 bit", "L": "grey", "P": "palette", "RGB": "colour", "YCbCr": "colour"}
    names |= {"CMYK": "CMYK", "I": "16 bit", "F": "floating point"}
    return "16 bit" if image.mode.startswith("I;16") else names.get(image.mode, image.mode)


def rgb(image: Image.Image, where: str) -> Image.Image:
    """A picture in RGB, paper shining through what is transparent."""
    if image.mode.startswith("I"):
        return _sixteen_bits(image, where)
    if image.mode == "F":
        raise PictureError("its pixels are floating-point numbers", where=where, fix="save 8 bits")
    if _kind(image) == "alpha":
        over = image.convert("RGBA")
        paper = Image.new("RGBA", over.size, (*PAPER, 255))
        return Image.alpha_composite(paper, over).convert("RGB")
    if image.mode == "RGB":
        return image
    return image.convert("RGB")


def _sixteen_bits(image: Image.Image, where: str) -> Image.Image:
    # `convert("RGB")` would clip at 255 and give a white picture.
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise PictureError(
            f"its pixels go from {low} to {high}; 16 bits go from 0 to 65535",
            where=where,
            fix="scale it to 8 or 16 bits",
        )
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
