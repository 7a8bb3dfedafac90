"""The parsing loss on cases that can be worked out by hand."""

import math

import pytest
import torch

from portrait3d.losses.parsing import dice_loss, known_shares, set_cross_entropy


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    """Logits [1, classes, 1, pixels] of given probabilities, pixel by pixel."""
    return torch.tensor(probabilities).log().T[None, :, None]


def shares_of(shares: list[list[float]]) -> torch.Tensor:
    """Shares [1, classes, 1, pixels], pixel by pixel."""
    return torch.tensor(shares).T[None, :, None]


def sets_of(*pixels: list[set[int]]) -> torch.Tensor:
    """Sets [1, K, 1, pixels] from the classes that the K parts of each pixel may show."""
    numbers = [[sum(1 << k for k in classes) for classes in parts] for parts in pixels]
    return torch.tensor(numbers).T[None, :, None]


def test_exact_labels_cost_the_weighted_mean_of_the_usual_cross_entropy() -> None:
    logits, sets = logits_of([[0.5, 0.5], [0.9, 0.1]]), sets_of([{0}], [{1}])
    value = set_cross_entropy(logits, sets, torch.tensor([1.0, 3.0]))
    expected = (1 * math.log(2) - 3 * math.log(0.1)) / 4
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_a_set_costs_what_its_classes_lack_together() -> None:
    logits = logits_of([[0.5, 0.3, 0.2]])
    value = set_cross_entropy(logits, sets_of([{0, 2}]), torch.tensor([2.0, 5.0, 3.0]))
    assert float(value) == pytest.approx(-math.log(0.7), rel=1e-5)
    everything = set_cross_entropy(logits, sets_of([{0, 1, 2}]), torch.ones(3))
    assert float(everything) == pytest.approx(0, abs=1e-6)


def test_a_set_weighs_as_much_as_its_lightest_class() -> None:
    logits = logits_of([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    value = set_cross_entropy(logits, sets_of([{0, 2}], [{1}]), torch.tensor([2.0, 5.0, 3.0]))
    assert float(value) == pytest.approx(-(2 * math.log(0.7) + 5 * math.log(0.8)) / 7, rel=1e-5)


def test_a_set_does_not_care_which_of_its_classes_it_is() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    sets = torch.full((1, 4, 2, 2), 0b101)
    set_cross_entropy(logits, sets, torch.ones(3)).sum().backward()
    probabilities = logits.detach().softmax(1)
    assert logits.grad is not None
    # Both are pulled up in proportion to what they have.
    ratio = logits.grad[:, 0] / logits.grad[:, 2]
    torch.testing.assert_close(ratio, probabilities[:, 0] / probabilities[:, 2], rtol=1e-4, atol=1e-5)
    assert (logits.grad[:, 1] > 0).all()


def test_a_pixel_that_shows_two_classes_wants_both() -> None:
    sets, weights = sets_of([{0}, {0}, {0}, {1}]), torch.ones(2)
    best = float(set_cross_entropy(logits_of([[0.75, 0.25]]), sets, weights))
    assert best == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), rel=1e-5)
    for other in ([0.9, 0.1], [0.5, 0.5]):
        assert float(set_cross_entropy(logits_of([other]), sets, weights)) > best
    shares = known_shares(sets, 2)
    torch.testing.assert_close(shares, shares_of([[0.75, 0.25]]))
    assert float(dice_loss(logits_of([[0.75, 0.25]]), shares)) < 1e-6


def test_unknown_pixels_change_nothing() -> None:
    weights = torch.tensor([1.0, 2.0])
    short, long = logits_of([[0.3, 0.7]]), logits_of([[0.3, 0.7], [0.01, 0.99]])
    long.requires_grad_()
    sets, more = sets_of([{1}]), sets_of([{1}], [set()])
    value = set_cross_entropy(long, more, weights)
    torch.testing.assert_close(set_cross_entropy(short, sets, weights), value)
    value.sum().backward()
    assert long.grad is not None
    assert (long.grad[..., 1] == 0).all()
    shares, more = known_shares(sets, 2), known_shares(more, 2)
    torch.testing.assert_close(dice_loss(short, shares), dice_loss(long.detach(), more))


def test_dice_counts_only_what_is_sure() -> None:
    shares = known_shares(sets_of([{0}, {0, 1}], [{0, 1}, {1}]), 2)
    torch.testing.assert_close(shares, shares_of([[0.5, 0.0], [0.0, 0.5]]))


def test_dice_counts_the_overlap_of_the_classes_that_are_there() -> None:
    # Class 0: both = 0.8, total = 1 + 0.64; class 1 is found a little but isn't there; smoothing adds 1.
    value = dice_loss(logits_of([[0.8, 0.2], [0.4, 0.6]]), shares_of([[1.0, 0.0], [0.0, 0.0]]))
    assert float(value) == pytest.approx(1 - (2 * 0.8 + 1) / (1 + 0.64 + 1), rel=1e-5)


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much() -> None:
    labels, weights = torch.randint(0, 3, (2, 1, 4, 4)), torch.ones(3)
    sets = 1 << labels
    shares = known_shares(sets, 3)
    right = shares * 50
    assert float(set_cross_entropy(right, sets, weights).max()) < 1e-6
    assert float(dice_loss(right, shares)) < 1e-6
    wrong = right.roll(1, dims=1)
    assert float(set_cross_entropy(wrong, sets, weights).min()) > 10
    assert float(dice_loss(wrong, shares)) > 0.7


def test_a_photo_without_any_label_costs_nothing() -> None:
    sets = torch.zeros(1, 4, 2, 2, dtype=torch.int16)
    logits = torch.randn(1, 3, 2, 2)
    assert float(set_cross_entropy(logits, sets, torch.ones(3))) == 0
    assert float(dice_loss(logits, known_shares(sets, 3))) == 0
