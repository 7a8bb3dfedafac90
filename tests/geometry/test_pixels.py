"""Looking up pixels."""

import numpy as np
import pytest
from scipy import ndimage

from portrait3d.geometry.pixels import inner_distance, nearest


def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.standard_normal((61, 83)), 4) > 0
    ball = np.hypot(*(np.indices((64, 64)) - 31.5)) < 20
    single = np.zeros((9, 30), bool)
    single[4, 7] = True
    return [smooth, ~smooth, ball, rng.random((40, 50)) < 0.1, single, single[:, 5:8], single[4:5]]


@pytest.mark.parametrize("known", masks())
def test_nearest_pixels_are_those_of_scipy_among_equals_too(known: np.ndarray) -> None:
    distance, (row, column) = nearest(known)
    expected, index = ndimage.distance_transform_edt(~known, return_indices=True)
    np.testing.assert_array_equal(distance, expected)
    np.testing.assert_array_equal([row, column], index)


def test_where_nothing_is_known_everything_is_far() -> None:
    assert nearest(np.zeros((3, 5), bool))[0].min() >= 8


def test_inner_distances_are_zero_outside_and_one_along_the_border() -> None:
    np.testing.assert_array_equal(
        inner_distance(np.array([[False, True, True, True, False]])), [[0, 1, 2, 1, 0]]
    )
