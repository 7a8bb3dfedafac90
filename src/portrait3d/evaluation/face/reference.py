"""What the network is compared with: offline fits to the teacher's points, and the mean face."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.face.fits import FitConfig, fit_in_chunks, fit_photos, project_points
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, LabelledPhoto
from portrait3d.geometry.pose import Pose
from portrait3d.models.face_fit import rotation_in_photo
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import crop_from_landmarks

POSE_ONLY = FitConfig(outline_weight=1.0, iterations=8, pose_iterations=99)


@dataclass(frozen=True, slots=True)
class Reference:
    """One way to explain the teacher's landmarks of N photos."""

    landmarks: Float[np.ndarray, "N 68 2"]
    """Pixels of each photo."""
    shape: Float[Tensor, "N 144"]
    rotation: Float[Tensor, "N 3 3"]
    """Of the head in the photo."""


@torch.no_grad()
def reference_fits(
    net: FaceNet, head: HeadModel, photos: Sequence[LabelledPhoto]
) -> tuple[Reference, Reference]:
    """Offline fits to all labelled points, then the network's mean face in the pose that fits 68 best."""
    points = MeshPoints.from_head_model(head)
    fits = fit_photos(photos, points, slide=net.mesh_slide)
    mean = net.shape_mean.expand(len(photos), -1)
    target = torch.from_numpy(fits.landmarks)
    _, best = fit_in_chunks(points, target, LANDMARKS_OF_MESH, POSE_ONLY, net.mesh_slide, shape=mean)
    crops = [crop_from_landmarks(torch.from_numpy(photo.landmarks)) for photo in photos]

    def reference(shape: Tensor, pose: Pose) -> Reference:
        pixels = project_points(points, shape, pose, net.mesh_slide)[:, LANDMARKS_OF_MESH]
        seen = [crop.photo_from_crop(own) for crop, own in zip(crops, pixels, strict=True)]
        return Reference(torch.stack(seen).numpy(), shape, rotation_in_photo(pose.rotation, fits.angle))

    pose = Pose(torch.from_numpy(fits.rotation), torch.from_numpy(fits.translation))
    return reference(torch.from_numpy(fits.shape), pose), reference(mean, best)
