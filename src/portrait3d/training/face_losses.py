"""The face network's loss: distances from fits and landmarks, and from photos through the renderer."""

from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.data.face.crops import FaceBatch
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose
from portrait3d.losses.face import (
    albedo_flatness,
    coefficient_regularizer,
    emphasised_landmarks,
    identity_loss,
    landmark_loss,
    photometric_loss,
    rotation_loss,
    shape_loss,
    standardised_loss,
)
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_net import FaceNet, FaceOutput
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, slide_offsets
from portrait3d.models.recognition import RecognitionNet
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import shade

SKIN_NOISE = 0.12
"""Colour difference (RGB in [0, 1]) from the fitted face beyond which a pixel is not skin."""
BARE_SKIN = 14.0
"""Skin this far (mm) from brows, eyes and lips should have one colour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceLossConfig:
    """Weights of the terms, and when and how faces are rendered; a weight of 0 leaves a term out."""

    landmarks: float = 0.6
    """Of the 68 landmarks (percent of face size)."""
    emphasis: float = 2.0
    """Of nose and inner mouth among the 68 landmarks; Deng et al. have 20 for squared distances."""
    mesh_points: float = 0.4
    """Of the 468 mesh points (percent of face size)."""
    shape: float = 0.4
    """Of the distance to the fitted shape (mm)."""
    coefficients: float = 0.4
    """Of the standardised identity and expression coefficients."""
    rotation: float = 0.15
    """Of the rotation (degrees)."""
    depth: float = 0.05
    """Of the distance from the camera (percent)."""
    appearance: float = 0.2
    """Of the standardised albedo and lighting coefficients, where they are known."""
    regularizer: float = 5e-4
    """Of the squared coefficients; standardised targets regularise already."""
    flatness: float = 1.0
    """Of the variance of the bare skin's albedo."""
    photometric: float = 5.0
    """Of the photometric loss, Eq. 2, on rendered faces."""
    identity: float = 0.5
    """Of the identity loss, Eq. 3, on rendered faces, where a recognition network is named."""
    rendered_from: float = 0.66
    """The progress (0 to 1) from which on faces are rendered."""
    rendered_samples: int = 8
    """How many faces of a batch are rendered."""
    recognised_samples: int = 4
    """How many of those go through the recognition network."""
    rendered_size: int = 96
    """Pixels of the rendered crops."""


@dataclass(frozen=True, slots=True)
class RenderedFaces:
    """Some predicted faces, drawn with their own coefficients into their crops."""

    colour: Float[Tensor, "B 3 S S"]
    """The rendered skin, 0 outside the face."""
    seen: Float[Tensor, "B 1 S S"]
    """1 on the face."""
    attention: Float[Tensor, "B 1 S S"]
    """How much of each pixel is skin, of the face alone."""
    photo: Float[Tensor, "B 3 S S"]
    landmarks: Float[Tensor, "B 68 2"]
    """The teacher's, pixels of these pictures."""


