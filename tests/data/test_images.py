"""Pictures of every format and mode become the pixels they show; broken ones say why."""

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seesay.data import decode
from seesay.data.images import FITS, examine, load, pixels, size
from seesay.errors import DataError, PictureError

RED, BLUE = (220, 30, 40), (20, 60, 200)


def picture(width: int = 48, height: int = 32) -> Image.Image:
    """Red above, blue below, a white mark in the top left corner."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (0, height // 2, width, height))
    image.paste((255, 255, 255), (0, 0, width // 4, height // 4))
    return image


def encoded(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def close(found, expected, within: float = 12) -> bool:
    difference = np.abs(np.asarray(found, dtype=float) - np.asarray(expected, dtype=float))
    return found.size == expected.size and difference.mean() <= within


def test_every_format_shows_the_same():
    for format in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"):
        found = load(encoded(picture(), format))
        assert found.mode == "RGB" and close(found, picture()), format
    assert len(decode.FORMATS) == 6


def test_files_are_as_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(), "PNG"))
    assert load(path) == load(path.read_bytes())


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_is_shown(format):
    other = Image.new("RGB", (48, 32), "green")
    data = encoded(picture(), format, save_all=True, append_images=[other])
    assert close(load(data), picture())


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_modes(mode):
    format = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    image = picture().convert(mode)
    assert close(load(encoded(image, format)), image.convert("RGB"))


def test_sixteen_bits_are_scaled_not_cut():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    for format in ("PNG", "TIFF"):
        found = np.asarray(load(encoded(Image.fromarray(ramp), format)))
        assert np.array_equal(found[0, :, 0], np.arange(256)), format


def test_thirty_two_bits_beyond_sixteen_are_refused():
    data = encoded(Image.fromarray(np.array([[0, 70000]], np.int32)), "TIFF")
    with pytest.raises(PictureError, match="go from 0 to 70000; 16 bits go from 0 to 65535"):
        load(data)


def test_floating_point_is_refused():
    data = encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    with pytest.raises(PictureError, match="floating-point"):
        load(data)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode):
    image = Image.new(mode, (4, 4), (*([0] * (len(mode) - 1)), 0))
    image.putpixel((0, 0), (*([0] * (len(mode) - 1)), 255))
    found = np.asarray(load(encoded(image, "PNG")))
    assert found[0, 0].tolist() == [0, 0, 0] and found[3, 3].tolist() == [255, 255, 255]


def test_a_transparent_palette_and_colour_are_white():
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    for transparency in (1, b"\xff\x00"):
        found = np.asarray(load(encoded(palette, "PNG", transparency=transparency)))
        assert (found == 255).all()
    colour = encoded(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert (np.asarray(load(colour)) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(orientation, format):
    upright = picture()
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    turn = decode._UPRIGHT.get(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(upright.transpose(turn) if turn is not None else upright, format, exif=exif)
    assert close(load(data), upright)
    assert pixels(data, size=(8, 12)).shape == (8, 12, 3)
    assert (examine(data).width, examine(data).height) == (48, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "TIFF"])
def test_the_size_is_that_of_the_decoded_picture(tmp_path, orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(48, 32), format, exif=exif)
    path = tmp_path / "a"
    path.write_bytes(data)
    assert size(data)[::-1] == size(path)[::-1] == load(data).size
    assert size(path) in ((48, 32), (32, 48))


def test_the_size_needs_no_pixels(tmp_path):
    data = encoded(picture(4000, 3000), "JPEG")
    assert size(data[:2000]) == (3000, 4000) and size(np.asarray(picture(5, 4))) == (4, 5)
    for broken in (b"", b"GIF", data[:20]):
        with pytest.raises(PictureError):
            size(broken)
    with pytest.raises(PictureError, match="cannot be opened"):
        size(tmp_path / "gone.png")


def test_broken_exif_is_no_matter():
    for tiff in (b"", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff\x12"):
        assert close(load(encoded(picture(), "JPEG", exif=b"Exif\0\0" + tiff)), picture())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_cut_short_is_an_error_not_a_grey_half(format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, format)
    for share in (0.3, 0.7):
        with pytest.raises(PictureError, match="train/7.jpg: cannot be decoded"):
            load(data[: int(len(data) * share)], where="train/7.jpg")
        with pytest.raises(PictureError):
            pixels(data[: int(len(data) * share)], size=16)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_damaged_bytes_give_a_picture_or_a_picture_error(format, damage):
    data = bytearray(encoded(picture(), format))
    for place, value in damage:
        data[int(place * len(data))] = value
    try:
        assert pixels(bytes(data), size=16).shape == (16, 16, 3)
    except PictureError:
        pass


def test_a_bomb_is_refused_from_its_header():
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    for side in (9000, 20000, 60000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99)))
        with pytest.raises(PictureError) as caught:
            load(data, where="big.png")
        assert f"{side * side} pixels; the limit is {decode.MAX_PIXELS}" in str(caught.value)
        assert "make it smaller" in str(caught.value)


def test_what_is_no_picture_says_what_it_looks_like():
    cases = {
        b"<!DOCTYPE html><html>": "web page",
        b"%PDF-1.7": "PDF",
        b"\0\0\0\x1cftypavif": "AVIF",
        b"version https://git-lfs.github.com": "git lfs pull",
        b"hello": "not a JPEG, PNG, WebP, GIF, BMP or TIFF picture",
    }
    for data, expected in cases.items():
        with pytest.raises(PictureError, match=expected):
            load(data)
    # A format that Pillow knows but that is not on the list.
    with pytest.raises(PictureError, match="not a JPEG"):
        load(encoded(picture(), "PPM"))


def test_empty_missing_and_other_than_files(tmp_path):
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(PictureError, match=r"empty.png: empty: 0 bytes\n  copy or download"):
        load(empty)
    with pytest.raises(PictureError, match="gone.png: cannot be opened: No such file"):
        load(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match="not a file"):
        load(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match="not a file"):
        load(tmp_path)
    with pytest.raises(PictureError, match="empty: 0 bytes"):
        load(b"", where="row 3")
    with pytest.raises(PictureError, match="cannot be opened"):
        load(Path("a\0b"))


def test_more_bytes_than_the_limit(monkeypatch):
    monkeypatch.setattr(decode, "MAX_BYTES", 10)
    with pytest.raises(PictureError, match="bytes; the limit for one picture is 10"):
        load(encoded(picture(), "PNG"))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_of_another_shape_or_type(array):
    for use in (load, examine, lambda a, where: pixels(a, size=4, where=where)):
        with pytest.raises(PictureError) as caught:
            use(array, where="scene 5")
        assert str(array.shape) in str(caught.value) and str(array.dtype) in str(caught.value)
        assert "scene 5" in str(caught.value)


def test_an_array_of_the_size_is_passed_through():
    array = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    for fit in FITS:
        assert pixels(array, size=(4, 6), fit=fit) is array
    assert pixels(array, size=(8, 12)).shape == (8, 12, 3)


def test_pixels_of_the_size_are_not_touched_and_can_be_written():
    data = encoded(picture(), "PNG")
    for fit in FITS:
        found = pixels(data, size=(32, 48), fit=fit)
        assert np.array_equal(found, np.asarray(picture())) and found.flags.writeable
        assert found.dtype == np.uint8 and found.flags.c_contiguous


def test_fits():
    tall = Image.new("RGB", (20, 80), RED)
    tall.paste(BLUE, (0, 20, 20, 60))
    data = encoded(tall, "PNG")
    assert pixels(data, size=(10, 30), fit="stretch").shape == (10, 30, 3)
    cropped = pixels(data, size=20, fit="crop")
    assert (cropped == BLUE).all()
    padded = pixels(data, size=40, fit="pad")
    assert (padded[:, :15] == 127).all() and (padded[:, 25:] == 127).all()
    assert np.abs(padded[0, 15:25].astype(int) - RED).max() < 12


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(FITS),
    st.sampled_from(["JPEG", "PNG"]),
)
def test_any_size_to_any_size(size, wanted, fit, format):
    image = Image.new("RGB", size, RED)
    found = pixels(encoded(image, format), size=wanted, fit=fit)
    assert found.shape == (*wanted, 3)
    middle = found[wanted[0] // 2, wanted[1] // 2].astype(int)
    assert np.abs(middle - RED).max() <= 12 or fit == "pad"


def test_shrinking_is_antialiased():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    for format in ("PNG", "JPEG"):
        found = pixels(encoded(Image.fromarray(stripes), format), size=16).astype(int)
        assert np.abs(found[:, 1:-1] - 127).max() < 12


def test_a_draft_is_near_the_whole():
    rng = np.random.default_rng(1)
    soft = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((640, 480))
    data = encoded(soft, "JPEG", quality=95)
    whole = np.asarray(load(data).resize((64, 48), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(pixels(data, size=(48, 64)).astype(int) - whole).mean() < 2


def test_sizes_and_fits_that_cannot_be():
    data = encoded(picture(), "PNG")
    with pytest.raises(DataError, match="0x4 is not positive"):
        pixels(data, size=(0, 4))
    with pytest.raises(DataError, match="unknown fit 'strech'\n  did you mean 'stretch'?"):
        pixels(data, size=4, fit="strech")


def test_examine_says_what_it_is():
    cases = {
        ("JPEG", "CMYK"): "CMYK",
        ("PNG", "RGBA"): "alpha",
        ("PNG", "1"): "1 bit",
        ("PNG", "P"): "palette",
        ("PNG", "L"): "grey",
        ("BMP", "RGB"): "colour",
    }
    for (format, mode), kind in cases.items():
        facts = examine(encoded(picture().convert(mode), format))
        assert (facts.format, facts.kind, facts.width, facts.height) == (format, kind, 48, 32)
    sixteen = Image.fromarray(np.zeros((2, 2), np.uint16))
    assert examine(encoded(sixteen, "PNG")).kind == "16 bit"
    assert examine(np.zeros((2, 5, 3), np.uint8)).width == 5


def test_threads_decode_side_by_side_and_leave_warnings_as_they_were():
    before = list(warnings.filters)
    several = [encoded(picture(), format) for format in ("JPEG", "TIFF", "GIF", "WEBP")] * 25
    with ThreadPoolExecutor(4) as pool:
        assert all(close(found, picture()) for found in pool.map(load, several))
    assert warnings.filters == before
