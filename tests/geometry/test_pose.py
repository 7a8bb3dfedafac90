"""Rigid motions and Euler angles."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from portrait3d.geometry import Pose, rotation_from_axis_angle
from portrait3d.geometry.pose import euler_from_rotation, rotation_from_euler


def random_pose(seed: int) -> Pose:
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.from_numpy(Rotation.random(3, rng=seed).as_matrix())
    return Pose(rotation, torch.randn(3, 3, generator=generator, dtype=torch.float64))


def same(a: Pose, b: Pose) -> bool:
    return torch.allclose(a.rotation, b.rotation) and torch.allclose(a.translation, b.translation)


def test_poses_form_a_group() -> None:
    a, b, c = random_pose(0), random_pose(1), random_pose(2)
    assert same((a @ b) @ c, a @ (b @ c))
    identity = a @ a.inverse()
    assert torch.allclose(identity.rotation, torch.eye(3, dtype=torch.float64).expand(3, 3, 3), atol=1e-12)
    assert torch.allclose(identity.translation, torch.zeros(3, 3, dtype=torch.float64), atol=1e-12)


def test_a_product_applies_its_right_factor_first() -> None:
    a, b = random_pose(0), random_pose(1)
    points = torch.randn(3, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert torch.allclose((a @ b).apply(points), a.apply(b.apply(points)))


@pytest.mark.parametrize("angles", [(0.4, -0.3, 0.2), (-1.2, 0.1, -0.7), (0.0, 1.2, 3.0), (3.0, -0.2, 0.1)])
def test_euler_angles_survive_the_round_trip(angles: tuple[float, float, float]) -> None:
    yaw, pitch, roll = (torch.tensor(angle, dtype=torch.float64) for angle in angles)
    found = Pose.from_euler(yaw, pitch, roll, torch.zeros(3, dtype=torch.float64)).euler()
    assert torch.allclose(torch.stack(found), torch.stack([yaw, pitch, roll]))


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("degrees", [80, 89.99, 90.01, 95, 100, 120])
def test_a_head_that_turns_beyond_its_profile_keeps_pitch_and_roll(degrees: float, side: int) -> None:
    angles = torch.deg2rad(torch.tensor([side * degrees, 12.0, -7.0], dtype=torch.float64))
    yaw, pitch, roll = angles
    found = Pose.from_euler(yaw, pitch, roll, torch.zeros(3, dtype=torch.float64)).euler()
    torch.testing.assert_close(torch.stack(found), angles)


def test_every_rotation_has_euler_angles_with_a_pitch_within_a_quarter_turn() -> None:
    rotation = torch.from_numpy(Rotation.random(500, rng=0).as_matrix())
    profiles = rotation_from_euler(*torch.tensor([[torch.pi / 2, -torch.pi / 2], [0.3, -2.8], [0.1, 2.0]]))
    rotation = torch.cat([rotation, profiles.double()])
    yaw, pitch, roll = euler_from_rotation(rotation)
    torch.testing.assert_close(rotation_from_euler(yaw, pitch, roll), rotation, atol=1e-6, rtol=0)
    assert (pitch.abs() <= torch.pi / 2 + 1e-12).all()


def looking(yaw: float = 0.0, pitch: float = 0.0) -> torch.Tensor:
    """Where a face with these angles looks."""
    pose = Pose.from_euler(torch.tensor(yaw), torch.tensor(pitch), torch.tensor(0.0), torch.zeros(3))
    return pose.rotation @ torch.tensor([0.0, 0.0, -1.0])


def test_positive_yaw_looks_to_the_right_of_the_picture() -> None:
    assert looking(yaw=0.3)[0] > 0


def test_positive_pitch_looks_up() -> None:
    assert looking(pitch=0.3)[1] < 0


def test_positive_roll_is_clockwise() -> None:
    pose = Pose.from_euler(torch.tensor(0.0), torch.tensor(0.0), torch.tensor(0.3), torch.zeros(3))
    right = pose.rotation @ torch.tensor([1.0, 0.0, 0.0])
    assert right[1] > 0


def test_a_roll_leaves_the_line_of_sight() -> None:
    roll = Pose.roll(torch.tensor([0.3, -0.2]))
    ahead = torch.tensor([0.0, 0.0, 1.0]).expand(2, 1, 3)
    torch.testing.assert_close(roll.apply(ahead), ahead)
    torch.testing.assert_close(roll.euler()[2], torch.tensor([0.3, -0.2]))


def test_rotations_about_an_axis_are_scipys() -> None:
    vector = torch.tensor([0.36, 0.48, 0.8], dtype=torch.float64) * 0.7
    expected = torch.from_numpy(Rotation.from_rotvec(vector.numpy()).as_matrix())
    torch.testing.assert_close(rotation_from_axis_angle(vector), expected)


def test_axis_angle_has_a_gradient_at_zero() -> None:
    vector = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_from_axis_angle, (vector,))


def test_a_pose_about_a_pivot_keeps_the_pivot() -> None:
    pivot = torch.tensor([[1.0, 2.0, 3.0]] * 3, dtype=torch.float64)
    assert torch.allclose(random_pose(0).about(pivot).apply(pivot[:, None]), pivot[:, None])
