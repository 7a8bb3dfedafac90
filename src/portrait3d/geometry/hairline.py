"""Where hair covers the head model's skin, seen in the photo or not."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from portrait3d.geometry.backing import hidden_ears, shown_ears
from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.sheet import HAIR, HEAD, HEADWEAR, NECK, SKIN, is_bald, nearest
from portrait3d.geometry.skin import HEAD_CENTRE, FittedHead, normals, view_cosine

BEHIND_EARS = 25.0
"""Depth in the model's frame from which hanging hair hides the skin, mm."""
FACING = 0.1
"""Cosine to the view from which the photo shows what is hair and what is skin."""
UNSEEN = 0.004
"""Weight of the usual haircut where the photo does not show the skin, against what it shows elsewhere."""
MIRRORED = 0.05
"""Weight of the other side's hairline where the photo shows that alone."""
RAMP = 15.0
"""Distance to the hairline, mm, beyond which it does not matter."""
FRONT = ((-130.0, -95.0, -60.0, -20.0, 0.0, 10.0), (-40.0, -28.0, 0.0, 30.0, 36.0, 38.0), 0.75)
"""The usual hairline over forehead and temple: its depth (mm, model's frame) by height, and the cosine of its
slope."""
NAPE = ((34.0, 45.0, 62.0, 72.0, 85.0, 100.0), (5.0, 5.0, 12.0, 30.0, 44.0, 48.0), 0.8)
"""The same from the sideburn around the ear to the nape: its height by depth."""
TOP, RECEDED, UNDER_RIM = 40.0, 0.6, 8.0
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
    height, width = labels.shape
    inner = model.model_vertices
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    column, row = np.floor(model.pixels(model.vertices)).astype(np.int64).clip(0, [width - 1, height - 1]).T
    middle = model.to_camera(HEAD_CENTRE[None])
    millimetres = float(middle[0, 2] / model.focal)
    centre = model.pixels(middle)[0]
    distance = usual_hairline(inner, bare_top(labels, hair, centre, millimetres))
    weight = np.full(len(distance), UNSEEN)

    _, (to_row, to_column) = nearest(np.isin(labels, (*HEAD, NECK)))
    before = (model.face_mask > 0.5) & (inner[:, 2] < -5)
    beside = (distance < 0) & hair[to_row, to_column][row, column] & ~before
    cosine = view_cosine(model.vertices, normals(model.vertices, model.faces))
    facing = cosine > FACING
    bare = np.isin(labels, (*SKIN, NECK))
    behind = hanging & (inner[:, 2] > BEHIND_EARS) & ~(facing & (labels == NECK)[row, column])
    distance[beside | behind] = RAMP
    weight[beside | behind] = 1.0

    # Where the photo shows the skin, it decides; what it does not show is as on the other side.
    sure = ndimage.binary_erosion(coverage > 0.8, iterations=2) | (labels == NECK)
    shown = facing & (sure & (hair | ndimage.binary_erosion(bare, iterations=2)))[row, column] & ~behind
    own = (signed_distance(hair, bare) * millimetres)[row, column] / np.maximum(cosine, FACING)
    other = ~shown & shown[model.layout.mirror] & ~behind
    distance = np.where(shown, own, np.where(other, own[model.layout.mirror], distance))
    weight = np.where(shown, 1.0, np.where(other, MIRRORED, weight))

    ears = (model.ears_mask > 0.3) & ~hidden_ears(model, labels, shown_ears(model, labels))
    weight[ears] = 0.0
    smooth = diffuse(model.faces, distance.clip(-RAMP, RAMP)[:, None], weight)[:, 0]
    smooth[ears] = -RAMP
    return (0.5 + smooth / (2 * RAMP)).clip(0, 1)


def usual_hairline(inner: Float[np.ndarray, "V 3"], bare_above: float) -> Float[np.ndarray, " V"]:
    """Distance (mm) to the hairline of a usual haircut, > 0 under hair; the skin is bare above a height."""
    _, y, z = inner.T
    front = (z - np.interp(y, *FRONT[:2])) * FRONT[2]
    nape = (np.interp(z, *NAPE[:2]) - y) * NAPE[2]
    return np.minimum(np.minimum(front, nape), y - bare_above)


def bare_top(
    labels: UInt8[np.ndarray, "H W"],
    hair: Bool[np.ndarray, "H W"],
    centre: Float[np.ndarray, "2"],
    millimetres: float,
) -> float:
    """The height (mm, model's frame) above which the head is bare, -inf if hair goes over its top.

    `centre` is the pixel of the skull's middle, `millimetres` a pixel's size there.
    """
    head = np.isin(labels, HEAD)
    columns = np.flatnonzero(
        head.any(axis=0) & (np.abs(np.arange(len(head[0])) - centre[0]) * millimetres < TOP)
    )
    top = head.argmax(axis=0)[columns] + round(UNDER_RIM / millimetres)
    if np.isin(labels[top.clip(0, len(labels) - 1), columns], SKIN).mean() < RECEDED or not hair.any():
        return -np.inf
    first = np.quantile(np.nonzero(hair)[0], 0.1)
    return float(np.clip(HEAD_CENTRE[1] + (first - centre[1]) * millimetres, *HORSESHOE))


def signed_distance(hair: Bool[np.ndarray, "H W"], bare: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Pixels from hair to the next bare skin, < 0 from skin to the next hair."""
    far = float(max(hair.shape))
    to_hair, to_bare = (
        nearest(where)[0] if where.any() else np.full(hair.shape, far) for where in (hair, bare)
    )
    return np.where(hair, to_bare, -to_hair)
