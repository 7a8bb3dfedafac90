"""Pictures of a head from any side."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import Binding, HeadMesh, SeeThrough
from portrait3d.geometry.pose import Pose
from portrait3d.rendering.view import frame_head, render_view


@pytest.fixture
def head() -> HeadMesh:
    """A square of 100 mm that faces the camera 1 m away, red left and blue right, with a nose."""
    corners = [[-50, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0], [-5, 5, 0], [5, 5, 0], [0, 0, -60]]
    uv = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0], [0, 0], [0, 0]]
    texture = np.zeros((16, 16, 3), np.uint8)
    texture[:, :8, 0], texture[:, 8:, 2] = 255, 255
    return HeadMesh(
        np.array(corners, np.float32) + np.array([0, 0, 1000], np.float32),
        np.array([[0, 2, 1], [0, 3, 2], [4, 5, 6]]),
        np.zeros(7, np.uint8),
        np.array(uv, np.float32),
        texture,
    )


def camera(size: int = 64) -> Camera:
    return Camera(torch.tensor(500.0 * size / 64), torch.tensor([size / 2, size / 2]), size, size)


def test_the_photos_camera_shows_texture_on_ground(head: HeadMesh) -> None:
    view = render_view(head, Pose.identity(), camera(), background=(0, 255, 0))
    assert view.shape == (64, 64, 3)
    assert view[32, 12].tolist() == [255, 0, 0]
    assert view[32, 52].tolist() == [0, 0, 255]
    assert view[2, 2].tolist() == [0, 255, 0]
    covered = (view[..., 1] < 128).sum()
    assert covered == pytest.approx(50 * 50, rel=0.03)


def test_edges_are_smooth(head: HeadMesh) -> None:
    moved = Pose(torch.eye(3), torch.tensor([1.0, 0.0, 0.0]))
    view = render_view(head, moved, camera(), background=(0, 255, 0))
    assert ((view[..., 1] > 100) & (view[..., 1] < 155)).any()


def test_positive_yaw_turns_the_face_to_the_right_and_positive_pitch_up(head: HeadMesh) -> None:
    def nose(yaw: float, pitch: float) -> tuple[float, float]:
        pose, view = frame_head(head, yaw, pitch, 100)
        points = view.project(pose.apply(torch.from_numpy(head.vertices)))
        middle = points[:4].mean(0)
        return float(points[6, 0] - middle[0]), float(points[6, 1] - middle[1])

    assert nose(0, 0) == pytest.approx((0, 0), abs=0.01)
    assert nose(30, 0)[0] > 5
    assert nose(-30, 0)[0] < -5
    assert nose(0, 20)[1] < -5


def test_a_framed_head_fills_the_picture_and_stays_inside(head: HeadMesh) -> None:
    for yaw in (0, 45, 90, 180):
        pose, view = frame_head(head, yaw, 10, 100)
        points = view.project(pose.apply(torch.from_numpy(head.vertices)))
        assert points.min() >= -0.01
        assert points.max() <= 100.01
    pose, view = frame_head(head, 0, 0, 100)
    points = view.project(pose.apply(torch.from_numpy(head.vertices)))
    assert float(points[:, 0].max() - points[:, 0].min()) > 60


def test_angles_are_absolute_when_the_pose_is_known(head: HeadMesh) -> None:
    turn = Pose.from_euler(torch.tensor(0.5), torch.tensor(-0.2), torch.tensor(0.1), torch.zeros(3))
    centre = torch.tensor([0.0, 0.0, 1000.0])
    turned = (torch.from_numpy(head.vertices) - centre) @ turn.rotation.T + centre
    posed = HeadMesh(turned.numpy(), head.faces, head.part, head.uv, head.texture, turn)
    pose, view = frame_head(posed, 0, 0, 100)
    points = view.project(pose.apply(turned))
    nose = points[6] - points[:4].mean(0)
    assert nose.abs().max() < 0.5


def test_clay_ignores_the_texture(head: HeadMesh) -> None:
    view = render_view(head, Pose.identity(), camera(), style="clay")
    left, right = view[32, 12].astype(int), view[32, 52].astype(int)
    assert np.abs(left - right).max() < 6
    assert np.ptp(left) < 25


def test_hair_sheet_is_seen_through_and_only_with_the_photos_colours(head: HeadMesh) -> None:
    corners = np.array([[20, -50, -10], [90, -50, -10], [90, 50, -10], [20, 50, -10]], np.float32)
    green = np.full((4, 4, 4), (0, 255, 0, 102), np.uint8)
    follows = Binding.to_vertices(np.zeros(4, np.int64), 0.0)
    for depth, shown in ((1000, True), (1030, False)):
        fins = SeeThrough(
            corners + np.array([0, 0, depth], np.float32), head.faces[:2], head.uv[:4], green, follows
        )
        hairy = replace(head, hair_sheet=fins)
        view = render_view(hairy, Pose.identity(), camera(160))
        assert view[80, 60].tolist() == [255, 0, 0]
        assert view[80, 150].tolist() == [153, 255, 153]  # over the white ground
        assert view[80, 112].tolist() == ([0, 102, 153] if shown else [0, 0, 255])
        plain, clay = (
            render_view(each, Pose.identity(), camera(160), style="clay") for each in (head, hairy)
        )
        assert np.array_equal(clay, plain)
        assert frame_head(hairy, 0, 0, 160)[1].focal < frame_head(head, 0, 0, 160)[1].focal


def test_glasses_are_seen_under_the_hair_sheet(head: HeadMesh) -> None:
    corners = np.array([[20, -50, 990], [90, -50, 990], [90, 50, 990], [20, 50, 990]], np.float32)
    follows = Binding.to_vertices(np.zeros(4, np.int64), 0.0)
    hair, glasses = (
        SeeThrough(corners, head.faces[:2], head.uv[:4], np.full((4, 4, 4), colour, np.uint8), follows)
        for colour in ((0, 255, 0, 102), (0, 0, 0, 255))
    )
    worn = render_view(replace(head, glasses=glasses), Pose.identity(), camera(160))
    assert worn[80, 150].tolist() == [0, 0, 0]
    both = render_view(replace(head, glasses=glasses, hair_sheet=hair), Pose.identity(), camera(160))
    assert both[80, 150].tolist() == [0, 102, 0]
