"""Faces turned by the fitted model keep their colours and get exact labels."""

import numpy as np
import pytest
import torch

from portrait3d.data.face.crops import FaceCrops
from portrait3d.data.face.fits import FaceFits, project_points
from portrait3d.data.face.turned import centred_pose, see_from, turn_faces
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


def fitted(head: HeadModel, count: int) -> tuple[FaceFits, np.ndarray]:
    """Fits of mean heads in front of the camera, and plain red crops."""
    points = MeshPoints.from_head_model(head)
    shape, slide = torch.zeros(count, 144), torch.zeros(7, 468, 2)
    pose = centred_pose(points, shape, torch.eye(3).expand(count, 3, 3), slide)
    images = np.zeros((count, 224, 224, 3), np.uint8)
    images[..., 0] = 200
    fits = FaceFits(
        names=np.array([f"photo{k}" for k in range(count)]),
        folders=np.full(count, "portraits"),
        validation=np.zeros(count, bool),
        centre=np.full((count, 2), 100, np.float32),
        side=np.full(count, 160, np.float32),
        angle=np.zeros(count, np.float32),
        box=np.tile(np.array([50, 40, 150, 150], np.float32), (count, 1)),
        points=project_points(points, shape, pose, slide).numpy(),
        shape=shape.numpy(),
        rotation=pose.rotation.contiguous().numpy(),
        translation=pose.translation.numpy(),
        residual=np.zeros(count, np.float32),
        slide=slide.numpy(),
        key="key",
    )
    return fits, images


def test_a_face_that_is_not_turned_stays_as_it_is(head: HeadModel) -> None:
    points = MeshPoints.from_head_model(head)
    shape = torch.zeros(1, 144)
    pose = centred_pose(points, shape, torch.eye(3)[None], torch.zeros(7, 468, 2))
    column = torch.linspace(0, 1, 224).expand(1, 3, 224, -1).contiguous()
    middle = see_from(column, head, shape, pose, pose)[..., 80:140, 95:130]
    assert (middle - column[..., 80:140, 95:130]).abs().mean() < 0.01


def test_the_far_side_of_a_turned_face_is_taken_from_the_near_one(head: HeadModel) -> None:
    points = MeshPoints.from_head_model(head)
    shape, slide = torch.zeros(1, 144), torch.zeros(7, 468, 2)
    front = centred_pose(points, shape, torch.eye(3)[None], slide)
    angle = torch.tensor([0.8])
    side = centred_pose(points, shape, rotation_from_euler(angle, 0 * angle, 0 * angle), slide)
    image = torch.full((1, 3, 224, 224), 0.5)
    turned = see_from(image, head, shape, front, side)
    assert (turned - 0.5).abs().max() < 0.05


def test_turned_faces_fill_their_crops_and_can_be_trained_on(head: HeadModel) -> None:
    fits, images = fitted(head, 3)
    labels, pictures = turn_faces(fits, images, head, count=5)
    extent = labels.landmarks.max(1) - labels.landmarks.min(1)
    np.testing.assert_allclose(np.sqrt(extent.prod(1)), 140, rtol=0.02)
    yaw = Pose(torch.from_numpy(labels.rotation), torch.from_numpy(labels.translation)).euler()[0]
    assert yaw.abs().max() > 0.3
    assert pictures[:, 112, 112, 0].min() > 150
    batch = FaceCrops(labels, pictures, head).batch(np.arange(5), 64, np.random.default_rng(0))
    assert batch.images.shape == (5, 3, 64, 64)
    assert not batch.has_appearance.any()
