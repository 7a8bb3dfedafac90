"""What hair looks like close up, for hair that the photo does not show."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from scipy import ndimage
from scipy.special import ndtri
from torch import Tensor

from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.head.scene import Scene

QUANTILES = np.linspace(0.01, 0.99, 33)
GREY = np.array([0.3, 0.6, 0.1])


@dataclass(frozen=True)
class StrandPattern:
    """How strands run over any head."""

    crown_tilt: float = math.radians(25.0)
    """The crown, from which strands run, lies this far behind the top of the head."""
    whorl: float = 18.0
    """Radius about the crown, mm, within which hair has no direction."""
    length: float = 300.0
    """Hair that hangs straight changes over this length (mm) as much as over half the way round the head."""
    locks: tuple[tuple[int, int, float], ...] = ((110, 14, 0.6), (230, 26, 0.8))
    strands: tuple[tuple[int, int, float], ...] = ((380, 34, 0.8), (620, 48, 0.8))
    """Strands around the head, changes along them, and weight, of the layers of the coarse and the fine
    noise."""
    rows: int = 128
    columns: int = 2080
    """Size of the noise over the head, along and around."""
    curls: float = 5.0
    grain: float = 2.2
    tile: int = 32
    """Sizes (mm) of the coarse and the fine noise without a direction, and cells after which it repeats."""


PATTERN = StrandPattern()


@dataclass(frozen=True)
class LookReading:
    """How the look of hair is taken from the photo."""

    smallest: int = 100
    """Pixels (of the crop) of visible hair below which its look is unknown."""
    samples: int = 20000
    """Pixels from which the look is taken."""
    width: int = 9
    """Pixels of the crop over whose mean the hair's shading is parted from its strands."""
    evenness: float = 0.6
    """Contrast of unseen strands relative to those in the photo, some of whose contrast is the light's."""
    curly: float = 0.36
    straight: float = 0.5
    """Coherence of the picture's gradients in hair without and with a direction."""


READING = LookReading()


class StrandCoordinates(NamedTuple):
    """Places among strands that run down from the crown."""

    azimuth: Float[np.ndarray, " N"]
    """About the crown, 0 to 1: 0 is behind, 0.5 before the head."""
    height: Float[np.ndarray, " N"]
    """How far down a strand, 0 to 1."""
    across: Float[np.ndarray, " N"]
    """Distance from the crown's axis, mm."""


