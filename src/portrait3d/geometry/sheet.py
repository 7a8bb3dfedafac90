"""The part of the head that depth is predicted for, lifted to a surface over the crop's pixels."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

HAIR, HEADWEAR, NECK = 2, 8, 6
EARS, SKIN, HEAD = (3, 4), (1, 5), (1, 2, 3, 4, 5, 8)
"""Classes of the parsing (see `models.parsing_net.PARSING_CLASSES`)."""

SPIKE = 6.0
"""A pixel this far (mm) from the median of its neighbourhood is a spike."""
REACH, LAYER_STEP = 3, 5.0
"""Pixels over which hair's ripples are evened out, and depth differences (mm) that are none."""
JUMP, SKIN_JUMP = 25.0, 40.0
"""Triangles that span more depth (mm) are cut, those of the steep cheek and chin later."""
BALD = 0.02
"""Share of hair in the head, its rim left out, below which the scalp is skin."""
OVERLAP = 2
"""Pixels by which the sheet continues over the face model, at the model's own depth."""
SNAP = 6.0
"""Pixels over which the sheet beside the face leaves the face model's depth for the predicted one."""
SMALLEST_PIECE = 24
"""Loose pieces of fewer vertices are dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A surface over some pixels of the head crop, seen from the front."""

    vertices: Float[np.ndarray, "N 3"]
    """Crop camera, mm."""
    pixels: Float[np.ndarray, "N 2"]
    """Where each vertex lies in the crop, pixels."""
    faces: Int64[np.ndarray, "F 3"]
    label: UInt8[np.ndarray, " N"]
    """Class of the vertex' pixel."""
    rim: Bool[np.ndarray, " N"]
    """Whether the vertex lies on the head's outline."""
    depth: Float[np.ndarray, "H W"]
    """Depth of the sheet, mm; infinite beside it."""


