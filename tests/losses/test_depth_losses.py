"""The losses of stage 2 against values worked out by hand."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from portrait3d.losses.depth import (
    color_loss,
    depth_edge_loss,
    face_depth_loss,
    gradient_loss,
    head_smoothness_loss,
    layer_order_loss,
    region_mean,
    rest_smoothness_loss,
    supervised_depth_loss,
)


def grid(*rows: list[float]) -> Tensor:
    return torch.tensor([[list(rows)]])


def everywhere(values: Tensor) -> Tensor:
    return torch.ones(len(values), 1, *values.shape[-2:], dtype=torch.bool)


def test_the_mean_over_a_region_ignores_what_lies_outside() -> None:
    values = grid([1.0, 2.0], [3.0, float("inf")])
    region = torch.tensor([[[[True, True], [False, False]]]])
    torch.testing.assert_close(region_mean(values, region), torch.tensor([1.5]))


def test_the_mean_over_an_empty_region_is_zero() -> None:
    values = grid([1.0, 2.0], [3.0, 4.0])
    assert region_mean(values, ~everywhere(values)).item() == 0.0


def test_color_loss_adds_channels_and_averages_pixels() -> None:
    warped = torch.zeros(1, 3, 2, 2)
    target = torch.zeros(1, 3, 2, 2)
    target[0, :, 0, 0] = torch.tensor([0.1, 0.2, 0.3])
    target[0, :, 1, 1] = 1.0
    region = torch.tensor([[[[True, True], [False, False]]]])
    torch.testing.assert_close(color_loss(warped, target, region), torch.tensor([0.3]))


def test_gradient_loss_compares_forward_differences_within_the_region() -> None:
    warped = torch.zeros(1, 3, 2, 2)
    target = grid([0.0, 1.0], [0.0, 3.0]).expand(1, 3, 2, 2)
    # Along x: |1| and |3| in each of three channels, two pairs; along y: |0| and |2|, two pairs.
    torch.testing.assert_close(gradient_loss(warped, target, everywhere(warped)), torch.tensor([6.0 + 3.0]))
    top = torch.tensor([[[[True, True], [False, False]]]])
    torch.testing.assert_close(gradient_loss(warped, target, top), torch.tensor([3.0]))


def test_gradient_loss_does_not_see_a_change_of_brightness() -> None:
    image = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(gradient_loss(image + 0.2, image, everywhere(image)), torch.zeros(2))


@pytest.mark.parametrize("smoothness", [rest_smoothness_loss, head_smoothness_loss])
def test_smoothness_is_the_absolute_laplacian(smoothness) -> None:
    depth = grid([0.0, 2.0, 0.0], [1.0, 5.0, 3.0], [0.0, 4.0, 0.0])
    torch.testing.assert_close(smoothness(depth, everywhere(depth)), torch.tensor([10.0]))
    region = everywhere(depth)
    region[0, 0, 0, 1] = False
    assert smoothness(depth, region).item() == 0.0, "a pixel with a neighbour outside does not count"


@pytest.mark.parametrize("smoothness", [rest_smoothness_loss, head_smoothness_loss])
def test_a_tilted_plane_is_smooth(smoothness) -> None:
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    depth = (1000 + 3 * x - 2 * y)[None, None]
    assert smoothness(depth, everywhere(depth)).item() == 0.0


def test_face_depth_loss_counts_the_uncovered_face_alone() -> None:
    depth = grid([10.0, 20.0], [30.0, 40.0])
    face = grid([12.0, 17.0], [0.0, float("inf")])
    uncovered = torch.tensor([[[[True, True], [False, False]]]])
    torch.testing.assert_close(face_depth_loss(depth, face, uncovered), torch.tensor([2.5]))


def test_layer_order_is_kept_when_hair_is_nearer_than_the_face() -> None:
    depth = grid([990.0, 980.0])
    face = grid([1000.0, 1000.0])
    assert layer_order_loss(depth, face, everywhere(depth)).item() == 0.0


def test_layer_order_counts_how_far_hair_lies_behind_the_face() -> None:
    depth = grid([1006.0, 980.0])
    face = grid([1000.0, 1000.0])
    torch.testing.assert_close(layer_order_loss(depth, face, everywhere(depth)), torch.tensor([3.0]))


def test_supervision_weighs_by_trust_and_ignores_unknown_depth() -> None:
    depth = grid([10.0, 20.0, 30.0, 5.0])
    truth = grid([11.0, 26.0, float("nan"), 5.0])
    trust = grid([1.0, 0.5, 0.0, 1.0])
    torch.testing.assert_close(supervised_depth_loss(depth, truth, trust), torch.tensor([4.0 / 2.5]))


def test_edges_compare_steps_of_depth_and_not_depth_itself() -> None:
    truth = grid([10.0, 20.0, 30.0, float("nan")])
    trust = grid([1.0, 1.0, 0.5, 0.0])
    off = grid([17.0, 27.0, 37.0, 0.0])
    assert depth_edge_loss(off, truth, trust).item() == 0.0, "a shift of everything has the same steps"
    depth = grid([10.0, 22.0, 30.0, 5.0])
    # 1 px apart: steps of 12 and 8 instead of 10 and 10, weights 1 and 0.5; 2 px apart: 20 as it should be.
    torch.testing.assert_close(depth_edge_loss(depth, truth, trust), torch.tensor([3.0 / 1.5]))


def test_edges_add_up_both_axes() -> None:
    depth = grid([0.0, 0.0], [0.0, 4.0])
    trust = torch.ones(1, 1, 2, 2)
    torch.testing.assert_close(depth_edge_loss(depth, torch.zeros_like(depth), trust), torch.tensor([4.0]))


def test_every_loss_returns_one_value_per_sample() -> None:
    depth = torch.rand(3, 1, 4, 4)
    assert layer_order_loss(depth, depth, everywhere(depth)).shape == (3,)
    assert head_smoothness_loss(depth, everywhere(depth)).shape == (3,)


def test_gradients_match_finite_differences() -> None:
    torch.manual_seed(1)
    depth = torch.rand(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    other = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    image = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    region = torch.rand(2, 1, 4, 4) > 0.3
    assert gradcheck(lambda value: color_loss(value, target, region), (image,))
    assert gradcheck(lambda value: gradient_loss(value, target, region), (image,))
    assert gradcheck(lambda value: rest_smoothness_loss(value, region), (depth,))
    assert gradcheck(lambda value: head_smoothness_loss(value, region), (depth,))
    assert gradcheck(lambda value: face_depth_loss(value, other, region), (depth,))
    assert gradcheck(lambda value: layer_order_loss(value, other, region), (depth,))
    assert gradcheck(lambda value: supervised_depth_loss(value, other, region.double()), (depth,))
    assert gradcheck(lambda value: depth_edge_loss(value, other, region.double()), (depth,))
