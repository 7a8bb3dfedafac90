"""Soft outlines: how much of each pixel is head, and what colour that head has."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.filling import push_pull, resample

RADIUS, SMOOTHNESS = 3, 1e-4
"""Window (pixels of the reduced picture) and regularisation of the guided filter."""
REDUCED = 256
"""Longest side at which the filter's coefficients are computed."""
CONTRAST = 1.6
"""Steepening of the filtered matte about one half."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of the photo that moves on its own."""

    colour: Float[Tensor, "3 h w"]
    """Without what lies behind: at soft edges, the colour of what is further inside."""
    alpha: Float[Tensor, "1 h w"]

    @cached_property
    def planes(self) -> Float[Tensor, "4 h w"]:
        """Colour and opacity."""
        return torch.cat([self.colour, self.alpha])


def cut_out(
    picture: Float[Tensor, "3 h w"], probability: Float[Tensor, "h w"], inside: Float[Tensor, "h w"]
) -> Layer:
    """Separate what a probability map shows from the rest of the picture, with a matte along its edge.

    `inside` is 1 where the picture's own colours may be kept.
    """
    alpha = refine_matte(picture, probability)
    return Layer(push_pull(picture, torch.minimum(inside, ((alpha - 0.9) / 0.1).clamp(0, 1))), alpha[None])


def refine_matte(picture: Float[Tensor, "3 h w"], probability: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Move the soft edge of a probability map to the picture's edges.

    Colour guided filter (He et al., ECCV 2010) in its fast form: coefficients at a reduced size, applied to
    the picture itself. Only the belt about the edge is filtered.
    """
    height, width = probability.shape
    scale = min(1.0, REDUCED / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    guide, target = resample(picture, size), resample(probability[None], size)
    radius = max(1, round(RADIUS * max(size) / REDUCED))
    gain, bias = _guided_coefficients(guide, target, radius)
    gain, bias = resample(gain, (height, width)), resample(bias, (height, width))
    filtered = (gain * picture).sum(0) + bias[0]
    matte = ((filtered - 0.5) * CONTRAST + 0.5).clamp(0, 1)
    share = _box((target > 0.5).float(), 2 * radius)
    share = resample(share, (height, width))[0]
    matte = torch.where(share < 1e-3, torch.zeros_like(matte), matte)
    return torch.where(share > 1 - 1e-3, torch.ones_like(matte), matte)


def _guided_coefficients(
    guide: Float[Tensor, "3 h w"], target: Float[Tensor, "1 h w"], radius: int
) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "1 h w"]]:
    """The filter's linear model target = gain . guide + bias, averaged over all windows of a pixel."""
    products = torch.stack([guide[i] * guide[j] for i in range(3) for j in range(i, 3)])
    means = _box(torch.cat([guide, target, guide * target, products]), radius)
    mean, mean_target, mixed, second = means[:3], means[3:4], means[4:7], means[7:]
    covariance = torch.zeros(3, 3, *guide.shape[-2:])
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    for k, (i, j) in enumerate(pairs):
        covariance[i, j] = covariance[j, i] = second[k] - mean[i] * mean[j]
    covariance = covariance.permute(2, 3, 0, 1) + SMOOTHNESS * torch.eye(3)
    slope = (mixed - mean * mean_target).permute(1, 2, 0)[..., None]
    gain = _solve_symmetric(covariance, slope)[..., 0].permute(2, 0, 1)
    bias = mean_target - (gain * mean).sum(0, keepdim=True)
    smooth = _box(torch.cat([gain, bias]), radius)
    return smooth[:3], smooth[3:]


def _solve_symmetric(
    matrix: Float[Tensor, "h w 3 3"], right: Float[Tensor, "h w 3 1"]
) -> Float[Tensor, "h w 3 1"]:
    """Solve many 3 x 3 systems by the adjugate: far faster than a batched factorisation."""
    columns = matrix.unbind(-1)
    adjugate = torch.stack(
        [torch.linalg.cross(columns[(k + 1) % 3], columns[(k + 2) % 3], dim=-1) for k in range(3)], dim=-2
    )
    determinant = (columns[0] * adjugate[..., 0, :]).sum(-1)[..., None, None]
    return adjugate @ right / determinant


def _box(values: Float[Tensor, "C h w"], radius: int) -> Float[Tensor, "C h w"]:
    """Mean over square windows; running sums, so that the window's size costs nothing."""
    size = 2 * radius + 1
    rows = ndimage.uniform_filter1d(values.numpy(), size, axis=1, mode="nearest")
    return torch.from_numpy(ndimage.uniform_filter1d(rows, size, axis=2, mode="nearest"))