def head_region(labels: UInt8[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels of face, hair, ears and headwear, without specks that hang loose."""
    region = np.isin(labels, HEAD) & valid
    pieces, _ = ndimage.label(region)
    area = np.bincount(pieces.ravel())
    area[0] = 0
    return np.isin(pieces, np.flatnonzero(area >= max(1, 0.02 * area.max())))


def is_bald(labels: UInt8[np.ndarray, "H W"]) -> bool:
    """Whether no hair is wider than a few pixels: what is called so is the head's blurred rim."""
    hair = ndimage.binary_erosion(np.isin(labels, (HAIR, HEADWEAR)), iterations=2)
    return bool(hair.sum() < BALD * np.isin(labels, HEAD).sum())


def nearest(
    known: Bool[np.ndarray, "H W"],
) -> tuple[Float[np.ndarray, "H W"], tuple[Int64[np.ndarray, "H W"], Int64[np.ndarray, "H W"]]]:
    """Distance (pixels) to the nearest known pixel, and its row and column."""
    distance, index = ndimage.distance_transform_edt(~known, return_indices=True)
    return distance, (index[0].astype(np.int64), index[1].astype(np.int64))


def pixel_under(
    points: Float[np.ndarray, "N 2"], shape: tuple[int, ...]
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, " N"]]:
    """Row and column of the pixel under each point (x, y) of a picture; the border's for points beyond it."""
    height, width = shape
    column, row = np.floor(points).astype(np.int64).clip(0, [width - 1, height - 1]).T
    return row, column


def settle_depth(
    depth: Float[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
    face_depth: Float[np.ndarray, "H W"],
    covered: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "H W"]:
    """The predicted depth without spikes, on the face model where it covers and next to it.

    Hair keeps its own depth but is never behind the face that it covers (the layer order of Eq. 9).
    `covered` are the pixels where the face model's own triangles are used; finite everywhere on return.
    """
    _, source = nearest(region)
    depth = np.where(region, depth, 0.0)[source]
    median = ndimage.median_filter(depth, 5, mode="nearest")
    depth = np.where(np.abs(depth - median) > SPIKE, median, depth)
    depth = np.where(np.isin(labels, (HAIR, HEADWEAR)) & region, even(depth, region), depth)
    if covered.any():
        distance, source = nearest(covered)
        offset = np.where(covered, face_depth - depth, 0.0)
        offset = ndimage.gaussian_filter(offset[source], 1.5)
        beside = np.isin(labels, (*SKIN, *EARS)) & ~covered
        depth = np.where(beside, depth + offset * np.exp(-((distance / SNAP) ** 2)), depth)
    before = np.isin(labels, (HAIR, HEADWEAR)) & np.isfinite(face_depth)
    depth = np.where(before, np.minimum(depth, face_depth - 1.0), depth)
    return np.where(covered, face_depth + 0.3, depth)


def even(depth: Float[np.ndarray, "H W"], region: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Depth without ripples: a bilateral mean, which keeps the steps between layers."""
    total, weight = np.zeros_like(depth), np.zeros_like(depth)
    known = np.pad(region, REACH)
    values = np.pad(depth, REACH, mode="edge")
    height, width = depth.shape
    for y, x in np.ndindex(2 * REACH + 1, 2 * REACH + 1):
        here = np.s_[y : y + height, x : x + width]
        place = np.exp(-((y - REACH) ** 2 + (x - REACH) ** 2) / REACH**2)
        share = place * np.exp(-(((values[here] - depth) / LAYER_STEP) ** 2)) * known[here]
        total += share * values[here]
        weight += share
    return total / np.maximum(weight, 1e-9)


def triangulate(
    depth: Float[np.ndarray, "H W"], region: Bool[np.ndarray, "H W"], labels: UInt8[np.ndarray, "H W"]
) -> Int64[np.ndarray, "F 3"]:
    """Triangles over the pixels of a region, as flat pixel indices, facing the camera.

    Quads are split along the diagonal of the smaller depth difference; triangles across a depth jump are
    left out.
    """
    height, width = depth.shape
    index = np.arange(height * width).reshape(height, width)
    corner = [index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]]
    here = [region.ravel()[k] for k in corner]
    z = [depth.ravel()[k] for k in corner]
    falling = np.abs(z[0] - z[3]) < np.abs(z[1] - z[2])
    falling = (falling | ~here[1] | ~here[2]) & here[0] & here[3]
    triangles = []
    for split, corners in (
        (falling, (0, 2, 3)),
        (falling, (0, 3, 1)),
        (~falling, (0, 2, 1)),
        (~falling, (1, 2, 3)),
    ):
        chosen = split & here[corners[0]] & here[corners[1]] & here[corners[2]]
        triangles.append(np.stack([corner[k][chosen] for k in corners], axis=1))
    faces = np.concatenate(triangles)
    span = np.ptp(depth.ravel()[faces], axis=1)
    skin = np.isin(labels, SKIN).ravel()[faces].all(axis=1)
    return faces[span < np.where(skin, SKIN_JUMP, JUMP)]


def drop_small_pieces(faces: Int64[np.ndarray, "F 3"], size: int) -> Int64[np.ndarray, "N 3"]:
    """The triangles without loose pieces of few vertices."""
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sp.coo_matrix((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), (size, size))
    _, piece = connected_components(graph, directed=False)
    vertices = np.bincount(piece)
    return faces[vertices[piece[faces[:, 0]]] >= SMALLEST_PIECE]


def snap_to_outline(
    pixels: Float[np.ndarray, "N 2"], coverage: Float[np.ndarray, "H W"], rim: Bool[np.ndarray, " N"]
) -> Float[np.ndarray, "N 2"]:
    """Move the vertices on the rim to where the head's probability is one half, at most one pixel."""
    smooth = ndimage.gaussian_filter(coverage.astype(np.float64), 1.0)
    gy, gx = np.gradient(smooth)
    at = pixels[rim].T[::-1] - 0.5
    value, dy, dx = (ndimage.map_coordinates(m, at, order=1, mode="nearest") for m in (smooth, gy, gx))
    step = (0.5 - value) / np.maximum(dx**2 + dy**2, 1e-3)
    shift = np.stack([dx, dy], axis=1) * step[:, None]
    length = np.linalg.norm(shift, axis=1, keepdims=True)
    moved = pixels.copy()
    moved[rim] += shift * np.minimum(1.0, 1.0 / np.maximum(length, 1e-9))
    return moved


def lift(
    depth: Float[np.ndarray, "H W"],
    region: Bool[np.ndarray, "H W"],
    covered: Bool[np.ndarray, "H W"],
    labels: UInt8[np.ndarray, "H W"],
    coverage: Float[np.ndarray, "H W"],
    focal: float,
) -> Sheet:
    """Triangles over a region of the crop at a settled depth; the outer rim follows the head's outline.

    Args:
        depth: Settled depth, finite everywhere, mm.
        region: Pixels that the sheet is made of.
        covered: Pixels that show the face model, which the sheet continues.
        labels: Class of every pixel.
        coverage: Probability that a pixel shows the head.
        focal: Of the crop's camera, whose principal point is the crop's centre; pixels.
    """
    height, width = depth.shape
    faces = drop_small_pieces(triangulate(depth, region, labels), depth.size)
    used, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    row, column = np.divmod(used, width)
    pixels = np.stack([column, row], axis=1) + 0.5
    square = np.ones((3, 3), bool)
    outside = ~ndimage.binary_erosion(coverage > 0.5, square, border_value=1)[row, column]
    rim = outside | ~ndimage.binary_erosion(region | covered, square, border_value=1)[row, column]
    pixels = snap_to_outline(pixels, coverage, outside)
    z = depth[row, column]
    rays = (pixels - np.array([width, height]) / 2) / focal
    shown = np.full(depth.shape, np.inf)
    shown[row, column] = z
    return Sheet(
        vertices=np.concatenate([rays, np.ones((len(z), 1))], axis=1) * z[:, None],
        pixels=pixels,
        faces=faces,
        label=labels[row, column],
        rim=rim,
        depth=shown,
    )
