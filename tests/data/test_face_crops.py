"""Batches of face crops are placed as crops are at inference."""

from pathlib import Path

import numpy as np
import torch

from portrait3d.data.face.crops import FaceCrops, face_rolls
from portrait3d.data.face.synthetic import load_or_draw
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH
from portrait3d.geometry.pose import heading
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import crop_from_landmarks


def test_leaning_side_views_are_shown_upright_as_at_inference(tmp_path: Path) -> None:
    head = HeadModel.load()
    faces = load_or_draw(tmp_path, 8)
    labels = faces.labels(MeshPoints.from_head_model(head), torch.zeros(7, 468, 2))
    crops = FaceCrops(labels, faces.images, head, faces.appearance)
    placed = [crop_from_landmarks(torch.from_numpy(points)).angle for points in labels.landmarks]
    torch.testing.assert_close(crops.roll, torch.tensor(placed), atol=1e-4, rtol=0)
    rows = np.full(60, int(crops.roll.abs().argmax()))
    assert crops.roll[rows[0]].abs() > np.radians(6)
    batch = crops.batch(rows, 64, np.random.default_rng(0))
    left = face_rolls(batch.points[:, LANDMARKS_OF_MESH])
    # A fifth is rolled on purpose, to either side; the others by 5 degrees.
    assert left.abs().median() < np.radians(5)
    assert left.median().abs() < np.radians(2)


def test_poses_of_fits_are_believed_up_to_thirty_degrees_and_exact_ones_always(tmp_path: Path) -> None:
    head = HeadModel.load()
    faces = load_or_draw(tmp_path, 8)
    labels = faces.labels(MeshPoints.from_head_model(head), torch.zeros(7, 468, 2))
    fitted, exact = (FaceCrops(labels, faces.images, head, exact=known) for known in (False, True))
    turned = heading(faces.pose.rotation).abs() > np.radians(30)
    assert 0 < turned.sum() < 8
    assert torch.equal(fitted.has_pose, ~turned)
    assert exact.has_pose.all()
    rows = np.flatnonzero(turned.numpy())
    assert not fitted.batch(rows, 64, np.random.default_rng(0)).has_pose.any()
