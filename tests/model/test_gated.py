"""Gated cross-attention: nothing at first, or where there is nothing to see; caches; places."""

import pytest
import torch

from seesay.model import blocks, gated, layers
from seesay.model.blocks import At
from seesay.model.layers import LayerCache, Rotary

WIDTH, SEEN, HEADS, ROWS, LENGTH, PLACES = 24, 10, 3, 3, 6, 8


def cross(**options) -> gated.GatedCross:
    return gated.GatedCross(
        attention=layers.Attention(width=WIDTH, num_heads=HEADS, context_width=SEEN),
        attention_norm=layers.norm("rms", WIDTH),
        mlp=layers.MLP(width=WIDTH, inner=30, activation="silu", gated=True, bias=False),
        mlp_norm=layers.norm("rms", WIDTH),
        **options,
    )


def opened(part: torch.nn.Module) -> torch.nn.Module:
    for name, parameter in part.named_parameters():
        if name.endswith(("attention_gate", "mlp_gate")):
            parameter.data.fill_(0.7)
    return part.eval()


def decoder_block() -> blocks.Block:
    rotary = Rotary(width=WIDTH // HEADS)
    return blocks.stack(depth=1, width=WIDTH, num_heads=HEADS, mlp_inner=30, rotary=rotary)[0]


def block() -> gated.Gated:
    return opened(gated.Gated(cross=cross(), block=decoder_block()))


def given() -> dict:
    """Row 0 sees the context from its third position on, row 1 part of it, row 2 nothing of it."""
    may = torch.zeros(ROWS, 1, LENGTH, PLACES, dtype=torch.bool)
    may[0, :, 2:] = may[1, :, :, :5] = True
    causal = torch.ones(ROWS, 1, LENGTH, LENGTH).tril().bool()
    places = torch.arange(LENGTH).expand(ROWS, LENGTH)
    return dict(
        context=torch.randn(ROWS, PLACES, SEEN),
        context_bias=layers.mask_bias(may, torch.float32),
        bias=layers.mask_bias(causal, torch.float32),
        angles=Rotary(width=WIDTH // HEADS).angles(places),
    )


def test_who_may_look_at_anything():
    seen = gated.sees(given()["context_bias"])[..., 0]
    assert seen.tolist() == [[False] * 2 + [True] * 4, [True] * 6, [False] * 6]
    assert gated.sees(torch.zeros(PLACES)).shape == (1, 1, 1)
    assert not gated.sees(torch.zeros(ROWS, 1, LENGTH, 0)).any()


def test_a_fresh_one_is_the_block_alone_but_its_gates_learn():
    """Its inner parts are not zeroed: behind a gate at zero they would never move."""
    part, x, rest = block(), torch.randn(ROWS, LENGTH, WIDTH), given()
    for gate in (part.cross.attention_gate, part.cross.mlp_gate):
        gate.data.zero_()
    blocks.initialise(part)
    alone = {name: rest[name] for name in ("bias", "angles")}
    assert torch.equal(part(x, **rest), part.block(x, **alone))
    (part(x, **rest) * torch.randn_like(x)).sum().backward()
    for gate in (part.cross.attention_gate, part.cross.mlp_gate):
        assert gate.grad.abs().min() > 1e-3


def test_the_fused_path_is_the_plain_one_and_rows_are_as_if_alone():
    part, x, rest = block(), torch.randn(ROWS, LENGTH, WIDTH), given()
    together = part(x, **rest)
    torch.testing.assert_close(part(x, fused=True, **rest), together)
    for i in range(ROWS):
        own = {name: value[i : i + 1] for name, value in rest.items() if name != "angles"}
        own["angles"] = tuple(angle[i : i + 1] for angle in rest["angles"])
        torch.testing.assert_close(part(x[i : i + 1], **own)[0], together[i])


@pytest.mark.parametrize("fused", [False, True])
def test_what_may_not_be_seen_changes_nothing(fused):
    """A position with nothing to see is as in a batch without any picture."""
    part, x, rest = opened(cross()), torch.randn(ROWS, LENGTH, WIDTH), given()
    context, bias = rest["context"], rest["context_bias"]
    before = part(x, context=context, context_bias=bias, fused=fused)
    blind = ~gated.sees(bias)[..., 0]
    torch.testing.assert_close(before[blind], part(x, fused=fused)[blind])
    none = part(x, context=context[:, :0], context_bias=bias[..., :0], fused=fused)
    torch.testing.assert_close(none, part(x))
    context[0] += 1
    after = part(x, context=context, context_bias=bias, fused=fused)
    assert torch.equal(after[blind], before[blind]) and torch.equal(after[1:], before[1:])
    assert (after - before)[0, 2:].abs().amax(dim=-1).gt(1e-3).all()


def test_text_before_any_picture_can_be_left_as_it_is():
    """To the bit; where something may be seen the MLP works all the same."""
    part, x, rest = opened(cross(mlp_everywhere=False)), torch.randn(3, LENGTH, WIDTH), given()
    bias, context = rest["context_bias"], rest["context"]
    blind = ~gated.sees(bias)[..., 0]
    kept = part(x, context=context, context_bias=bias)
    assert torch.equal(kept[blind], x[blind]) and torch.equal(part(x), x)
    part.mlp_everywhere = True
    everywhere = part(x, context=context, context_bias=bias)
    assert torch.equal(everywhere[~blind], kept[~blind])
    assert not torch.allclose(everywhere[blind], x[blind])


def test_recorded_attention_is_what_was_used():
    part, x, rest = block(), torch.randn(ROWS, LENGTH, WIDTH), given()
    record: dict[str, torch.Tensor] = {}
    recorded = part(x, record=record, name="text.blocks.0", **rest)
    torch.testing.assert_close(recorded, part(x, **rest))
    looks = record["text.blocks.0.cross"]
    assert looks.shape == (ROWS, HEADS, LENGTH, PLACES)
    seen = gated.sees(rest["context_bias"])[:, None, :, 0].expand(ROWS, HEADS, LENGTH)
    torch.testing.assert_close(looks.sum(-1), seen.float())
    assert record["text.blocks.0.attention"].shape == (ROWS, HEADS, LENGTH, LENGTH)
    assert "text.blocks.0.features" in record


def test_some_places_are_as_among_all():
    part, x, rest = block(), torch.randn(ROWS, LENGTH, WIDTH), given()
    places = torch.tensor([[5, 1], [0, 3], [2, 2]])
    at = At.of(places, bias=rest["bias"], angles=rest["angles"])
    wanted = blocks.take(part(x, **rest), places)
    torch.testing.assert_close(part(x, at=at, **rest), wanted)


@pytest.mark.parametrize("again", [False, True])
def test_decoding_in_pieces_is_the_whole(again):
    """The context's keys are made once, whether it is given again or not; rows may be dropped."""
    part, x, rest = block(), torch.randn(ROWS, LENGTH, WIDTH), given()
    whole = part(x, **rest)
    cache, pieces, at, rows = LayerCache(), [], 0, torch.arange(ROWS)
    made = []
    part.cross.attention.key.register_forward_hook(lambda *_: made.append(1))
    for size in (3, 1, 2):
        end, context = at + size, rest["context"][rows] if again or not at else None
        pieces.append(
            part(
                x[rows, at:end],
                context=context,
                context_bias=rest["context_bias"][rows, :, at:end],
                bias=rest["bias"][rows, :, at:end, :end],
                angles=tuple(angle[rows, :, at:end] for angle in rest["angles"]),
                cache=cache,
            )
        )
        torch.testing.assert_close(pieces[-1], whole[rows, at:end])
        at = end
        if at == 3:
            rows = torch.tensor([1, 0])
            cache.rows(rows)
    assert made == [1]


def test_every_second_block_of_a_decoder_is_gated():
    those = blocks.stack(depth=5, width=WIDTH, num_heads=HEADS, mlp_inner=30)
    several = gated.gate(those, every=2, cross=cross)
    assert [isinstance(each, gated.Gated) for each in several] == [True, False] * 2 + [True]
    assert several[0].block is those[0] and several[1] is those[1]
    assert several[0].cross is not several[2].cross
