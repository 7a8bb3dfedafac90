"""How far the head model's outline is from that of the head in the photo."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from portrait3d.geometry.sheet import HAIR, HEADWEAR
from portrait3d.geometry.skin import FittedHead, view_cosine

BINS = 36
"""Directions in the upper half of the picture in which outlines are measured."""
ROW = 4
"""Pixels of the crop in a row in which outlines are measured below the head's middle."""
THINNEST, THICKEST = -20.0, 70.0
"""Range of hair thickness, mm. Negative where the fitted skull is larger than the head in the photo."""
SECTORS = ("above", "left", "right")
"""Parts of the picture, seen from the head's middle."""
SKIN_SHIFT = 8.0
"""How far bare skin may move to its outline in the photo, mm."""
LIMB = 0.3
"""Cosine to the view below which vertices at the model's rim are its outline."""


def to_outline(
    model: FittedHead,
    vertices: Float[np.ndarray, "V 3"],
    normal: Float[np.ndarray, "V 3"],
    head: Bool[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
    middle: Float[np.ndarray, "2"],
) -> tuple[Float[np.ndarray, "V 3"], Bool[np.ndarray, " V"]]:
    """How far the vertices on the model's outline are from the head's in the photo, mm, and which those are.

    Above the head's middle outlines are compared along rays from it, below along the rows of the crop. Skin
    moves a little; hair may be much wider than the head beneath it.
    """
    scale = vertices[:, 2] / model.focal
    pixels = model.pixels(vertices) - middle
    own, rim, hair = (np.zeros(len(pixels)) for _ in range(3))
    row, column = np.nonzero(head)
    at = np.stack([column, row], axis=1) + 0.5 - middle
    hairy = np.isin(labels[row, column], (HAIR, HEADWEAR)).astype(float)
    cut = (row == 0) | (column == 0) | (column == head.shape[1] - 1)
    skull = np.zeros(len(pixels), bool)
    skull[model.faces] = True
    skull &= model.ears_mask < 0.05
    for sector in SECTORS:
        there, place, reach = measured(pixels, sector)
        seen, seen_place, seen_reach = measured(at, sector)
        every = np.arange(max(BINS, len(head) // ROW)) + 0.5
        body, _ = outline(place[there & skull], reach[there & skull], None, None, len(every))
        outer, outer_hair = outline(seen_place[seen], seen_reach[seen], hairy[seen], cut[seen], len(every))
        for values, known in ((own, body), (rim, outer), (hair, outer_hair)):
            values[there] = np.interp(place[there], every, known)
    upper = pixels[:, 1] < 0
    away = np.where(upper[:, None], pixels, pixels * [1.0, 0.0])
    length = np.linalg.norm(away, axis=1)
    limb = (np.abs(view_cosine(vertices, normal)) < LIMB) & (length > 0.92 * own) & (own > 0) & (rim > 0)
    limit = np.where(hair > 0.5, THICKEST, SKIN_SHIFT)
    amount = np.clip((rim - own) * scale, np.where(hair > 0.5, THINNEST, -SKIN_SHIFT), limit)
    shift = np.zeros_like(vertices)
    shift[:, :2] = away / np.maximum(length, 1e-9)[:, None] * amount[:, None]
    return shift, limb


def measured(
    points: Float[np.ndarray, "N 2"], sector: str
) -> tuple[Bool[np.ndarray, " N"], Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Which points lie in a sector of the picture, the bin that each falls into, and how far out it is."""
    x, y = points.T
    if sector == "above":
        return y < 0, (np.arctan2(y, x) / np.pi + 1) * BINS, np.hypot(x, y)
    return (y >= 0) & ((x < 0) == (sector == "left")), y / ROW, np.abs(x)


def outline(
    place: Float[np.ndarray, " N"],
    reach: Float[np.ndarray, " N"],
    values: Float[np.ndarray, " N"] | None,
    cut: Bool[np.ndarray, " N"] | None,
    bins: int,
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    """The farthest points of each bin and their values; bins that are cut off by the picture or without
    points take those of their neighbours, or 0 beyond the last."""
    index = np.clip(place, 0, bins - 1).astype(np.int64)
    order = np.argsort(reach, kind="stable")
    far, value = np.zeros(bins), np.zeros(bins)
    far[index[order]] = reach[order]
    if values is not None:
        value[index[order]] = values[order]
    known = far > 0
    if cut is not None:
        known[index[cut]] = False
    if not known.any():
        return np.zeros(bins), value
    every = np.arange(bins)
    within = (every >= np.flatnonzero(known)[0]) & (every <= np.flatnonzero(known)[-1])
    far = np.where(within, np.interp(every, every[known], far[known]), 0.0)
    smooth = ndimage.gaussian_filter1d(far, 1.0, mode="nearest")
    return np.where(within, smooth, 0.0), np.where(within, np.interp(every, every[known], value[known]), 0.0)
