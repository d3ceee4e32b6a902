"""Connectors of learned queries: the paper's numbers, one path as the other, awake at the start."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from seesay.errors import RecipeError
from seesay.model import blocks, connectors, layers, qformer

SEEN, WIDTH, HEADS, ROWS = 12, 24, 3, 4
GRID, QUERY_GRID = (4, 6), (2, 3)
PATCHES, QUERIES = 24, 6


def resampler(*, width: int = WIDTH) -> connectors.Resampler:
    blocks = connectors.perceiver_blocks(depth=2, width=SEEN, num_heads=HEADS, mlp_inner=20)
    return connectors.Resampler(
        queries=torch.randn(QUERIES, SEEN) * 0.2,
        blocks=blocks,
        norm=layers.norm("layer", SEEN),
        project=nn.Linear(SEEN, width) if width != SEEN else None,
    )


def position_resampler(*, vision_width: int = SEEN, query_grid=QUERY_GRID):
    return connectors.PositionResampler(
        vision_width=vision_width,
        text_width=WIDTH,
        num_heads=HEADS,
        grid=GRID,
        query_grid=query_grid,
    )


def projected_qformer() -> qformer.QueryProjection:
    blocks = qformer.query_blocks(
        depth=2, width=18, num_heads=HEADS, mlp_inner=20, vision_width=SEEN, text=False
    )
    core = qformer.QFormer(
        queries=torch.randn(QUERIES, 18), norm=layers.norm("layer", 18), blocks=blocks
    )
    return qformer.QueryProjection(qformer=core, project=nn.Linear(18, WIDTH))


KINDS = [resampler, position_resampler, projected_qformer]


def queries_of(part: nn.Module) -> nn.Parameter:
    return next(value for name, value in part.named_parameters() if name.endswith("queries"))


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_as_if_alone_on_either_path(kind):
    part, patches = kind().eval(), torch.randn(ROWS, PATCHES, SEEN)
    together = part(patches)
    assert together.shape == (ROWS, QUERIES, WIDTH)
    torch.testing.assert_close(part(patches, fused=True), together)
    for i in range(ROWS):
        torch.testing.assert_close(part(patches[i : i + 1])[0], together[i])
    assert part(patches[:0]).shape == (0, QUERIES, WIDTH)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_one_sees_and_its_gradients_reach_pictures_and_queries(kind):
    """Zeroed ends of residual paths would hide the picture, and at first stop what comes back."""
    part = kind()
    blocks.initialise(part)
    patches = torch.randn(ROWS, PATCHES, SEEN, requires_grad=True)
    given = part(patches)
    across = given.var(dim=0).mean() / given.var(dim=(0, 1)).mean()
    assert across > 0.05 and 0.3 < given.std() < 3
    (given * torch.randn_like(given)).sum().backward()
    gradients = {name: p.grad for name, p in part.named_parameters() if p.ndim > 1}
    for name, gradient in (gradients | {"patches": patches.grad}).items():
        assert gradient is not None and gradient.norm() > 1e-3, name
    assert queries_of(part).grad.norm() < 100 * patches.grad.norm()


@pytest.mark.parametrize(("kind", "names", "columns"), [
    (resampler, [f"connector.blocks.{i}.attention" for i in range(2)], PATCHES + QUERIES),
    (position_resampler, ["connector.attention"], PATCHES),
    (projected_qformer, ["connector.blocks.0.cross"], PATCHES),
])  # fmt: skip
def test_where_queries_look_is_recorded(kind, names, columns):
    part, patches = kind().eval(), torch.randn(ROWS, PATCHES, SEEN)
    record: dict[str, torch.Tensor] = {}
    torch.testing.assert_close(part(patches, fused=True, record=record), part(patches))
    for name in names:
        assert record[name].shape == (ROWS, HEADS, QUERIES, columns)
        torch.testing.assert_close(record[name].sum(-1), torch.ones(ROWS, HEADS, QUERIES))


def test_a_resampler_is_flamingos_equation():
    """x + attention(x, [patches; x]), x + mlp(x), by hand for one head."""
    part = connectors.Resampler(
        queries=torch.randn(QUERIES, SEEN),
        blocks=connectors.perceiver_blocks(depth=1, width=SEEN, num_heads=1, mlp_inner=20),
        norm=nn.Identity(),
    )
    patches, (block,) = torch.randn(1, PATCHES, SEEN), part.blocks
    q = block.query_norm(part.queries)
    seen = torch.cat((block.patch_norm(patches[0]), q))
    attention = block.attention
    scores = attention.query(q) @ attention.key(seen).T / math.sqrt(SEEN)
    x = part.queries + attention.out(scores.softmax(-1) @ attention.value(seen))
    x = x + block.mlp.down(block.mlp.up(block.mlp_norm(x)).relu() ** 2)
    torch.testing.assert_close(part(patches)[0], x)


def test_a_resampler_of_the_text_sides_width_projects_nothing():
    assert not any("project" in name for name in resampler(width=SEEN).state_dict())


def test_patches_have_no_order_for_a_resampler_but_places_for_a_position_resampler():
    patches, order = torch.randn(ROWS, PATCHES, SEEN), torch.randperm(PATCHES)
    plain, placed = resampler(), position_resampler()
    torch.testing.assert_close(plain(patches[:, order]), plain(patches))
    assert not torch.allclose(placed(patches[:, order]), placed(patches), atol=0.05)


def reference_positions(width: int, height: int, across: int) -> torch.Tensor:
    """As in MAE and Qwen-VL: a column's sines, its cosines, then the row's."""
    omega = 1 / 10_000 ** (np.arange(width // 4) / (width / 4))
    rows = []
    for row in range(height):
        for column in range(across):
            places = [wave(at * omega) for at in (column, row) for wave in (np.sin, np.cos)]
            rows.append(np.concatenate(places))
    return torch.tensor(np.stack(rows), dtype=torch.float32)


@pytest.mark.parametrize("grid", [(1, 1), (4, 6), (5, 2)])
def test_positions_are_sines_and_cosines_of_column_and_row(grid):
    torch.testing.assert_close(connectors.sincos(grid, width=16), reference_positions(16, *grid))


def test_a_width_that_does_not_divide_is_an_error_with_the_number():
    with pytest.raises(RecipeError, match="18"):
        connectors.sincos((2, 2), width=18)


@pytest.mark.parametrize(("vision_width", "query_grid"), [
    (SEEN, QUERY_GRID),
    (WIDTH, GRID),  # nothing to project, nothing between
])  # fmt: skip
def test_the_position_resampler_is_qwens(vision_width, query_grid):
    """Against torch's own attention: keys have positions, values none; queries are all alike."""
    ours = position_resampler(vision_width=vision_width, query_grid=query_grid).eval()
    theirs = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    nn.init.normal_(theirs.in_proj_bias)
    nn.init.normal_(theirs.out_proj.bias)
    projections = (ours.attention.query, ours.attention.key, ours.attention.value)
    for part, weight, bias in zip(
        projections, theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True
    ):
        part.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
    ours.attention.out.load_state_dict(theirs.out_proj.state_dict())

    table = reference_positions(WIDTH, *query_grid)
    square = table.view(*query_grid, WIDTH).permute(2, 0, 1)[None]
    between = nn.functional.interpolate(square, GRID, mode="bicubic", align_corners=False)
    between = between[0].permute(1, 2, 0).flatten(0, 1)
    patches = torch.randn(ROWS, PATCHES, vision_width)
    with torch.no_grad():
        kv = patches @ ours.patch_project.weight.T if vision_width != WIDTH else patches
        kv = nn.functional.layer_norm(kv, (WIDTH,), eps=1e-6)
        q = nn.functional.layer_norm(ours.queries, (WIDTH,), eps=1e-6) + table
        seen, _ = theirs(q.expand(ROWS, -1, -1), kv + between, kv)
        expected = nn.functional.layer_norm(seen, (WIDTH,), eps=1e-6) @ ours.project.weight.T
        assert expected.std() > 0.1
        for fused in (False, True):
            torch.testing.assert_close(ours(patches, fused=fused), expected, atol=1e-5, rtol=1e-4)


def test_positions_are_of_the_recipe_and_not_of_the_weights():
    names = position_resampler().state_dict()
    assert "queries" in names and not any("positions" in name for name in names)
