"""Warping between views against planes, whose images in two views are related by a homography."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.rendering.warping import look_up, warp

SIZE = 48


def camera(size: int = SIZE, dtype: torch.dtype = torch.float32) -> Camera:
    middle = torch.full((1, 2), size / 2, dtype=dtype)
    return Camera(torch.tensor([2.0 * size], dtype=dtype), middle, size, size)


def turn(yaw: float, dtype: torch.dtype = torch.float32) -> Pose:
    """A rotation about a point at the plane's distance."""
    angle, zero = torch.tensor([yaw], dtype=dtype), torch.zeros(1, dtype=dtype)
    pivot = torch.tensor([[0.0, 0.0, 1000.0]], dtype=dtype)
    return Pose(rotation_from_euler(angle, zero, zero), torch.zeros(1, 3, dtype=dtype)).about(pivot)


def plane(size: int = SIZE, dtype: torch.dtype = torch.float32) -> DepthMap:
    depth = torch.full((1, size, size), 1000.0, dtype=dtype)
    return DepthMap(depth, torch.ones(1, size, size, dtype=torch.bool), camera(size, dtype))


def smooth_picture(size: int = SIZE) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    return torch.stack([torch.sin(5 * x), torch.cos(4 * y), x * y])[None]


def homography_of_plane(motion: Pose) -> Tensor:
    """Pixels of the second view -> pixels of the first for the plane z = 1000."""
    view = camera()
    focal, middle = float(view.focal), float(view.principal[0, 0])
    intrinsics = torch.tensor([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]])
    normal = torch.tensor([[0.0, 0.0, 1 / 1000.0]])
    forward = (
        intrinsics @ (motion.rotation[0] + motion.translation[0][:, None] @ normal) @ intrinsics.inverse()
    )
    return forward.inverse()


def test_warping_a_plane_equals_its_homography() -> None:
    motion, picture = turn(math.radians(12)), smooth_picture()
    moved = warp(picture, plane(), motion, camera())
    pixels = camera().pixel_centres()
    back = torch.cat([pixels, torch.ones(SIZE, SIZE, 1)], dim=-1) @ homography_of_plane(motion).T
    places = back[..., :2] / back[..., 2:]
    expected = F.grid_sample(picture, places[None] * 2 / SIZE - 1, align_corners=False)
    inside = ((places > 1) & (places < SIZE - 1)).all(-1)[None, None]
    assert (moved.visible & inside).sum() > 0.8 * SIZE * SIZE
    gap = (moved.values - expected).abs().amax(1, keepdim=True)
    assert gap[moved.visible & inside].max() < 2e-3


def test_no_motion_gives_the_same_picture() -> None:
    picture = smooth_picture()
    moved = warp(picture, plane(), turn(0.0), camera())
    inner = moved.visible[..., 1:-1, 1:-1]
    assert inner.all()
    torch.testing.assert_close(moved.values[..., 1:-1, 1:-1], picture[..., 1:-1, 1:-1], atol=1e-4, rtol=0.0)
    torch.testing.assert_close(
        moved.depth[..., 1:-1, 1:-1], torch.full_like(moved.depth[..., 1:-1, 1:-1], 1000.0)
    )


def test_there_and_back_again_is_where_one_started() -> None:
    motion, picture = turn(math.radians(8)), smooth_picture()
    there = warp(picture, plane(), motion, camera())
    seen = there.visible[:, 0]
    depth = DepthMap(torch.where(seen, there.depth[:, 0], 0.0), seen, camera())
    back = warp(there.values, depth, motion.inverse(), camera())
    gap = (back.values - picture).abs().amax(1, keepdim=True)
    assert gap[back.visible].max() < 5e-3


