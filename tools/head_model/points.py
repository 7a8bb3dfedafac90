"""Where a landmark detector's points lie on the head: calibration against labelled portraits."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.optimize import linear_sum_assignment

from portrait3d.data.face.fits import FitConfig, fit_in_chunks, project_points
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, LabelledPhoto
from portrait3d.geometry.pose import Pose
from portrait3d.models.mesh_points import OUTLINE, MeshPoints
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_MARGIN, FACE_SIZE, crop_from_landmarks

from .surface import Surface

# fmt: off
FIRST_LANDMARKS = np.array([
    2109, 805, 815, 841, 1595, 861, 1650, 1577, 1580, 3636, 3705, 2939, 3653, 2919, 2896, 2886, 4155,
    255, 225, 224, 205, 208, 2353, 2350, 2368, 2369, 2394, 132, 131, 201, 1409, 318, 331, 317,
    2463, 2450, 1027, 0, 54, 1374, 47, 41, 3441, 2208, 2154, 3095, 2195, 2201, 1337, 409, 450,
    455, 2580, 2539, 3405, 2605, 2611, 492, 486, 480, 430, 470, 474, 2596, 2560, 2606, 493, 481,
])
# fmt: on
"""Vertices near the 68 landmarks, picked by eye on the mean head: where the calibration starts."""

ROUNDS = 6
FRONTAL = np.radians(8)
"""Outline points slide over the skin as a head turns; only views this frontal place them."""

NEUTRAL = 0.5
"""Norm of the expression coefficients at which a photo counts half."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Points of the skin: corners (vertices) and barycentric weights."""

    corners: np.ndarray
    """Int64 [468, 3]."""
    weights: np.ndarray
    """Float32 [468, 3]."""
    residuals: list[float]
    """Mean error of the 68 landmarks over sqrt(w h) of their box, frontal views, in each round's fits."""


def choose_photos(photos: list[LabelledPhoto], count: int) -> list[LabelledPhoto]:
    """The most frontal half and the most turned half of a sample, in a fixed order."""
    by_turn = sorted(photos, key=lambda photo: (abs(photo.yaw), photo.name))
    return by_turn[: count // 2] + by_turn[-(count - count // 2) :]


def calibrate(
    surface: Surface, identity: np.ndarray, expression: np.ndarray, photos: list[LabelledPhoto]
) -> Calibration:
    """Alternate between fitting the photos and moving the points over the skin to where they are seen."""
    crops = [crop_from_landmarks(torch.from_numpy(photo.landmarks)) for photo in photos]
    labels = [torch.from_numpy(photo.points[:, :2].copy()) for photo in photos]
    pixels = [crop.crop_from_photo(points) for crop, points in zip(crops, labels, strict=True)]
    target = torch.stack(pixels).float()
    first = surface.mean[FIRST_LANDMARKS]
    start, pairs = first_guess(np.stack([photo.points for photo in photos[: len(photos) // 2]]), first)
    corners, weights = surface.symmetric_points(start, pairs)
    basis = np.concatenate([identity, expression])
    sliding = np.isin(np.arange(len(start)), OUTLINE)
    residuals = []
    for step in range(ROUNDS + 1):
        place = partial(at_points, corners=corners, weights=weights)
        model = MeshPoints(torch.tensor(place(surface.mean)).float(), torch.tensor(place(basis)).float())
        index = np.union1d(LANDMARKS_OF_MESH, np.arange(step % 2, 468, 2))
        index = LANDMARKS_OF_MESH[17:] if step == 0 else index
        config = FitConfig(outline_weight=0.05, identity_sigma=0.7)
        shape, pose = fit_in_chunks(model, target[:, index], index, config, None)
        error = target - project_points(model, shape, pose)
        frontal = pose.rotation[:, 0, 2].abs() < np.sin(FRONTAL)
        marks = error[frontal][:, LANDMARKS_OF_MESH].norm(dim=-1).mean()
        residuals.append(float(marks) * FACE_MARGIN / FACE_SIZE)
        if step < ROUNDS:
            neutral = 1 / (1 + (shape[:, 80:].norm(dim=1) / NEUTRAL) ** 2)
            moved = place(surface.mean) + offsets(error, pose, neutral, place(surface.normals), sliding)
            corners, weights = surface.symmetric_points(moved, pairs)
    return Calibration(corners, weights, residuals)


def at_points(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values of vertices [..., V, C] at barycentric points, [..., N, C]."""
    return (values[..., corners, :] * weights[..., None]).sum(-2)


def mirror_pairs(points: np.ndarray) -> np.ndarray:
    """For every point, its partner on the other side, as the best one-to-one match [N]."""
    gap = np.linalg.norm(points[:, None] * [-1, 1, 1] - points, axis=-1)
    pairs = linear_sum_assignment(gap + gap.T)[1]
    if not np.array_equal(pairs[pairs], np.arange(len(pairs))):
        raise ValueError("The points are no mirror images of each other: too few photos?")
    return pairs


def first_guess(points: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The detector's mean 3D points on frontal faces, moved onto 68 known ones, and their mirror pairs."""
    mean = np.zeros(points.shape[1:])
    for face in points:
        marks = face[LANDMARKS_OF_MESH]
        mean += similarity(marks, first, face) / len(points)
    mean = similarity(mean[LANDMARKS_OF_MESH], first, mean)
    pairs = mirror_pairs(mean)
    # People smile in portraits: the known landmarks say where the points lie on a neutral face.
    mean += RBFInterpolator(mean[LANDMARKS_OF_MESH], first - mean[LANDMARKS_OF_MESH], smoothing=10.0)(mean)
    return (mean + mean[pairs] * [-1, 1, 1]) / 2, pairs


def similarity(source: np.ndarray, target: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`points` moved by the similarity that takes `source` to `target`, both [N, 3], best."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return ((s * sign).sum() / (a**2).sum()) * (points - source.mean(0)) @ (u * sign @ vt).T + target.mean(0)


def offsets(
    error: torch.Tensor, pose: Pose, neutral: torch.Tensor, normals: np.ndarray, sliding: np.ndarray
) -> np.ndarray:
    """Least-squares shifts (mm, model frame) along the skin that explain the mean errors in all views."""
    millimetres = (error * (pose.translation[:, 2] / FACE_FOCAL)[:, None, None]).double()
    rows = pose.rotation[:, :2].double()
    towards = -torch.einsum("pc,bc->bp", torch.tensor(normals), pose.rotation[:, 2].double())
    frontal = (pose.rotation[:, 0, 2].abs() < np.sin(FRONTAL))[:, None]
    trust = torch.where(torch.tensor(sliding), frontal * 1.0, (towards - 0.2).clamp(0, 1))
    trust = neutral[:, None] * trust / (1 + (millimetres.norm(dim=-1) / 4) ** 2)
    gram = torch.einsum("bp,bic,bid->pcd", trust, rows, rows)
    stiff = 10 * trust.sum(0).clamp_min(1.0)
    gram += stiff[:, None, None] * torch.tensor(normals)[:, :, None] * torch.tensor(normals)[:, None]
    gram += 0.02 * neutral.sum() * torch.eye(3, dtype=torch.float64)
    right = torch.einsum("bp,bic,bpi->pc", trust, rows, millimetres)
    return torch.linalg.solve(gram, right).numpy()
