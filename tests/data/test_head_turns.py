"""Artist-made and synthetic people who turn their heads."""

import numpy as np
import pytest
import torch

from portrait3d.data.people.avatars import Avatar, read_avatars
from portrait3d.data.refinement.head_turns import (
    model_pose,
    rotation_of,
    same_turn,
    turned_avatar,
    turned_person,
    turned_pose,
)
from portrait3d.data.synthetic.drawing import Layer, Person
from portrait3d.data.synthetic.strands import HairLook
from portrait3d.geometry import Pose
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.parsing_classes import ParsingClass
from portrait3d.portrait import HeadAngles
from portrait3d.reposing.motion import Turn
from tiny_avatars import write_avatars

PLACED = Pose(torch.eye(3), torch.tensor([5.0, -8.0, 1000.0]))
TURN = Turn(model_pose(PLACED), HeadAngles(30.0, 10.0, 0.0))


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    return read_avatars(write_avatars(tmp_path_factory.mktemp("avatars"), {"A": "long straight"}))[0]


def points_of(avatar: Avatar, label: ParsingClass) -> np.ndarray:
    return np.unique(avatar.faces[avatar.labels == label])


def test_the_head_turns_as_one_and_the_shoulders_stay(avatar: Avatar) -> None:
    turned, pose = turned_avatar(avatar, PLACED, TURN)
    before, after = (
        placed.apply(torch.from_numpy(one.vertices)).numpy()
        for placed, one in ((PLACED, avatar), (pose, turned))
    )
    body, face = points_of(avatar, ParsingClass.BODY), points_of(avatar, ParsingClass.FACE)
    assert avatar.vertices[body, 1].min() < 150  # high enough that a neck there would turn
    np.testing.assert_allclose(after[body], before[body], atol=1e-2)
    above = face[avatar.vertices[face, 1] < 40]
    np.testing.assert_allclose(turned.vertices[above], avatar.vertices[above], atol=1e-3)
    np.testing.assert_allclose(pose.rotation.numpy(), rotation_of(HeadAngles(30.0, 10.0, 0.0)), atol=1e-5)
    neck = points_of(avatar, ParsingClass.NECK)
    moved = np.linalg.norm(after[neck] - before[neck], axis=1)
    assert 0 < np.quantile(moved, 0.2) < np.quantile(moved, 0.9)


def test_heads_turn_about_the_necks_pivot() -> None:
    pose = turned_pose(PLACED, TURN)
    pivot = torch.from_numpy(TURN.pivot).float()[None]
    torch.testing.assert_close(pose.apply(PLACED.inverse().apply(pivot)), pivot, atol=1e-2, rtol=0)


def test_a_head_that_looks_where_it_looked_stays_in_place(avatar: Avatar) -> None:
    same, pose = turned_avatar(avatar, PLACED, Turn(model_pose(PLACED), HeadAngles(0.0, 0.0, 0.0)))
    np.testing.assert_allclose(same.vertices, avatar.vertices, atol=1e-3)
    torch.testing.assert_close(pose.translation, PLACED.translation, atol=1e-3, rtol=0)


def test_a_synthetic_persons_shoulders_stay_and_their_normals_with_them() -> None:
    random = np.random.default_rng(0)
    points = random.uniform(-60, 60, (30, 3)).astype(np.float32) + np.array([0, 200, 60], np.float32)
    faces = np.arange(30).reshape(10, 3)
    normals = vertex_normals(torch.from_numpy(points), torch.from_numpy(faces)).numpy()
    attributes = np.concatenate([normals, random.random((30, 3), np.float32)], axis=1)
    layer = Layer(points, faces, attributes, np.full(30, ParsingClass.BODY, np.uint8), False)
    person = Person((layer,), HairLook.draw(random), np.zeros((3, 9), np.float32))
    turn = Turn(PLACED, HeadAngles(-40.0, 0.0, 0.0))
    turned, pose = turned_person(person, PLACED, turn)
    (after,) = turned.layers
    np.testing.assert_allclose(
        pose.apply(torch.from_numpy(after.vertices)), PLACED.apply(torch.from_numpy(points)), atol=1e-2
    )
    there = after.attributes[:, :3] @ pose.rotation.numpy().T
    np.testing.assert_allclose(there, normals @ PLACED.rotation.numpy().T, atol=1e-3)
    np.testing.assert_array_equal(after.attributes[:, 3:], attributes[:, 3:])


def test_a_fits_own_error_stays_while_the_turn_is_the_true_one() -> None:
    source, target = HeadAngles(10.0, -5.0, 2.0), HeadAngles(-20.0, 8.0, 0.0)
    found = same_turn(rotation_of(source), source, target)
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((-20.0, 8.0, 0.0), abs=1e-3)
    fitted = rotation_of(HeadAngles(14.0, -2.0, 1.0))
    change = rotation_of(same_turn(fitted, source, target)) @ fitted.T
    torch.testing.assert_close(change, rotation_of(target) @ rotation_of(source).T, atol=1e-5, rtol=0)
