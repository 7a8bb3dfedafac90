"""The head model at the teacher's points, and the outline that slides."""

import math

import pytest
import torch

from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import (
    MeshPoints,
    coefficients_of_shape,
    learn_slide,
    mirror_pairs,
    slide_offsets,
)

FOCAL = 1015.0


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def points(head: HeadModel) -> MeshPoints:
    return MeshPoints.from_head_model(head)


def poses(count: int) -> Pose:
    yaw = torch.linspace(-0.5, 0.5, count)
    rotation = rotation_from_euler(yaw, 0.3 * torch.sin(7 * yaw), 0.4 * torch.cos(9 * yaw))
    return Pose(rotation, torch.tensor([5.0, -20.0, 900.0]).repeat(count, 1))


def test_the_points_are_those_of_the_head_model(head: HeadModel, points: MeshPoints) -> None:
    shape = torch.randn(2, 144) * 0.3
    expected = head.mesh_points(head.vertices(coefficients_of_shape(shape)))
    torch.testing.assert_close(points(shape), expected, atol=2e-3, rtol=1e-4)


def test_every_point_is_its_mirror_images_mirror_image(points: MeshPoints) -> None:
    pairs = mirror_pairs(points.mean)
    assert pairs[pairs].tolist() == list(range(468))


def test_mirrored_coefficients_move_points_to_their_mirror_images(
    head: HeadModel, points: MeshPoints
) -> None:
    coefficients = coefficients_of_shape(torch.randn(1, 144) * 0.3)
    here, there = (head.mesh_points(head.vertices(c)) for c in (coefficients, head.mirrored(coefficients)))
    reflected = here[:, mirror_pairs(points.mean)] * torch.tensor([-1.0, 1.0, 1.0])
    assert (there - reflected).norm(dim=-1).mean() < 0.3


def test_an_empty_table_moves_nothing() -> None:
    assert not slide_offsets(torch.zeros(7, 4, 2), poses(3), FOCAL).any()


def test_a_constant_table_moves_points_along_the_heads_own_axes() -> None:
    table = torch.zeros(7, 1, 2)
    table[0, 0, 1] = 9.0  # 9 mm down an upright head
    roll = torch.tensor([0.0, math.pi / 2])
    zero = torch.zeros(2)
    pose = Pose(rotation_from_euler(zero, zero, roll), torch.tensor([0.0, 0.0, FOCAL]).repeat(2, 1))
    expected = torch.tensor([[[0.0, 9.0]], [[-9.0, 0.0]]])
    torch.testing.assert_close(slide_offsets(table, pose, FOCAL), expected, atol=1e-5, rtol=1e-5)


def test_a_symmetric_table_is_learnt_from_what_it_does() -> None:
    pairs = torch.tensor([1, 0, 2])
    odd = torch.tensor([1.0, -1, 1, 1, -1, -1, -1])
    table = torch.randn(7, 3, 2)
    mirrored = table[:, pairs] * odd[:, None, None] * torch.tensor([-1.0, 1.0])
    table = (table + mirrored) / 2
    pose = poses(400)
    sliding = torch.tensor([True, True, False])
    found = learn_slide(slide_offsets(table, pose, FOCAL), pose, FOCAL, pairs, sliding)
    expected, seen = (slide_offsets(t, pose, FOCAL)[:, :2] for t in (table, found))
    assert (expected - seen).abs().mean() < 0.05 * expected.abs().mean()
    assert not found[:, 2].any()
