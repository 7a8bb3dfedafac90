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

    The picture has three channels at most. `picture_from_own` moves the square's pixel coordinates (x, y, 1)
    to those of the picture. Every pixel is the mean of samples x samples bilinear readings, evenly spread
    over it.
    """
    height, width, channels = picture.shape
    # Black beyond the picture: one pixel before it, and two behind, as a reading takes the next one along.
    packed = np.zeros((height + 3, width + 3), np.int32)
    _pack(np.ascontiguousarray(picture), packed)
    out = np.zeros((3, size, size), np.float32)
    read = partial(_read_means, packed.ravel(), width, height, picture_from_own, samples, out)
    # Rows in one part for each of torch's threads.
    ends = np.linspace(0, size, torch.get_num_threads() + 1).astype(int)
    side_by_side(read, ends[:-1], ends[1:])
    return torch.from_numpy(out[:channels])


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
def _pack(picture, packed):
    """The channels of every pixel in one integer, so that one reading finds them all."""
    height, width, channels = picture.shape
    for row in range(height):
        line = packed[row + 1]
        for k in range(channels):
            for column in range(width):
                line[column + 1] |= np.int32(picture[row, column, k]) << np.int32(8 * k)


@compiled
def _read_means(packed, width, height, picture_from_own, samples, out, begin, end):
    (xx, xy, x0), (yx, yy, y0) = picture_from_own
    step, share = 1 / samples, 1 / (255 * samples * samples)
    pitch = np.int32(width + 3)
    for row in range(begin, end):
        for i in range(samples):
            v = row + (i + 0.5) * step
            for j in range(samples):
                # Whole rows at once, without branches: this loop becomes vector instructions.
                for column in range(out.shape[2]):
                    u = column + (j + 0.5) * step
                    # Before the first pixel, whose centre lies at 0, is a black one.
                    x = min(max(xx * u + xy * v + x0 - 0.5, -1.0), float(width))
                    y = min(max(yx * u + yy * v + y0 - 0.5, -1.0), float(height))
                    left, top = np.int32(x + 1), np.int32(y + 1)
                    fx, fy = x - (left - 1), y - (top - 1)
                    a, b, c, d = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
                    place = np.uint64(top * pitch + left)
                    p, q = packed[place], packed[place + np.uint64(1)]
                    place += np.uint64(pitch)
                    r, s = packed[place], packed[place + np.uint64(1)]
                    for k in range(3):
                        shift = np.int32(8 * k)
                        upper = a * np.int32((p >> shift) & 255) + b * np.int32((q >> shift) & 255)
                        lower = c * np.int32((r >> shift) & 255) + d * np.int32((s >> shift) & 255)
                        out[k, row, column] += share * (upper + lower)


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
