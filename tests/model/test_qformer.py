"""The Q-Former: who sees whom, in each of its uses; fused is plain; rows are as if alone."""

import pytest
import torch

from seesay.errors import CapabilityError
from seesay.model import blocks, layers, qformer

WIDTH, SEEN, HEADS, ROWS = 24, 10, 3, 3
PATCHES, QUERIES, LENGTH = 7, 4, 5


def model(**options) -> qformer.QFormer:
    blocks = qformer.query_blocks(
        depth=3, width=WIDTH, num_heads=HEADS, mlp_inner=30, vision_width=SEEN, **options
    )
    return qformer.QFormer(
        queries=torch.randn(QUERIES, WIDTH), norm=layers.norm("layer", WIDTH), blocks=blocks
    ).eval()


def given() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patches, text, and which of it is real."""
    real = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    real[1, 3:] = False
    return torch.randn(ROWS, PATCHES, SEEN), torch.randn(ROWS, LENGTH, WIDTH), real


def bias(real: torch.Tensor, **options) -> torch.Tensor:
    return layers.mask_bias(qformer.allowed(real, **options), torch.float32)


def test_who_may_look_at_whom():
    """Rows look at columns; two queries, then three tokens of which the last is padding."""
    real = torch.tensor([[True, True, False]])
    both = qformer.allowed(real, num_queries=2)
    assert both.shape == (1, 1, 5, 5) and torch.equal(both[0, 0], both[0, 0, :1].expand(5, 5))
    assert both[0, 0, 0].tolist() == [True, True, True, True, False]
    assert qformer.allowed(real, num_queries=2, causal=True)[0, 0].int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
    ]


@pytest.mark.parametrize("causal", [False, True])
def test_rows_are_as_if_alone_on_either_path(causal):
    part, (patches, text, real) = model(), given()
    may = bias(real, num_queries=QUERIES, causal=causal)
    together = part(patches, text=text, bias=may)
    assert together.shape == (ROWS, QUERIES + LENGTH, WIDTH)
    torch.testing.assert_close(part(patches, text=text, bias=may, fused=True), together)
    for i in range(ROWS):
        length = int(real[i].sum())
        cut, there = text[i : i + 1, :length], real[i : i + 1, :length]
        own = bias(there, num_queries=QUERIES, causal=causal)
        alone = part(patches[i : i + 1], text=cut, bias=own)
        torch.testing.assert_close(alone[0], together[i, : QUERIES + length])


def test_captioning_hides_later_words_and_all_words_from_queries():
    part, (patches, text, real) = model(), given()
    real[:] = True
    may = bias(real, num_queries=QUERIES, causal=True)
    before = part(patches, text=text, bias=may)
    torch.testing.assert_close(before[:, :QUERIES], part(patches))
    text[:, 2] = torch.randn(ROWS, WIDTH)
    after = part(patches, text=text, bias=may)
    torch.testing.assert_close(after[:, : QUERIES + 2], before[:, : QUERIES + 2])
    assert (after - before)[:, QUERIES + 2 :].abs().amax(dim=-1).gt(1e-3).all()


def test_an_instruction_changes_what_queries_find_and_words_see_through_queries():
    part, (patches, text, real) = model(), given()
    may = bias(real, num_queries=QUERIES)
    first = part(patches, text=text, bias=may)
    other = part(patches, text=text.flip(1), bias=may)
    assert not torch.allclose(other[:, :QUERIES], first[:, :QUERIES])
    seen = part(patches + 1, text=text, bias=may)
    assert not torch.allclose(seen[:, QUERIES:], first[:, QUERIES:])


def test_text_alone_sees_no_queries():
    part, (_, text, real) = model(), given()
    may = bias(real, num_queries=0)
    alone = part(None, text=text, bias=may)
    assert alone.shape == (ROWS, LENGTH, WIDTH)
    part.queries.data += 1
    torch.testing.assert_close(part(None, text=text, bias=may), alone)


def test_hidden_patches_change_nothing():
    part, (patches, _, _) = model(), given()
    hidden = layers.mask_bias(torch.arange(PATCHES) < 5, torch.float32)
    before = part(patches, patch_bias=hidden)
    patches[:, 5:] += 1
    torch.testing.assert_close(part(patches, patch_bias=hidden), before)


def test_attention_is_recorded_where_there_is_some():
    """Every second block looks at the picture."""
    part, (patches, text, _) = model(), given()
    record: dict[str, torch.Tensor] = {}
    features = part(patches, text=text, record=record)
    length = QUERIES + LENGTH
    for i in range(3):
        name = f"connector.blocks.{i}"
        assert record[f"{name}.attention"].shape == (ROWS, HEADS, length, length)
        assert (f"{name}.cross" in record) == (i != 1)
    assert record["connector.blocks.2.cross"].shape == (ROWS, HEADS, QUERIES, PATCHES)
    torch.testing.assert_close(record["connector.blocks.2.features"], features)


def test_a_projection_gives_what_the_queries_found():
    part, (patches, text, real) = model(), given()
    project = torch.nn.Linear(WIDTH, 9)
    may = bias(real, num_queries=QUERIES)
    both = qformer.QueryProjection(qformer=part, project=project)
    found = part(patches, text=text, bias=may)[:, :QUERIES]
    torch.testing.assert_close(both(patches, text=text, bias=may), project(found))


def test_a_fresh_one_sees_and_all_of_it_learns():
    part, (patches, text, real) = model().train(), given()
    blocks.initialise(part)
    patches.requires_grad_()
    features = part(patches, text=text, bias=bias(real, num_queries=QUERIES))
    (features * torch.randn_like(features)).sum().backward()
    gradients = {name: p.grad for name, p in part.named_parameters() if p.ndim > 1}
    for name, gradient in (gradients | {"patches": patches.grad}).items():
        assert gradient is not None and gradient.norm() > 1e-3, name


def test_dropout_acts_in_training_alone():
    part, (patches, _, _) = model(dropout=0.5), given()
    torch.testing.assert_close(part(patches), part(patches))
    part.train()
    assert not torch.equal(part(patches), part(patches))


def test_what_it_cannot_take_is_an_error():
    patches, text, _ = given()
    with pytest.raises(CapabilityError, match="neither"):
        model()(None)
    with pytest.raises(CapabilityError, match="without MLPs for text"):
        model(text=False)(patches, text=text)
