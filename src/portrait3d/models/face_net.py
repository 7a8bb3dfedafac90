"""The face network: a face crop in; shape, albedo, light and pose of the head model out (paper, stage 1)."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.geometry.pose import Pose
from portrait3d.models.backbones import EfficientNetLite0, ResNet50, SameConv
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.mesh_points import slide_offsets
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE

PARTS = {"shape": 144, "albedo": 80, "lighting": 9, "rotation": 6, "translation": 3}
"""What the network regresses, in order; "shape" is identity (80) and expression (64)."""

ENCODERS = {"efficientnet-lite0": EfficientNetLite0, "resnet50": ResNet50}
"""The small encoder, and the paper's."""


@dataclass(frozen=True, slots=True)
class FaceOutput:
    """What the network says about a batch of face crops."""

    coefficients: FaceCoefficients
    camera_from_model: Pose
    """Pose of the head model in the camera of the face crop (focal 1015 px at 224 px), mm."""

    @property
    def shape(self) -> Float[Tensor, "B 144"]:
        """Identity and expression coefficients."""
        return torch.cat([self.coefficients.identity, self.coefficients.expression], dim=1)


class FaceNet(nn.Module):
    """An image encoder whose pooled features and two coarse grids feed one linear layer.

    The layer's outputs are standardised: means and deviations of the training targets are buffers, so that
    an untrained network predicts the mean face in the mean pose. The rotation is regressed as two columns
    (Zhou et al., CVPR 2019) instead of the paper's quaternion, which is discontinuous.

    Args:
        working_size: Pixels that the crop is reduced to first: the cost grows with the square, the error
            hardly falls.
        width: Factor on the encoder's channels; 1 for the ImageNet weights.
        dropout: Share of the features that training leaves out.
        encoder: One of `ENCODERS`.
    """

    def __init__(
        self,
        working_size: int = 128,
        width: float = 1.0,
        dropout: float = 0.1,
        encoder: str = "efficientnet-lite0",
    ) -> None:
        if not 64 <= working_size <= 512 or working_size % 32:
            raise ValueError(f"working_size must be a multiple of 32 from 64 to 512, got {working_size}.")
        if encoder not in ENCODERS:
            raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}, got {encoder!r}.")
        super().__init__()
        self.settings = {
            "working_size": working_size,
            "width": width,
            "dropout": dropout,
            "encoder": encoder,
        }
        self.working_size = working_size
        self.encoder = ENCODERS[encoder](width)
        *_, middle, coarse = self.encoder.channels
        hidden = round(1280 * width)
        self.head = nn.Sequential(
            SameConv(coarse, hidden, 1), nn.BatchNorm2d(hidden, eps=1e-3, momentum=0.01), nn.ReLU6()
        )
        # Pooling over the whole picture forgets where things are, which shape and pose need: two coarse grids
        # keep it.
        self.coarse = nn.Sequential(nn.Conv2d(coarse, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU6())
        self.middle = nn.Sequential(nn.Conv2d(middle, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU6())
        self.dropout = nn.Dropout(dropout)
        self.regressor = nn.Linear(hidden + 64 * 4 * 4 + 24 * 7 * 7, sum(PARTS.values()))
        # Nearly 0: training starts from the mean face.
        nn.init.normal_(self.regressor.weight, std=0.002)
        nn.init.zeros_(self.regressor.bias)
        for part in ("shape", "albedo", "lighting"):
            self.register_buffer(f"{part}_mean", torch.zeros(PARTS[part]))
            self.register_buffer(f"{part}_scale", torch.ones(PARTS[part]))
        self.register_buffer("place_mean", torch.tensor([0.0, 0.0, 1000.0]))
        self.register_buffer("slide", torch.zeros(7, 68, 2))
        self.register_buffer("mesh_slide", torch.zeros(7, 468, 2))

    shape_mean: Tensor
    shape_scale: Tensor
    albedo_mean: Tensor
    albedo_scale: Tensor
    lighting_mean: Tensor
    lighting_scale: Tensor
    place_mean: Tensor
    """Mean place of the model's origin: x, y (pixels of 224 from the crop's centre) and depth (mm)."""
    slide: Tensor
    """How far detectors' 68 landmarks lie off the model's in a view: see `mesh_points.slide_offsets`."""
    mesh_slide: Tensor
    """The same for the 468 mesh points, which training and evaluation look at."""

    def forward(self, crop: Float[Tensor, "B 3 H W"]) -> FaceOutput:
        """Reconstruct the face in square crops of any size, RGB in [0, 1]; the pipeline cuts 224 px."""
        size = self.working_size
        if crop.shape[-2:] != (size, size):
            crop = F.interpolate(crop, (size, size), mode="bilinear", align_corners=False, antialias=True)
        # float32 from here on, whatever precision the encoder ran in: poses need it.
        raw = dict(zip(PARTS, self.regress(crop).float().split(list(PARTS.values()), dim=1), strict=True))
        shape = self.shape_mean + self.shape_scale * raw["shape"]
        coefficients = FaceCoefficients(
            identity=shape[:, :80],
            expression=shape[:, 80:],
            albedo=self.albedo_mean + self.albedo_scale * raw["albedo"],
            lighting=self.lighting_mean + self.lighting_scale * raw["lighting"],
        )
        # A unit is a plausible deviation, as for the other outputs: 0.25 is about 14 degrees.
        pose = Pose(rotation_from_columns(0.25 * raw["rotation"]), self._place(raw["translation"]))
        return FaceOutput(coefficients, pose)

    def regress(self, image: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B 242"]:
        """The linear layer's outputs for crops of the working size."""
        *_, middle, coarse = self.encoder(image.contiguous(memory_format=torch.channels_last))
        features = [
            self.head(coarse).mean((2, 3)),
            F.adaptive_avg_pool2d(self.coarse(coarse), 4).flatten(1),
            F.adaptive_avg_pool2d(self.middle(middle), 7).flatten(1),
        ]
        return self.regressor(self.dropout(torch.cat(features, dim=1)))

    def landmarks(self, points: Float[Tensor, "B 68 3"], camera_from_model: Pose) -> Float[Tensor, "B 68 2"]:
        """Where a landmark detector would see the model's landmarks (mm, model frame), in pixels of 224.

        The projection, with the jaw's points moved to the visible outline.
        """
        moved = camera_from_model.apply(points)
        pixels = FACE_SIZE / 2 + FACE_FOCAL * moved[..., :2] / moved[..., 2:]
        return pixels + slide_offsets(self.slide, camera_from_model, FACE_FOCAL)

    def load_imagenet(self, path: Path | None = None) -> "FaceNet":
        """Start the encoder from ImageNet weights, for training; ResNet-50 needs a file that holds them."""
        self.encoder.load_imagenet(path)
        return self

    def _place(self, raw: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3"]:
        """Translation (mm) from deviations of about 12 px across and 10 % in depth."""
        # The exponential keeps the face before the camera. Places are learned as pixels, which the crop
        # shows, and become millimetres by the depth.
        depth = self.place_mean[2] * torch.exp(0.1 * raw[:, 2:])
        return torch.cat([(self.place_mean[:2] + 12 * raw[:, :2]) / FACE_FOCAL * depth, depth], dim=1)


def rotation_from_columns(raw: Float[Tensor, "B 6"]) -> Float[Tensor, "B 3 3"]:
    """Rotation whose first columns are e1 + raw[:3] and e2 + raw[3:], orthonormalised; 0 is identity."""
    identity = torch.eye(3, dtype=raw.dtype, device=raw.device)
    first = F.normalize(identity[0] + raw[:, :3], dim=1)
    second = identity[1] + raw[:, 3:]
    # Gram-Schmidt.
    second = F.normalize(second - (first * second).sum(1, keepdim=True) * first, dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=2)
