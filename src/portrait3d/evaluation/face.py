"""Accuracy of the face network on labelled photos: landmarks to the teacher's, shapes to offline fits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.face_crops import crop_from_box
from portrait3d.data.photos import LabelledPhoto
from portrait3d.geometry.pose import Pose
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import crop_from_landmarks

GROUPS: dict[str, Callable[[str], bool]] = {
    "all": lambda folder: True,
    "portraits": lambda folder: folder == "portraits",
    "clips": lambda folder: folder == "clips",
    "scut": lambda folder: folder == "research/scut",
    "utk": lambda folder: folder == "research/utk",
}


@dataclass(frozen=True, slots=True)
class FacePrediction:
    """What the network says about N photos."""

    landmarks: Float[np.ndarray, "N 68 2"]
    """Where a landmark detector would see them, pixels of each photo."""
    shape: Float[Tensor, "N 144"]
    pose: Pose
    """In the camera of the crop, the angle of which is in `angle`."""
    angle: Float[np.ndarray, " N"]
    """The crops' roll in the photo, radians."""


@torch.no_grad()
def predict_faces(
    net: FaceNet, head: HeadModel, photos: Sequence[LabelledPhoto], passes: int = 2, chunk: int = 32
) -> FacePrediction:
    """Reconstruct faces from the labels' detector boxes; later passes crop around the landmarks found."""
    net.eval()
    landmarks, shapes, rotations, translations, angles = [], [], [], [], []
    for k in range(0, len(photos), chunk):
        part = photos[k : k + chunk]
        pixels = [photo.pixels() for photo in part]
        crops = [crop_from_box(photo.box) for photo in part]
        for again in range(passes):
            if again:
                crops = [crop_from_landmarks(points) for points in found]
            output = net(torch.stack([c.extract(p) for c, p in zip(crops, pixels, strict=True)]))
            points = head.landmarks(head.vertices(output.coefficients))
            seen = net.landmarks(points, output.camera_from_model)
            found = [crop.photo_from_crop(s) for crop, s in zip(crops, seen, strict=True)]
        landmarks += found
        shapes.append(output.shape)
        rotations.append(output.camera_from_model.rotation)
        translations.append(output.camera_from_model.translation)
        angles += [crop.angle for crop in crops]
    return FacePrediction(
        torch.stack(landmarks).numpy(),
        torch.cat(shapes),
        Pose(torch.cat(rotations), torch.cat(translations)),
        np.array(angles, np.float32),
    )


def normalised_error(
    found: Float[np.ndarray, "N 68 2"], truth: Float[np.ndarray, "N 68 2"]
) -> Float[np.ndarray, " N"]:
    """Mean distance of 68 landmarks over sqrt(w h) of their upright-rectangle box, in percent (NME)."""
    extent = np.sqrt(np.prod(truth.max(1) - truth.min(1), axis=1))
    return 100 * np.linalg.norm(found - truth, axis=-1).mean(1) / extent
