"""The RoI tanh-warp of the plane."""

import torch

from portrait3d.geometry.tanh_warp import stretch, unwarp, warp


def test_there_and_back_is_where_it_was() -> None:
    points = torch.linspace(-4, 4, 33, dtype=torch.float64).reshape(-1, 1).repeat(1, 2)
    torch.testing.assert_close(unwarp(warp(points)), points)


def test_the_middle_stays_and_everything_far_away_meets_the_border() -> None:
    near = torch.tensor([[1e-4, -2e-4]])
    torch.testing.assert_close(warp(near), near)
    assert torch.equal(warp(torch.tensor([[1e6, -1e6]])), torch.tensor([[1.0, -1.0]]))
    assert unwarp(torch.tensor([[1.0, -1.0]])).isinf().all()


def test_each_axis_is_warped_by_itself() -> None:
    a, b = warp(torch.tensor([[0.5, 3.0], [0.5, -1.0]]))
    assert a[0] == b[0]


def test_a_mirrored_plane_is_warped_to_the_mirror_image() -> None:
    points = torch.randn(20, 2)
    torch.testing.assert_close(warp(-points), -warp(points))


def test_stretch_is_the_slope_of_the_way_back() -> None:
    points = torch.empty(5, 2, dtype=torch.float64).uniform_(-0.95, 0.95).requires_grad_()
    (slope,) = torch.autograd.grad(unwarp(points).sum(), points)
    torch.testing.assert_close(stretch(points), slope)


def test_gradients_pass_both_ways() -> None:
    points = torch.empty(4, 2, dtype=torch.float64).uniform_(-0.9, 0.9).requires_grad_()
    assert torch.autograd.gradcheck(warp, points)
    assert torch.autograd.gradcheck(unwarp, points)
