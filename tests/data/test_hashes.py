"""A picture is told again after re-encoding, and from others; and all near pairs are found."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from seesay import scenes
from seesay.data import hashes, images
from seesay.data.hashes import Print, fingerprint, near, together


def photo(seed: int, side: int = 160) -> Image.Image:
    """A smooth picture of its own, as photographs are: noise of every scale."""
    random = np.random.default_rng(seed)
    whole = np.zeros((side, side, 3))
    for scale in (3, 6, 12, 24):
        noise = random.normal(0, 60 / scale**0.5, (scale, scale, 3)).clip(-127, 127) + 127
        layer = Image.fromarray(noise.astype(np.uint8))
        whole += np.asarray(layer.resize((side, side), Image.Resampling.BICUBIC), float) - 127
    return Image.fromarray((whole + 127).clip(0, 255).astype(np.uint8))


def looks(picture: Image.Image | bytes) -> Print:
    given = picture if isinstance(picture, bytes) else np.asarray(picture)
    return fingerprint(images.pixels(given, size=hashes.SIDE))


def jpeg(picture: Image.Image, quality: int = 50) -> bytes:
    made = io.BytesIO()
    picture.save(made, "JPEG", quality=quality)
    return made.getvalue()


def copies(picture: Image.Image) -> dict[str, Image.Image | bytes]:
    width, height = picture.size
    return {
        "jpeg": jpeg(picture),
        "smaller": picture.resize((width // 2, height // 2)),
        "stretched": picture.resize((width, height * 2)),
        "brighter": ImageEnhance.Brightness(picture).enhance(1.1),
        "contrast": ImageEnhance.Contrast(picture).enhance(1.15),
        "cropped": picture.crop((1, 1, width - 1, height - 1)),
    }


@pytest.mark.parametrize("how", copies(photo(0)))
def test_copies_are_near_and_others_are_not(how):
    originals = [photo(seed) for seed in range(20)]
    prints = [looks(each) for each in originals] + [looks(copies(e)[how]) for e in originals]
    found = {tuple(pair) for pair in near(prints).tolist()}
    assert found == {(i, i + 20) for i in range(20)}


def test_drawn_pictures_that_differ_in_one_colour_are_told_apart():
    """Their greys, and so their hashes, may be equal; their small copies are not."""
    world = scenes.World(seed=0, objects=(3, 6))
    pixels = [scenes.picture(world, i, resolution=64).images[0] for i in range(60)]
    swapped = [np.ascontiguousarray(picture[:, :, ::-1]) for picture in pixels]
    pairs = zip(pixels, swapped, strict=True)
    red_or_blue = [(np.abs(a.astype(int) - b).max(axis=2) > 150).mean() > 0.02 for a, b in pairs]
    prints = [looks(Image.fromarray(p)) for p in (*pixels, *swapped)]
    bits = [int(a.hash ^ b.hash).bit_count() for a, b in zip(prints, prints[60:], strict=False)]
    found = {int(a) for a, _ in near(prints)}
    assert sum(red_or_blue) > 25 and not any(red_or_blue[i] for i in found)
    assert sum(own and far <= hashes.NEAR for own, far in zip(red_or_blue, bits, strict=True)) > 3


def test_plain_pictures_are_told_by_their_colour():
    plain = [Image.new("RGB", (20, 30), (level, 0, 99)) for level in (0, 5, 100, 200)]
    prints = [looks(each) for each in plain]
    assert [int(each.hash) & ~1 for each in prints] == [0] * 4
    assert near(prints).tolist() == [[0, 1]]


def some_prints(data, count: int) -> list[Print]:
    """Prints with many near ones among them."""
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    first = random.integers(0, 2**63, 4, dtype=np.uint64)
    prints = []
    for _ in range(count):
        bits = random.choice(64, random.integers(0, 12), replace=False).astype(np.uint64)
        flips = np.bitwise_or.reduce(np.uint64(1) << bits) if len(bits) else np.uint64(0)
        colour = random.choice([0, 40, 90])
        small = np.full((8, 8, 3), colour, np.uint8)
        prints.append(Print(first[random.integers(4)] ^ flips, small))
    return prints


def slowly(prints: list[Print], distance: int) -> set[tuple[int, int]]:
    """All pairs, one by one."""
    found = set()
    for b, other in enumerate(prints):
        for a, one in enumerate(prints[:b]):
            bits = bin(int(one.hash) ^ int(other.hash)).count("1")
            far = np.abs(one.small.astype(int) - other.small.astype(int)).max()
            if bits <= distance and far <= hashes.LEVELS:
                found.add((a, b))
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.sampled_from([0, 1, 4, 8]), st.data())
def test_the_fast_search_finds_what_all_pairs_would(count, distance, data):
    prints = some_prints(data, count)
    expected = slowly(prints, distance)
    found = {tuple(pair) for pair in near(prints, distance=distance).tolist()}
    assert found <= expected
    # Of equal ones, each is paired with the first alone: the groups are the same.
    groups = together(prints, distance=distance)
    assert all(groups.first(a) == groups.first(b) for a, b in expected)
    equal = [(str(each.hash), each.small.tobytes()) for each in prints]
    first = {place for place, each in enumerate(equal) if equal.index(each) == place}
    assert {pair for pair in expected if set(pair) <= first} <= found


def test_numpy_of_before_it_counted_bits(monkeypatch):
    a, b = np.array([0, 2**63 + 5], np.uint64), np.array([2**64 - 1, 4], np.uint64)
    assert hashes._differing(a, b).tolist() == [64, 2]
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert hashes._differing(a, b).tolist() == [64, 2]


def test_the_search_does_not_take_all_pairs():
    """Of as many different ones, a share of the pairs that shrinks as they grow."""
    random = np.random.default_rng(0)
    small = np.zeros((8, 8, 3), np.uint8)

    def looked_at(count: int) -> int:
        made = random.integers(0, 2**63, count, dtype=np.uint64)
        codes = hashes._codes(made, hashes.NEAR)
        return sum(int(hashes._followed(code)[1].sum()) for code in codes)

    assert looked_at(20_000) < 20_000**2 / 2 / 500
    assert len(near([Print(np.uint64(7), small)] * 5000)) == 4999


def test_none_and_one():
    assert near([]).shape == near([looks(photo(0))]).shape == (0, 2)
    assert together([]).marks() == []
