"""The pinhole camera."""

import pytest
import torch

from portrait3d.geometry import Camera, DepthMap


def camera(batch: tuple[int, ...] = ()) -> Camera:
    return Camera(torch.full(batch, 580.0), torch.full((*batch, 2), 128.0), 256, 256)


def test_unprojecting_a_projection_gives_the_point_back() -> None:
    points = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)) * 60
    points[..., 2] += 1000
    view = camera((2,))
    assert torch.allclose(view.unproject(view.project(points), points[..., 2]), points, atol=1e-3)


def test_a_point_on_the_axis_lands_on_the_principal_point() -> None:
    assert camera().project(torch.tensor([[0.0, 0.0, 500.0]])).tolist() == [[128.0, 128.0]]


def test_moving_down_increases_v_and_moving_away_shrinks() -> None:
    near, low, far = camera().project(
        torch.tensor([[10.0, 10.0, 1000.0], [10.0, 20.0, 1000.0], [10.0, 10.0, 2000.0]])
    )
    assert low[1] > near[1]
    assert (far - 128).norm() < (near - 128).norm()


def test_a_resized_camera_sees_the_same_picture() -> None:
    point = torch.tensor([[30.0, -20.0, 900.0]])
    assert torch.allclose(camera().resized(512, 512).project(point), camera().project(point) * 2)


def test_resizing_refuses_to_stretch() -> None:
    with pytest.raises(ValueError, match="stretch"):
        camera().resized(256, 512)


def test_pixel_centres_lie_half_a_pixel_in() -> None:
    centres = camera().pixel_centres()
    assert centres[0, 0].tolist() == [0.5, 0.5]
    assert centres[3, 7].tolist() == [7.5, 3.5]


def test_a_flat_depth_map_lifts_to_a_plane_and_projects_to_its_pixels() -> None:
    view = camera()
    points = DepthMap(torch.full((256, 256), 1000.0), torch.ones(256, 256, dtype=torch.bool), view).points()
    assert points[..., 2].unique().tolist() == [1000.0]
    assert torch.allclose(
        view.project(points.flatten(0, 1)).view(256, 256, 2), view.pixel_centres(), atol=1e-3
    )
