"""Hair on the far side of a turned head: behind the cheek's edge, not hanging from it."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage

from portrait3d.geometry.hairline import FRONT, heights
from portrait3d.geometry.sheet import HAIR, HEADWEAR, SKIN
from portrait3d.geometry.skin import FittedHead

TURNED = (6.0, 12.0)
"""Yaw (degrees) from which one side of the face is the far one, and from which on fully so."""
TEMPLE = -90.0
"""Height in the model's frame (mm, y down) from which hair lies on the skull instead of beside the cheek."""
BESIDE, FEWEST = 6, 8
"""Pixels next to the cheek's edge whose depth is that of the hair there; rows with such hair that count."""
BEFORE, THICK = 12.0, 0.5
"""Hair beside the far cheek is at most so far (mm) before the hairline, or by this share of its width."""
HALF_WIDTH = 72.0
"""Distance of the hairline above the ears from the head's middle, mm."""
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
    """Move the hair beside the far cheek of a turned head back to where it grows, the far hairline.

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
    share = float(np.clip((abs(yaw) - TURNED[0]) / (TURNED[1] - TURNED[0]), 0, 1))
    if not share:
        return FarSide(depth, np.zeros_like(covered))
    level, _, millimetres = heights(model, labels.shape)
    hairline = far_hairline(model, level, 1 if yaw > 0 else -1)
    hair, skin = np.isin(labels, (HAIR, HEADWEAR)) & region, covered & np.isin(labels, SKIN)
    # As if the far side were the left one.
    mirror = np.s_[:, :: -1 if yaw > 0 else 1]
    hair, skin, surface, near = hair[mirror], skin[mirror], model.depth[mirror], depth[mirror]
    beyond = ~np.isfinite(surface)
    edge = skin.argmax(axis=1)
    found, hangs = hair_beside(near, hair & beyond, hair, edge, hairline, millimetres)
    known = np.flatnonzero(np.isfinite(found) & (level > TEMPLE))
    if len(known) < FEWEST:
        return FarSide(depth, np.zeros_like(covered))
    everywhere = np.arange(len(skin))
    inside = ndimage.gaussian_filter1d((everywhere >= known[0]).astype(float), STEADY)
    found, hangs = (
        ndimage.gaussian_filter1d(np.interp(everywhere, known, values[known]), STEADY)
        for values in (found, hangs)
    )
    back = share * inside * np.maximum(hangs - found, 0.0)
    rows = np.flatnonzero(skin.any(axis=1))
    end, fade = edge.astype(float), np.full(len(skin), 1e-3)
    below = everywhere > rows[-1]
    end[below], fade[below] = np.nonzero(skin[rows[-CHIN:]])[1].mean(), BELOW
    beside = np.clip((end[:, None] - np.arange(skin.shape[1])) / fade[:, None], 0, 1)
    moved = hair & (beyond | (inside > 0.5)[:, None]) & (back[:, None] * beside > 0)
    edge_of_hair = moved & (ndimage.distance_transform_edt(~covered[mirror]) < CLOSE)
    placed = near + back[:, None] * beside
    # No slope leads from the cheek to the hair.
    placed = np.where(edge_of_hair, np.maximum(placed, (found + back)[:, None]), placed)
    # Hair that covers the neck stays before it.
    over_neck = ndimage.binary_erosion(~beyond, iterations=CLOSE)
    placed = np.where(over_neck, np.minimum(placed, surface - BEFORE_NECK), placed)
    placed = np.where(moved, np.maximum(placed, near), near)
    return FarSide(placed[mirror].copy(), edge_of_hair[mirror].copy())


def far_hairline(model: FittedHead, level: Float[np.ndarray, " H"], side: int) -> Float[np.ndarray, " H"]:
    """Depth in the camera (mm) of the usual hairline at heights of the model's frame, on one side of it."""
    height = np.clip(level, FRONT[0][0], FRONT[0][-1])
    points = np.stack(
        [np.full(len(height), side * HALF_WIDTH), height, np.interp(height, *FRONT[:2])], axis=1
    )
    return model.to_camera(points)[:, 2]


def hair_beside(
    depth: Float[np.ndarray, "H W"],
    free: Bool[np.ndarray, "H W"],
    hair: Bool[np.ndarray, "H W"],
    edge: Int64[np.ndarray, " H"],
    hairline: Float[np.ndarray, " H"],
    millimetres: float,
) -> tuple[Float[np.ndarray, " H"], Float[np.ndarray, " H"]]:
    """How deep the hair left of the cheek's `edge` is in every row, and where it hangs, mm; NaN for none.

    `free` is hair beside the head model, `hairline` the far hairline's depth (mm); a pixel has `millimetres`.
    """
    found, hangs = np.full(len(edge), np.nan), np.full(len(edge), np.nan)
    for row, column in enumerate(edge):
        beside = np.s_[row, max(column - BESIDE, 0) : column]
        if free[beside].sum() >= BESIDE // 2 and hair[row, max(column - 2, 0)]:
            found[row] = np.median(depth[beside][free[beside]])
            hangs[row] = hairline[row] - max(BEFORE, THICK * millimetres * hair[row, :column].sum())
    return found, hangs
