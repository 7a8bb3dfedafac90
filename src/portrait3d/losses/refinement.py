"""What makes a repaired picture right: colours where they are known, and patches like those of real photos.

J are coarse turns, R real photos with holes and R^ the same photos without; G repairs, D tells real patches.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Scores = Sequence[Float[Tensor, "_ 1 _ _"]]


def color_loss(
    turned: Float[Tensor, "J 3 H W"],
    coarse: Float[Tensor, "J 3 H W"],
    known: Bool[Tensor, "J 1 H W"],
    restored: Float[Tensor, "R 3 H W"],
    original: Float[Tensor, "R 3 H W"],
) -> Float[Tensor, ""]:
    """Colours are kept where a turn knows them and restored everywhere in a photo, Eq. 10.

    The l1 of G(J) - J over `known` (the background and the moved head), plus the l1 of G(R) - R^ over the
    whole picture; each a mean over its pixels, summed over RGB. Either batch may be empty.
    """
    # `known` has one channel: its sum counts pixels, and errors are summed over RGB as in the equation.
    kept = ((turned - coarse).abs().sum(dim=1, keepdim=True) * known).sum() / known.sum().clamp_min(1)
    pixels = max(restored.numel() // 3, 1)
    return kept + (restored - original).abs().sum() / pixels


def hole_loss(
    restored: Float[Tensor, "R 3 H W"], original: Float[Tensor, "R 3 H W"], holes: Float[Tensor, "R 1 H W"]
) -> Float[Tensor, ""]:
    """Colours in the holes of photos once more, for these are a small part of the picture.

    The l1 of G(R) - R^ over the holes, a mean over their pixels and channels (Liu et al., ECCV 2018).
    """
    return ((restored - original).abs() * holes).sum() / (3 * holes.sum()).clamp_min(1)


def generator_adversarial_loss(turned: Scores, restored: Scores) -> Float[Tensor, ""]:
    """D should take repaired turns and photos for real, Eq. 11.

    Args:
        turned: D(G(J)), one map of scores per scale; empty if there are no turns.
        restored: D(G(R)).
    """
    return _distance(turned, 1.0) + _distance(restored, 1.0)


def discriminator_adversarial_loss(turned: Scores, restored: Scores, original: Scores) -> Float[Tensor, ""]:
    """D should tell repaired pictures from real photos, Eq. 12.

    Args:
        turned: D(G(J)), one map of scores per scale, G held fixed.
        restored: D(G(R)), likewise.
        original: D(R^).
    """
    return _distance(turned, 0.0) + _distance(restored, 0.0) + _distance(original, 1.0)


def _distance(scores: Scores, value: float) -> Float[Tensor, ""]:
    """Mean square distance of scores from a value, every scale alike; 0 without any."""
    squares = [(score - value).square().mean() for score in scores]
    return torch.stack(squares).mean() if squares else torch.zeros(())
