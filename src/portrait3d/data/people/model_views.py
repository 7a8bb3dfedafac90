"""Depth images of a fitted head model, and pictures of the heads that it was fitted to."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage

from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.head_model import HeadModel, neck_vertices
from portrait3d.parsing_classes import FACE
from portrait3d.rendering.rasterizer import rasterize

LEAST_COSINE = 0.12
"""Where the face is seen flatter than this its depth is not used."""


@dataclass(frozen=True, slots=True)
class SkinModel:
    """The linear head model as arrays: mean, modes and the parts of its skin."""

    mean: Float[np.ndarray, "V 3"]
    """Mean shape in the model frame, mm."""
    identity: Float[np.ndarray, "80 V 3"]
    """What one unit of each identity coefficient adds, mm."""
    expression: Float[np.ndarray, "64 V 3"]
    faces: Int64[np.ndarray, "F 3"]
    """Triangles of the skin alone."""
    face_mask: Float[np.ndarray, " V"]
    """1 on the face, 0 elsewhere."""
    ear_mask: Float[np.ndarray, " V"]

    @classmethod
    def from_head_model(cls, model: HeadModel) -> "SkinModel":
        """The skin of the bundled model, or of another with its interface."""
        return cls(
            mean=model.mean.numpy().astype(np.float64),
            identity=model.identity_basis.numpy().astype(np.float64),
            expression=model.expression_basis.numpy().astype(np.float64),
            faces=model.skin_faces.numpy(),
            face_mask=model.face_mask.numpy().astype(np.float64),
            ear_mask=model.ears_mask.numpy().astype(np.float64),
        )

    @property
    def on_ear(self) -> Bool[np.ndarray, " F"]:
        """Triangles of the ears."""
        return self.ear_mask[self.faces].mean(axis=1) > 0.5

    @property
    def on_neck(self) -> Bool[np.ndarray, " F"]:
        """Triangles of the neck."""
        return np.any(neck_vertices(self.mean, self.face_mask)[self.faces], axis=1)

    def vertices(
        self, identity: Float[np.ndarray, "80"], expression: Float[np.ndarray, "64"]
    ) -> Float[np.ndarray, "V 3"]:
        """The shape with these coefficients, model frame, mm."""
        shape = np.tensordot(identity, self.identity, 1) + np.tensordot(expression, self.expression, 1)
        return self.mean + shape


@dataclass(frozen=True, slots=True)
class HeadInCrop:
    """A head model fitted to one photo; the crop's camera has its principal point in the middle."""

    vertices: Float[np.ndarray, "V 3"]
    """In the model frame, mm."""
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    """camera_from_model, mm."""
    focal: float
    """Pixels."""
    size: int
    """Side of the square crop, pixels."""

    @property
    def centre(self) -> Float[np.ndarray, "3"]:
        """The head centre in the camera frame, mm."""
        return self.rotation @ HEAD_CENTRE + self.translation

    @property
    def scale(self) -> float:
        """Millimetres per pixel at the head centre's depth."""
        return float(self.centre[2] / self.focal)

    def screen(self, vertices: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Model-frame points to x px, y px and depth in mm."""
        moved = vertices @ self.rotation.T + self.translation
        pixels = self.focal * moved[:, :2] / moved[:, 2:] + self.size / 2
        return np.concatenate([pixels, moved[:, 2:]], axis=1)


@dataclass(frozen=True, slots=True)
class ModelViews:
    """Depths (mm, inf where nothing is seen) of a fitted head, pixel by pixel."""

    skin: Float[np.ndarray, "H W"]
    """The bald head."""
    face: Float[np.ndarray, "H W"]
    """The face region alone, whatever lies in front of it, where it is seen steeply enough."""
    is_ear: Bool[np.ndarray, "H W"]
    is_neck: Bool[np.ndarray, "H W"]


def render_model_views(skin: SkinModel, head: HeadInCrop) -> ModelViews:
    """Render the depth images of `head`."""
    faces = skin.faces
    on_face = skin.face_mask[faces].mean(axis=1) > 0.5
    on_ear, on_neck = skin.on_ear, skin.on_neck
    screen = head.screen(head.vertices)
    index, bald = render_depth(screen, faces, head.size)
    bare = on_face & ~on_neck
    face_index, face = render_depth(screen, faces[bare], head.size)
    cosines = triangle_cosines(head.vertices @ head.rotation.T + head.translation, faces[bare])
    steep = (face_index >= 0) & (cosines[face_index] > LEAST_COSINE)
    return ModelViews(
        skin=bald,
        face=np.where(steep, face, np.inf),
        is_ear=(index >= 0) & on_ear[index],
        is_neck=(index >= 0) & (on_neck & ~on_face)[index],
    )


@dataclass(frozen=True, slots=True)
class HeadView:
    """One picture of a head in the head crop, and the head model fitted to it."""

    image: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]
    """Parsing classes; background where the photo does not reach."""
    region: Bool[np.ndarray, "H W"]
    """Where depth is wanted."""
    face_depth: Float[np.ndarray, "H W"]
    """Depth of the fitted face (mm), inf where none is seen steeply enough."""
    head: HeadInCrop

    @property
    def bare_face(self) -> Bool[np.ndarray, "H W"]:
        """Where the fitted face is seen and nothing covers it."""
        return np.isin(self.labels, FACE) & np.isfinite(self.face_depth) & self.region


def render_depth(
    screen: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"], size: int
) -> tuple[Int64[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """The triangle seen at every pixel (-1 where none) and its depth (mm, inf where none)."""
    fragments = rasterize(
        torch.from_numpy(screen).float()[None], torch.from_numpy(np.ascontiguousarray(faces)), size, size
    )
    return fragments.face_index[0].numpy(), fragments.depth[0].numpy().astype(np.float64)


def triangle_cosines(
    points: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"]
) -> Float[np.ndarray, " F"]:
    """Cosine between each triangle's normal and the ray from it to the camera; > 0 faces the camera."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    crosses = np.cross(b - a, c - a)
    centres = (a + b + c) / 3
    lengths = np.linalg.norm(crosses, axis=1) * np.linalg.norm(centres, axis=1)
    return -(crosses * centres).sum(axis=1) / np.maximum(lengths, 1e-9)


def nearest_value(
    values: Float[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"]
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Every pixel's value at the nearest `known` pixel, and the distance to it in pixels."""
    distance, (row, column) = ndimage.distance_transform_edt(~known, return_indices=True)
    return values[row, column], distance
