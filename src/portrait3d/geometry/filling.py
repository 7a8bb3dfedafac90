"""Spreading known colours smoothly over unknown pixels."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.compilation import compiled


def push_pull(
    values: Float[Tensor, "C H W"], weight: Float[Tensor, "H W"], floor: float = 1e-4
) -> Float[Tensor, "C H W"]:
    """Keep values of weight 1 and fill where the weight falls to 0 from coarser and coarser averages.

    The push-pull pyramid of Gortler et al., "The Lumigraph" (1996): every level is the weighted mean of 2 x 2
    pixels with its weights saturated at 1, so that few known pixels suffice to decide a coarse one. Zero
    everywhere if no weight is above `floor`. On the CPU, without gradients.
    """
    lowest = np.float32(floor)
    levels = [((values * weight).contiguous().numpy(), weight.contiguous().numpy())]
    # Pull: average down to a single pixel. Values travel multiplied by their weights, as premultiplied alpha
    # does, so that sums stay sums.
    while levels[-1][1].size > 1:
        premultiplied, known = levels[-1]
        size = tuple((side + 1) // 2 for side in known.shape)
        levels.append((np.empty((len(premultiplied), *size), np.float32), np.empty(size, np.float32)))
        _pull(premultiplied, known, lowest, *levels[-1])
    filled, known = levels.pop()
    filled /= np.maximum(known, lowest)
    # Push: from coarse to fine, each level fills what the finer one lacks.
    for premultiplied, known in reversed(levels):
        _push(filled, known, premultiplied)
        filled = premultiplied
    return torch.from_numpy(filled)


@compiled
def _pull(values, weight, floor, coarse, known):
    """The next coarser level: values that are multiplied with their weights, and the weights."""
    scale = np.empty(known.shape[1], np.float32)
    for y in range(len(known)):
        _add_fours(weight, y, known[y])
        for x in range(len(scale)):
            # Saturation: four known pixels make one known pixel, not four. Weights below the floor fade out,
            # so that traces decide nothing.
            scale[x] = min(known[y, x], np.float32(1)) / max(known[y, x], floor)
            known[y, x] *= scale[x]
        for c in range(len(values)):
            _add_fours(values[c], y, coarse[c, y])
            for x in range(len(scale)):
                coarse[c, y, x] *= scale[x]


@compiled
def _add_fours(fine, y, sums):
    """Row y of the sums of 2 x 2 pixels; what is missing beyond the border is 0."""
    height, width = fine.shape
    sums[:] = 0
    for row in range(2 * y, min(2 * y + 2, height)):
        line = fine[row]
        for x in range(width // 2):
            sums[x] += line[2 * x] + line[2 * x + 1]
        if width % 2:
            sums[len(sums) - 1] += line[width - 1]


@compiled
def _push(coarse, known, values):
    """Add to values what their weights lack of the coarser level, enlarged bilinearly to twice its size."""
    channels, rows, columns = coarse.shape
    height, width = known.shape
    # A fine pixel's centre lies a quarter of a coarse pixel from the nearest coarse centre: bilinear weights
    # 3/4 and 1/4 along each axis.
    one, near, far = np.float32(1), np.float32(0.75), np.float32(0.25)
    line = np.empty(columns + 2, np.float32)
    for c in range(channels):
        for y in range(height):
            here = coarse[c, y // 2]
            beside = coarse[c, min(max(y // 2 + (1 if y % 2 else -1), 0), rows - 1)]
            for x in range(columns):
                line[x + 1] = near * here[x] + far * beside[x]
            line[0], line[columns + 1] = line[1], line[columns]
            target, share = values[c, y], known[y]
            for x in range(width):
                middle = x // 2 + 1
                target[x] += (one - share[x]) * (near * line[middle] + far * line[middle - 1 + 2 * (x % 2)])
