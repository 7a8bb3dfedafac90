"""Offline fits on points with exact truth."""

from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.data.face.fits import (
    BOUNDED,
    LEAST,
    MOST,
    FaceFits,
    FitConfig,
    fit_photos,
    fit_points,
    load_or_fit,
    project_points,
)
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, LabelledPhoto
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints


@pytest.fixture(scope="module")
def points() -> MeshPoints:
    return MeshPoints.from_head_model(HeadModel.load())


def truth(count: int) -> tuple[torch.Tensor, Pose]:
    shape = torch.randn(count, 144) * 0.7
    shape[:, 80:] = 0
    shape[:, 80 + 24] = torch.linspace(0, 0.8, count)
    angles = (torch.linspace(-0.5, 0.5, count), torch.full((count,), 0.1), torch.full((count,), -0.2))
    return shape, Pose(rotation_from_euler(*angles), torch.tensor([3.0, -25.0, 940.0]).repeat(count, 1))


def photo(points: np.ndarray, name: str) -> LabelledPhoto:
    return LabelledPhoto(
        name=name,
        folder="portraits",
        root=Path(),
        person=name,
        split="train",
        licence="cc0",
        width=400,
        height=400,
        yaw=0.0,
        pitch=0.0,
        roll=0.0,
        points=np.pad(points, ((0, 0), (0, 1))).astype(np.float32),
        box=np.array([100, 100, 200, 200], np.float32),
    )


def test_a_fit_explains_points_of_the_model(points: MeshPoints) -> None:
    shape, pose = truth(4)
    target = project_points(points, shape, pose)
    outline = torch.zeros(468, dtype=torch.bool)
    found, found_pose = fit_points(points, target, outline=outline, config=FitConfig())
    assert (project_points(points, found, found_pose) - target).norm(dim=-1).mean() < 0.25
    angles = [torch.rad2deg(a - b).abs().max() for a, b in zip(found_pose.euler(), pose.euler(), strict=True)]
    assert max(angles) < 3
    assert (points(found) - points(shape)).norm(dim=-1).mean() < 2


def test_expressions_stay_in_bounds(points: MeshPoints) -> None:
    shape, pose = truth(3)
    shape[:, BOUNDED] = 2.0
    outline = torch.zeros(468, dtype=torch.bool)
    found, _ = fit_points(points, project_points(points, shape, pose), outline=outline, config=FitConfig())
    assert found[:, BOUNDED].min() >= LEAST
    assert found[:, BOUNDED].max() <= MOST


def test_a_pose_alone_is_fitted_to_a_given_shape(points: MeshPoints) -> None:
    shape, pose = truth(3)
    config = FitConfig(iterations=8, pose_iterations=99)
    outline = torch.zeros(468, dtype=torch.bool)
    target = project_points(points, shape, pose)
    found, found_pose = fit_points(points, target, outline=outline, config=config, shape=shape)
    torch.testing.assert_close(found, shape)
    torch.testing.assert_close(found_pose.rotation, pose.rotation, atol=2e-3, rtol=0)


def test_photos_are_fitted_in_their_upright_crops_and_kept(points: MeshPoints, tmp_path) -> None:
    shape, pose = truth(3)
    pixels = project_points(points, shape, pose).numpy() * 1.5 + 20
    photos = [photo(pixels[0], "a"), photo(pixels[1, LANDMARKS_OF_MESH], "b"), photo(pixels[2], "c")]
    fits = load_or_fit(photos, points, tmp_path)
    assert fits.residual.max() < 0.01
    assert np.isnan(fits.points).any((1, 2)).tolist() == [False, True, False]
    extent = fits.landmarks.max(1) - fits.landmarks.min(1)
    np.testing.assert_allclose(np.sqrt(extent.prod(1)), 140, rtol=1e-3)
    again = FaceFits.load(tmp_path / "fits.npz")
    assert again.key == fits.key
    np.testing.assert_array_equal(again.shape, fits.shape)
    assert load_or_fit(photos[:2], points, tmp_path).key != fits.key


def test_a_given_outline_table_is_used(points: MeshPoints) -> None:
    shape, pose = truth(2)
    slide = torch.zeros(7, 468, 2)
    slide[0, LANDMARKS_OF_MESH[:17], 0] = 15.0
    pixels = project_points(points, shape, pose, slide).numpy()
    photos = [photo(one, str(k)) for k, one in enumerate(pixels)]
    told, untold = (fit_photos(photos, points, slide=table) for table in (slide, torch.zeros_like(slide)))
    assert told.residual.mean() < 0.4 * untold.residual.mean()
