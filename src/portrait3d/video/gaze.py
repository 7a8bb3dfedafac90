"""Where the eyes of a tracked face look and whether they are open, from the dark discs of their irises."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage, signal

EYES = (slice(36, 42), slice(42, 48))
"""Landmarks of the eye on the picture's left and on its right, from the left corner on clockwise."""
WIDTH, HEIGHT, STEPS = 1.3, 0.9, 20
"""How far around an eye's middle is looked, and steps for a unit: half the distance of the eye's corners."""
RADIUS = 0.4
"""Of an iris in the same units: 5.9 mm of an opening about 30 mm wide."""
LID = 0.08
"""How far beyond the landmarks of the lids the opening may reach, as the fit is not exact."""
LEAST_WIDTH = 8.0
"""Pixels between the corners of an eye in which an iris can be told."""
NEAR_BEST = 0.9
"""Places whose disc stands out this far as clearly as the best one's count for the iris's place."""


def find_irises(
    frame: UInt8[np.ndarray, "H W 3"], landmarks: Float[np.ndarray, "68 2"]
) -> Float[np.ndarray, "2"]:
    """How far irises lie to the picture's right of their eyes' middles, and how dark they stand out.

    The first number is in halves of the eyes' width, the second in levels of grey: it falls where lids close.
    Both are the means of the two eyes, nan where both are too small.
    """
    found = [iris for eye in EYES if (iris := _iris(frame, landmarks[eye])) is not None]
    return np.mean(found, axis=0) if found else np.full(2, np.nan)


def _iris(frame: UInt8[np.ndarray, "H W 3"], lids: Float[np.ndarray, "6 2"]) -> tuple[float, float] | None:
    """The place and the contrast of the iris of one eye, from its six landmarks."""
    middle, along = (lids[0] + lids[3]) / 2, (lids[3] - lids[0]) / 2
    half = float(np.linalg.norm(along))
    if 2 * half < LEAST_WIDTH:
        return None
    down = np.array([-along[1], along[0]])
    # The eye's own axes, its corners at -1 and 1: one disc fits all sizes of faces.
    local = np.stack([(lids - middle) @ along, (lids - middle) @ down], axis=1) / half**2
    y, x = np.mgrid[-HEIGHT : HEIGHT : 1 / STEPS, -WIDTH : WIDTH : 1 / STEPS]
    grey = _greys(frame, middle + x[..., None] * along + y[..., None] * down)
    opening = _inside(np.stack([x, y], axis=-1), local)
    if not opening.any():
        return None
    # A matched filter: the disc over which the opening is darkest is the iris.
    dark = np.where(opening, grey[opening].mean() - grey, 0)
    reach = np.arange(-RADIUS, RADIUS + 1e-6, 1 / STEPS)
    disc = (reach[:, None] ** 2 + reach**2 <= RADIUS**2).astype(np.float64)
    fit = signal.convolve(dark, disc, mode="same") / disc.sum()
    # The centroid of all good places is finer than the grid and steadier than its maximum.
    share = np.clip(fit - NEAR_BEST * fit.max(), 0, None)
    return float((share * x).sum() / max(share.sum(), 1e-9)), float(fit.max())


def _greys(frame: UInt8[np.ndarray, "H W 3"], points: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w"]:
    """The frame's grey at points, pixels; its border goes on beyond."""
    height, width = frame.shape[:2]
    low = np.floor(points.min(axis=(0, 1))).astype(int).clip(0, [width - 1, height - 1])
    high = np.ceil(points.max(axis=(0, 1))).astype(int).clip(low + 1, [width, height])
    part = frame[low[1] : high[1], low[0] : high[0]].mean(axis=2)
    x, y = np.moveaxis(points - low - 0.5, -1, 0)
    return ndimage.map_coordinates(part, [y, x], order=1, mode="nearest")


def _inside(points: Float[np.ndarray, "h w 2"], corners: Float[np.ndarray, "N 2"]) -> Bool[np.ndarray, "h w"]:
    """Which points lie in a convex polygon, clockwise in the picture, or no further than `LID` outside."""
    kept = np.ones(points.shape[:2], bool)
    for start, side in zip(corners, np.roll(corners, -1, axis=0) - corners, strict=True):
        away = side[0] * (points[..., 1] - start[1]) - side[1] * (points[..., 0] - start[0])
        kept &= away >= -LID * np.linalg.norm(side)
    return kept
