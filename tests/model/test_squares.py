"""Squares: pictures of many shapes at once are each as if alone, and as Qwen2-VL sees them."""

import numpy as np
import pytest
import tiny
import torch
from einops import rearrange
from model.test_every_family import KINDS, WORDS, settings
from theirs import renamed
from torch import nn

from seesay import config
from seesay.errors import LengthError, RecipeError
from seesay.model import blocks, families, golden, layers, squares, vision
from seesay.model.connectors import PixelShuffle
from seesay.model.layers import GridRotary, Rotary, Runs, attend, mask_bias

GRIDS = ((2, 3), (1, 1), (3, 2), (4, 1), (1, 6), (1, 1))
WIDTH, HEADS = 32, 4


def lively(module):
    """Random weights under which attention makes a difference: what is normed stays large."""
    made = tiny.randomised(module, scale=0.2)
    for part in made.modules():
        if isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
    return made.eval()


def transformer(stem: nn.Module | None = None) -> vision.VisionTransformer:
    rotary = GridRotary(width=WIDTH // HEADS)
    made = vision.VisionTransformer(
        normalise=vision.Normalise(mean=(0.5,) * 3, deviation=(0.5,) * 3),
        stem=stem or vision.PatchStem(patch=4, width=WIDTH, bias=False),
        rotary=rotary,
        blocks=blocks.stack(depth=2, width=WIDTH, num_heads=HEADS, mlp_inner=64, norms="layer",
                            activation="quick_gelu", bias=True, rotary=rotary),
        norm=layers.norm("layer", WIDTH),
    )  # fmt: skip
    return lively(made)


def cut(grid: tuple[int, int], *, seed: int, side: int = 8) -> torch.Tensor:
    """The squares of a random picture."""
    pixels = tiny.picture(seed, (grid[0] * side, grid[1] * side))
    made = rearrange(pixels, "(r a) (c b) C -> (r c) C a b", a=side, b=side)
    return torch.from_numpy(np.ascontiguousarray(made))


SEVERAL = [cut(grid, seed=seed) for seed, grid in enumerate(GRIDS)]


# One picture among others.


@torch.no_grad()
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_a_picture_among_others_is_as_if_alone(fused, stem):
    conv = vision.ConvStem(widths=(8, 16), width=WIDTH, residuals=(0, 1))
    model = transformer(conv if stem == "conv" else None)
    together = model(torch.cat(SEVERAL), grids=GRIDS, fused=fused)
    assert together.shape == (24, 4, WIDTH) and together.std() > 0.1
    ends = np.cumsum([0, *(len(own) for own in SEVERAL)])
    for own, grid, a, b in zip(SEVERAL, GRIDS, ends, ends[1:], strict=False):
        alone = model(own, grids=(grid,))
        torch.testing.assert_close(together[a:b], alone, atol=1e-5, rtol=1e-5)
        # And it is itself: squares of 2 × 3 are not those of 3 × 2, though as many.
        if grid[0] != grid[1]:
            assert (model(own, grids=(grid[::-1],)) - alone).abs().max() > 0.01


@torch.no_grad()
def test_a_picture_sees_all_of_itself_and_nothing_of_others():
    model, record = transformer(), {}
    plain = model(torch.cat(SEVERAL), grids=GRIDS)
    for changed in range(len(SEVERAL)):
        other = [own.clone() for own in SEVERAL]
        other[changed][0] = 255 - other[changed][0]
        moved = (model(torch.cat(other), grids=GRIDS) - plain).abs().amax(dim=(1, 2)) > 0
        which = [i for i, own in enumerate(SEVERAL) for _ in own]
        assert moved.tolist() == [i == changed for i in which]
    torch.testing.assert_close(model(torch.cat(SEVERAL), grids=GRIDS, record=record), plain)
    weights_KTT = record["vision.blocks.1.attention"][0]
    torch.testing.assert_close(weights_KTT.sum(dim=-1), torch.ones(HEADS, 96))
    lengths = sorted(4 * len(own) for own in SEVERAL)
    which_T = torch.arange(6).repeat_interleave(torch.tensor(lengths))
    assert (weights_KTT[:, which_T[:, None] != which_T] == 0).all()


@torch.no_grad()
@pytest.mark.parametrize("grid", [(2, 3), (3, 1)])
def test_squares_are_the_same_picture_as_the_whole(grid):
    """Of a patch stem, but for the order of patches; so places are those of the picture."""
    model, own = transformer(), cut(grid, seed=3)
    whole = rearrange(own, "(r c) C a b -> 1 C (r a) (c b)", r=grid[0])
    there = rearrange(model(whole), "1 (r a c b) V -> (r c) (a b) V", a=2, b=2, c=grid[1])
    torch.testing.assert_close(model(own, grids=(grid,)), there, atol=1e-5, rtol=1e-5)


def test_squares_that_are_not_those_of_the_grids():
    with pytest.raises(LengthError, match="2 pictures have 7 squares, but 6 are given"):
        transformer()(SEVERAL[0], grids=((2, 3), (1, 1)))


def test_runs_are_what_their_mask_is():
    q, k, v = torch.randn(3, 2, HEADS, 21, 8)
    runs = Runs((4, 4, 4, 6, 3))
    mask = mask_bias(runs.allowed(q.device), q.dtype)
    for fused in (False, True):
        made = attend(q, k, v, bias=runs, fused=fused)
        torch.testing.assert_close(made, attend(q, k, v, bias=mask))


# Places.


def test_places_stand_square_by_square():
    made = squares.places((2, 4), square=(2, 2)).tolist()
    assert made[:4] == [[0, 0], [0, 1], [1, 0], [1, 1]] and made[4] == [0, 2]
    assert squares.places((2, 2)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_attention_goes_by_how_far_apart_places_are():
    rotary, q, k = GridRotary(width=8), torch.randn(8), torch.randn(8)

    def score(at: tuple[int, int], other: tuple[int, int]) -> float:
        cos, sin = rotary.angles(torch.tensor([[at, other]]))
        turned = Rotary.turn(torch.stack((q, k))[None, None], (cos, sin))[0, 0]
        return float(turned[0] @ turned[1])

    assert score((2, 5), (1, 1)) == pytest.approx(score((7, 4), (6, 0)), abs=1e-5)
    assert abs(score((2, 5), (1, 1)) - score((2, 5), (1, 2))) > 1e-3
    assert abs(score((2, 5), (1, 1)) - score((5, 2), (1, 1))) > 1e-3
    assert rotary.angles(torch.zeros(1, 3, 2, dtype=torch.long))[0].shape == (1, 1, 3, 8)


# Qwen2-VL's.


QWEN = {
    "patch_embed.proj": "stem.project",
    "merger.ln_q": "norm",
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
    "attn.proj": "attention.out",
    "mlp.fc1": "mlp.up",
    "mlp.fc2": "mlp.down",
}


def theirs() -> nn.Module:
    modeling = pytest.importorskip("transformers.models.qwen2_vl.modeling_qwen2_vl")
    from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig

    small = Qwen2VLVisionConfig(depth=2, embed_dim=WIDTH, hidden_size=24, num_heads=HEADS,
                                mlp_ratio=2, patch_size=4, spatial_merge_size=2,
                                temporal_patch_size=2)  # fmt: skip
    small._attn_implementation = "eager"
    model = modeling.Qwen2VisionTransformerPretrainedModel(small)
    return lively(model)


def ours_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Their weights under our names: one map of queries, keys and values is three here, and the two
    moments that a picture is shown for are one."""
    made = {}
    for name, value in renamed(model, QWEN, drop=("merger.mlp",)).items():
        if "attn.qkv" in name:
            start, end = name.split("attn.qkv")
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            made |= {f"{start}attention.{part}{end}": own for part, own in parts}
        else:
            made[name] = value.sum(dim=2) if value.ndim == 5 else value
    return made


@torch.no_grad()
def test_the_vision_side_is_qwen2_vls():
    """The same features before they are merged, and merged ones in the same order."""
    model, own = theirs(), transformer()
    own.load_state_dict(ours_of(model))
    pixels = own.normalise(torch.cat(SEVERAL))
    flat = rearrange(pixels, "N C (a p) (b q) -> (N a b) C p q", p=4, q=4)
    twice = torch.stack((flat, flat), dim=2).flatten(1)
    grids = torch.tensor([(1, 2 * rows, 2 * columns) for rows, columns in GRIDS])
    found = model(twice, grid_thw=grids)
    features, norm = {}, own.norm
    own.norm = nn.Identity()
    for fused in (False, True):
        features[fused] = own(torch.cat(SEVERAL), grids=GRIDS, fused=fused)
        assert features[fused].std() > 0.3
        torch.testing.assert_close(
            features[fused].flatten(0, 1), found.last_hidden_state, atol=1e-5, rtol=1e-5
        )
    merged = model.merger.mlp(norm(features[False]).flatten(1))
    torch.testing.assert_close(merged, found.pooler_output, atol=1e-4, rtol=1e-4)


def test_the_angles_are_qwen2_vls():
    model, grid = theirs(), (6, 10)
    places = torch.from_numpy(squares.places(grid, square=(2, 2)))
    cos, sin = model.rotary_pos_emb(torch.zeros(60, WIDTH), places)
    made = GridRotary(width=WIDTH // HEADS).angles(places[None])
    q = torch.randn(1, HEADS, 60, WIDTH // HEADS)
    half = torch.cat((-q[..., 4:], q[..., :4]), dim=-1)
    torch.testing.assert_close(made[0][0, 0], cos)
    torch.testing.assert_close(Rotary.turn(q, made), q * cos + half * sin)


# Models.


def rotary(kind: str) -> config.Recipe:
    plain = config.as_table(settings(kind))
    plain["model"]["vision"] |= {"positions": "rotary"}
    return config.recipe(plain)


@torch.no_grad()
@pytest.mark.parametrize("kind", [k for k in KINDS if "regions" not in str(KINDS[k])])
def test_every_family_with_a_vit_may_turn_by_rows_and_columns(kind):
    """Where a patch lies counts, though no table says it; a fixed input gives what is written."""
    recipe = rotary(kind)
    model = tiny.model(recipe, WORDS, scale=0.3)
    assert "vision.positions" not in model.state_dict() and model.vision.rotary is not None
    moved = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    moved[0, :, :4, :4] = moved[0, :, :4, 8:12] = moved[1, :, :4, :4] = moved[1, :, 8:12, :4] = 200
    seen = model.gridded(model.look(moved))
    # The very same patches in another place: as sets, features would be equal without places.
    plain = seen.sort(dim=1).values
    assert (plain[0] - plain[1]).abs().max() > 1e-4
    fit = tiny.fit(recipe)
    given = {"size": fit.size, "picture_tokens": fit.picture_tokens}
    assert golden.replay(model, golden.record(model, **given), where="here") == 0


@torch.no_grad()
@pytest.mark.parametrize("connector", ["linear", "mlp", "pixel_shuffle"])
def test_what_is_replayed_of_a_model_that_sees_squares(connector):
    plain = config.as_table(rotary("llava"))
    plain["model"]["connector"] = {"kind": connector, "factor": 2}
    recipe = config.recipe(plain)
    model = tiny.model(recipe, WORDS)
    shown = families.taken(recipe.model, native=True)
    side = 8 if connector == "pixel_shuffle" else 4
    assert shown == {"size": (side, side), "picture_tokens": 1}
    stored = golden.record(model, **shown, grid=(2, 3))
    assert golden.replay(model, stored, where="here") == 0
    # Another shape of as many squares is another picture.
    assert golden._drift(model, stored | {"grid": [3, 2]}) > 1e-3
    with pytest.raises(Exception, match="its grid is .17, 1., at most 16 squares a side are read"):
        golden.replay(model, stored | {"grid": [17, 1]}, where="here")


def test_squares_fold_into_one_token_each():
    fold = PixelShuffle(vision_width=3, text_width=5, factor=2, grid=(4, 6))
    whole = torch.randn(1, 24, 3)
    apart = rearrange(whole, "1 (r a c b) V -> (r c) (a b) V", a=2, b=2, c=3)
    torch.testing.assert_close(fold(apart)[:, 0], fold(whole)[0])
    none = PixelShuffle(vision_width=3, text_width=5, factor=2, grid=None)
    none.load_state_dict(fold.state_dict())
    torch.testing.assert_close(none(apart), fold(apart))


# What cannot be.


NATIVE = {"model": {"vision": {"positions": "rotary", "stem": "patch"}},
          "data": {"tiles": "native", "picture_budget": 64}}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("model.family=dual", "model.family = 'dual' knows one for all: write 'prefix'"),
        ("model.vision.positions=learned", "model.vision.positions = 'learned' knows one for all"),
        ("model.vision.class_token=true", "model.vision.class_token = True knows one for all"),
        ("model.connector.kind=resampler", "'resampler' knows one for all: write 'linear' or"),
        ("data.fit=pad", "data.fit = 'pad' knows one for all: write 'stretch'"),
        ("data.picture_budget=200", "a picture may take 200 tokens of 16×16 pixels .*192"),
        ("data.picture_budget=0", "may take 3920 tokens .* row_tokens is 192: lower max_pixels"),
        ("data.max_pixels=200", "min_pixels is 3136, more than max_pixels, 200"),
        ("model.connector.factor=200", "max_pixels is 1003520, less than a token's 1600×1600"),
        ("train.compile=true", "no two batches have one shape to compile for"),
        ("model.vision.num_heads=96", "a head is 2 wide: make width / num_heads a multiple of 4"),
        ("model.vision.kind=resnet", "resnet has no places to turn by"),
    ],
)
def test_what_knows_one_grid_for_all_is_refused(change, said):
    config.recipe(NATIVE)
    with pytest.raises(RecipeError, match=said):
        config.recipe(config.override(NATIVE, [change]))


def test_no_size_is_asked_of_pictures_in_their_own_shapes():
    """Patches of 14 do not divide the default size, nor need they."""
    table = config.override(NATIVE, ["model.vision.patch=14", "model.vision.width=64"])
    recipe = config.recipe(table)
    model = families.build(recipe.model, vocabulary=80, picture_token=3)
    assert families.taken(recipe.model, native=True)["size"] == (28, 28)
    pixels = torch.zeros(6, 3, 28, 28, dtype=torch.uint8)
    assert model.see(pixels, grids=[(2, 3)]).shape[:2] == (6, 1)
    with pytest.raises(RecipeError, match="does not divide into patches of 14"):
        families.taken(recipe.model, native=False)
