"""The point about which heads turn, from motions whose centre is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from portrait3d.evaluation.turning_point import Turns, displacement, least_moved

PIVOT = np.array([0.0, 42.0, 51.0])


def turns(pivot: np.ndarray, wrong: int = 0, seed: int = 0) -> Turns:
    """60 pairs of poses about a pivot, `wrong` of them with the whole body moved aside."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-20, 20, (2, 60, 3)) * [0.5, 1.0, 0.4]
    first, second = (Rotation.from_euler("xyz", part, degrees=True).as_matrix() for part in angles)
    shift = np.zeros((60, 3))
    shift[:wrong] = rng.normal(0, 40, (wrong, 3))
    return second - first, (pivot - second @ pivot) - (pivot - first @ pivot) + shift


def test_the_centre_of_the_motion_is_found() -> None:
    found = least_moved({"a": turns(PIVOT), "b": turns(PIVOT, seed=1)})
    np.testing.assert_allclose(found, PIVOT, atol=1e-6)
    assert displacement(turns(PIVOT), PIVOT) == pytest.approx(0, abs=1e-9)


def test_a_few_bodies_that_move_do_no_harm() -> None:
    found = least_moved({"a": turns(PIVOT, wrong=8), "b": turns(PIVOT, wrong=8, seed=1)})
    np.testing.assert_allclose(found, PIVOT, atol=2.0)


def test_every_other_point_moves_more() -> None:
    motion = turns(PIVOT)
    for other in ([0, 0, 51], [0, 42, 0], [0, 100, 51]):
        assert displacement(motion, np.array(other, float)) > displacement(motion, PIVOT) + 1