def test_pixels_outside_the_region_are_not_moved() -> None:
    source = plane()
    source.valid[:, :, : SIZE // 2] = False
    moved = warp(smooth_picture(), source, turn(0.0), camera())
    assert not moved.visible[..., : SIZE // 2 - 1].any()
    assert moved.visible[..., 1:-1, SIZE // 2 + 1 : -1].all()


def test_a_near_surface_hides_a_far_one() -> None:
    source = plane()
    source.depth[:, 16:32, 16:32] = 900.0
    red_square = torch.zeros(1, 1, SIZE, SIZE)
    red_square[..., 16:32, 16:32] = 1.0
    moved = warp(red_square, source, turn(math.radians(10)), camera())
    near = moved.depth < 950
    assert (moved.values[near & moved.visible] > 0.99).all()
    assert (moved.values[~near & moved.visible] < 0.01).all()
    assert near.sum() > 200, "the square is seen in front of the plane"


def test_triangles_over_a_step_in_depth_are_not_visible() -> None:
    source = plane()
    source.depth[:, 16:32, 16:32] = 900.0
    moved = warp(smooth_picture(), source, turn(math.radians(15)), camera())
    joined = warp(smooth_picture(), source, turn(math.radians(15)), camera(), longest_step=1e9)
    assert moved.visible.sum() < joined.visible.sum()


def test_gradients_reach_the_depth() -> None:
    picture = smooth_picture(8).double()
    # About a third of a pixel aside: no pixel centre comes near an edge, where visibility would change.
    aside = Pose(
        torch.eye(3, dtype=torch.float64)[None], torch.tensor([[21.0, 13.0, 0.0]], dtype=torch.float64)
    )

    def moved_colours(depth: Tensor) -> Tensor:
        source = DepthMap(depth, torch.ones(1, 8, 8, dtype=torch.bool), camera(8, torch.float64))
        return warp(picture, source, aside, camera(8, torch.float64)).values[..., 2:-2, 2:-2]

    depth = (1000 + torch.rand(1, 8, 8, dtype=torch.float64)).requires_grad_()
    assert gradcheck(moved_colours, (depth,), eps=1e-4, atol=1e-6)


def test_a_batch_is_warped_like_its_parts() -> None:
    pictures = torch.rand(2, 3, SIZE, SIZE)
    depth = 1000 + 20 * torch.rand(2, SIZE, SIZE)
    valid = torch.rand(2, SIZE, SIZE) > 0.1
    both = Camera(camera().focal.expand(2), camera().principal.expand(2, 2), SIZE, SIZE)
    motion = turn(math.radians(9))
    motions = Pose(motion.rotation.expand(2, 3, 3), motion.translation.expand(2, 3))
    together = warp(pictures, DepthMap(depth, valid, both), motions, both)
    for k in range(2):
        alone = warp(
            pictures[k : k + 1], DepthMap(depth[k : k + 1], valid[k : k + 1], camera()), motion, camera()
        )
        torch.testing.assert_close(together.values[k], alone.values[0])
        assert torch.equal(together.visible[k], alone.visible[0])


def test_looking_up_a_plane_equals_its_homography() -> None:
    motion, picture = turn(math.radians(12)), smooth_picture()
    found = look_up(picture, plane(), motion, plane())
    ahead = homography_of_plane(motion).inverse()
    places = torch.cat([camera().pixel_centres(), torch.ones(SIZE, SIZE, 1)], dim=-1) @ ahead.T
    places = places[..., :2] / places[..., 2:]
    expected = F.grid_sample(picture, places[None] * 2 / SIZE - 1, align_corners=False)
    assert torch.equal(found.inside[0, 0], ((places > 0) & (places < SIZE)).all(-1))
    inner = ((places > 1) & (places < SIZE - 1)).all(-1)
    assert inner.sum() > 0.6 * SIZE * SIZE
    torch.testing.assert_close(found.values[0][:, inner], expected[0][:, inner], atol=2e-3, rtol=0.0)


def test_looking_up_reverses_warping() -> None:
    motion, picture = turn(math.radians(6)), smooth_picture()
    moved = warp(picture, plane(), motion, camera())
    other = DepthMap(torch.where(moved.visible, moved.depth, 1.0)[:, 0], moved.visible[:, 0], camera())
    found = look_up(moved.values * moved.visible, plane(), motion, other)
    whole = look_up(moved.visible.float(), plane(), motion, other).values > 0.999
    same = found.inside & whole
    assert same.sum() > 0.6 * SIZE * SIZE
    gap = (found.values - picture).abs().amax(1, keepdim=True)
    assert gap[same].max() < 0.06
    assert (found.depth - found.surface)[same].abs().max() < 5


def test_looked_up_values_have_the_gradient_of_the_other_picture() -> None:
    size = 8
    depth = (1000 + 20 * torch.rand(1, size, size, dtype=torch.float64)).requires_grad_()
    valid = torch.rand(1, size, size) > 0.2
    view, motion = camera(size, torch.float64), turn(math.radians(3), torch.float64)
    picture = torch.rand(1, 2, size, size, dtype=torch.float64)

    def read(depth: Tensor) -> Tensor:
        source = DepthMap(depth, valid, view)
        found = look_up(picture, source, motion, DepthMap(depth.detach(), valid, view))
        return torch.where(found.inside, found.values, torch.zeros_like(found.values))

    assert gradcheck(read, (depth,), eps=1e-3, atol=1e-5)
