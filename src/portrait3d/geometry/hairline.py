"""Where hair covers the head model's skin, seen in the photo or not."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from portrait3d.geometry.backing import hidden_ears, shown_ears
from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.sheet import HAIR, HEAD, HEADWEAR, NECK, SKIN, is_bald, nearest, pixel_under
from portrait3d.geometry.skin import HEAD_CENTRE, FittedHead, normals, view_cosine

BEHIND_EARS = 25.0
"""Depth in the model's frame from which hanging hair hides the skin, mm."""
FACING, STEADY = 0.1, 0.45
"""Cosines to the view from which the photo shows something of what is hair and what is skin, and shows it for
sure."""
UNSEEN = 0.02
"""Weight of the usual haircut where the photo does not show the skin, against what it shows elsewhere."""
MIRRORED = 0.2
"""Weight of the other side's hairline where the photo shows that alone."""
BESIDE, OUTLINE, EDGE = 0.05, 0.4, 0.25
"""Weights of hair beside the face for the skin behind it, and for the skin at the head's outline itself,
which is seen at less than the cosine."""
RAMP = 15.0
"""Distance to the hairline, mm, beyond which it does not matter."""
FRONT = ((-130.0, -95.0, -60.0, -20.0, 0.0, 10.0), (-40.0, -28.0, 0.0, 30.0, 36.0, 38.0), 0.75)
"""The usual hairline over forehead and temple: its depth (mm, model's frame) by height, and the cosine of its
slope."""
NAPE = ((34.0, 45.0, 62.0, 72.0, 85.0, 100.0), (5.0, 5.0, 12.0, 28.0, 38.0, 42.0), 0.8)
"""The same from the sideburn around the ear to the nape: its height by depth."""
TOP, RECEDED, UNDER_RIM = 40.0, 0.6, 12.0
"""The top of the head, so far (mm) to either side, is bare if this share of its outline shows skin so far
(mm) below."""
HORSESHOE = (-95.0, -35.0)
"""Range of the height (mm) from which such a head has hair at its sides and behind."""


def under_hair(
    model: FittedHead,
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    coverage: Float[np.ndarray, "H W"],
    *,
    hanging: bool,
) -> Float[np.ndarray, " V"]:
    """Where hair covers the model's skin: 0.5 on the hairline, 1 and 0 from `RAMP` mm in- and outside on.

    What the photo shows decides, also for the other side; elsewhere the hairline is that of a usual haircut.
    Hair beside the face hides the skin behind it, and so does hair behind the head if it is `hanging` there.
    """
    if is_bald(labels):
        return np.zeros(len(model.vertices))
    inner = model.model_vertices
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    row, column = pixel_under(model.pixels(model.vertices), labels.shape)
    level, _, millimetres = heights(model, labels.shape)
    bare_above = bare_top(model, labels)
    hair &= (level > bare_above)[:, None]  # what is parsed as hair on a bare top is its blurred rim
    distance = usual_hairline(inner, bare_above)

    _, (to_row, to_column) = nearest(np.isin(labels, (*HEAD, NECK)))
    before = (model.face_mask > 0.5) & (inner[:, 2] < -5)
    beside = hair[to_row, to_column][row, column] & ~before
    cosine = view_cosine(model.vertices, normals(model.vertices, model.faces))
    bare = np.isin(labels, (*SKIN, NECK))
    behind = hanging & (inner[:, 2] > BEHIND_EARS) & ~((cosine > FACING) & (labels == NECK)[row, column])
    distance[beside | behind] = RAMP
    weight = np.where(beside, np.where(np.abs(cosine) < EDGE, OUTLINE, BESIDE), UNSEEN)
    weight[behind] = 1.0

    # Where the photo shows the skin, it decides; what it does not show is as on the other side.
    sure = ndimage.binary_erosion(coverage > 0.8, iterations=2) | (labels == NECK)
    shown = (sure & (hair | ndimage.binary_erosion(bare, iterations=2)))[row, column] & ~behind
    facing = np.clip((cosine - FACING) / (STEADY - FACING), 0, 1) ** 3 * shown
    own = (signed_distance(hair, bare) * millimetres)[row, column] / np.maximum(cosine, FACING)
    own = own.clip(-RAMP, RAMP)
    mirror = model.layout.mirror
    other = MIRRORED * facing[mirror] * ~behind
    total = weight + facing + other
    distance = (distance.clip(-RAMP, RAMP) * weight + own * facing + own[mirror] * other) / total

    ears = (model.ears_mask > 0.3) & ~hidden_ears(model, labels, shown_ears(model, labels))
    smooth = diffuse(model.faces, distance[:, None], np.where(ears, 0.0, total))[:, 0]
    smooth[ears] = -RAMP
    return (0.5 + smooth / (2 * RAMP)).clip(0, 1)


def usual_hairline(inner: Float[np.ndarray, "V 3"], bare_above: float) -> Float[np.ndarray, " V"]:
    """Distance (mm) to the hairline of a usual haircut, > 0 under hair; the skin is bare above a height."""
    _, y, z = inner.T
    front = (z - np.interp(y, *FRONT[:2])) * FRONT[2]
    nape = (np.interp(z, *NAPE[:2]) - y) * NAPE[2]
    return np.minimum(np.minimum(front, nape), y - bare_above)


def bare_top(model: FittedHead, labels: UInt8[np.ndarray, "H W"]) -> float:
    """The height (mm, model's frame) above which the head is bare, -inf if hair goes over its top."""
    level, right, _ = heights(model, labels.shape)
    columns = np.flatnonzero(np.isin(labels, HEAD).any(axis=0) & (np.abs(right) < TOP))
    below = np.searchsorted(level, level[np.isin(labels, HEAD).argmax(axis=0)[columns]] + UNDER_RIM)
    sides = level[np.nonzero((labels == HAIR)[:, np.abs(right) > TOP])[0]]
    shown = np.isin(labels[below.clip(0, len(level) - 1), columns], SKIN)
    if not len(sides) or shown.sum() <= RECEDED * len(shown):
        return -np.inf
    return float(np.clip(np.quantile(sides, 0.1), *HORSESHOE))


def heights(
    model: FittedHead, shape: tuple[int, int]
) -> tuple[Float[np.ndarray, " H"], Float[np.ndarray, " W"], float]:
    """Height of the crop's rows in the model's frame, distance of its columns to the right of the skull's
    middle, and a pixel's size there, mm; of an upright head."""
    middle = model.to_camera(HEAD_CENTRE[None])
    millimetres = float(middle[0, 2] / model.focal)
    (column, row), (height, width) = model.pixels(middle)[0], shape
    level = HEAD_CENTRE[1] + (np.arange(height) + 0.5 - row) * millimetres
    return level, (np.arange(width) + 0.5 - column) * millimetres, millimetres


def signed_distance(hair: Bool[np.ndarray, "H W"], bare: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Pixels from hair to the next bare skin, < 0 from skin to the next hair."""
    far = float(max(hair.shape))
    to_hair, to_bare = (
        nearest(where)[0] if where.any() else np.full(hair.shape, far) for where in (hair, bare)
    )
    return np.where(hair, to_bare, -to_hair)