class FaceLoss:
    """Distance of the network's output from fits, landmarks and, late in the training, photos.

    Args:
        config: The terms' weights.
        head: The head model.
        net: Its buffers hold the spread of the training targets.
        recognition: A face recogniser for Eq. 3; without one that term is left out.
    """

    def __init__(
        self,
        config: FaceLossConfig,
        head: HeadModel,
        net: FaceNet,
        recognition: RecognitionNet | None = None,
    ) -> None:
        device = net.shape_mean.device
        points = MeshPoints.from_head_model(head)
        self.config, self.net = config, net
        self.head = deepcopy(head).to(device)
        self.recognition = None if recognition is None else recognition.to(device)
        self.points = MeshPoints(points.mean.to(device), points.basis.to(device))
        self.emphasis = emphasised_landmarks(config.emphasis).to(device)
        inside = self.head.face_mask[self.head.skin_faces].amin(1) > 0.5
        self.face_triangles = self.head.skin_faces[inside]
        self.bare_skin = bare_skin(self.head)

    def __call__(self, output: FaceOutput, batch: FaceBatch, progress: float) -> dict[str, Tensor]:
        """Every term's mean over the batch, and their weighted sum as "total"."""
        terms = self.geometry(output, batch)
        terms["regularizer"] = coefficient_regularizer(output.coefficients).mean()
        terms["flatness"] = albedo_flatness(self.head.albedo(output.coefficients), self.bare_skin).mean()
        known = batch.has_appearance.nonzero()[:, 0]
        if len(known):
            net, ours, given = self.net, output.coefficients, batch.coefficients
            terms["appearance"] = (
                standardised_loss(ours.albedo[known], given.albedo[known], net.albedo_scale)
                + standardised_loss(ours.lighting[known], given.lighting[known], net.lighting_scale)
            ).mean()
            if progress >= self.config.rendered_from:
                terms |= self.rendered(output, batch, known[: self.config.rendered_samples])
        total = torch.stack([getattr(self.config, name) * value for name, value in terms.items()]).sum()
        return {**terms, "total": total}

    def geometry(self, output: FaceOutput, batch: FaceBatch) -> dict[str, Tensor]:
        """Landmarks, shape and pose.

        Where the pose isn't known the points tell where a face is, but nothing of its rotation and shape:
        those that a landmark network sees in a side view are those of a head that is turned less.
        """
        net, posed = self.net, batch.has_pose
        truth = torch.cat([batch.coefficients.identity, batch.coefficients.expression], dim=1)
        shape, rotation = self.points(output.shape), output.camera_from_model.rotation
        told = posed[:, None, None]
        pose = Pose(torch.where(told, rotation, rotation.detach()), output.camera_from_model.translation)
        moved = pose.apply(torch.where(told, shape, shape.detach()))
        # Early on a face may come out near or behind the camera: 50 mm are the nearest that is projected.
        pixels = FACE_SIZE / 2 + FACE_FOCAL * moved[..., :2] / moved[..., 2:].clamp_min(50.0)
        pixels = pixels + slide_offsets(net.mesh_slide, pose, FACE_FOCAL)
        # Fits to 68 points say less about the shape than fits to 468.
        trust = torch.where(batch.points.isnan().any(2).any(1), 0.5, 1.0)
        depths = pose.translation[:, 2].clamp_min(50.0) / batch.pose.translation[:, 2]
        return {
            "landmarks": landmark_loss(
                pixels[:, LANDMARKS_OF_MESH], batch.points[:, LANDMARKS_OF_MESH], batch.extent, self.emphasis
            ).mean(),
            "mesh_points": landmark_loss(pixels, batch.points, batch.extent).mean(),
            "shape": (trust * shape_loss(shape, self.points(truth))).mean(),
            "coefficients": (trust * standardised_loss(output.shape, truth, net.shape_scale)).mean(),
            "rotation": mean_over(rotation_loss(rotation, batch.pose.rotation), posed),
            "depth": mean_over(100 * depths.log().abs(), posed),
        }

    def rendered(self, output: FaceOutput, batch: FaceBatch, rows: Tensor) -> dict[str, Tensor]:
        """The terms that compare rendered faces with photos, for some rows."""
        terms = {}
        recognised = self.recognition is not None and self.config.identity > 0
        if self.config.photometric > 0 or recognised:
            faces = self.render(output, batch, rows)
            if self.config.photometric > 0:
                terms["photometric"] = photometric_loss(faces.colour, faces.photo, faces.attention).mean()
            if self.recognition is not None and recognised:
                few = slice(self.config.recognised_samples)
                photo, landmarks = faces.photo[few], faces.landmarks[few]
                with torch.no_grad():
                    wanted = self.recognition(photo, landmarks)
                # Hair and background are the photo's in both, so that the face alone makes the difference.
                drawn = photo + faces.seen[few] * (faces.colour[few] - photo)
                terms["identity"] = identity_loss(self.recognition(drawn, landmarks), wanted).mean()
        return terms

    def render(self, output: FaceOutput, batch: FaceBatch, rows: Tensor) -> RenderedFaces:
        """Draw the faces of some rows; skin is where the fitted colours explain the photo."""
        size, device = self.config.rendered_size, rows.device
        coefficients = FaceCoefficients.from_vector(output.coefficients.to_vector()[rows])
        fitted = FaceCoefficients.from_vector(batch.coefficients.to_vector()[rows])
        pose = output.camera_from_model
        points = Pose(pose.rotation[rows], pose.translation[rows]).apply(self.head.vertices(coefficients))
        normals = vertex_normals(points, self.head.skin_faces)
        colours = shade(self.head.albedo(coefficients), normals, coefficients.lighting)
        # What the offline fit's colours would look like: it decides what is skin, and carries no gradient.
        expected = shade(self.head.albedo(fitted), normals.detach(), fitted.lighting)
        principal = torch.full((2,), FACE_SIZE / 2, device=device)
        camera = Camera(torch.tensor(FACE_FOCAL, device=device), principal, FACE_SIZE, FACE_SIZE)
        screen = camera.resized(size, size).screen(points)
        fragments = rasterize(screen, self.face_triangles, size, size, cull_backfaces=True)
        drawn = interpolate(torch.cat([colours, expected], dim=-1), self.face_triangles, fragments)
        photo = F.interpolate(batch.images[rows], (size, size), mode="bilinear", antialias=True)
        # Cauchy weights: hair, glasses and hands are unlike the fitted skin and hardly count.
        misfit = (photo - drawn[:, 3:].detach()).square().sum(1, keepdim=True)
        seen = (fragments.face_index >= 0)[:, None].float()
        return RenderedFaces(
            colour=drawn[:, :3],
            seen=seen,
            attention=seen / (1 + misfit / SKIN_NOISE**2),
            photo=photo,
            landmarks=batch.points[rows][:, LANDMARKS_OF_MESH] * (size / FACE_SIZE),
        )


def mean_over(values: Float[Tensor, " B"], rows: Bool[Tensor, " B"]) -> Float[Tensor, ""]:
    """The mean of some values; 0 if there are none."""
    return (values * rows).sum() / rows.sum().clamp_min(1)


def bare_skin(head: HeadModel) -> Float[Tensor, " V"]:
    """1 at the face's vertices away from brows, eyes and lips, 0 elsewhere."""
    marks = head.landmarks(head.mean[None])[0]
    features = torch.cat([marks[17:27], marks[36:68]])
    return ((torch.cdist(head.mean, features).amin(1) > BARE_SKIN) & (head.face_mask > 0.5)).float()
