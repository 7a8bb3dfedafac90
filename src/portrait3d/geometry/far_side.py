"""Hair on the far side of a turned head: behind the cheek's edge, not hanging from it."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from portrait3d.geometry.hairline import heights
from portrait3d.geometry.sheet import HAIR, HEADWEAR, SKIN
from portrait3d.geometry.skin import FittedHead

TURNED = (6.0, 12.0)
"""Yaw (degrees) from which one side of the face is the far one, and from which on fully so."""
TEMPLE = -50.0
"""Height in the model's frame (mm, y down) from which hair lies on the skull instead of beside the cheek."""
BESIDE, FEWEST = 6, 8
"""Pixels next to the cheek's edge whose depth is that of the hair there; rows with such hair that count."""
BEFORE_EAR, THICK = 15.0, 0.7
"""Hair beside the far cheek is at most so far (mm) before the far ear, or by this share of how wide it is."""
STEADY = 6.0
"""Rows that decide together."""
CHIN, BELOW = 12, 12.0
"""Rows of the face that are its chin; pixels over which hair below it goes over to that of the near side."""
BEFORE_NECK = 1.0
"""Hair over the neck stays so far (mm) before it."""
CLOSE = 6
"""Pixels around the photographed face in which its own edge may hide the hair behind it."""


@dataclass(frozen=True, slots=True)
class FarSide:
    """The depth of a head whose hair lies behind the far cheek."""

    depth: Float[np.ndarray, "H W"]
    """mm."""
    edge: Bool[np.ndarray, "H W"]
    """Pixels of that hair just beside the cheek, whose triangles reach over it a little."""


def put_hair_behind(
    model: FittedHead,
    depth: Float[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    covered: Bool[np.ndarray, "H W"],
) -> FarSide:
    """Move the hair beside the far cheek of a turned head back to where it hangs, by the far ear.

    In the photo it begins at the cheek's edge, and the predicted depth leads smoothly from one to the other:
    a curtain that would hide the cheek as soon as the head turns back. Rows of the photo move as a whole, so
    that the hair keeps its form.

    Args:
        model: The fitted head model.
        depth: Settled depth, mm.
        labels: Class of every pixel.
        region: Pixels of the head.
        covered: Pixels that show the face model.
    """
    yaw = math.degrees(float(model.camera_from_model.euler()[0]))
    share = np.clip((abs(yaw) - TURNED[0]) / (TURNED[1] - TURNED[0]), 0, 1)
    far_right = yaw > 0
    ear = (model.ears_mask > 0.3) & ((model.model_vertices[:, 0] > 0) == far_right)
    far_ear = float(model.vertices[ear, 2].mean())
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    skin = covered & np.isin(labels, SKIN)
    surface = model.depth
    if far_right:
        depth, hair, skin, surface = (values[:, ::-1] for values in (depth, hair, skin, surface))
    beyond = ~np.isfinite(surface)
    rows = np.flatnonzero(skin.any(axis=1))
    edge = skin.argmax(axis=1)
    level, _, millimetres = heights(model, labels.shape)
    # How far hair is before where it hangs, row by row.
    gap = np.full(len(skin), np.nan)
    for row in rows:
        strip = np.s_[row, max(edge[row] - BESIDE, 0) : edge[row]]
        outside = hair[strip] & beyond[strip]
        if outside.sum() >= BESIDE // 2 and hair[row, max(edge[row] - 2, 0)]:
            before = max(BEFORE_EAR, THICK * millimetres * hair[row, : edge[row]].sum())
            gap[row] = max(far_ear - before - np.median(depth[strip][outside]), 0.0)
    known = np.flatnonzero(np.isfinite(gap) & (level > TEMPLE))
    moved = np.zeros_like(hair)
    if share > 0 and len(known) >= FEWEST:
        everywhere = np.arange(len(skin))
        inside = ndimage.gaussian_filter1d((everywhere >= known[0]).astype(float), STEADY)
        back = np.interp(everywhere, known, gap[known])
        back = share * inside * ndimage.gaussian_filter1d(back, STEADY)
        end, fade = edge.astype(float), np.full(len(skin), 1e-3)
        below = everywhere > rows[-1]
        end[below], fade[below] = np.nonzero(skin[rows[-CHIN:]])[1].mean(), BELOW
        beside = np.clip((end[:, None] - np.arange(skin.shape[1])) / fade[:, None], 0, 1)
        moved = hair & (beyond | (inside > 0.5)[:, None]) & (back[:, None] * beside > 0)
        # Hair that covers the neck stays before it.
        limit = np.where(ndimage.binary_erosion(~beyond, iterations=CLOSE), surface - BEFORE_NECK, np.inf)
        depth = np.where(moved, np.maximum(np.minimum(depth + back[:, None] * beside, limit), depth), depth)
    if far_right:
        depth, moved = depth[:, ::-1].copy(), moved[:, ::-1]
    return FarSide(depth, moved & (ndimage.distance_transform_edt(~covered) < CLOSE))
