"""Blocks: fused is plain, recorded attention is what was used, caches change nothing."""

import typing

import pytest
import torch

from seesay import config
from seesay.errors import RecipeError
from seesay.model import blocks, layers
from seesay.model.layers import Attention, LayerCache, Rotary

WIDTH, HEADS, ROWS, LENGTH = 24, 6, 2, 7


def attention(**options) -> Attention:
    defaults = dict(width=WIDTH, num_heads=HEADS, num_kv_heads=2, rotary=Rotary(width=4))
    return Attention(**(defaults | options)).eval()


def causal(length: int = LENGTH) -> torch.Tensor:
    return layers.mask_bias(torch.ones(length, length).tril().bool(), torch.float32)


def angles(length: int = LENGTH) -> tuple[torch.Tensor, torch.Tensor]:
    return Rotary(width=4).angles(torch.arange(length).expand(ROWS, length))


@pytest.mark.parametrize("head_norm", [None, "rms", "plain"])
def test_the_fused_path_is_the_plain_one(head_norm):
    part, x = attention(head_norm=head_norm), torch.randn(ROWS, LENGTH, WIDTH)
    given = dict(bias=causal(), angles=angles())
    torch.testing.assert_close(part(x, fused=True, **given), part(x, **given))


@pytest.mark.parametrize("fused", [False, True])
def test_recorded_attention_is_what_was_used(fused):
    """It sums to one, obeys the mask, and asking for it changes no output."""
    part, x = attention(), torch.randn(ROWS, LENGTH, WIDTH)
    kept = []
    given = dict(bias=causal(), angles=angles(), fused=fused)
    recorded = part(x, record=kept.append, **given)
    torch.testing.assert_close(recorded, part(x, **given))
    (weights,) = kept
    assert weights.shape == (ROWS, HEADS, LENGTH, LENGTH)
    torch.testing.assert_close(weights.sum(-1), torch.ones(ROWS, HEADS, LENGTH))
    assert not weights.triu(1).any() and (weights.tril() > 0).sum() == ROWS * HEADS * 28
    value = part.value(x).view(ROWS, LENGTH, 2, 4).repeat_interleave(3, dim=2)
    mixed = torch.einsum("bkts,bskw->btkw", weights, value).flatten(2)
    torch.testing.assert_close(recorded, part.out(mixed))


def test_a_cache_fed_in_pieces_gives_what_the_whole_gives():
    part, x = attention(), torch.randn(ROWS, LENGTH, WIDTH)
    cos, sin = angles()
    whole = part(x, bias=causal(), angles=(cos, sin))
    cache, pieces, at = LayerCache(), [], 0
    for size in (3, 1, 1, 2):
        end = at + size
        part_angles = cos[:, :, at:end], sin[:, :, at:end]
        bias = causal(end)[at:end]
        pieces.append(part(x[:, at:end], bias=bias, angles=part_angles, cache=cache))
        at = end
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)


def test_a_cache_keeps_the_rows_asked_for_in_their_order():
    cache = LayerCache()
    cache.rows(torch.tensor([0]))  # nothing in it yet
    keys = torch.randn(3, 2, 4, 4)
    cache.extend(keys, keys + 1)
    cache.rows(torch.tensor([2, 0]))
    assert torch.equal(cache.keys, keys[[2, 0]]) and torch.equal(cache.values, keys[[2, 0]] + 1)


def test_a_contexts_keys_and_values_are_made_once():
    """Later calls need not give the context, and rows may be dropped between them."""
    block = blocks.stack(depth=1, width=WIDTH, num_heads=HEADS, mlp_inner=30, cross_width=10)[0]
    x, seen = torch.randn(3, LENGTH, WIDTH), torch.randn(3, 5, 10)
    bias = layers.mask_bias(torch.rand(3, 1, LENGTH, 5) < 0.7, torch.float32)
    whole = block(x, context=seen, context_bias=bias, bias=causal())
    made = []
    block.cross.key.register_forward_hook(lambda *_: made.append(1))
    cache, rows = LayerCache(), torch.tensor([2, 0])
    first = block(x[:, :4], context=seen, context_bias=bias[:, :, :4], bias=causal(4), cache=cache)
    torch.testing.assert_close(first, whole[:, :4])
    cache.rows(rows)
    rest = block(x[rows, 4:], context_bias=bias[rows, :, 4:], bias=causal()[4:], cache=cache)
    torch.testing.assert_close(rest, whole[rows, 4:])
    assert made == [1]
    with pytest.raises(AssertionError, match="no context"):
        block(x, cache=LayerCache())


def test_positions_of_a_context_are_for_its_keys_alone():
    part, x = attention(rotary=None), torch.randn(ROWS, LENGTH, WIDTH)
    seen, places = torch.randn(ROWS, 5, WIDTH), torch.randn(5, WIDTH)
    given = part(x, context=seen, context_positions=places)
    kept = []
    part(x, context=seen + places, record=kept.append)
    value = part.value(seen).view(ROWS, 5, 2, 4).repeat_interleave(3, dim=2)
    mixed = torch.einsum("bkts,bskw->btkw", kept[0], value).flatten(2)
    torch.testing.assert_close(given, part.out(mixed))


