"""Losses of the face network (paper, stage 1), one value per sample."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from portrait3d.models.coefficients import FaceCoefficients

EMPHASIS = 20.0
"""Weight of mouth and nose points in Deng et al., CVPR workshops 2019; other points have 1."""
IDENTITY_WEIGHT, EXPRESSION_WEIGHT, ALBEDO_WEIGHT = 1.0, 0.8, 1.7e-3
"""Weights of the squared coefficients in Deng et al."""


def photometric_loss(
    rendered: Float[Tensor, "B 3 H W"], photo: Float[Tensor, "B 3 H W"], attention: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, " B"]:
    """Mean RGB distance between a photo and the rendered face over the face's pixels, Eq. 2.

    `attention` is 0 outside the rendered face and the probability of skin inside (Deng et al., 2019), so that
    hair, glasses and hands do not pull; the paper's plain Eq. 2 has 1 inside. 0 where there is no face.
    """
    # The square root's gradient is infinite at 0: a small number under it, here and in the other distances.
    distance = ((rendered - photo).square().sum(1, keepdim=True) + 1e-8).sqrt()
    return (attention * distance).sum((1, 2, 3)) / attention.sum((1, 2, 3)).clamp_min(1e-6)


def identity_loss(
    rendered_features: Float[Tensor, "B D"], photo_features: Float[Tensor, "B D"]
) -> Float[Tensor, " B"]:
    """One minus the cosine of a face recogniser's features of the render and of the photo, Eq. 3.

    The features come from any network with one vector a face; none is shipped.
    """
    return 1 - F.cosine_similarity(rendered_features, photo_features, dim=1)


def landmark_loss(
    predicted: Float[Tensor, "B P 2"],
    target: Float[Tensor, "B P 2"],
    extent: Float[Tensor, " B"],
    weight: Float[Tensor, " P"] | None = None,
) -> Float[Tensor, " B"]:
    """Weighted mean distance of landmarks, in percent of the face's `extent` (pixels).

    Distances instead of the squares of Deng et al.: labels of covered points are wild. Points whose target is
    NaN are left out; a sample without any gives 0.
    """
    known = target.isfinite().all(-1)
    # NaN is replaced before the difference: its weight of 0 would not keep it out of the gradient. Within a
    # tenth of a pixel the distance is smooth.
    distance = ((predicted - target.nan_to_num()).square().sum(-1) + 1e-2).sqrt()
    share = known.to(distance) if weight is None else known * weight
    mean = (distance * share).sum(1) / share.sum(1).clamp_min(1e-6)
    return 100 * mean / extent


def emphasised_landmarks(emphasis: float = EMPHASIS) -> Float[Tensor, "68"]:
    """Weights of the 68 landmarks: `emphasis` for nose (27-35) and inner mouth (60-67), 1 elsewhere."""
    weight = torch.ones(68)
    weight[27:36] = weight[60:68] = emphasis
    return weight


def shape_loss(predicted: Float[Tensor, "B P 3"], target: Float[Tensor, "B P 3"]) -> Float[Tensor, " B"]:
    """Mean distance of points of the head in the model's frame, mm."""
    return ((predicted - target).square().sum(-1) + 1e-4).sqrt().mean(1)


def standardised_loss(
    predicted: Float[Tensor, "B C"], target: Float[Tensor, "B C"], scale: Float[Tensor, " C"]
) -> Float[Tensor, " B"]:
    """Mean squared error of coefficients in units of their spread, at most 9 each: bad fits must not pull."""
    return ((predicted - target) / scale).square().clamp(max=9.0).mean(1)


def rotation_loss(predicted: Float[Tensor, "B 3 3"], target: Float[Tensor, "B 3 3"]) -> Float[Tensor, " B"]:
    """Chordal distance of rotations in degrees: the angle between them, where that is small."""
    # |R - R'| = 2 sqrt(2) sin(angle / 2), about sqrt(2) times the angle; smooth where they agree, unlike acos
    # of the trace.
    chord = ((predicted - target).square().sum((1, 2)) + 1e-6).sqrt()
    return torch.rad2deg(chord / 2**0.5)


def coefficient_regularizer(coefficients: FaceCoefficients) -> Float[Tensor, " B"]:
    """Weighted squares of identity, expression and albedo coefficients, as in Deng et al., 2019."""
    return (
        IDENTITY_WEIGHT * coefficients.identity.square().sum(1)
        + EXPRESSION_WEIGHT * coefficients.expression.square().sum(1)
        + ALBEDO_WEIGHT * coefficients.albedo.square().sum(1)
    )


def albedo_flatness(albedo: Float[Tensor, "B V 3"], skin: Float[Tensor, " V"]) -> Float[Tensor, " B"]:
    """Variance of the skin's colour, summed over the channels, as in Deng et al., 2019.

    `skin` weighs the vertices that should have one colour: cheeks, forehead and nose.
    """
    share = (skin / skin.sum().clamp_min(1e-6))[:, None]
    mean = (albedo * share).sum(1, keepdim=True)
    return ((albedo - mean).square() * share).sum((1, 2))
