"""Faces of artist-made heads lie where their truth says, and the two splits share no head."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_avatar import model_avatar
from portrait3d.data.face.avatars import AvatarFaces, load_or_draw_avatars
from portrait3d.data.face.exact import MOST_YAW, ExactFaces, wide_camera
from portrait3d.data.people.avatars import HELD_OUT
from portrait3d.data.synthetic.backgrounds import draw_background
from portrait3d.geometry.pose import Pose, heading
from portrait3d.geometry.similarity import Similarity
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, coefficients_of_shape
from portrait3d.preprocessing.alignment import FACE_MARGIN, FACE_SIZE
from portrait3d.rendering.rasterizer import rasterize
from tiny_avatars import write_avatars
from tiny_photos import photo_folder


@pytest.fixture(scope="module")
def faces() -> ExactFaces:
    head = HeadModel.load()
    place = Similarity(1.1, np.eye(3), np.array([0.0, 20.0, -50.0]))
    avatar = model_avatar(head, torch.zeros(1, 144), place)
    return ExactFaces.draw(10, AvatarFaces(3, [avatar], draw_background).face)


def test_the_truth_lies_where_the_picture_shows_skin(faces: ExactFaces) -> None:
    head, camera = HeadModel.load(), wide_camera()
    inside = head.face_mask[head.skin_faces].amin(1) > 0.5
    skin = []
    for k in range(len(faces)):
        vertices = head.vertices(coefficients_of_shape(faces.coefficients[k : k + 1, :144]))
        pose = Pose(faces.pose.rotation[k : k + 1], faces.pose.translation[k : k + 1])
        seen = rasterize(camera.screen(pose.apply(vertices)), head.skin_faces[inside], 224, 224)
        shown = (seen.face_index[0] >= 0).numpy()
        # The avatar is of one grey; backgrounds, headwear and glasses have colours.
        colour = faces.images[k].astype(float)
        skin.append((np.ptp(colour[shown], axis=1) < 40).mean())
    assert np.median(skin) > 0.8


def test_landmarks_fill_the_face_crop(faces: ExactFaces) -> None:
    points = MeshPoints.from_head_model(HeadModel.load())
    seen = faces.labels(points, torch.zeros(7, 468, 2), "avatars").landmarks
    low, high = seen.min(1), seen.max(1)
    assert np.allclose((low + high) / 2, FACE_SIZE / 2, atol=1.0)
    assert np.allclose(np.sqrt((high - low).prod(1)), FACE_SIZE / FACE_MARGIN, rtol=0.02)


def test_faces_turn_to_profiles_and_colours_are_unknown(faces: ExactFaces) -> None:
    yaw = torch.rad2deg(heading(faces.pose.rotation))
    assert yaw.abs().max() <= MOST_YAW + 3
    assert yaw.min() < -30 < 30 < yaw.max()
    assert np.isnan(faces.appearance).all()
    assert torch.isfinite(faces.coefficients[:, :144]).all()


def test_splits_share_no_head_and_are_kept(tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "data", HeadModel.load())
    write_avatars(data / "avatars", {"AIAN_F_2": "bald", "White_M_1": "short", HELD_OUT[0]: "bald"})
    train = load_or_draw_avatars(tmp_path / "cache", data / "avatars", data, 2)
    val = load_or_draw_avatars(tmp_path / "cache", data / "avatars", data, 2, split="val")
    assert train.people.tolist() == ["AIAN_F_2", "White_M_1"]
    assert val.people.tolist() == [HELD_OUT[0]] * 2
    again = load_or_draw_avatars(tmp_path / "cache", data / "avatars", data, 1)
    assert np.array_equal(again.images, train.images[:1])
    assert isinstance(again.images, np.memmap)
    with pytest.raises(ValueError, match="train or val"):
        load_or_draw_avatars(tmp_path / "cache", data / "avatars", data, 1, split="test")
    with pytest.raises(ValueError, match="no avatars"):
        AvatarFaces(0, [], draw_background)