def test_some_places_look_across_as_among_all():
    """A mask of the context that differs by position goes with the places."""
    block = blocks.stack(depth=1, width=WIDTH, num_heads=HEADS, mlp_inner=30, cross_width=10)[0]
    x, seen = torch.randn(ROWS, LENGTH, WIDTH), torch.randn(ROWS, 5, 10)
    bias = causal().expand(ROWS, 1, LENGTH, LENGTH)
    places = torch.tensor([[6, 1], [0, 3]])
    at = blocks.At.of(places, bias=bias, angles=None)
    for rows, size in ((ROWS, LENGTH), (ROWS, 1), (1, LENGTH)):
        hidden = layers.mask_bias(torch.rand(rows, 1, size, 5) < 0.6, torch.float32)
        given = dict(context=seen, context_bias=hidden, bias=bias)
        wanted = blocks.take(block(x, **given), places)
        torch.testing.assert_close(block(x, at=at, **given), wanted)


def test_rotary_scores_depend_on_the_distance_alone():
    rotary = Rotary(width=4)
    q, k = torch.randn(1, 1, 1, 4), torch.randn(1, 1, 1, 4)

    def score(i: int, j: int) -> torch.Tensor:
        at_i, at_j = (rotary.angles(torch.tensor([[p]])) for p in (i, j))
        return (Rotary.turn(q, at_i) * Rotary.turn(k, at_j)).sum()

    torch.testing.assert_close(score(9, 4), score(105, 100))
    assert abs(score(9, 4) - score(9, 5)) > 1e-3


def test_a_query_with_nowhere_to_look_gives_finite_numbers():
    nowhere = layers.mask_bias(torch.zeros(LENGTH, LENGTH).bool(), torch.float32)
    for fused in (False, True):
        assert (
            attention()(torch.randn(ROWS, LENGTH, WIDTH), bias=nowhere, fused=fused)
            .isfinite()
            .all()
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_mask_holds_in_every_precision(dtype):
    scores = torch.tensor([[-500.0, 500.0, -500.0]], dtype=dtype)
    bias = layers.mask_bias(torch.tensor([[True, False, True]]), dtype)
    assert (scores + bias).softmax(-1).tolist() == [[0.5, 0.0, 0.5]]


def test_cross_attention_looks_at_other_features():
    block = blocks.stack(
        depth=1, width=WIDTH, num_heads=HEADS, mlp_inner=30, cross_width=10, norms="layer"
    )[0].eval()
    x, seen = torch.randn(ROWS, LENGTH, WIDTH), torch.randn(ROWS, 5, 10)
    record: dict[str, torch.Tensor] = {}
    given = block(x, context=seen, record=record, name="text.blocks.0")
    assert record["text.blocks.0.cross"].shape == (ROWS, HEADS, LENGTH, 5)
    assert record["text.blocks.0.attention"].shape == (ROWS, HEADS, LENGTH, LENGTH)
    torch.testing.assert_close(record["text.blocks.0.features"], given)
    torch.testing.assert_close(block(x, context=seen, fused=True), given)
    assert not torch.allclose(block(x, context=seen + 1), given)
    hidden = layers.mask_bias(torch.tensor([True] * 4 + [False]), torch.float32)
    masked = block(x, context=seen, context_bias=hidden)
    changed = seen.clone()
    changed[:, 4] += 1
    torch.testing.assert_close(block(x, context=changed, context_bias=hidden), masked)


def test_fresh_blocks_are_the_identity():
    those = blocks.stack(depth=2, width=WIDTH, num_heads=HEADS, mlp_inner=30)
    blocks.initialise(those)
    x = torch.randn(ROWS, LENGTH, WIDTH)
    torch.testing.assert_close(those[1](those[0](x)), x)
    deviation = float(those[0].attention.query.weight.detach().std())
    assert deviation == pytest.approx(WIDTH**-0.5, rel=0.2)


def test_dropout_acts_in_training_alone():
    block = blocks.stack(depth=1, width=WIDTH, num_heads=HEADS, mlp_inner=30, dropout=0.5)[0]
    x = torch.randn(ROWS, LENGTH, WIDTH)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


def test_recipes_can_ask_for_every_activation_and_norm_there_is():
    assert set(typing.get_args(config.Activation)) == set(layers.ACTIVATIONS)
    for kind in typing.get_args(config.Norm):
        assert layers.norm(kind, 8)(torch.randn(2, 8)).shape == (2, 8)


@pytest.mark.parametrize(("options", "numbers"), [
    (dict(width=10, num_heads=4), ("4", "10")),
    (dict(width=12, num_heads=4, num_kv_heads=3), ("3", "4")),
])  # fmt: skip
def test_heads_that_do_not_divide_are_an_error_with_both_numbers(options, numbers):
    with pytest.raises(RecipeError) as error:
        Attention(**options)
    assert all(number in str(error.value) for number in numbers)
