"""The point about which people turn their heads, measured on clips."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from portrait3d.data.face.fits import fit_photos
from portrait3d.data.photos.labelled import PhotoFolder, frames_of, pairs_by_clip
from portrait3d.data.photos.pairs import clip_poses
from portrait3d.geometry.skin import HEAD_CENTRE, HEAD_PIVOT
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.pipeline import Portrait3D

FEWEST_PAIRS = 20
"""Clips with fewer pairs of frames are left out: every clip counts alike, and few pairs say little."""
MOST_RESIDUAL = 8.0
"""Clips in which every point moves by more (median, mm) are left out: the body or the camera moves."""
ROUNDS = 12
"""Of the reweighted least squares that find the point."""
NEAR = 1.5
"""Residuals (mm) below this count alike."""

Turns = tuple[Float[np.ndarray, "P 3 3"], Float[np.ndarray, "P 3"]]
"""Differences of rotation and of translation (mm) between the two poses of P pairs: a point x of the model
moves by A x + b."""


def measure_turning_point(
    model: Portrait3D, data: Path, most: int | None = None
) -> list[dict[str, str | int | float]]:
    """A row for the point that moves least across the picture, for the one in use, and for the head's centre.

    `most` limits the frames of each clip. Points are given as mm below and behind the model's origin; `moves`
    is the median displacement in the picture's plane between two frames, mean over the clips, mm.
    """
    turns = {clip: turn for clip, turn in clip_turns(model, data, most).items() if len(turn[0])}
    candidates = [HEAD_PIVOT, HEAD_CENTRE, *(np.array([0.0, y, z]) for y in (20, 80) for z in (45, 65))]
    steady = {
        clip: turn
        for clip, turn in turns.items()
        if min(displacement(turn, point) for point in candidates) < MOST_RESIDUAL
    }
    if not steady:
        return []
    rows: list[dict[str, str | int | float]] = []
    named = {"measured": least_moved(steady), "in use": HEAD_PIVOT, "head's centre": HEAD_CENTRE}
    for name, point in named.items():
        rows.append(
            {
                "point": name,
                "below": float(point[1]),
                "behind": float(point[2]),
                "moves": float(np.mean([displacement(turn, point) for turn in steady.values()])),
                "clips": len(steady),
                "left out": len(turns) - len(steady),
            }
        )
    return rows


def clip_turns(model: Portrait3D, data: Path, most: int | None) -> dict[str, Turns]:
    """The turns between the paired frames of every clip that has enough of them."""
    points = MeshPoints.from_head_model(model.head_model)
    turns: dict[str, Turns] = {}
    for clip, pairs in pairs_by_clip(PhotoFolder(data, folders=["clips"]).clip_pairs()).items():
        photos = frames_of(pairs)
        if most is not None and len(photos) > most:
            photos = [photos[k] for k in np.linspace(0, len(photos) - 1, most).astype(int)]
        place = {photo.name: k for k, photo in enumerate(photos)}
        kept = [p for p in pairs if p.first.name in place and p.second.name in place]
        if len(kept) < FEWEST_PAIRS:
            continue
        fits = fit_photos(photos, points, slide=model.face_net.mesh_slide)
        _, _, pose = clip_poses(photos, fits, points)
        first = [place[pair.first.name] for pair in kept]
        second = [place[pair.second.name] for pair in kept]
        rotation, translation = pose.rotation.double().numpy(), pose.translation.double().numpy()
        turns[clip] = rotation[second] - rotation[first], translation[second] - translation[first]
    return turns


def displacement(turn: Turns, point: Float[np.ndarray, "3"]) -> float:
    """Median motion of a model's point in the picture's plane, mm."""
    moved = turn[0] @ point + turn[1]
    return float(np.median(np.linalg.norm(moved[:, :2], axis=1)))


def least_moved(turns: Mapping[str, Turns]) -> Float[np.ndarray, "3"]:
    """The point of the plane of symmetry that moves least: the sum of lengths, every clip counting alike."""
    point = np.array([0.0, 30.0, 50.0])
    # Iteratively reweighted least squares: weights 1 / residual make a sum of lengths of a sum of squares.
    for _ in range(ROUNDS):
        matrix, side = np.zeros((2, 2)), np.zeros(2)
        for by_point, shift in turns.values():
            slope = by_point[:, :2, 1:]
            moved = slope @ point[1:] + shift[:, :2]
            weight = 1 / np.maximum(np.linalg.norm(moved, axis=1), NEAR) / len(shift)
            matrix += np.einsum("n,nij,nik->jk", weight, slope, slope)
            side -= np.einsum("n,nij,ni->j", weight, slope, shift[:, :2])
        point[1:] = np.linalg.solve(matrix, side)
    return point
