"""The loss of the parsing network: weighted cross-entropy and soft dice."""

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

IGNORED = 255
"""Label of pixels that don't count, such as those beyond the photo's border."""


def cross_entropy_loss(
    logits: Float[Tensor, "B C H W"], labels: Int64[Tensor, "B H W"], class_weights: Float[Tensor, " C"]
) -> Float[Tensor, " B"]:
    """Cross-entropy of every sample: the mean over its pixels, each weighted by its label's class weight."""
    values = F.cross_entropy(logits, labels, class_weights, ignore_index=IGNORED, reduction="none")
    counted = labels != IGNORED
    weights = class_weights[labels.where(counted, 0)] * counted
    return values.sum((1, 2)) / weights.sum((1, 2)).clamp(min=1e-6)


def dice_loss(logits: Float[Tensor, "B C H W"], labels: Int64[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """One minus the soft dice coefficient, over the whole batch, averaged over the classes that it shows.

    Milletari et al., "V-Net" (3DV 2016). The batch is one region because small classes miss in many photos.
    """
    counted: Bool[Tensor, "B 1 H W"] = (labels != IGNORED)[:, None]
    truth = F.one_hot(labels.where(counted[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2) * counted
    found = logits.softmax(1) * counted
    both = (found * truth).sum((0, 2, 3))
    total = (found + truth).sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (total + 1)
    return dice[truth.sum((0, 2, 3)) > 0].mean()
