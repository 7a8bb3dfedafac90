"""Blurred maps, against scipy's."""

import numpy as np
import pytest
from scipy import ndimage

from portrait3d.geometry.blurring import gaussian


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("width", "beyond", "mode"), [(0.7, "symmetric", "reflect"), (3.0, "edge", "nearest")]
)
def test_a_blur_is_scipys_to_the_last_bit(kind: type, width: float, beyond: str, mode: str) -> None:
    # Smaller than the Gaussian reaches along one axis.
    maps = np.random.default_rng(0).normal(size=(2, 9, 40)).astype(kind)
    expected = ndimage.gaussian_filter(maps, width, axes=(1, 2))
    np.testing.assert_array_equal(gaussian(maps, width), expected)
    assert gaussian(maps[0], width).dtype == kind
