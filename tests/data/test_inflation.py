"""Inflated hair on the mean head, where face, skull and silhouette are known."""

import numpy as np
import pytest
from scipy import ndimage

from portrait3d.data.inflation import (
    InflationConfig,
    LeastSquares,
    PseudoDepth,
    hair_thickness,
    inflate,
    inflated_height,
    neighbours,
)
from portrait3d.data.model_views import HeadInCrop, SkinModel, render_model_views
from portrait3d.data.turning import HeadView

HAIR, NECK = 2, 6


def with_hair(labels: np.ndarray, skin: SkinModel, head: HeadInCrop, thickness: float = 16.0) -> np.ndarray:
    """A cap of hair down to the brows, as thick as asked for at the silhouette, and locks beside the face."""
    views = render_model_views(skin, head, thickness)
    rows, columns = np.mgrid[: head.size, : head.size] + 0.5
    result = labels.copy()
    cap = np.isfinite(views.scalp) & (rows < head.size / 2 - 12) & ~np.isin(labels, (3, 4))
    lock = (np.abs(np.abs(columns - head.size / 2) - 24) < 5) & (np.abs(rows - head.size / 2 - 10) < 30)
    result[cap | lock] = HAIR
    return result


@pytest.fixture(scope="module")
def haired(frontal: HeadView, skin: SkinModel, mean_head: HeadInCrop) -> np.ndarray:
    return with_hair(frontal.labels, skin, mean_head)


@pytest.fixture(scope="module")
def inflated(haired: np.ndarray, skin: SkinModel, mean_head: HeadInCrop) -> PseudoDepth:
    return inflate(haired, np.ones_like(haired, bool), skin, mean_head)


def test_the_face_keeps_the_fitted_depth(inflated: PseudoDepth, haired: np.ndarray) -> None:
    seen = (haired == 1) & np.isfinite(inflated.views.face) & (inflated.views.face_cosine > 0.3)
    assert np.abs(inflated.depth[seen] - inflated.views.face[seen]).mean() < 0.5


def test_hair_lies_in_front_of_the_face_it_covers(inflated: PseudoDepth, haired: np.ndarray) -> None:
    over = (haired == HAIR) & np.isfinite(inflated.views.face)
    assert over.sum() > 50
    assert inflated.violations < 0.02
    assert np.median(inflated.views.face[over] - inflated.depth[over]) > 2


def test_hair_beside_the_skull_hangs_far_behind_the_face(inflated: PseudoDepth, haired: np.ndarray) -> None:
    beside = (haired == HAIR) & ~np.isfinite(inflated.views.scalp)
    assert beside.sum() > 50
    nose = inflated.views.face.min()
    assert (inflated.depth[beside] - nose).min() > 25
    assert inflated.trust[beside].mean() < inflated.trust[(haired == HAIR) & ~beside].mean()


def test_the_crown_is_rounder_than_a_plate(inflated: PseudoDepth, haired: np.ndarray) -> None:
    rim = inflated.region & ~ndimage.binary_erosion(inflated.region)
    top = rim & (np.arange(len(haired))[:, None] < 45)
    brow = (haired == HAIR) & np.isfinite(inflated.views.face)
    assert inflated.depth[top].mean() - inflated.depth[brow].mean() > 40


def test_a_mirrored_head_gets_mirrored_depth(
    inflated: PseudoDepth, haired: np.ndarray, skin: SkinModel, mean_head: HeadInCrop
) -> None:
    mirrored = np.array([0, 1, 2, 4, 3, 5, 6, 7, 8], np.uint8)[haired[:, ::-1]]
    other = inflate(mirrored, np.ones_like(mirrored, bool), skin, mean_head)
    both = inflated.region & other.region[:, ::-1]
    gap = np.abs(other.depth[:, ::-1][both] - inflated.depth[both])
    assert np.median(gap) < 0.5
    assert gap.mean() < 1.5


def test_there_is_no_depth_outside_the_photo(
    haired: np.ndarray, skin: SkinModel, mean_head: HeadInCrop
) -> None:
    inside = np.ones_like(haired, bool)
    inside[:40] = False
    found = inflate(haired, inside, skin, mean_head)
    assert not found.region[:40].any()
    assert np.isinf(found.depth[:40]).all()
    assert found.trust[:40].max() == 0


def test_the_thickness_at_the_outline_is_found(
    frontal: HeadView, skin: SkinModel, mean_head: HeadInCrop
) -> None:
    for thickness in (8.0, 24.0):
        labels = with_hair(frontal.labels, skin, mean_head, thickness)
        labels[labels == NECK] = 0
        assert abs(hair_thickness(labels, skin, mean_head) - thickness) < 5


def test_an_inflated_disc_is_a_half_ellipsoid() -> None:
    rows, columns = np.mgrid[:61, :61] - 30.0
    radius = np.hypot(rows, columns)
    disc = radius < 25
    height = inflated_height(disc, ~disc, 2.0)
    expected = np.sqrt(np.clip(25.0**2 - radius**2, 0, None) / 2)
    assert np.abs(height - expected)[radius < 22].max() < 1.0
    assert height[~disc].max() == 0


def test_least_squares_finds_the_minimum() -> None:
    region = np.ones((1, 3), bool)
    problem = LeastSquares(region)
    (first, second), _ = neighbours(2)
    problem.add([(first, 1.0), (second, -1.0)], np.ones((1, 2), bool), np.ones((1, 2)))
    # Ends held at 0 and 6, the middle free: a straight line.
    held = np.array([[1e6, 0.0, 1e6]])
    found = problem.solve(held, held * np.array([[0.0, 0.0, 6.0]]))
    np.testing.assert_allclose(found, [[0.0, 3.0, 6.0]], atol=1e-4)


def test_the_settings_have_defaults() -> None:
    assert InflationConfig() == InflationConfig(bulge=2.5, sheet=25.0)
