"""The head's texture: the photo on the left, colours of what the photo does not show on the right.

Hidden colours live on a disc: directions from the middle of the skull, with the back of the head in the
disc's middle and the face at its rim (azimuthal equidistant).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.geometry.filling import push_pull, resample
from portrait3d.geometry.skin import HEAD_CENTRE

DISC = 256
"""Pixels across a disc while it is filled."""


def disc_coordinates(points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
    """Where points of the model's frame (mm) lie on the disc, 0 to 1."""
    direction = points - HEAD_CENTRE
    x, y, z = direction.T / np.maximum(np.linalg.norm(direction, axis=1), 1e-9)
    radius = np.arccos(np.clip(z, -1, 1)) / np.pi
    across = np.maximum(np.hypot(x, y), 1e-9)
    return 0.5 + 0.5 * radius[:, None] * np.stack([x / across, y / across], axis=1)


def disc_directions(size: int) -> Float[np.ndarray, "size size 3"]:
    """Unit vector of the model's frame for every pixel of the disc."""
    v, u = np.mgrid[:size, :size] + 0.5
    u, v = 2 * u / size - 1, 2 * v / size - 1
    radius = np.hypot(u, v)
    theta = np.pi * np.minimum(radius, 1.0)
    ratio = np.sin(theta) / np.maximum(radius, 1e-9)
    return np.stack([u * ratio, v * ratio, np.cos(theta)], axis=-1)


def spread(
    points: Float[np.ndarray, "N 3"], values: Float[np.ndarray, "N C"]
) -> Float[Tensor, "C DISC DISC"]:
    """Values over a whole disc from those of some points (model frame, mm), the nearest ones elsewhere."""
    cell = (disc_coordinates(points) * DISC).astype(np.int64).clip(0, DISC - 1)
    cell = torch.from_numpy(cell[:, 1] * DISC + cell[:, 0])
    weighted = torch.from_numpy(np.concatenate([values, np.ones((len(points), 1))], axis=1).T).float()
    total = torch.zeros(len(weighted), DISC * DISC).index_add_(1, cell, weighted).unflatten(1, (DISC, DISC))
    return push_pull(total[:-1] / total[-1].clamp_min(1.0), (total[-1] > 0).float())


@lru_cache(maxsize=2)
def strands(size: int) -> Float[Tensor, "size size"]:
    """Noise that runs down from the crown like hair, mean 0 and standard deviation about 1."""
    rng = np.random.default_rng(7)
    x, y, z = np.moveaxis(disc_directions(size), -1, 0)
    # Strands leave the crown, a little behind the top of the head.
    tilt = np.radians(25.0)
    y, z = y * np.cos(tilt) + z * np.sin(tilt), z * np.cos(tilt) - y * np.sin(tilt)
    azimuth = np.arctan2(x, z) / (2 * np.pi) % 1.0
    height = (np.arccos(np.clip(-y, -1, 1)) / np.pi).clip(0, 1)
    total = np.zeros((size, size))
    for count, rows, weight in ((90, 3, 0.6), (220, 5, 0.7), (400, 9, 0.5)):
        noise = rng.standard_normal((rows + 1, count))
        column, row = azimuth * count, height * rows
        left, top = np.floor(column).astype(int), np.minimum(np.floor(row).astype(int), rows - 1)
        a, b = column - left, row - top
        left, right = left % count, (left + 1) % count
        upper = noise[top, left] * (1 - a) + noise[top, right] * a
        lower = noise[top + 1, left] * (1 - a) + noise[top + 1, right] * a
        total += weight * (upper * (1 - b) + lower * b)
    return torch.from_numpy(total / total.std()).float()


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Size of the parts of the texture, [S, 3 S / 2]: the photo's crop, and the disc at the top right."""

    size: int
    """S: pixels of the crop's side; even."""

    def of_photo(self, pixels: Float[np.ndarray, "N 2"], crop: int) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of pixels of the crop."""
        return pixels / np.array([1.5 * crop, crop])

    def of_disc(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of points (model frame, mm) on the disc."""
        return disc_coordinates(points) / np.array([3.0, 2.0]) + np.array([2 / 3, 0.0])

    def paint(
        self, photo: Float[Tensor, "3 S S"], disc: Float[Tensor, "3 h h"]
    ) -> UInt8[np.ndarray, "S T 3"]:
        """Put the texture together."""
        half = self.size // 2
        below = disc.mean(dim=(1, 2), keepdim=True).expand(3, half, half)
        column = torch.cat([resample(disc, (half, half)), below], dim=1)
        whole = torch.cat([photo, column], dim=2).clamp(0, 1)
        return (whole * 255).round().byte().permute(1, 2, 0).numpy()


def roughness_of(picture: Float[Tensor, "3 H W"], hair: Bool[np.ndarray, "H W"]) -> float:
    """Contrast of fine structure in the visible hair, relative to its brightness."""
    if hair.sum() < 100:
        return 0.0
    grey = picture.mean(0, keepdim=True)
    detail = (grey - torch.nn.functional.avg_pool2d(grey, 7, 1, 3))[0].numpy()[hair]
    contrast = detail.std() / max(float(grey[0].numpy()[hair].mean()), 0.05)
    return float(np.clip(0.5 * contrast, 0.0, 0.12))
