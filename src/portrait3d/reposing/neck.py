"""The neck of a head that turns: the photo's own, which bends, and what it does not show of it."""

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage

from portrait3d.geometry import HeadMesh, HeadPart
from portrait3d.geometry.sheet import NECK, nearest
from portrait3d.portrait import Portrait
from portrait3d.reposing.expression import bind
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.surfaces import CropGrid, Surface

NECK_FROM, BEHIND_JAW = 28.0, 15.0
"""The model's neck begins this far below and behind its origin, mm."""
NECK_BELOW = (5.0, 40.0), (75.0, 45.0)
"""Depths in the model's frame and the heights there below which the neck begins: chin and nape, mm."""
FEWEST = 50
"""Pixels of the head crop below which no neck is shown."""
LONGEST = 130.0
"""How far the neck goes on below the head model's at most, mm."""


def on_neck(head: HeadMesh, at_rest: Turn, labels: UInt8[np.ndarray, " V"]) -> Bool[np.ndarray, " F"]:
    """Triangles of the model's neck, which the photo's own neck replaces; `labels`: of the vertices."""
    inner = (head.vertices - at_rest.translation) @ at_rest.rotation
    low = inner[:, 1] > np.interp(inner[:, 2], *NECK_BELOW)
    bare = np.isin(head.part, (HeadPart.REST, HeadPart.FACE))
    shown = head.seen & (head.part == HeadPart.REST) & (labels == NECK)
    return (low & ~head.seen & bare)[head.faces].any(axis=1) | shown[head.faces].all(axis=1)


def neck_below(grid: CropGrid, end: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
    """How far the photo's neck reaches below points at the end of the head model's, mm; at least 0."""
    row = np.nonzero(grid.labels == NECK)[0]
    if not len(row):
        return np.zeros(len(end))
    millimetres = end[:, 2] / float(grid.portrait.head_crop.camera().focal)
    return np.clip((row.max() - grid.project(end)[:, 1]) * millimetres, 0.0, LONGEST)


def prolonged(
    throat: Surface,
    margin: Int64[np.ndarray, " N"],
    end: Float[np.ndarray, "N 3"],
    length: Float[np.ndarray, " N"],
    at_rest: Turn,
) -> Surface:
    """The neck, continued straight down (mm) from where the head model's ends, in the colours of its end.

    `margin` are the throat's vertices there, in order; `end` is where the neck itself is, without hair, mm.
    """
    count = len(margin)
    points = np.concatenate([end, end + length[:, None] * np.array([0.0, 1.0, 0.0])])
    a = np.arange(count)
    b = np.roll(a, -1)
    faces = [np.stack([b, a, a + count], axis=1), np.stack([b, a + count, b + count], axis=1)]
    both = np.tile(margin, 2)
    below = Surface(
        vertices=points,
        follow=at_rest.following(points),
        faces=np.concatenate(faces),
        uv=throat.uv[both],
        hidden=np.ones(2 * count, bool),
        binding=throat.binding.chosen(both),
    )
    return throat.beside(below)


def neck_surface(portrait: Portrait, at_rest: Turn, skin: Int64[np.ndarray, " K"]) -> Surface | None:
    """The neck that the photo shows; None if it shows none.

    `skin` are the vertices of the head model's skin.
    """
    labels = portrait.head_parsing.head_labels
    grid = CropGrid(portrait, labels)
    neck = labels == NECK
    if neck.sum() < FEWEST:
        return None
    model = portrait.face.vertices.double().numpy()
    inner = (model - at_rest.translation) @ at_rest.rotation
    behind = (inner[:, 1] > NECK_FROM) & (inner[:, 2] > BEHIND_JAW) & (np.abs(inner[:, 0]) < 60)
    behind |= (inner[:, 1] > 90) & (inner[:, 1] < 130)
    cells = grid.size // 4
    column, row = np.floor(grid.project(model[behind]) / 4).astype(np.int64).clip(0, cells - 1).T
    depth = np.full((cells, cells), np.inf)
    np.minimum.at(depth, (row, column), model[behind, 2])
    _, source = nearest(np.isfinite(depth))
    depth = ndimage.gaussian_filter(depth[source], 1.5)
    depth = ndimage.zoom(depth, 4, order=1, mode="nearest", grid_mode=True)
    points, photo, faces, _ = grid.lift(ndimage.binary_dilation(neck, iterations=2), depth)
    return Surface(
        vertices=points,
        follow=at_rest.following(points),
        faces=faces,
        uv=photo,
        hidden=np.zeros(len(faces), bool),
        binding=bind(points, model, skin),
    )
