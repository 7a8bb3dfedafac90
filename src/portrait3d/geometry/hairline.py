"""Where hair covers the head model's skin, seen in the photo or not."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from portrait3d.geometry.backing import hidden_ears, scalp_weight, shown_ears
from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.sheet import HAIR, HEAD, HEADWEAR, NECK, SKIN, is_bald, nearest
from portrait3d.geometry.skin import FittedHead, normals, view_cosine

BEHIND_EARS = 25.0
"""Depth in the model's frame from which hanging hair hides the skin, mm."""
UNSEEN_SCALP = 0.002
"""Weight of hair where the photo does not show the scalp, against what it shows elsewhere."""
MIRRORED_SCALP = 0.05
"""The same where it shows the other side of the scalp."""


def under_hair(
    model: FittedHead,
    labels: UInt8[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    coverage: Float[np.ndarray, "H W"],
    *,
    hanging: bool,
) -> Float[np.ndarray, " V"]:
    """1 where hair covers the model's skin: on the scalp as far as the photo does not show it bare, where
    hair beside the face hides it, and behind if it is `hanging` down there."""
    if is_bald(labels):
        return np.zeros(len(model.vertices))
    height, width = labels.shape
    hair = np.isin(labels, (HAIR, HEADWEAR)) & region
    column, row = np.floor(model.pixels(model.vertices)).astype(np.int64).clip(0, [width - 1, height - 1]).T
    before = (model.face_mask > 0.5) & (model.model_vertices[:, 2] < -5)
    scalp = scalp_weight(model.model_vertices, model.ears_mask) > 0.5
    _, (to_row, to_column) = nearest(np.isin(labels, (*HEAD, NECK)))
    at_rim = hair[to_row, to_column][row, column]
    wanted = np.where(scalp, 1.0, at_rim & ~before)
    facing = view_cosine(model.vertices, normals(model.vertices, model.faces)) > 0.1
    if hanging:
        wanted[(model.model_vertices[:, 2] > BEHIND_EARS) & (model.ears_mask < 0.3)] = 1.0
        wanted[facing & (labels == NECK)[row, column]] = 0.0
    # Where the photo shows the scalp, it decides; the scalp around takes what is likely from there.
    sure = ndimage.binary_erosion(coverage > 0.8, iterations=2)
    bare = np.isin(labels, SKIN) & ndimage.binary_erosion(np.isin(labels, SKIN), iterations=2)
    shown = facing & (sure & (hair | bare))[row, column]
    # What the photo does not show is as on the other side, if it shows that.
    mirror = model.layout.mirror
    other = ~shown & shown[mirror]
    wanted = np.where(other, hair[row, column][mirror], wanted)
    evident = scalp & shown
    wanted = np.where(evident, hair[row, column], wanted)
    hidden = hidden_ears(model, labels, shown_ears(model, labels))
    wanted[(model.ears_mask > 0.3) & ~hidden] = 0.0
    weight = np.where(scalp & ~evident, np.where(other, MIRRORED_SCALP, UNSEEN_SCALP), 1.0)
    return diffuse(model.faces, wanted[:, None].astype(float), weight)[:, 0]
