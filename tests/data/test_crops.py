"""Crops: within the picture, drawn anew from torch's own dice, each change as it is said."""

from dataclasses import replace

import pytest
import torch

from seesay.data import crops
from seesay.views import SelfDistillConfig

PLAIN = SelfDistillConfig(flip=0.0, jitter=0.0, grey=0.0, blur=0.0)
WHOLE = {"size": (12, 16), "area": (1.0, 1.0)}


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, 12, 16), dtype=torch.uint8)


def seen(pictures, how=PLAIN, *, seed=0, **said) -> torch.Tensor:
    torch.manual_seed(seed)
    return crops.views(pictures, how=how, **{"count": 1, **WHOLE, **said})


def test_the_whole_of_a_picture_is_the_picture(pictures):
    how = replace(PLAIN, aspect=1.0)
    assert torch.equal(seen(pictures, how), pictures)
    assert torch.equal(seen(pictures, replace(how, flip=1.0)), pictures.flip(3))


def test_views_come_picture_by_picture_one_number_after_the_other(pictures):
    made = seen(pictures, count=2, size=(6, 8), area=(0.2, 0.5))
    assert made.shape == (6, 3, 6, 8) and made.dtype == torch.uint8
    means = pictures.float().mean(dim=(2, 3)), made.float().mean(dim=(2, 3))
    flat = [torch.full((1, 3, 12, 16), n, dtype=torch.uint8) for n in (10, 20, 30)]
    said = seen(torch.cat(flat), count=2, size=(6, 8), area=(0.2, 0.5))
    assert said[:, 0, 0, 0].tolist() == [10, 20, 30, 10, 20, 30] and len(means[0]) == 3


def test_the_same_dice_give_the_same_views(pictures):
    how = SelfDistillConfig()
    said = {"count": 2, "size": (8, 8), "area": (0.1, 0.6)}
    one, same, other = (seen(pictures, how, seed=seed, **said) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert not torch.equal(one[:3], one[3:])


def test_a_part_has_the_area_that_was_asked_for():
    """Of a picture whose pixels say where they are, by the corners of what is shown."""
    across = torch.arange(256, dtype=torch.uint8).expand(256, 256)
    where = torch.stack((across, across.T, across))[None].repeat(40, 1, 1, 1)
    made = seen(where, size=(32, 32), area=(0.25, 0.25)).float()
    wide = (made[:, 0, :, -1] - made[:, 0, :, 0]).mean(dim=1) / 256 * 32 / 31
    high = (made[:, 1, -1] - made[:, 1, 0]).mean(dim=1) / 256 * 32 / 31
    torch.testing.assert_close(wide * high, torch.full((40,), 0.25), atol=0.02, rtol=0)
    assert (wide / high).max() <= 4 / 3 + 0.05 and (wide / high).min() >= 3 / 4 - 0.05
    assert wide.std() > 0.01 and made[:, 0, 0, 0].std() > 10


def test_grey_and_jitter_change_what_they_say(pictures):
    grey = seen(pictures, replace(PLAIN, aspect=1.0, grey=1.0)).float()
    assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 1] == grey[:, 2]).all()
    light = crops.luma(pictures.float())[:, 0]
    torch.testing.assert_close(grey[:, 0], light, atol=0.51, rtol=0)
    turned = crops._turned(pictures.float() / 255, 0.5)
    # Hue turns about greys: the sum of the channels stays.
    torch.testing.assert_close(turned.sum(dim=1), pictures.float().sum(dim=1) / 255)
    changed = seen(pictures, replace(PLAIN, aspect=1.0, jitter=1.0))
    assert (changed.float() - pictures.float()).abs().mean() > 5


def test_a_blur_is_a_mean_of_neighbours():
    x = torch.rand(1, 3, 112, 96).repeat(4, 1, 1, 1)
    made = crops.blurred(x)
    assert made.std() < x.std() and not torch.equal(made[0], made[1])
    flat = torch.full((2, 3, 12, 16), 0.25)
    torch.testing.assert_close(crops.blurred(flat), flat)
