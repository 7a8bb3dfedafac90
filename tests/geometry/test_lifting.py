"""Triangles over depth maps and the motion between two views."""

import torch

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.geometry.warping import grid_triangles, moved_to_screen, region_triangles, relative_motion


def random_pose() -> Pose:
    angles = [torch.rand(1) - 0.5 for _ in range(3)]
    return Pose(rotation_from_euler(*angles), torch.randn(1, 3) * 50)


def test_every_square_of_pixels_has_two_triangles() -> None:
    faces = grid_triangles(4, 5)
    assert len(faces) == 2 * 3 * 4
    assert faces.unique().tolist() == list(range(20))


def test_triangles_face_the_camera() -> None:
    y, x = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    points = torch.stack([x, y, torch.full_like(x, 10.0)], dim=-1).view(-1, 3)
    normals = vertex_normals(points, grid_triangles(3, 3))
    torch.testing.assert_close(normals, torch.tensor([0.0, 0.0, -1.0]).expand(9, 3))


def test_triangles_need_all_their_corners() -> None:
    region = torch.ones(3, 3, dtype=torch.bool)
    assert len(region_triangles(region)) == 8
    region[1, 1] = False
    assert len(region_triangles(region)) == 2, "only the two corner triangles without the middle are left"


def test_relative_motion_takes_a_head_from_view_to_view() -> None:
    first, second, points = random_pose(), random_pose(), torch.randn(1, 5, 3) * 80
    moved = relative_motion(first, second).apply(first.apply(points))
    torch.testing.assert_close(moved, second.apply(points), atol=1e-3, rtol=1e-4)


def test_pixels_that_do_not_move_stay_on_their_centres() -> None:
    camera = Camera(torch.tensor([100.0]), torch.tensor([[4.0, 4.0]]), 8, 8)
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    valid[0, 0, 0] = False
    still = Pose(torch.eye(3)[None], torch.zeros(1, 3))
    screen = moved_to_screen(DepthMap(torch.full((1, 8, 8), 500.0), valid, camera), still, camera)
    assert screen[0, 0].isnan().all()
    torch.testing.assert_close(screen[0, 1:, :2], camera.pixel_centres().flatten(0, 1)[1:])
    torch.testing.assert_close(screen[0, 1:, 2], torch.full((63,), 500.0))


def test_depth_outside_the_region_gets_no_gradient() -> None:
    camera = Camera(torch.tensor([100.0]), torch.tensor([[2.0, 2.0]]), 4, 4)
    depth = torch.full((1, 4, 4), 500.0, requires_grad=True)
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    valid[0, 0] = False
    still = Pose(torch.eye(3)[None], torch.tensor([[5.0, 0.0, 0.0]]))
    moved_to_screen(DepthMap(depth, valid, camera), still, camera).nansum().backward()
    assert depth.grad is not None
    assert depth.grad[0, 0].abs().max() == 0
    assert depth.grad.isfinite().all()
    assert depth.grad[0, 1:].abs().min() > 0
