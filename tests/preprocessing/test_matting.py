"""Soft outlines."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.geometry.filling import push_pull
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.guided import box_means, refine_matte
from portrait3d.preprocessing.matting import NOISE, anywhere_near, soft_outline, unmix

CROP = Crop((128.0, 128.0), 256.0, 0.0, 256, 2.0)
NOWHERE = torch.zeros(256, 256)


def strands() -> tuple[np.ndarray, np.ndarray]:
    """A dark disc with thin dark rays before a light wall, 256 px, and how much of each pixel it covers."""
    y, x = np.mgrid[:1024, :1024] / 4.0 - 128
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    rays = (radius < 84) & (np.cos(angle * 24) > 0.8)
    alpha = ((radius < 72) | rays).reshape(256, 4, 256, 4).mean((1, 3))
    noise = np.random.default_rng(0).normal(0, 2, (256, 256, 1))
    picture = alpha[..., None] * (50, 40, 30) + (1 - alpha[..., None]) * (200, 210, 220) + noise
    return picture.clip(0, 255).astype(np.uint8), alpha.astype(np.float32)


def rough(radius: float) -> torch.Tensor:
    """What a network makes of it: a smooth disc."""
    y, x = np.mgrid[:256, :256] - 127.5
    disc = (np.hypot(x, y) < radius).astype(np.float32)
    return torch.from_numpy(ndimage.gaussian_filter(disc, 3.0))


def test_strands_come_out_that_the_probability_does_not_show() -> None:
    pixels, alpha = strands()
    probability = rough(78.0)
    matte = soft_outline(pixels, CROP, probability, NOWHERE)
    before = np.abs(probability.numpy() - alpha).mean()
    after = np.abs(matte - alpha).mean()
    assert after < 0.6 * before


def test_the_matte_is_certain_inside_and_far_outside() -> None:
    pixels, _ = strands()
    matte = soft_outline(pixels, CROP, rough(78.0), NOWHERE)
    assert matte.dtype == np.float32
    assert matte.shape == (256, 256)
    assert (matte[100:156, 100:156] == 1).all()
    assert matte[:20].max() == 0
    assert 0 <= matte.min() <= matte.max() <= 1


def test_where_the_surroundings_look_alike_the_probability_decides() -> None:
    pixels, _ = strands()
    probability = rough(78.0)
    matte = torch.from_numpy(soft_outline(pixels, CROP, probability, torch.ones(256, 256)))
    expected = ((probability - 0.5) * 1.6 + 0.5).clamp(0, 1)
    shown = probability > 0.04
    torch.testing.assert_close(matte[shown], expected[shown], atol=1e-3, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_matte_lies_where_its_crop_lies(angle: float) -> None:
    pixels = np.full((300, 400, 3), 220, np.uint8)
    y, x = np.mgrid[:300, :400] + 0.5
    disc = np.hypot(x - 290, y - 120) < 40
    pixels[disc] = 30
    crop = Crop((260.0, 150.0), 200.0, angle, 128)
    probability = torch.from_numpy(crop.extract_labels(disc.astype(np.uint8))).float()
    matte = soft_outline(pixels, crop, probability, torch.zeros(128, 128))
    assert np.abs(matte - disc).mean() < 0.004


def test_a_large_photo_gets_the_same_matte_as_a_small_one() -> None:
    pixels, _ = strands()
    small = soft_outline(pixels, CROP, rough(78.0), NOWHERE)
    large = soft_outline(
        pixels.repeat(4, 0).repeat(4, 1), Crop((512.0, 512.0), 1024.0, 0.0, 256, 2.0), rough(78.0), NOWHERE
    )
    assert large.shape == (1024, 1024)
    assert np.abs(large.reshape(256, 4, 256, 4).mean((1, 3)) - small).mean() < 0.01


def test_nothing_has_no_outline() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    crop = Crop((32.0, 32.0), 64.0, 0.0, 64)
    assert soft_outline(pixels, crop, torch.zeros(64, 64), torch.zeros(64, 64)).max() == 0
    away = Crop((-200.0, 32.0), 64.0, 0.0, 64)
    assert soft_outline(pixels, away, torch.ones(64, 64), torch.zeros(64, 64)).max() == 0


def test_alike_colours_fall_back_on_the_guided_filter() -> None:
    picture, probability = torch.full((3, 64, 64), 0.5), rough(78.0)[96:160, 20:84]
    torch.testing.assert_close(
        unmix(picture, probability, 3)[16:48, 16:48],
        refine_matte(picture, probability)[16:48, 16:48],
        atol=0.05,
        rtol=0,
    )


def test_means_over_windows_go_on_beyond_the_border() -> None:
    values = torch.rand(2, 9, 7)
    expected = ndimage.uniform_filter(values.numpy(), (1, 5, 5), mode="nearest")
    torch.testing.assert_close(box_means(values, 2), torch.from_numpy(expected))


def test_probabilities_a_little_above_one_are_no_trouble() -> None:
    pixels, _ = strands()
    disc = (rough(78.0) > 0.5).float() * (1 + 1e-6)
    assert np.isfinite(soft_outline(pixels, CROP, disc, NOWHERE)).all()


def test_a_pixels_share_is_that_of_its_place_between_both_colours() -> None:
    """The formulas of the docstring, in torch operations over whole maps."""
    pixels, _ = strands()
    picture, probability = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, rough(78.0)
    values = probability.numpy()
    inner = torch.from_numpy(ndimage.minimum_filter(values, 7) > 0.96)
    outer = torch.from_numpy(
        (ndimage.maximum_filter(values, 7) < 0.04) | (ndimage.maximum_filter(values, 13) < 0.5)
    )
    front, back = (push_pull(picture, sure.float()) for sure in (inner, outer))
    apart = front - back
    square = apart.square().sum(0)
    share = (((picture - back) * apart).sum(0) / (square + 1e-6)).clamp(0, 1)
    missed = (picture - back - share * apart).square().sum(0)
    trust = square / (square + NOISE**2 * 3) * NOISE**2 * 3 / (missed + NOISE**2 * 3)
    guided = refine_matte(picture, probability)
    mixed = guided + (share - guided) * trust * (4 * probability * (1 - probability)).clamp(min=0).sqrt()
    expected = torch.where(inner, 1.0, torch.where(outer, 0.0, mixed)).clamp(0, 1)
    torch.testing.assert_close(unmix(picture, probability, 3), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("radius", [1, 5])
def test_a_square_dilates_a_region_up_to_the_border(radius: int) -> None:
    region = np.random.default_rng(0).random((40, 30)) > 0.98
    expected = ndimage.binary_dilation(region, np.ones((2 * radius + 1, 2 * radius + 1)))
    np.testing.assert_array_equal(anywhere_near(region, radius), expected)
