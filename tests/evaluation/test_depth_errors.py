"""Distances between heads, on surfaces whose distances are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from portrait3d.evaluation.depth.errors import HeadTruth, head_errors, surface_of

SIZE = 64


def ball(offset: float = 0.0) -> np.ndarray:
    """The front of a ball of 90 mm, seen from 1 m; its upper half lies `offset` behind."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2) * 2.0
    height = 90.0**2 - x**2 - y**2
    z = 1000.0 - np.sqrt(np.where(height > 900, height, np.nan)) + np.where(y < 0, offset, 0.0)
    return np.stack([x, y, z], axis=-1)


@pytest.fixture(scope="module")
def truth() -> HeadTruth:
    points = ball()
    known = np.isfinite(points[..., 2])
    lower = np.arange(SIZE)[:, None] >= SIZE / 2
    return HeadTruth(points, known & lower, known & ~lower, surface_of(points))


def known(truth: HeadTruth) -> np.ndarray:
    return truth.face | truth.rest


def test_the_truth_has_no_error(truth: HeadTruth) -> None:
    errors = head_errors(np.nan_to_num(ball()), known(truth), truth)
    assert errors.rest_pixel == pytest.approx(0, abs=1e-9)
    assert max(errors.rest, errors.face, errors.rest_table1, errors.all_table1) < 1e-3
    assert errors.coverage == 1


def test_a_rigid_motion_is_no_error(truth: HeadTruth) -> None:
    turned = np.nan_to_num(ball()) @ Rotation.from_euler("xyz", [4, -6, 3], degrees=True).as_matrix().T
    errors = head_errors(turned + np.array([5.0, -3.0, 20.0]), known(truth), truth)
    assert errors.rest_pixel < 1e-6
    assert errors.rest_table1 < 0.2


def test_hair_that_lies_too_far_back_is_off_by_as_much_in_depth(truth: HeadTruth) -> None:
    errors = head_errors(np.nan_to_num(ball(8.0)), known(truth), truth)
    assert errors.rest_pixel == pytest.approx(8.0, abs=1e-6)
    assert np.nanmax(errors.gap) == pytest.approx(8.0, abs=1e-6), "too far is positive"
    assert errors.face < 1e-3
    assert 3.0 < errors.rest < 8.0, "the surface may be nearer to the side"


def test_aligning_everything_hides_errors_of_hair(truth: HeadTruth) -> None:
    errors = head_errors(np.nan_to_num(ball(12.0)), known(truth), truth)
    assert errors.rest_table1 < 0.8 * errors.rest
    assert errors.face_table1 > errors.face
    assert min(errors.face_table1, errors.rest_table1) < errors.all_table1 < errors.rest


def test_coverage_is_the_share_that_was_predicted(truth: HeadTruth) -> None:
    left = np.arange(SIZE)[None, :] < SIZE / 2
    errors = head_errors(np.nan_to_num(ball()), known(truth) & (left | truth.face), truth)
    assert errors.coverage == pytest.approx(0.5)


def test_without_a_face_there_is_nothing_to_measure(truth: HeadTruth) -> None:
    errors = head_errors(np.nan_to_num(ball()), truth.rest, truth)
    assert np.isnan(errors.rest_pixel)


def test_distances_are_to_the_surface_and_not_to_its_samples() -> None:
    y, x = np.mgrid[:20, :20] * 3.0
    surface = surface_of(np.stack([x, y, np.full_like(x, 500.0)], axis=-1))
    between = np.random.default_rng(0).uniform(3, 50, (200, 2))
    distance, _ = surface.query(np.concatenate([between, np.full((200, 1), 504.0)], axis=1))
    assert distance.mean() == pytest.approx(4.0, abs=0.1)