@dataclass(frozen=True, slots=True, eq=False)
class HairLook:
    """How bright strands are beside each other, how wide and straight, and how their colour changes."""

    contrast: Float[np.ndarray, " Q"]
    """`QUANTILES` of the strands' brightness, natural logarithm relative to the hair about them."""
    tint: Float[np.ndarray, "3"]
    """Change of each channel's logarithm with that of the brightness."""
    locks: float = 0.3
    """Share of the brightness' variance that is that of whole locks."""
    straight: float = 1.0
    """1 for strands, 0 for curls without a direction."""

    def brightness(
        self, coarse: Float[np.ndarray, " N"], fine: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        """Logarithms of strands' brightness relative to the hair about them, from standard normal noise."""
        # Variances add up to 1: still normal. Its quantiles are then mapped to those of the photo (histogram
        # matching).
        noise = self.locks**0.5 * coarse + (1 - self.locks) ** 0.5 * fine
        return np.interp(noise, ndtri(QUANTILES), self.contrast)


def hair_look(scene: Scene, weight: Float[np.ndarray, "H W"]) -> HairLook | None:
    """The look of the visible hair, which has some weight; None if the photo shows hardly any."""
    hair = weight > 0.1
    if hair.sum() < READING.smallest:
        return None
    # Shading is the mean over a window within the hair; strands are what differs from it, as a logarithm:
    # light multiplies both.
    inside = hair.astype(np.float32)
    around = np.maximum(ndimage.uniform_filter(inside, READING.width), 1e-3)
    smooth = ndimage.uniform_filter(scene.coarse.numpy() * inside, (1, READING.width, READING.width)) / around
    row, column = np.nonzero(hair)
    place, y, x = spots(row, column, scene.picture.shape[-1] / len(hair))
    shading = np.log(np.maximum(smooth[:, row[place], column[place]].T, 0.02))
    detail = np.log(np.maximum(scene.picture[:, y, x].numpy().T, 0.02)) - shading
    brightness = detail @ GREY
    lock = (np.log(np.maximum(scene.coarse.numpy()[:, row[place], column[place]].T, 0.02)) - shading) @ GREY
    brightness = brightness - np.median(brightness)
    # Regression of each channel on the brightness: how the colour changes from dark strands to bright ones.
    tint = (detail * brightness[:, None]).sum(axis=0) / max(float((brightness**2).sum()), 1e-9)
    quantiles = READING.evenness * np.quantile(brightness, QUANTILES)
    share = lock.var() / max(float(brightness.var()), 1e-9)
    straight = np.clip((coherence(scene, inside) - READING.curly) / (READING.straight - READING.curly), 0, 1)
    return HairLook(quantiles, np.clip(tint, 0.5, 1.5), float(np.clip(share, 0.0, 0.5)), float(straight))


def spots(
    row: Int64[np.ndarray, " N"], column: Int64[np.ndarray, " N"], scale: float
) -> tuple[Int64[np.ndarray, " K"], Int64[np.ndarray, " K"], Int64[np.ndarray, " K"]]:
    """Some of the crop's pixels, and for each the row and column of one of the finer pixels in it."""
    step = max(1, len(row) * int(scale**2) // READING.samples)
    place = np.arange(0, len(row), max(1, step // max(1, int(scale**2))))
    # Different places in different pixels, and the same in every run: no random numbers.
    offset = (place * 7919 % 97) / 97.0
    y = ((row[place] + offset) * scale).astype(np.int64)
    x = ((column[place] + (offset * 31) % 1.0) * scale).astype(np.int64)
    return place, y, x


def coherence(scene: Scene, inside: Float[np.ndarray, "H W"]) -> float:
    """How much the hair's gradients share a direction: 0 if they have none, 1 if all lines are parallel."""
    brightness = np.log(np.maximum(np.tensordot(GREY, scene.coarse.numpy(), 1), 0.02))
    gy, gx = np.gradient(brightness)
    # The structure tensor; its eigenvalues differ by `apart` and add up to `total`.
    xx, xy, yy = (ndimage.uniform_filter(m * inside, READING.width) for m in (gx * gx, gx * gy, gy * gy))
    apart, total = np.hypot(xx - yy, 2 * xy), xx + yy
    return float((apart * inside).sum() / max(float((total * inside).sum()), 1e-9))


def strand_noise(
    points: Float[np.ndarray, "N 3"], coordinates: StrandCoordinates, straight: float = 1.0
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Standard normal noise, coarse and fine, at points of the model's frame, mm.

    As far as hair is `straight` it runs down from the crown; else, and at the crown, it has no direction.
    """
    azimuth, height, across = coordinates
    grid = torch.from_numpy(np.stack([azimuth * 2 - 1, height * 2 - 1], axis=1).astype(np.float32))
    strands = F.grid_sample(_strands(), grid[None, None], padding_mode="border", align_corners=False)[0, :, 0]
    aligned = straight * (1 - np.exp(-((across / PATTERN.whorl) ** 2)))
    loose = np.flatnonzero(aligned < 0.95)
    noise = strands.numpy()
    if len(loose):
        share = aligned[loose]
        # Both are independent: divided by the root of the squares, the mixture has variance 1 again.
        mixed = noise[:, loose] * share + _curls(points[loose]) * (1 - share)
        noise[:, loose] = mixed / np.hypot(share, 1 - share)
    return noise[0], noise[1]


def _curls(points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "2 N"]:
    """Standard normal noise without a direction, coarse and fine."""
    values = np.random.default_rng(11).standard_normal((PATTERN.tile,) * 3).astype(np.float32)
    values /= (2 / 3) ** 1.5  # the standard deviation between the cells' corners, on average
    return np.stack(
        [
            ndimage.map_coordinates(values, points.T / size, order=1, mode="grid-wrap")
            for size in (PATTERN.curls, PATTERN.grain)
        ]
    )


def strand_coordinates(points: Float[np.ndarray, "N 3"]) -> StrandCoordinates:
    """Where points of the model's frame (mm) lie among strands that run down from the crown."""
    x, y, z = (points - HEAD_CENTRE.astype(points.dtype)).T
    low, y = np.maximum(y, 0.0), np.minimum(y, 0.0)  # below the skull's middle hair hangs straight
    cosine, sine = float(np.cos(PATTERN.crown_tilt)), float(np.sin(PATTERN.crown_tilt))
    # Tilted, so that the axis runs through the crown.
    y, z = y * cosine - z * sine, z * cosine + y * sine
    across = np.hypot(x, z)
    # Down a strand: the angle from the crown over the skull, and from the middle of the skull on the way
    # down.
    height = (np.arctan2(across, -y) / np.pi + low / PATTERN.length) / 2
    azimuth = np.arctan2(x, z) / (2 * np.pi)
    # From -1/2 to 1/2: the same as % 1, which takes as long as all the rest.
    return StrandCoordinates(azimuth + (azimuth < 0), height, across)


@lru_cache(maxsize=1)
def _strands() -> Float[Tensor, "1 2 R C"]:
    """Standard normal noise along strands, coarse and fine; both ends of the azimuth meet.

    Every layer's strands bend to and fro in their own way, so that they cross and gather in locks.
    """
    rng = np.random.default_rng(7)
    height, azimuth = np.mgrid[: PATTERN.rows, : PATTERN.columns] + 0.5
    height, azimuth = height / PATTERN.rows, azimuth / PATTERN.columns

    def layer(count: int, changes: int, azimuth: np.ndarray) -> np.ndarray:
        # Columns wrap around, so that the noise has no seam.
        values = np.pad(rng.standard_normal((changes + 1, count)), ((0, 0), (1, 2)), mode="wrap")
        place = [height * changes, azimuth % 1.0 * count + 0.5]
        return ndimage.map_coordinates(values, place, order=1, mode="nearest")

    noise = []
    for layers in (PATTERN.locks, PATTERN.strands):
        total = np.zeros((PATTERN.rows, PATTERN.columns))
        for count, changes, weight in layers:
            total += weight * layer(count, changes, azimuth + 0.006 * layer(16, 10, azimuth))
        noise.append((total - total.mean()) / total.std())
    return torch.from_numpy(np.stack(noise)).float()[None]
