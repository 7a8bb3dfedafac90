"""The parsing loss on cases that can be worked out by hand."""

import math

import pytest
import torch

from portrait3d.losses.parsing import IGNORED, cross_entropy_loss, dice_loss


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    """Logits [1, classes, 1, pixels] of given probabilities, pixel by pixel."""
    return torch.tensor(probabilities).log().T[None, :, None]


def test_cross_entropy_is_the_weighted_mean_over_the_pixels() -> None:
    logits = logits_of([[0.5, 0.5], [0.9, 0.1]])
    labels = torch.tensor([[[0, 1]]])
    value = cross_entropy_loss(logits, labels, torch.tensor([1.0, 3.0]))
    expected = (1 * math.log(2) - 3 * math.log(0.1)) / 4
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_ignored_pixels_change_nothing() -> None:
    weights = torch.tensor([1.0, 2.0])
    short, long = logits_of([[0.3, 0.7]]), logits_of([[0.3, 0.7], [0.01, 0.99]])
    labels, more = torch.tensor([[[1]]]), torch.tensor([[[1, IGNORED]]])
    torch.testing.assert_close(
        cross_entropy_loss(short, labels, weights), cross_entropy_loss(long, more, weights)
    )
    torch.testing.assert_close(dice_loss(short, labels), dice_loss(long, more))


def test_dice_counts_the_overlap_of_the_classes_that_are_there() -> None:
    # Class 0: both = 0.8, total = 1 + 1.2; class 1 is found a little but isn't there; smoothing adds 1.
    value = dice_loss(logits_of([[0.8, 0.2], [0.4, 0.6]]), torch.tensor([[[0, IGNORED]]]))
    assert float(value) == pytest.approx(1 - (2 * 0.8 + 1) / (1 + 0.8 + 1), rel=1e-5)


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much() -> None:
    labels = torch.randint(0, 3, (2, 4, 4))
    right = torch.nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2) * 50.0
    weights = torch.ones(3)
    assert float(cross_entropy_loss(right, labels, weights).max()) < 1e-6
    assert float(dice_loss(right, labels)) < 1e-6
    wrong = right.roll(1, dims=1)
    assert float(cross_entropy_loss(wrong, labels, weights).min()) > 10
    assert float(dice_loss(wrong, labels)) > 0.7


def test_a_photo_without_any_label_costs_nothing() -> None:
    labels = torch.full((1, 2, 2), IGNORED)
    assert float(cross_entropy_loss(torch.randn(1, 3, 2, 2), labels, torch.ones(3))) == 0
