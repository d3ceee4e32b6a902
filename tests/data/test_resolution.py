"""Resolution: the sizes that LLaVA-NeXT, Idefics3 and Qwen2-VL choose; budgets that are kept."""

import importlib
import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data import resolution
from seesay.data.plan import num_tiles
from seesay.data.resolution import (
    PINPOINTS,
    best,
    best_fit,
    grids,
    native,
    smart_resize,
    split,
    split_size,
    together,
)
from seesay.errors import DataError, LengthError

SIDES = (1, 2, 7, 27, 100, 278, 336, 337, 448, 480, 561, 640, 799, 1080, 1344, 1920, 2999)
SIZES = tuple(itertools.product(SIDES, SIDES))
SIZE = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


def test_known_values():
    assert best_fit((800, 600), tile=448) == (896, 896)
    assert best_fit((600, 1800), tile=336) == (336, 1008)
    assert best_fit((1000, 300), tile=336) == (1008, 336)
    assert smart_resize(561, 278, 28) == (560, 280)
    assert smart_resize(1, 100) == (28, 560) and smart_resize(4000, 3000) == (1148, 840)
    assert split_size((600, 800), tile=512, longest=2048) == (1536, 2048)
    assert split_size((600, 800), tile=364) == (1092, 1092)
    assert resolution._rescaled((333, 1000), 1456) == (484, 1456)


# Against transformers, where it is installed.


def theirs(name: str):
    pytest.importorskip("transformers")
    return importlib.import_module(f"transformers.{name}")


@pytest.mark.parametrize("tile", [336, 384, 448])
@pytest.mark.parametrize("among", [PINPOINTS, grids(4), grids(9)])
def test_the_best_fit_is_theirs(tile, among):
    select = theirs("image_processing_utils").select_best_resolution
    resolutions = [(rows * tile, columns * tile) for rows, columns in among]
    for size in SIZES:
        assert best_fit(size, tile=tile, grids=among) == select(size, resolutions), size


@pytest.mark.parametrize("factor", [28, 32, 16])
def test_the_smart_resize_is_theirs(factor):
    resize = theirs("models.qwen2_vl.image_processing_pil_qwen2_vl").smart_resize
    for size in SIZES:
        for limits in ({}, {"min_pixels": 256 * 256, "max_pixels": 512 * 512}):
            try:
                wanted = resize(*size, factor, **limits)
            except ValueError:
                with pytest.raises(DataError, match="more than 200 times the other"):
                    smart_resize(*size, factor, **limits)
                continue
            assert smart_resize(*size, factor, **limits) == wanted, size


@pytest.mark.parametrize(("tile", "longest"), [(364, 4 * 364), (512, 4 * 512), (378, 3 * 378)])
@pytest.mark.parametrize("kind", ["Idefics3", "SmolVLM"])
def test_the_split_is_theirs(kind, tile, longest):
    """Their own methods, on pictures that are sizes and nothing else."""
    name = f"models.{kind.lower()}.image_processing_pil_{kind.lower()}"
    module = theirs(name)
    processor = getattr(module, f"{kind}ImageProcessorPil")()

    def resize(image, size, **how):
        return SimpleNamespace(shape=(3, size.height, size.width))

    processor.resize = resize
    for size in SIZES:
        image = SimpleNamespace(shape=(3, *size))
        first = module.get_resize_output_image_size(image, longest)
        if 0 in _next(first, tile):
            continue  # what they make nothing of
        made = processor.resize_for_vision_encoder(SimpleNamespace(shape=(3, *first)), tile)
        height, width = split_size(size, tile=tile, longest=longest)
        assert (height, width) == made.shape[1:], size
        rows = (height - tile) // tile + 1, (width - tile) // tile + 1
        several = height > tile or width > tile
        assert num_tiles((height // tile, width // tile)) == (rows[0] * rows[1] + several)


def _next(size, tile):
    height, width = size
    return (int(width / (width / height)), int(height * (width / height)))


# Budgets.


@given(SIZE, st.integers(1, 12), st.integers(1, 80), st.integers(1, 40))
def test_the_largest_plan_within_a_budget(size, most, tokens, budget):
    for choose in (best, split):
        how = {"tile": (56, 56), "max_tiles": most, "tokens": tokens}
        if budget < tokens:
            with pytest.raises(LengthError, match=f"{tokens} tokens .* a budget of {budget}"):
                choose(size, **how, budget=budget)
            continue
        free, kept = choose(size, **how), choose(size, **how, budget=budget)
        rows, columns = kept.grid
        assert kept.tokens == num_tiles(kept.grid) * tokens <= budget and rows * columns <= most
        assert kept == free or free.tokens > budget


@given(SIZE, st.integers(1, 12))
def test_what_is_chosen_suits_the_picture(size, most):
    chosen = best(size, tile=(56, 56), max_tiles=most).grid
    assert chosen == tuple(s // 56 for s in best_fit(size, tile=56, grids=grids(most)))
    rows, columns = split(size, tile=(56, 56), max_tiles=most).grid
    assert max(rows, columns) <= -(-max(size) // 56)
    assert (rows - columns) * (size[0] - size[1]) >= 0


@given(SIZE, st.integers(1, 3000))
def test_a_grid_of_its_own_keeps_its_budget(size, budget):
    size = (max(size[0], size[1] // 150 + 1), max(size[1], size[0] // 150 + 1))
    plan = native(size, unit=28, budget=budget)
    high, wide = plan.canvas[0] // 28, plan.canvas[1] // 28
    assert plan.canvas == (high * 28, wide * 28) and plan.tokens == high * wide
    assert 1 <= plan.tokens <= budget and plan.num_tiles == 1
    assert native(size, unit=28).canvas == smart_resize(*size)


@settings(max_examples=30, deadline=None)
@given(st.lists(SIZE, min_size=1, max_size=4), st.integers(1, 100))
def test_pictures_of_a_sequence_share_a_budget(sizes, budget):
    def plan(size, most):
        return best(size, tile=(56, 56), max_tiles=9, tokens=4, budget=most)

    if 4 * len(sizes) > budget:
        with pytest.raises(LengthError, match=f"{len(sizes)} pictures take {4 * len(sizes)}") as e:
            together(sizes, plan, budget=budget, where="a.csv:3")
        assert e.value.where == "a.csv:3"
        return
    made = together(sizes, plan, budget=budget)
    total = sum(each.tokens for each in made)
    assert total <= budget and [each.size for each in made] == sizes
    free = [plan(size, None) for size in sizes]
    if list(made) != free:
        # With one tile more allowed to each, it would be kept no longer.
        cap = max(each.tokens for each in made)
        larger = min(each.tokens for each in free if each.tokens > cap)
        assert all(
            sum(plan(size, most).tokens for size in sizes) > budget or
            tuple(plan(size, most) for size in sizes) == made
            for most in range(cap, larger + 1)
        )  # fmt: skip


def test_pictures_without_a_budget_are_as_alone():
    sizes = [(100, 300), (56, 56)]
    made = together(sizes, lambda s, most: best(s, tile=(56, 56), max_tiles=6), budget=None)
    assert [plan.grid for plan in made] == [(1, 3), (1, 1)] or made[0].grid[1] > made[0].grid[0]


def test_tiles_to_split_into_are_square():
    with pytest.raises(DataError, match="tiles of 48×64"):
        split((100, 100), tile=(48, 64), max_tiles=4)
