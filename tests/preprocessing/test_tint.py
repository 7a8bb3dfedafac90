"""Tints stay the same in light and shadow, and tell skin from cloth."""

import numpy as np

from portrait3d.preprocessing.tint import tint_distance

SKIN = np.array([[200, 150, 120], [160, 120, 96], [100, 75, 60]], np.uint8)
"""One skin in three brightnesses."""


def test_brightness_does_not_count() -> None:
    darker = np.array([[[120, 90, 72]], [[60, 45, 36]]], np.uint8)
    assert tint_distance(darker, SKIN).shape == (2, 1)
    assert tint_distance(darker, SKIN).max() < 0.02


def test_a_colour_whose_channels_have_other_ratios_is_as_far_as_their_logarithms() -> None:
    green = np.array([[100, 150, 60]], np.uint8)
    away = np.log(green / SKIN[0])
    np.testing.assert_allclose(
        tint_distance(green, SKIN[:1]), [np.linalg.norm(away - away.mean())], rtol=1e-6
    )
    assert tint_distance(green, SKIN)[0] > 0.4


def test_black_is_no_colour_far_away() -> None:
    assert np.isfinite(tint_distance(np.zeros((1, 3), np.uint8), SKIN)).all()
