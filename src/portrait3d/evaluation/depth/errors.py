"""Distances between a predicted head and the true one, in the three ways that `evaluate depth` reports.

The paper aligns everything rigidly before it measures (Table 1), which hides most errors of hair; the two
stricter ways align the face alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from portrait3d.evaluation.face.drawn import rigid_alignment
from portrait3d.geometry.pose import Pose

FINER = 3
"""Samples of the true surface along a pixel's side, so that distances are to a surface and not to pixels."""
JUMP = 15.0
"""No surface joins neighbouring pixels whose depths differ by more, mm."""
CORRESPONDENCES = 600
"""Points that take part in the alignment of everything."""
ROUNDS = 12
"""Of the alignment: nearest points are looked up anew in each (iterated closest points)."""
SAMPLES = 1000
"""Points of each region whose distance to the true surface is measured."""
KEPT = 0.9
"""Share of the points, nearest first, that decide an alignment: a few parsing errors must not."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadTruth:
    """The true head behind every pixel of a head crop, mm, in any camera's frame."""

    points: Float[np.ndarray, "H W 3"]
    """What each pixel shows; NaN where that is no head or not known."""
    face: Bool[np.ndarray, "H W"]
    """Bare face, all of it known."""
    rest: Bool[np.ndarray, "H W"]
    """The rest of the head (hair, ears, covered face), all of it known."""
    surface: cKDTree
    """Samples of the whole true surface."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadErrors:
    """Mean errors of one head, mm; NaN where there is nothing to measure."""

    gap: Float[np.ndarray, "H W"]
    """Predicted minus true depth of every pixel of the head in the frame of the faces, NaN elsewhere."""

    face_table1: float
    """Distance of the face's points to the true surface, everything aligned with everything."""
    rest_table1: float
    """The same for the rest of the head."""
    all_table1: float
    """The same for both together."""
    face: float
    """Distance of the face's points to the true surface, the faces aligned."""
    rest: float
    """The same for the rest of the head, in the frame of the faces."""
    rest_pixel: float
    """Difference in depth, pixel by pixel, over the rest of the head in that frame."""
    coverage: float
    """Share of the rest of the true head's pixels that have a predicted depth."""


def surface_of(points: Float[np.ndarray, "H W 3"]) -> cKDTree:
    """Dense samples of the surface over a grid of points (mm); NaN where there is none."""
    corners = [points[:-1, :-1], points[:-1, 1:], points[1:, :-1], points[1:, 1:]]
    depth = np.stack([corner[..., 2] for corner in corners])
    # Squares of four pixels that one surface joins are filled with samples; others span an occluding contour.
    joined = np.isfinite(depth).all(axis=0)
    joined &= np.ptp(np.where(joined, depth, 0.0), axis=0) <= JUMP
    samples = [points[np.isfinite(points).all(axis=-1)]]
    for v in np.arange(FINER) / FINER:
        for u in np.arange(FINER) / FINER:
            weights = ((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v)
            if u or v:
                parts = (weight * corner[joined] for weight, corner in zip(weights, corners, strict=True))
                samples.append(sum(parts, np.zeros(3)))
    return cKDTree(np.concatenate(samples))


def head_errors(
    found: Float[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"], truth: HeadTruth
) -> HeadErrors:
    """Compare predicted points of the pixels of a head crop with the true ones.

    Args:
        found: Predicted points (mm), in the crop camera's frame.
        known: Where there are any.
        truth: The true head.
    """
    face, rest = truth.face & known, truth.rest & known
    if face.sum() < 3:
        return HeadErrors(np.full(known.shape, np.nan), *(float("nan"),) * 7)
    by_face = align_pairs(found[face], truth.points[face])
    by_all = align_to_surface(thinned(found[face | rest], CORRESPONDENCES), truth.surface, by_face)
    gap = np.full(known.shape, np.nan)
    gap[face | rest] = moved(by_face, found[face | rest])[:, 2] - truth.points[face | rest][:, 2]
    return HeadErrors(
        gap=gap,
        face_table1=surface_distance(found[face], truth.surface, by_all),
        rest_table1=surface_distance(found[rest], truth.surface, by_all),
        all_table1=surface_distance(found[face | rest], truth.surface, by_all),
        face=surface_distance(found[face], truth.surface, by_face),
        rest=surface_distance(found[rest], truth.surface, by_face),
        rest_pixel=float(np.abs(gap[rest]).mean()) if rest.any() else float("nan"),
        coverage=float(rest.sum() / truth.rest.sum()) if truth.rest.any() else float("nan"),
    )


def align_pairs(source: Float[np.ndarray, "N 3"], target: Float[np.ndarray, "N 3"]) -> Pose:
    """The rigid motion (float64) that brings points nearest to their partners, without the worst tenth."""
    motion = _alignment(source, target)
    for _ in range(3):
        distance = np.linalg.norm(moved(motion, source) - target, axis=1)
        kept = distance <= np.quantile(distance, KEPT)
        motion = _alignment(source[kept], target[kept])
    return motion


def align_to_surface(source: Float[np.ndarray, "N 3"], surface: cKDTree, start: Pose) -> Pose:
    """Iterative closest points from `start`, without the worst tenth."""
    motion = start
    for _ in range(ROUNDS):
        distance, index = surface.query(moved(motion, source))
        kept = distance <= np.quantile(distance, KEPT)
        motion = _alignment(source[kept], np.asarray(surface.data)[index[kept]])
    return motion


def surface_distance(points: Float[np.ndarray, "N 3"], surface: cKDTree, motion: Pose) -> float:
    """Mean distance (mm) of moved points to the true surface; NaN without points."""
    if not len(points):
        return float("nan")
    distance, _ = surface.query(moved(motion, thinned(points, SAMPLES)))
    return float(distance.mean())


def thinned(points: Float[np.ndarray, "N 3"], count: int) -> Float[np.ndarray, "M 3"]:
    """At most `count` of the points, evenly picked."""
    if len(points) <= count:
        return points
    return points[np.linspace(0, len(points) - 1, count).astype(int)]


def moved(motion: Pose, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Points after a motion."""
    return points @ motion.rotation.numpy().T + motion.translation.numpy()


def _alignment(source: Float[np.ndarray, "N 3"], target: Float[np.ndarray, "N 3"]) -> Pose:
    return rigid_alignment(torch.from_numpy(source).double(), torch.from_numpy(target).double())
