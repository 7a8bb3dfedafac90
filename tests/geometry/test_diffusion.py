"""Spreading over a mesh: known values stay, unknown ones lie between them, nothing known gives nothing."""

import numpy as np

from portrait3d.geometry.diffusion import diffuse

STRIP = np.array([[k, k + 1, k + 2] for k in range(9)])
"""A strip of triangles over eleven vertices."""


def test_known_values_stay_and_unknown_ones_lie_between_them() -> None:
    weight = np.zeros(11)
    weight[[0, 10]] = 1.0
    values = np.linspace(0, 1, 11)[:, None] * (weight[:, None] > 0)
    spread = diffuse(STRIP, values, weight, 1e-4)[:, 0]
    assert spread[0] < 0.01
    assert spread[10] > 0.99
    assert (np.diff(spread) > 0).all()


def test_the_same_value_everywhere_stays_the_same() -> None:
    np.testing.assert_allclose(diffuse(STRIP, np.full((11, 2), 0.3), np.ones(11)), 0.3, atol=1e-9)


def test_a_piece_in_which_nothing_is_known_takes_the_mean() -> None:
    faces = np.concatenate([STRIP, STRIP + 11])
    weight = np.zeros(22)
    weight[:11] = 1.0
    spread = diffuse(faces, np.linspace(0, 1, 22)[:, None], weight)
    np.testing.assert_allclose(spread[11:, 0], np.linspace(0, 1, 22)[:11].mean(), atol=1e-6)


def test_without_anything_known_all_is_zero() -> None:
    assert not diffuse(STRIP, np.ones((11, 1)), np.zeros(11)).any()
