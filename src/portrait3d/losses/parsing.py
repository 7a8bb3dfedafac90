"""The loss of the parsing network: weighted cross-entropy and soft dice, both with shares of classes."""

from jaxtyping import Float
from torch import Tensor


def cross_entropy_loss(
    logits: Float[Tensor, "B C H W"], shares: Float[Tensor, "B C H W"], class_weights: Float[Tensor, " C"]
) -> Float[Tensor, " B"]:
    """Cross-entropy of every sample: the mean over its pixels, each weighted by its classes' weights.

    `shares` are the parts of each pixel that show each class; they sum to 1, or to less where only a part of
    the pixel is known, and pixels of which nothing is known don't count.
    """
    weighted = shares * class_weights[:, None, None]
    values = -(weighted * logits.log_softmax(1)).sum((1, 2, 3))
    return values / weighted.sum((1, 2, 3)).clamp(min=1e-6)


def dice_loss(logits: Float[Tensor, "B C H W"], shares: Float[Tensor, "B C H W"]) -> Float[Tensor, ""]:
    """One minus the soft dice coefficient, over the whole batch, averaged over the classes that it shows.

    Milletari et al., "V-Net" (3DV 2016). The batch is one region because small classes miss in many photos.
    """
    found = logits.softmax(1) * shares.sum(1, keepdim=True)
    both = (found * shares).sum((0, 2, 3))
    total = (found.square() + shares.square()).sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (total + 1)
    return dice[shares.sum((0, 2, 3)) > 0].mean()
