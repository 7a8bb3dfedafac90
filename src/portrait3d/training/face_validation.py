"""What a training of the face network is judged by while it runs."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.data.fits import FaceFits
from portrait3d.data.photos import LabelledPhoto, PhotoFolder
from portrait3d.data.synthetic_faces import SyntheticFaces
from portrait3d.evaluation.face import angle_between, face_distance, normalised_error, predict_faces
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel


@dataclass(frozen=True, slots=True)
class FaceValidation:
    """Scores a face network on the validation photos and on synthetic people who are in no training set."""

    head: HeadModel
    photos: list[LabelledPhoto]
    fitted: Float[Tensor, "N 144"]
    """Shapes of the photos' offline fits."""
    synthetic: SyntheticFaces

    @classmethod
    def prepare(
        cls, head: HeadModel, photos: PhotoFolder, fits: FaceFits, synthetic: SyntheticFaces
    ) -> "FaceValidation":
        """The photos of the validation split, and synthetic people."""
        held_out = [photo for photo in photos if photo.split == "val"]
        shapes = dict(zip(zip(fits.folders, fits.names, strict=True), fits.shape, strict=True))
        fitted = np.stack([shapes[photo.folder, photo.name] for photo in held_out])
        return cls(head, held_out, torch.from_numpy(fitted), synthetic)

    @torch.no_grad()
    def __call__(self, module: nn.Module) -> dict[str, float]:
        """Landmark errors in percent (one pass), shape in mm and rotation in degrees; "score" is -NME."""
        assert isinstance(module, FaceNet)
        net = deepcopy(module).cpu()
        found = predict_faces(net, self.head, self.photos, passes=1)
        errors = normalised_error(found.landmarks, np.stack([photo.landmarks for photo in self.photos]))
        folders = np.array([photo.folder for photo in self.photos])
        scores = {"score": -float(errors.mean()), "nme": float(errors.mean())}
        scores |= {str(name): float(errors[folders == name].mean()) for name in np.unique(folders)}
        scores["shape"] = float(face_distance(self.head, found.shape, self.fitted).mean())
        return scores | self.synthetic_scores(net)

    def synthetic_scores(self, net: FaceNet) -> dict[str, float]:
        """Shape and rotation on the synthetic faces."""
        count = len(self.synthetic)
        outputs = [net(self.synthetic.face_crops(slice(k, k + 32))) for k in range(0, count, 32)]
        shape = torch.cat([output.shape for output in outputs])
        rotation = torch.cat([output.camera_from_model.rotation for output in outputs])
        truth = self.synthetic.coefficients[:, :144]
        return {
            "synthetic_shape": float(face_distance(self.head, shape, truth).mean()),
            "synthetic_rotation": float(angle_between(rotation, self.synthetic.pose.rotation).mean()),
        }
