"""What hair looks like close up, for hair that the photo does not show."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.special import ndtr, ndtri
from torch import Tensor

from portrait3d.geometry.skin import HEAD_CENTRE

SMALLEST = 100
"""Pixels (of the crop) of visible hair below which its look is unknown."""
SAMPLES = 20000
"""Pixels from which the look is taken."""
WIDTH = 4.0
"""Blur (pixels of the crop) that parts the hair's shading from its strands."""
CROWN_TILT = np.radians(25.0)
"""The crown, from which strands run, lies this far behind the top of the head."""
LENGTH = 300.0
"""Hair that hangs straight changes over this length (mm) as much as over half the way round the head."""
LAYERS = ((36, 4, 0.5), (90, 6, 0.7), (220, 10, 0.8), (520, 18, 0.7))
"""Strands around the head, changes along them, and weight, of each layer of the noise."""
EVENNESS = 0.6
"""Contrast of unseen strands relative to those in the photo, some of whose contrast is the light's."""
GREY = np.array([0.3, 0.6, 0.1])


@dataclass(frozen=True, slots=True, eq=False)
class HairLook:
    """How bright strands are beside each other, and how their colour changes with that."""

    contrast: Float[np.ndarray, " Q"]
    """Quantiles of the strands' brightness, natural logarithm relative to the hair about them."""
    tint: Float[np.ndarray, "3"]
    """Change of each channel's logarithm with that of the brightness."""

    def colours(
        self, base: Float[np.ndarray, "N 3"], points: Float[np.ndarray, "N 3"]
    ) -> Float[np.ndarray, "N 3"]:
        """Colours of hair at points of the model's frame (mm), around smooth ones."""
        rank = ndtr(strand_noise(points)) * (len(self.contrast) - 1)
        brightness = np.interp(rank, np.arange(len(self.contrast)), self.contrast)
        return base * np.exp(brightness[:, None] * self.tint)


def hair_look(
    picture: Float[Tensor, "3 S S"], coarse: Float[Tensor, "3 H W"], hair: Bool[np.ndarray, "H W"]
) -> HairLook | None:
    """The look of the visible hair; None if the photo shows hardly any."""
    if hair.sum() < SMALLEST:
        return None
    scale = picture.shape[-1] / len(hair)
    row, column = np.nonzero(hair)
    step = max(1, len(row) * int(scale**2) // SAMPLES)
    place = np.arange(0, len(row), max(1, step // max(1, int(scale**2))))
    offset = (place * 7919 % 97) / 97.0
    y = ((row[place] + offset) * scale).astype(np.int64).clip(0, picture.shape[1] - 1)
    x = ((column[place] + (offset * 31) % 1.0) * scale).astype(np.int64).clip(0, picture.shape[2] - 1)
    fine = np.log(np.maximum(picture[:, y, x].numpy().T, 0.02))
    inside = hair.astype(np.float64)
    weight = ndimage.gaussian_filter(inside, WIDTH)
    smooth = ndimage.gaussian_filter(coarse.numpy() * inside, (0, WIDTH, WIDTH)) / np.maximum(weight, 1e-4)
    detail = fine - np.log(np.maximum(smooth[:, row[place], column[place]].T, 0.02))
    brightness = detail @ GREY
    brightness = brightness - brightness.mean()
    tint = (detail * brightness[:, None]).sum(axis=0) / max(float((brightness**2).sum()), 1e-9)
    quantiles = EVENNESS * np.quantile(brightness, np.linspace(0.01, 0.99, 33))
    return HairLook(quantiles, np.clip(tint, 0.5, 1.5))


def strand_noise(points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
    """Standard normal noise that runs down from the crown like hair; points in the model's frame, mm."""
    x, y, z = (points - HEAD_CENTRE).T
    low, y = np.maximum(y, 0.0), np.minimum(y, 0.0)  # below the skull's middle hair hangs straight
    cosine, sine = np.cos(CROWN_TILT), np.sin(CROWN_TILT)
    y, z = y * cosine + z * sine, z * cosine - y * sine
    across = np.hypot(x, z)
    height = (np.arctan2(across, -y) / np.pi + low / LENGTH) / 2
    wave = 0.012 * np.sin(18 * height + 1.3 * np.sin(10 * height)) * np.minimum(across / 60, 1)
    azimuth = (np.arctan2(x, z) / (2 * np.pi) + wave) % 1.0
    noise = _noise()
    grid = torch.from_numpy(np.stack([azimuth * 2 - 1, height * 2 - 1], axis=1).astype(np.float32))
    return F.grid_sample(noise, grid[None, None], padding_mode="border", align_corners=False)[0, 0, 0].numpy()


@lru_cache(maxsize=1)
def _noise() -> Float[Tensor, "1 1 R C"]:
    """Standard normal noise over azimuth and height; both ends of the azimuth meet."""
    rng = np.random.default_rng(7)
    rows, columns = 64, 2080
    height, azimuth = np.mgrid[:rows, :columns] + 0.5
    height, azimuth = height / rows, azimuth / columns
    total = np.zeros((rows, columns))
    for count, changes, weight in LAYERS:
        values = np.pad(rng.standard_normal((changes + 1, count)), ((0, 0), (1, 2)), mode="wrap")
        place = [height * changes, azimuth * count + 0.5]
        total += weight * ndimage.map_coordinates(values, place, order=1, mode="nearest")
    ranks = total.ravel().argsort().argsort().reshape(total.shape)
    return torch.from_numpy(ndtri((ranks + 0.5) / ranks.size)).float()[None, None]
