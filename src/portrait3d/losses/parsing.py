"""The loss of the parsing network: weighted cross-entropy and soft dice, both on sets of possible classes.

A label set is a number whose bit k says that class k is possible (`data.parsing.label_sets`); 0 says that
nothing is known. Logits are compared with several sets each, those of the finer pixels that they cover.
"""

import torch
from jaxtyping import Float, Integer
from torch import Tensor


def set_cross_entropy(
    logits: Float[Tensor, "B C H W"], sets: Integer[Tensor, "B K H W"], class_weights: Float[Tensor, " C"]
) -> Float[Tensor, " B"]:
    """Of every sample, the weighted mean of -log(sum of the possible classes' probabilities).

    For sets of one class that is the usual cross-entropy, with soft labels where the K sets of a place
    differ. A set weighs as much as the lightest of its classes, which most of its pixels show.
    """
    log_probabilities = logits.log_softmax(1)
    total = weight_sum = logits.new_zeros(len(logits))
    for one in sets.unbind(1):
        possible = members(one, logits.shape[1])
        known = one > 0
        inside = log_probabilities.masked_fill(~possible, float("-inf"))
        # Unknown places would give -inf, whose gradient is not a number.
        inside = torch.where(known[:, None], inside, torch.zeros_like(inside))
        weight = torch.where(possible, class_weights[:, None, None], float("inf")).amin(1)
        weight = torch.where(known, weight, torch.zeros_like(weight))
        total = total - (weight * inside.logsumexp(1)).sum((1, 2))
        weight_sum = weight_sum + weight.sum((1, 2))
    return total / weight_sum.clamp(min=1e-6)


def dice_loss(logits: Float[Tensor, "B C H W"], shares: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """One minus the soft dice coefficient, over the whole batch, averaged over the classes that it shows.

    `shares` are the parts of each pixel that show each class; they sum to 1, or to less where only a part of
    the pixel is known. Milletari et al., "V-Net" (3DV 2016). The batch is one region because small classes
    miss in many photos.
    """
    found = logits.softmax(1) * shares.sum(1, keepdim=True)
    both = (found * shares).sum((0, 2, 3))
    total = (found.square() + shares.square()).sum((0, 2, 3))
    # Smoothed by a pixel: classes of a few pixels must not jump between 0 and 1.
    dice = 1 - (2 * both + 1) / (total + 1)
    # Without any label the loss is 0 and still has a gradient for the training step to take.
    return dice[shares.sum((0, 2, 3)) > 0].mean() if bool(shares.any()) else logits.sum() * 0


def members(sets: Integer[Tensor, "*B H W"], classes: int) -> Tensor:
    """Which classes are possible: bool [*B, classes, H, W]."""
    bits = torch.arange(classes, device=sets.device)[:, None, None]
    return ((sets.unsqueeze(-3) >> bits) & 1).bool()


def known_shares(sets: Integer[Tensor, "B K H W"], classes: int) -> Float[Tensor, "B classes H W"]:
    """The parts of each pixel that surely show each class."""
    possible = members(sets, classes)
    sure = possible.sum(2, keepdim=True) == 1
    return (possible & sure).float().mean(1)
