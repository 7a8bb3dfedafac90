"""Pose and shape of drawn people, synthetic ones and artist-made heads, whose truth is known exactly."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.data.face.crops import STORED_MARGIN, STORED_SIZE
from portrait3d.data.face.exact import ExactFaces
from portrait3d.evaluation.face.predictions import FacePrediction, joined, predict_crops
from portrait3d.geometry.pose import Pose, euler_from_rotation, heading
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import FACE_MARGIN, FACE_SIZE, Crop
from portrait3d.rendering.rasterizer import rasterize

YAWS = ((0, 30), (30, 60), (60, 90), (90, 101))
"""Ranges of the true yaw to either side, degrees."""
PLACING = (0.03, 0.04, math.radians(2))
"""What detections are off by: centre and side over the face's size, and roll (`crop_from_detection`)."""


@dataclass(frozen=True, slots=True)
class SyntheticScores:
    """Mean absolute errors over drawn people of one kind."""

    faces: str
    count: int
    yaw: float
    """Degrees about the head's own axes, as pitch and roll."""
    outward: float
    """Mean of yaw that is too large, less that which is too small, degrees: the bias."""
    pitch: float
    roll: float
    shape: float
    """Mean distance of the visible face's vertices after rigid alignment, mm."""
    mean_shape: float
    """The same for the mean head: rigidly aligned like the network's."""
    mean_placed: float
    """The same for the mean head placed by the 68 true landmarks."""


@torch.no_grad()
def score_synthetic(net: FaceNet, head: HeadModel, faces: ExactFaces) -> list[SyntheticScores]:
    """One row for every range of yaw, then rows for people with and without glasses turned by up to 60."""
    found = predict_synthetic(net, head, faces)
    yaw = torch.rad2deg(heading(faces.pose.rotation))
    off = off_axes(found.rotation, faces.pose.rotation)
    outward = off[:, :1] * yaw.sign()[:, None]
    distances = torch.stack([shape_errors(head, faces, found, k) for k in range(len(faces))])
    table = torch.cat([off[:, :1].abs(), outward, off[:, 1:].abs(), distances], dim=1).numpy()
    side = yaw.abs().numpy()
    kinds = [(f"yaw {low} to {high}", (side >= low) & (side < high)) for low, high in YAWS]
    kinds += [("with glasses", faces.glasses & (side < 60)), ("without", ~faces.glasses & (side < 60))]
    return [
        SyntheticScores(name, int(rows.sum()), *table[rows].mean(0).tolist())
        for name, rows in kinds
        if rows.any()
    ]


def off_axes(found: Float[Tensor, "N 3 3"], truth: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 3"]:
    """Yaw, pitch and roll (degrees) about the head's own axes that lead from true rotations to found ones.

    In profile Euler's angles trade places: what a head nods is then what the picture rolls.
    """
    return torch.rad2deg(torch.stack(euler_from_rotation(truth.transpose(1, 2) @ found), dim=1))


def predict_synthetic(
    net: FaceNet,
    head: HeadModel,
    faces: ExactFaces,
    chunk: int = 32,
) -> FacePrediction:
    """What the network says, starting from crops that are as far off as a detector's."""
    crops, parts = detector_crops(len(faces)), []
    for k in range(0, len(faces), chunk):
        pictures = [np.array(image) for image in faces.images[k : k + chunk]]
        part = crops[k : k + chunk]
        parts.append(predict_crops(net, head, pictures, part))
    return joined(parts)


def detector_crops(count: int) -> list[Crop]:
    """Crops of as many stored pictures, off at random as far as a detector's are."""
    side = STORED_SIZE / STORED_MARGIN
    shift, scale, roll = PLACING
    crops = []
    for noise in np.random.default_rng(0).normal(size=(count, 4)):
        x, y = STORED_SIZE / 2 + noise[:2] * shift * side / FACE_MARGIN
        crops.append(Crop((x, y), side * (1 + scale * noise[2]), roll * noise[3], FACE_SIZE))
    return crops


def shape_errors(head: HeadModel, faces: ExactFaces, found: FacePrediction, row: int) -> Float[Tensor, "3"]:
    """Distances (mm) of the network's visible face, of the mean head's, and of that placed by landmarks."""
    one = slice(row, row + 1)
    truth = head.vertices(FaceCoefficients.from_vector(faces.coefficients[one]))
    ours = head.vertices(FaceCoefficients.from_vector(found.coefficients.to_vector()[one]))[0]
    seen = visible_face(head, truth, Pose(faces.pose.rotation[one], faces.pose.translation[one]))
    target, mean = truth[0, seen], head.mean[seen]
    by_landmarks = rigid_alignment(head.landmarks(head.mean[None])[0], head.landmarks(truth)[0])
    candidates = (
        rigid_alignment(ours[seen], target).apply(ours[seen]),
        rigid_alignment(mean, target).apply(mean),
        by_landmarks.apply(mean),
    )
    return torch.stack([(points - target).norm(dim=-1).mean() for points in candidates])


def visible_face(head: HeadModel, vertices: Float[Tensor, "1 V 3"], pose: Pose) -> Bool[Tensor, " V"]:
    """Which vertices of the face belong to a triangle that the camera sees; hair and glasses hide nothing."""
    size = 2 * FACE_SIZE
    camera = Crop((0.0, 0.0), 1.0, 0.0, size).camera()
    index = rasterize(camera.screen(pose.apply(vertices)), head.faces, size, size).face_index
    seen = torch.zeros(vertices.shape[1], dtype=torch.bool)
    seen[head.faces[index[index >= 0].unique()]] = True
    return seen & (head.face_mask > 0.5)


def rigid_alignment(source: Float[Tensor, "N 3"], target: Float[Tensor, "N 3"]) -> Pose:
    """The rotation and translation that bring points nearest to others in the mean square (Kabsch)."""
    a, b = source.double(), target.double()
    middle, wanted = a.mean(0), b.mean(0)
    u, _, v = torch.linalg.svd((b - wanted).T @ (a - middle))
    # No reflections.
    sign = torch.ones(3, dtype=torch.float64)
    sign[2] = torch.linalg.det(u @ v).sign()
    rotation = u @ torch.diag(sign) @ v
    return Pose(rotation.to(source.dtype), (wanted - rotation @ middle).to(source.dtype))
