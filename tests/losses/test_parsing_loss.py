"""The parsing loss on cases that can be worked out by hand."""

import math

import pytest
import torch

from portrait3d.losses.parsing import cross_entropy_loss, dice_loss


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    """Logits [1, classes, 1, pixels] of given probabilities, pixel by pixel."""
    return torch.tensor(probabilities).log().T[None, :, None]


def shares_of(shares: list[list[float]]) -> torch.Tensor:
    """Shares [1, classes, 1, pixels], pixel by pixel."""
    return torch.tensor(shares).T[None, :, None]


def test_cross_entropy_is_the_weighted_mean_over_the_pixels() -> None:
    logits, shares = logits_of([[0.5, 0.5], [0.9, 0.1]]), shares_of([[1.0, 0.0], [0.0, 1.0]])
    value = cross_entropy_loss(logits, shares, torch.tensor([1.0, 3.0]))
    expected = (1 * math.log(2) - 3 * math.log(0.1)) / 4
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_a_pixel_that_shows_two_classes_wants_both() -> None:
    shares, weights = shares_of([[0.75, 0.25]]), torch.ones(2)
    best = float(cross_entropy_loss(logits_of([[0.75, 0.25]]), shares, weights))
    assert best == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), rel=1e-5)
    for other in ([0.9, 0.1], [0.5, 0.5]):
        assert float(cross_entropy_loss(logits_of([other]), shares, weights)) > best
    assert float(dice_loss(logits_of([[0.75, 0.25]]), shares)) < 1e-6


def test_unknown_pixels_change_nothing() -> None:
    weights = torch.tensor([1.0, 2.0])
    short, long = logits_of([[0.3, 0.7]]), logits_of([[0.3, 0.7], [0.01, 0.99]])
    shares, more = shares_of([[0.0, 1.0]]), shares_of([[0.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(
        cross_entropy_loss(short, shares, weights), cross_entropy_loss(long, more, weights)
    )
    torch.testing.assert_close(dice_loss(short, shares), dice_loss(long, more))


def test_dice_counts_the_overlap_of_the_classes_that_are_there() -> None:
    # Class 0: both = 0.8, total = 1 + 0.64; class 1 is found a little but isn't there; smoothing adds 1.
    value = dice_loss(logits_of([[0.8, 0.2], [0.4, 0.6]]), shares_of([[1.0, 0.0], [0.0, 0.0]]))
    assert float(value) == pytest.approx(1 - (2 * 0.8 + 1) / (1 + 0.64 + 1), rel=1e-5)


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much() -> None:
    shares = torch.nn.functional.one_hot(torch.randint(0, 3, (2, 4, 4)), 3).permute(0, 3, 1, 2).float()
    right, weights = shares * 50, torch.ones(3)
    assert float(cross_entropy_loss(right, shares, weights).max()) < 1e-6
    assert float(dice_loss(right, shares)) < 1e-6
    wrong = right.roll(1, dims=1)
    assert float(cross_entropy_loss(wrong, shares, weights).min()) > 10
    assert float(dice_loss(wrong, shares)) > 0.7


def test_a_photo_without_any_label_costs_nothing() -> None:
    shares = torch.zeros(1, 3, 2, 2)
    assert float(cross_entropy_loss(torch.randn(1, 3, 2, 2), shares, torch.ones(3))) == 0
