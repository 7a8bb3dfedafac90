"""From face crops to fits of the head model: a crop is read together with its mirror image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.plausibility import check_face, check_finite, head_of
from portrait3d.preprocessing.alignment import FACE_SIZE, Crop, crop_from_landmarks


@dataclass(frozen=True, slots=True)
class FaceReading:
    """What the face network says about B face crops."""

    coefficients: FaceCoefficients
    camera_from_model: Pose
    """Pose in the camera of each crop, mm."""
    landmarks: Float[Tensor, "B 68 2"]
    """Where a landmark detector would see them, pixels of 224."""
    asymmetry: Float[Tensor, " B"]
    """Mean distance between the landmarks read in the crop and in its mirror image, percent of face size;
    0 where the mirror image was not read."""

    def each(self) -> list["FaceReading"]:
        """The readings of the crops, one by one."""
        pose = self.camera_from_model
        return [
            FaceReading(FaceCoefficients.from_vector(vector), Pose(rotation, translation), *rest)
            for vector, rotation, translation, *rest in zip(
                self.coefficients.to_vector().split(1),
                pose.rotation.split(1),
                pose.translation.split(1),
                self.landmarks.split(1),
                self.asymmetry.split(1),
                strict=True,
            )
        ]


@dataclass(frozen=True, slots=True)
class FaceFit:
    """The head model fitted to a photo by the face network, unbatched."""

    crop: Crop
    """The face crop that the fit was made in."""
    coefficients: FaceCoefficients
    crop_from_model: Pose
    """Pose in the camera of the upright crop, mm."""
    landmarks: Float[Tensor, "68 2"]
    """Pixels of the photo."""
    moved: float
    """How far the landmarks moved from the first crop to the second, percent of face size."""
    asymmetry: float
    """`FaceReading.asymmetry` of the second crop."""


def fit_face(net: FaceNet, head: HeadModel, pixels: UInt8[np.ndarray, "H W 3"], crop: Crop) -> FaceFit:
    """Shape, light and pose of the face in a crop of a photo (paper, section 3.1); as `fit_faces` does."""
    return fit_faces(net, head, [pixels], [crop])[0]


def fit_faces(
    net: FaceNet, head: HeadModel, photos: Sequence[UInt8[np.ndarray, "_ _ 3"]], crops: Sequence[Crop]
) -> list[FaceFit]:
    """Shape, light and pose of the face in one crop of each photo.

    The first result places the crop anew, and the second, made in that crop, is kept: the paper's alignment
    after the face is known. A third pass gains nothing. Raises `WeightsError` if either is no face at all.
    """

    def read(crops: Sequence[Crop], *, mirrored: bool) -> tuple[list[FaceReading], list[Tensor]]:
        pictures = [crop.extract(pixels) for pixels, crop in zip(photos, crops, strict=True)]
        readings = read_faces(net, head, torch.stack(pictures), mirrored=mirrored).each()
        for reading in readings:
            _check_reading(net, head, reading)
        seen = [crop.photo_from_crop(one.landmarks[0]) for crop, one in zip(crops, readings, strict=True)]
        return readings, seen

    # The first pass only places the crop anew: that is not worth reading its mirror image.
    _, before = read(crops, mirrored=False)
    crops = [crop_from_landmarks(landmarks) for landmarks in before]
    readings, after = read(crops, mirrored=True)
    return [
        FaceFit(
            crop=crop,
            coefficients=FaceCoefficients.from_vector(reading.coefficients.to_vector()[0]),
            crop_from_model=Pose(
                reading.camera_from_model.rotation[0], reading.camera_from_model.translation[0]
            ),
            landmarks=landmarks,
            moved=float(landmark_distance(first[None], landmarks[None])),
            asymmetry=float(reading.asymmetry),
        )
        for crop, reading, first, landmarks in zip(crops, readings, before, after, strict=True)
    ]


def _check_reading(net: FaceNet, head: HeadModel, reading: FaceReading) -> None:
    """`WeightsError` if a single crop's reading can't be a face."""
    pose = Pose(reading.camera_from_model.rotation[0], reading.camera_from_model.translation[0])
    check_finite(head_of(net), reading.coefficients.to_vector())
    vertices = head.vertices(reading.coefficients)[0]
    check_face(vertices, pose, reading.landmarks[0], FACE_SIZE, head_of(net))


@torch.no_grad()
def read_faces(
    net: FaceNet, head: HeadModel, crops: Float[Tensor, "B 3 H W"], *, mirrored: bool = True
) -> FaceReading:
    """Reconstruct the faces in square crops, RGB in [0, 1].

    With `mirrored`, coefficients and poses are the means over a crop and its mirror image: what the network
    sees in one and not in the other is noise, and the mirror image of a crop gives the mirrored face exactly.
    """
    if not mirrored:
        output = net(crops)
        coefficients, pose = output.coefficients, output.camera_from_model
        landmarks = net.landmarks(head.landmarks(head.vertices(coefficients)), pose)
        return FaceReading(coefficients, pose, landmarks, landmarks.new_zeros(len(crops)))
    both = net(torch.cat([crops, crops.flip(-1)]))
    vectors, mirror = both.coefficients.to_vector().chunk(2)
    reflected = head.mirrored(FaceCoefficients.from_vector(mirror)).to_vector()
    coefficients = FaceCoefficients.from_vector((vectors + reflected) / 2)
    # The mirror image of a motion is M R M, M t with M = diag(-1, 1, 1).
    flip = crops.new_tensor([-1.0, 1.0, 1.0])
    rotation, mirror_rotation = both.camera_from_model.rotation.chunk(2)
    translation, mirror_translation = both.camera_from_model.translation.chunk(2)
    mirror_rotation, mirror_translation = mirror_rotation * flip[:, None] * flip, mirror_translation * flip
    pose = Pose(mean_rotation(rotation, mirror_rotation), (translation + mirror_translation) / 2)

    def seen(vector: Tensor, pose: Pose) -> Tensor:
        return net.landmarks(head.landmarks(head.vertices(FaceCoefficients.from_vector(vector))), pose)

    asymmetry = landmark_distance(
        seen(vectors, Pose(rotation, translation)), seen(reflected, Pose(mirror_rotation, mirror_translation))
    )
    return FaceReading(coefficients, pose, seen(coefficients.to_vector(), pose), asymmetry)


def mean_rotation(first: Float[Tensor, "B 3 3"], second: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B 3 3"]:
    """The rotation halfway between two that differ by less than half a turn."""
    # The mean of two rotation matrices is none; this is the rotation nearest to it.
    u, _, v = torch.linalg.svd(first + second)
    return u @ v


def landmark_distance(first: Float[Tensor, "B 68 2"], second: Float[Tensor, "B 68 2"]) -> Float[Tensor, " B"]:
    """Mean distance of landmarks, percent of sqrt(w h) of the second ones' box."""
    extent = (second.amax(1) - second.amin(1)).prod(1).sqrt()
    return 100 * (first - second).norm(dim=-1).mean(1) / extent


def rotation_in_photo(
    rotation: Float[Tensor, "N 3 3"], angle: Float[np.ndarray, " N"]
) -> Float[Tensor, "N 3 3"]:
    """Rotations in crops that lean clockwise by `angle` (radians), seen from the photo's camera."""
    return Pose.roll(torch.from_numpy(angle).to(rotation)).rotation @ rotation
