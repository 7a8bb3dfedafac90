"""What a training of the face network is judged by while it runs."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.data.face.exact import ExactFaces
from portrait3d.data.face.fits import FaceFits
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.evaluation.face.predictions import (
    angle_between,
    face_distance,
    normalised_error,
    predict_faces,
)
from portrait3d.geometry.pose import heading
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel

DEGREES = 4.0
"""Degrees of drawn people's rotation that count as much as one percent of photos' NME."""
SIDE = math.radians(60)
"""Yaw beyond which a drawn face counts as a profile."""


@dataclass(frozen=True, slots=True)
class FaceValidation:
    """Scores a face network on the validation photos and on drawn people who are in no training set."""

    head: HeadModel
    photos: list[LabelledPhoto]
    fitted: Float[Tensor, "N 144"]
    """Shapes of the photos' offline fits."""
    exact: Mapping[str, ExactFaces]
    """Drawn people, by where they come from."""

    @classmethod
    def prepare(
        cls,
        head: HeadModel,
        photos: Sequence[LabelledPhoto],
        fits: FaceFits,
        exact: Mapping[str, ExactFaces],
    ) -> "FaceValidation":
        """The photos of the validation split, and drawn people."""
        held_out = [photo for photo in photos if photo.split == "val"]
        shapes = dict(zip(zip(fits.folders, fits.names, strict=True), fits.shape, strict=True))
        fitted = np.stack([shapes[photo.folder, photo.name] for photo in held_out])
        return cls(head, held_out, torch.from_numpy(fitted), exact)

    @torch.no_grad()
    def __call__(self, module: nn.Module) -> dict[str, float]:
        """Landmark errors in percent (one pass), shape in mm and rotation in degrees.

        "score" is -(NME + rotation / 4), the rotation being that of drawn people: photos alone would choose
        weights that know no profiles, because their labels don't either.
        """
        assert isinstance(module, FaceNet)
        # A copy on the CPU, where crops are cut: the average stays on its device.
        net = deepcopy(module).cpu()
        found = predict_faces(net, self.head, self.photos, passes=1)
        errors = normalised_error(found.landmarks, np.stack([photo.landmarks for photo in self.photos]))
        folders = np.array([photo.folder for photo in self.photos])
        scores = {"nme": float(errors.mean())}
        scores |= {str(name): float(errors[folders == name].mean()) for name in np.unique(folders)}
        scores["shape"] = float(face_distance(self.head, found.shape, self.fitted).mean())
        for name, faces in self.exact.items():
            scores |= {f"{name}_{kind}": value for kind, value in self.exact_scores(net, faces).items()}
        rotations = [scores[f"{name}_rotation"] for name in self.exact]
        return {"score": -(scores["nme"] + sum(rotations) / len(rotations) / DEGREES), **scores}

    def exact_scores(self, net: FaceNet, faces: ExactFaces) -> dict[str, float]:
        """Shape, and rotation as far as `SIDE` and beyond, on drawn people."""
        outputs = [net(faces.face_crops(slice(k, k + 32))) for k in range(0, len(faces), 32)]
        shape = torch.cat([output.shape for output in outputs])
        rotation = torch.cat([output.camera_from_model.rotation for output in outputs])
        off = angle_between(rotation, faces.pose.rotation)
        scores = {
            "shape": float(face_distance(self.head, shape, faces.coefficients[:, :144]).mean()),
            "rotation": float(off.mean()),
        }
        turned = heading(faces.pose.rotation).abs() > SIDE
        return scores | ({"profiles": float(off[turned].mean())} if turned.any() else {})
