"""Reading 8-bit pictures between their pixels: compiled loops for what crops and framings are made of."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.compilation import compiled
from portrait3d.preprocessing.threads import side_by_side


def read_means(
    picture: UInt8[np.ndarray, "H W C"],
    picture_from_own: Float[np.ndarray, "2 3"],
    size: int,
    samples: int,
) -> Float[Tensor, "C size size"]:
    """Read a square of size x size pixels out of a picture, values in [0, 1], 0 beyond the picture.

    `picture_from_own` moves the square's pixel coordinates (x, y, 1) to those of the picture. Every pixel is
    the mean of samples x samples bilinear readings, evenly spread over it.
    """
    out = np.empty((picture.shape[2], size, size), np.float32)
    read = partial(_read_means, np.ascontiguousarray(picture), picture_from_own, samples, out)
    # Rows in one part for each of torch's threads.
    ends = np.linspace(0, size, torch.get_num_threads() + 1).astype(int)
    side_by_side(read, ends[:-1], ends[1:])
    return torch.from_numpy(out)


def add_level(
    total: Float[Tensor, "3 h w"],
    picture: UInt8[np.ndarray, "H W 3"],
    shrink: int,
    points: Float[Tensor, "h w 2"],
    weight: Float[Tensor, "h w"],
) -> None:
    """Add what a picture that is `shrink` times reduced shows at points of the full one, RGB in [0, 1].

    Read bilinearly, the border's colours beyond it, and only where the weight is above zero; in place.
    """
    _add_level(
        total.numpy(),
        np.ascontiguousarray(picture),
        float(shrink),
        points.contiguous().numpy(),
        weight.contiguous().numpy(),
    )


@compiled
def _read_means(source, picture_from_own, samples, out, begin, end):
    height, width = source.shape[:2]
    (xx, xy, x0), (yx, yy, y0) = picture_from_own
    step, share = 1 / samples, 1 / (255 * samples * samples)
    sums = np.empty(out.shape[0], np.float32)
    for row in range(begin, end):
        for column in range(out.shape[2]):
            sums[:] = 0
            for i in range(samples):
                v = row + (i + 0.5) * step
                for j in range(samples):
                    u = column + (j + 0.5) * step
                    x, y = xx * u + xy * v + x0 - 0.5, yx * u + yy * v + y0 - 0.5
                    if not (-1 < x < width and -1 < y < height):
                        continue
                    # int() cuts toward zero; this rounds down from -1 on.
                    left, top = int(x + 1) - 1, int(y + 1) - 1
                    fx, fy = x - left, y - top
                    a, b, c, d = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
                    right, bottom = left + 1, top + 1
                    # Neighbours beyond the border are black: they keep their place and lose their weight.
                    if left < 0 or top < 0 or right == width or bottom == height:
                        if left < 0:
                            left, a, c = 0, 0.0, 0.0
                        if top < 0:
                            top, a, b = 0, 0.0, 0.0
                        if right == width:
                            right, b, d = left, 0.0, 0.0
                        if bottom == height:
                            bottom, c, d = top, 0.0, 0.0
                    for k in range(len(sums)):
                        upper = a * source[top, left, k] + b * source[top, right, k]
                        lower = c * source[bottom, left, k] + d * source[bottom, right, k]
                        sums[k] += share * (upper + lower)
            for k in range(len(sums)):
                out[k, row, column] = sums[k]


@compiled
def _add_level(total, source, shrink, points, weight):
    height, width = source.shape[:2]
    for row in range(weight.shape[0]):
        for column in range(weight.shape[1]):
            share = weight[row, column] / 255.0
            if not share > 0:
                continue
            x = min(max(points[row, column, 0] / shrink - 0.5, 0.0), width - 1.0)
            y = min(max(points[row, column, 1] / shrink - 0.5, 0.0), height - 1.0)
            left, top = int(x), int(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            fx, fy = x - left, y - top
            for c in range(3):
                upper = source[top, left, c] * (1 - fx) + source[top, right, c] * fx
                lower = source[bottom, left, c] * (1 - fx) + source[bottom, right, c] * fx
                total[c, row, column] += share * (upper * (1 - fy) + lower * fy)
