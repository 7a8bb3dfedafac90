"""What the face network says about labelled photos, and the plain errors of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.data.face.crops import crop_from_box
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_fit import read_faces, rotation_in_photo
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import Crop, crop_from_landmarks


@dataclass(frozen=True, slots=True)
class FacePrediction:
    """What the network says about N photos."""

    landmarks: Float[np.ndarray, "N 68 2"]
    """Where a landmark detector would see them, pixels of each photo."""
    coefficients: FaceCoefficients
    pose: Pose
    """In the camera of each photo's crop."""
    crops: list[Crop]
    """The crops of the last pass."""

    @property
    def shape(self) -> Float[Tensor, "N 144"]:
        """Identity and expression coefficients."""
        return torch.cat([self.coefficients.identity, self.coefficients.expression], dim=1)

    @property
    def rotation(self) -> Float[Tensor, "N 3 3"]:
        """Rotation of the head in the upright photo, the crop's roll undone."""
        angles = np.array([crop.angle for crop in self.crops], np.float32)
        return rotation_in_photo(self.pose.rotation, angles)


def predict_faces(
    net: FaceNet,
    head: HeadModel,
    photos: Sequence[LabelledPhoto],
    passes: int = 2,
    *,
    chunk: int = 32,
) -> FacePrediction:
    """Reconstruct faces from the labels' detector boxes; arguments as in `predict_crops`."""
    parts = []
    for k in range(0, len(photos), chunk):
        part = photos[k : k + chunk]
        crops = [crop_from_box(photo.box) for photo in part]
        pixels = [photo.pixels() for photo in part]
        parts.append(predict_crops(net, head, pixels, crops, passes))
    return joined(parts)


@torch.no_grad()
def predict_crops(
    net: FaceNet,
    head: HeadModel,
    pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    crops: list[Crop],
    passes: int = 2,
) -> FacePrediction:
    """Reconstruct the faces in crops of some pictures; the second pass crops around the landmarks found.

    Two passes are what `Portrait3D` does: the last one reads mirror images too. A single one, without them,
    takes a third of the time: enough to watch a training by.
    """
    net.eval()
    for number in range(1, passes + 1):
        pictures = torch.stack([c.extract(p) for c, p in zip(crops, pixels, strict=True)])
        reading = read_faces(net, head, pictures, mirrored=1 < number == passes)
        found = [crop.photo_from_crop(seen) for crop, seen in zip(crops, reading.landmarks, strict=True)]
        if number < passes:
            crops = [crop_from_landmarks(points) for points in found]
    return FacePrediction(torch.stack(found).numpy(), reading.coefficients, reading.camera_from_model, crops)


def joined(parts: Sequence[FacePrediction]) -> FacePrediction:
    """Several predictions in one."""
    return FacePrediction(
        np.concatenate([part.landmarks for part in parts]),
        FaceCoefficients.from_vector(torch.cat([part.coefficients.to_vector() for part in parts])),
        Pose(
            torch.cat([part.pose.rotation for part in parts]),
            torch.cat([part.pose.translation for part in parts]),
        ),
        [crop for part in parts for crop in part.crops],
    )


def normalised_error(
    found: Float[np.ndarray, "N 68 2"], truth: Float[np.ndarray, "N 68 2"]
) -> Float[np.ndarray, " N"]:
    """Mean distance of 68 landmarks over sqrt(w h) of their upright-rectangle box, in percent (NME)."""
    return 100 * np.linalg.norm(found - truth, axis=-1).mean(1) / extent(truth)


def extent(landmarks: Float[np.ndarray, "N 68 2"]) -> Float[np.ndarray, " N"]:
    """Size of a face: sqrt(w h) of the box around its landmarks, pixels."""
    return np.sqrt(np.prod(landmarks.max(1) - landmarks.min(1), axis=1))


@torch.no_grad()
def face_distance(
    head: HeadModel, first: Float[Tensor, "N 144"], second: Float[Tensor, "N 144"]
) -> Float[np.ndarray, " N"]:
    """Mean distance between the face's vertices of two shapes, in the model's frame, mm."""
    face = head.face_mask > 0.5
    bases = torch.cat([head.identity_basis, head.expression_basis])[:, face]
    differences = ((first - second) @ bases.flatten(1)).unflatten(1, (-1, 3))
    return differences.norm(dim=-1).mean(1).numpy()


def angle_between(first: Float[Tensor, "N 3 3"], second: Float[Tensor, "N 3 3"]) -> Float[Tensor, " N"]:
    """Angle between rotations, degrees."""
    # |A - B| = 2 sqrt(2) sin(angle / 2): exact at small angles, where acos of the trace loses digits.
    chord = (first - second).square().sum((1, 2)).sqrt()
    return torch.rad2deg(2 * torch.asin((chord / 8**0.5).clamp(max=1)))
