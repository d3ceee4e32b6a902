"""Vision and connectors: shapes, order of patches, and batch independence."""

import pytest
import torch

from seesay.model import blocks, connectors, layers, vision


def normalise() -> vision.Normalise:
    return vision.Normalise(mean=(0.5, 0.5, 0.5), deviation=(0.25, 0.5, 1.0))


def pixels(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8)


def test_bytes_become_floats_a_channel_at_a_time():
    given = normalise()(torch.tensor([0, 255], dtype=torch.uint8).expand(1, 3, 1, 2))
    torch.testing.assert_close(given[0, :, 0], torch.tensor([[-2.0, 2.0], [-1, 1], [-0.5, 0.5]]))
    assert not normalise().state_dict()  # of the recipe, not of the weights


@pytest.mark.parametrize("made", [
    lambda: vision.PatchStem(patch=8, width=12),
    lambda: vision.ConvStem(widths=(4, 6, 8), width=12, residuals=(0, 0, 1)),
    lambda: vision.ConvStem(widths=(4, 6, 8), width=12, residuals=(0, 0, 1), normed=False),
], ids=["patch", "conv", "plain"])  # fmt: skip
def test_patches_lie_where_their_pixels_do(made):
    stem = made().eval()  # Here, and not as the file is read: by this test's random numbers.
    assert stem.patch == 8
    x = torch.randn(1, 3, 16, 200)
    before = stem(x)
    assert before.shape == (1, 12, 2, 25)
    x[:, :, 9:16, 161:168] += 1  # row 1, column 20
    moved = (stem(x) - before).abs().sum(1)[0].detach()
    assert moved[1, 20] > 0.1 and not moved[:, :15].any()
    patch = isinstance(stem, vision.PatchStem)
    assert (moved > 0).sum() == 1 if patch else moved[1, 20] > moved[1, 22:].max()


@torch.no_grad()
def test_a_stem_that_is_normed_is_as_large_whatever_its_weights_are():
    for normed, grown in ((True, 1), (False, 100)):
        stem = vision.ConvStem(widths=(4, 6), width=12, residuals=(0, 1), normed=normed)
        x = torch.randn(8, 3, 32, 32)
        before = stem(x).std()
        for weight in stem.project.parameters():
            weight *= 100
        torch.testing.assert_close(stem(x).std(), before * grown, rtol=0.01, atol=0)


def transformer(positions: int, **parts) -> vision.VisionTransformer:
    return vision.VisionTransformer(
        normalise=normalise(),
        stem=vision.PatchStem(patch=8, width=12),
        positions=torch.randn(positions, 12),
        norm=layers.norm("layer", 12),
        blocks=blocks.stack(depth=2, width=12, num_heads=3, mlp_inner=20),
        **parts,
    ).eval()


def resnet() -> vision.ResNet:
    return vision.ResNet(
        normalise=normalise(),
        widths=(4, 8, 12),
        depths=(1, 1, 2),
        stride=2,
        norm=layers.norm("layer", 12),
    ).eval()


@pytest.mark.parametrize(("model", "tokens"), [
    (transformer(6), 6),
    (transformer(7, class_token=torch.randn(12)), 7),
    (resnet(), 6),
])  # fmt: skip
def test_pictures_are_as_if_alone(model, tokens):
    """Oblong ones too; of no pictures there are no features."""
    several = pixels(3, 3, 16, 24)
    together = model(several)
    assert together.shape == (3, tokens, 12)
    for i in range(3):
        torch.testing.assert_close(model(several[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1])
    assert model(several[:0]).shape == (0, tokens, 12)


def test_a_resnets_features_are_recorded():
    record: dict[str, torch.Tensor] = {}
    features = resnet()(pixels(1, 3, 16, 16), record=record)
    assert torch.equal(record["vision.features"], features)


@pytest.mark.parametrize("kind", [connectors.Linear, connectors.Perceptron])
def test_a_connector_treats_each_patch_alone(kind):
    part = kind(vision_width=6, text_width=10)
    patches = torch.randn(2, 5, 6)
    given = part(patches)
    assert given.shape == (2, 5, 10)
    torch.testing.assert_close(part(patches[:, [3]]), given[:, [3]])


def test_pixel_shuffle_folds_neighbours_on_oblong_grids():
    """Of a 4×6 grid, token (i, j) is patches (2i, 2j), (2i, 2j+1), (2i+1, 2j), (2i+1, 2j+1)."""
    part = connectors.PixelShuffle(vision_width=3, text_width=12, factor=2, grid=(4, 6))
    part.project.weight.data = torch.eye(12)
    patches = torch.randn(2, 4, 6, 3)
    given = part(patches.flatten(1, 2)).view(2, 2, 3, 12)
    for i in range(2):
        for j in range(3):
            square = patches[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            torch.testing.assert_close(given[:, i, j], square.flatten(1))
