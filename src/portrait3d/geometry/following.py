"""How the stitched head follows the head model's expressions."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from portrait3d.geometry.mesh import Binding
from portrait3d.geometry.sheet import HAIR, HEADWEAR, Sheet, nearest, pixel_under
from portrait3d.geometry.skin import FittedHead

SKIN_REACH, HAIR_REACH = 45.0, 22.0
"""Distance from the face (mm) at which skin and hair beside it stand still."""


def follow_beside(
    model: FittedHead,
    sheet: Sheet,
    covered: Bool[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
) -> Binding:
    """The sheet moves with the face where it continues it, and less and less further off.

    `covered` are the crop's pixels that show the face model's own triangles. Each vertex of the sheet moves
    with the point of the face next to it in the picture: with all of it on the face, so that no gap opens,
    with none from `HAIR_REACH` (hair) or `SKIN_REACH` on.
    """
    skin = covered & (model.face_index >= 0) & (model.face_index < len(model.faces))
    if not skin.any():
        return Binding.to_vertices(np.zeros(len(sheet.label), np.int64), 0.0)
    row, column = pixel_under(sheet.pixels, skin.shape)
    _, (to_row, to_column) = nearest(skin)
    to_row, to_column = to_row[row, column], to_column[row, column]
    corners = model.faces[model.face_index[to_row, to_column]]
    target = np.stack([to_column, to_row], axis=1) + 0.5
    target = np.where((to_row == row)[:, None] & (to_column == column)[:, None], sheet.pixels, target)
    weight = barycentric(target, model.pixels(model.vertices)[corners])
    depth = (weight * model.vertices[corners][..., 2]).sum(axis=1)
    across = np.linalg.norm(target - sheet.pixels, axis=1) * depth / model.focal
    distance = np.hypot(across, np.maximum(np.abs(sheet.vertices[:, 2] - depth) - 1.0, 0))
    hair = np.isin(labels[row, column], (HAIR, HEADWEAR))
    share = np.clip(1 - distance / np.where(hair, HAIR_REACH, SKIN_REACH), 0, 1)
    share = share * share * (3 - 2 * share)
    return Binding(corners, (weight * share[:, None]).astype(np.float32))


def barycentric(
    points: Float[np.ndarray, "N 2"], corners: Float[np.ndarray, "N 3 2"]
) -> Float[np.ndarray, "N 3"]:
    """Barycentric coordinates in triangles of the plane, at least 0, those outside moved to the border."""
    a, b, c = (corners[:, k] for k in range(3))

    def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]

    areas = np.stack([cross(b - points, c - points), cross(c - points, a - points)], axis=1)
    whole = cross(b - a, c - a)
    whole = np.where(np.abs(whole) < 1e-9, 1e-9, whole)
    first = areas / whole[:, None]
    weight = np.concatenate([first, 1 - first.sum(axis=1, keepdims=True)], axis=1).clip(0, 1)
    return weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
