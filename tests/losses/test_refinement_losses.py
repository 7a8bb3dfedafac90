"""The refinement losses on cases worked out by hand."""

import pytest
import torch

from portrait3d.losses.refinement import (
    color_loss,
    discriminator_adversarial_loss,
    generator_adversarial_loss,
    hole_loss,
)

NOTHING = torch.zeros(0, 3, 2, 2)


def test_colors_of_a_turn_count_only_where_they_are_known() -> None:
    turned, coarse = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    coarse[0, :, 0, 0] = 0.5  # known, off by 0.5 in three channels
    coarse[0, :, 1, 1] = 1.0  # a hole
    known = torch.tensor([[[[True, True], [True, False]]]])
    found = color_loss(turned, coarse, known, NOTHING, NOTHING)
    torch.testing.assert_close(found, torch.tensor(1.5 / 3))


def test_colors_of_a_restored_photo_count_everywhere() -> None:
    restored, original = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    original[0, 0, 0, 0], original[1, 2, 1, 1] = 0.4, 0.8
    nothing_known = torch.zeros(0, 1, 2, 2, dtype=torch.bool)
    found = color_loss(NOTHING, NOTHING, nothing_known, restored, original)
    torch.testing.assert_close(found, torch.tensor(1.2 / 8))


def test_both_parts_of_the_color_loss_are_added() -> None:
    one = torch.ones(1, 3, 2, 2)
    known = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    found = color_loss(one, 0 * one, known, one, 0.5 * one)
    torch.testing.assert_close(found, torch.tensor(3.0 + 1.5))


def test_a_turn_without_known_pixels_costs_nothing() -> None:
    one = torch.ones(1, 3, 2, 2)
    assert float(color_loss(one, 0 * one, torch.zeros(1, 1, 2, 2, dtype=torch.bool), NOTHING, NOTHING)) == 0


def test_holes_count_by_their_mean_difference() -> None:
    restored, original = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    holes = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    original[0, :, 0, 0] = torch.tensor([0.3, 0.6, 0.0])  # in a hole: 0.9 over two pixels of three channels
    original[0, :, 1, 1] = 1.0  # elsewhere
    torch.testing.assert_close(hole_loss(restored, original, holes), torch.tensor(0.15))
    assert float(hole_loss(restored, original, 0 * holes)) == 0


def test_the_generator_wants_scores_of_one() -> None:
    turned = [torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[3.0]]]])]  # (0 + 1) / 2 and 4, mean 2.25
    restored = [torch.tensor([[[[0.5]]]]), torch.tensor([[[[1.0]]]])]  # 0.25 and 0, mean 0.125
    torch.testing.assert_close(generator_adversarial_loss(turned, restored), torch.tensor(2.375))
    torch.testing.assert_close(generator_adversarial_loss([], restored), torch.tensor(0.125))


def test_the_discriminator_wants_one_for_photos_and_zero_for_repairs() -> None:
    def scores(value: float) -> list[torch.Tensor]:
        return [torch.full((2, 1, 3, 3), value), torch.full((2, 1, 2, 2), value)]

    found = discriminator_adversarial_loss(scores(0.5), scores(2.0), scores(0.0))
    torch.testing.assert_close(found, torch.tensor(0.25 + 4.0 + 1.0))
    assert float(discriminator_adversarial_loss(scores(0.0), scores(0.0), scores(1.0))) == 0


def test_generator_and_discriminator_pull_scores_of_repairs_apart() -> None:
    score = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    generator_adversarial_loss([], [score]).backward()
    assert score.grad is not None
    up = score.grad.clone()
    score.grad = torch.zeros_like(score)
    discriminator_adversarial_loss([], [score], [torch.ones(1, 1, 2, 2)]).backward()
    assert bool((up < 0).all())
    assert bool((score.grad > 0).all())


@pytest.mark.parametrize("side", ["turned", "restored"])
def test_color_loss_reaches_the_generator_through_both_kinds_of_pictures(side: str) -> None:
    picture = torch.rand(1, 3, 2, 2, requires_grad=True)
    target, known = torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.bool)
    if side == "turned":
        loss = color_loss(picture, target, known, NOTHING, NOTHING)
    else:
        loss = color_loss(NOTHING, NOTHING, known[:0], picture, target)
    loss.backward()
    assert picture.grad is not None
    torch.testing.assert_close(picture.grad, torch.full_like(picture, 0.25))
