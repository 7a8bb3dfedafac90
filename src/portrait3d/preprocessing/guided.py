"""The colour guided filter: a probability map moved to the picture's edges."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.compilation import compiled
from portrait3d.geometry.pictures import resample

RADIUS, SMOOTHNESS = 3, 1e-4
"""Window (pixels of the reduced picture) and regularisation of the guided filter: colours that vary by less
than the regularisation's root, 1 % of their range, count as flat."""
REDUCED = 256
"""Longest side at which the filter's coefficients are computed."""
CONTRAST = 1.6
"""Steepening of the filtered matte about one half: the mean over windows blurs edges."""


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
    # Where a wide window lies on one side of the edge alone, the matte is 0 or 1: texture must leave no haze.
    share = box_means((target > 0.5).float(), 2 * radius)
    maps = resample(torch.cat([_coefficients(guide, target, radius), share]), (height, width))
    gain, bias, share = maps[:3], maps[3], maps[4]
    matte = (((gain * picture).sum(0) + bias - 0.5) * CONTRAST + 0.5).clamp(0, 1)
    return torch.where(share < 1e-3, 0.0, torch.where(share > 1 - 1e-3, 1.0, matte))


def box_means(values: Float[Tensor, "C h w"], radius: int) -> Float[Tensor, "C h w"]:
    """Means over square windows of 2 radius + 1 pixels; beyond the border its values go on."""
    out = np.empty(values.shape, np.float32)
    _box_means(values.contiguous().numpy(), radius, out)
    return torch.from_numpy(out)


def _coefficients(
    guide: Float[Tensor, "3 h w"], target: Float[Tensor, "1 h w"], radius: int
) -> Float[Tensor, "4 h w"]:
    """The filter's linear model target = gain . guide + bias, averaged over all windows of a pixel: both."""
    red, green, blue = guide
    products = torch.stack([red * red, red * green, red * blue, green * green, green * blue, blue * blue])
    means = box_means(torch.cat([guide, target, guide * target, products]), radius)
    (r, g, b), mean_target = means[:3], means[3]
    # The covariances of the colours with the target, and among themselves: a symmetric 3 x 3 matrix.
    x, y, z = means[4:7] - means[:3] * mean_target
    rr, rg, rb, gg, gb, bb = means[7:] - torch.stack([r * r, r * g, r * b, g * g, g * b, b * b])
    # Regularised: in flat windows the gain goes to 0, and the mean of the target decides.
    rr, gg, bb = rr + SMOOTHNESS, gg + SMOOTHNESS, bb + SMOOTHNESS
    # A symmetric 3 x 3 system in every pixel, solved by its adjugate and determinant.
    first, second, third = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    fourth, fifth, sixth = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    gain = torch.stack(
        [
            first * x + second * y + third * z,
            second * x + fourth * y + fifth * z,
            third * x + fifth * y + sixth * z,
        ]
    )
    gain /= rr * first + rg * second + rb * third
    bias = mean_target - (gain * means[:3]).sum(0)
    return box_means(torch.cat([gain, bias[None]]), radius)


@compiled
def _box_means(values, radius, out):
    channels, height, width = values.shape
    size = 2 * radius + 1
    scale = np.float32(1 / size**2)
    line = np.empty(width + 2 * radius, np.float32)
    middle = line[radius : radius + width]
    for c in range(channels):
        for row in range(height):
            # First down the columns, then along the row. Every sum is taken anew: a running sum would carry
            # its rounding errors along.
            middle[:] = 0
            for k in range(-radius, radius + 1):
                source = values[c, min(max(row + k, 0), height - 1)]
                for x in range(width):
                    middle[x] += source[x]
            line[:radius] = middle[0]
            line[radius + width :] = middle[width - 1]
            target = out[c, row]
            target[:] = 0
            for k in range(size):
                shifted = line[k : k + width]
                for x in range(width):
                    target[x] += shifted[x]
            for x in range(width):
                target[x] *= scale
