"""The face losses against cases worked out by hand, and their gradients."""

import pytest
import torch
from torch.autograd import gradcheck

from portrait3d.losses.face import (
    albedo_flatness,
    coefficient_regularizer,
    emphasised_landmarks,
    identity_loss,
    landmark_loss,
    photometric_loss,
    rotation_loss,
    shape_loss,
    standardised_loss,
)
from portrait3d.models.coefficients import FaceCoefficients


def test_the_photometric_loss_is_the_mean_colour_distance_over_the_face() -> None:
    rendered, photo = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    rendered[0, :, 0, 0] = torch.tensor([0.3, 0.4, 0.0])  # distance 0.5, on the face
    rendered[0, :, 1, 1] = 1.0  # off the face
    attention = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    assert photometric_loss(rendered, photo, attention).item() == pytest.approx(0.25, abs=1e-3)


def test_the_photometric_loss_weighs_pixels_by_their_attention() -> None:
    rendered, photo = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    rendered[0, 0] = torch.tensor([1.0, 0.0])
    attention = torch.tensor([0.25, 0.75]).view(1, 1, 1, 2)
    assert photometric_loss(rendered, photo, attention).item() == pytest.approx(0.25, abs=1e-3)


def test_the_photometric_loss_of_no_face_is_zero() -> None:
    image = torch.rand(2, 3, 4, 4)
    assert photometric_loss(image, 1 - image, torch.zeros(2, 1, 4, 4)).tolist() == [0.0, 0.0]


def test_the_identity_loss_is_zero_for_parallel_and_one_for_orthogonal_features() -> None:
    first = torch.tensor([[1.0, 2.0], [1.0, 0.0], [1.0, 0.0]])
    second = torch.tensor([[2.0, 4.0], [0.0, 3.0], [-1.0, 0.0]])
    torch.testing.assert_close(identity_loss(first, second), torch.tensor([0.0, 1.0, 2.0]))


def test_the_landmark_loss_is_a_weighted_mean_distance_in_percent_of_the_face() -> None:
    predicted, target = torch.zeros(1, 2, 2), torch.tensor([[[3.0, 4.0], [0.0, 10.0]]])
    extent = torch.tensor([100.0])
    assert landmark_loss(predicted, target, extent).item() == pytest.approx(7.5, rel=1e-3)
    weighted = landmark_loss(predicted, target, extent, torch.tensor([3.0, 1.0]))
    assert weighted.item() == pytest.approx((3 * 5 + 10) / 4, rel=1e-3)


def test_unknown_landmarks_are_left_out() -> None:
    predicted, target = torch.zeros(2, 2, 2), torch.full((2, 2, 2), torch.nan)
    target[0, 0] = torch.tensor([3.0, 4.0])
    loss = landmark_loss(predicted.requires_grad_(), target, torch.tensor([100.0, 100.0]))
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([5.0, 0.0], rel=1e-3)
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_nose_and_inner_mouth_are_emphasised() -> None:
    weight = emphasised_landmarks(20.0)
    assert weight[30] == weight[66] == 20
    assert weight[0] == weight[40] == weight[50] == 1


def test_the_shape_loss_is_in_millimetres() -> None:
    points = torch.rand(2, 5, 3)
    torch.testing.assert_close(
        shape_loss(points + torch.tensor([0, 3.0, 4.0]), points), torch.full((2,), 5.0)
    )


def test_wild_coefficients_pull_no_more_than_three_deviations() -> None:
    predicted, target = torch.zeros(1, 2), torch.tensor([[0.2, 100.0]])
    assert standardised_loss(predicted, target, torch.tensor([0.1, 1.0])).item() == pytest.approx((4 + 9) / 2)


def test_the_rotation_loss_is_the_angle_for_small_turns() -> None:
    angle = torch.tensor(0.02)
    turned = torch.eye(3)
    turned[:2, :2] = torch.stack(
        [torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)]
    ).view(2, 2)
    assert rotation_loss(turned[None], torch.eye(3)[None]).item() == pytest.approx(1.146, rel=2e-2)


def test_the_regulariser_weighs_the_squares_of_each_part() -> None:
    vector = torch.zeros(1, 233)
    vector[0, 0], vector[0, 80], vector[0, 144], vector[0, 224] = 2.0, 1.0, 10.0, 5.0
    loss = coefficient_regularizer(FaceCoefficients.from_vector(vector))
    assert loss.item() == pytest.approx(4 + 0.8 + 0.17)


def test_skin_of_one_colour_is_flat() -> None:
    albedo = torch.tensor([[[0.5, 0.4, 0.3]] * 3 + [[1.0, 1.0, 1.0]]])
    skin = torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert albedo_flatness(albedo, skin).item() == pytest.approx(0, abs=1e-9)
    albedo[0, 0, 0] = 0.8
    assert albedo_flatness(albedo, skin).item() == pytest.approx(0.02)


def test_gradients_match_finite_differences() -> None:
    def double(*shape: int) -> torch.Tensor:
        return torch.rand(shape, dtype=torch.float64).requires_grad_()

    photo, attention = double(2, 3, 3, 3).detach(), torch.rand(2, 1, 3, 3, dtype=torch.float64)
    assert gradcheck(lambda a: photometric_loss(a, photo, attention), double(2, 3, 3, 3))
    assert gradcheck(identity_loss, (double(2, 4), double(2, 4)))
    extent = torch.tensor([50.0, 60.0], dtype=torch.float64)
    assert gradcheck(lambda a, b: landmark_loss(a, b, extent), (double(2, 4, 2), double(2, 4, 2)))
    assert gradcheck(shape_loss, (double(2, 4, 3), double(2, 4, 3)))
    assert gradcheck(rotation_loss, (double(2, 3, 3), double(2, 3, 3)))
    assert gradcheck(albedo_flatness, (double(2, 4, 3), double(4)))
