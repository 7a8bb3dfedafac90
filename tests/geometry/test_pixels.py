"""Looking up pixels."""

import numpy as np
import pytest
from scipy import ndimage

from portrait3d.geometry.blurring import gaussian
from portrait3d.geometry.pixels import blurred_inside, inner_distance, nearest


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


@pytest.mark.parametrize("kind", [bool, np.float64])
@pytest.mark.parametrize("corner", [(20, 30), (0, 55)])
def test_a_mean_inside_a_region_is_that_of_the_whole_map(kind: type, corner: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values, inside = rng.normal(size=(2, 50, 70)).astype(np.float32), np.zeros((50, 70), kind)
    inside[corner[0] :, corner[1] :][:12, :9] = rng.random((12, 9)) > 0.4
    weight = gaussian(inside.astype(np.float32), 1.5)
    expected = gaussian(values * inside.astype(np.float32), 1.5) / np.maximum(weight, 1e-6)
    mean = blurred_inside(values, inside, 1.5)
    np.testing.assert_array_equal(mean, expected)
    assert mean.dtype == np.float32
    assert not blurred_inside(values, np.zeros((50, 70), kind), 1.5).any()
