"""Products of vectors, against numpy's own."""

import numpy as np
import pytest

from portrait3d.geometry.vectors import dot, length


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_products_are_numpys_own_to_the_last_bit(kind: type) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 31, 7, 3)).astype(kind)
    np.testing.assert_array_equal(dot(a, b), (a * b).sum(axis=-1))
    np.testing.assert_array_equal(length(a), np.linalg.norm(a, axis=-1))
    assert length(a).dtype == kind
