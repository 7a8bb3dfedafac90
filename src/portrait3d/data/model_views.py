"""Depth images of a fitted head model: what inflation knows about the head below the hair."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage

from portrait3d.geometry.skin import HEAD_CENTRE, normals
from portrait3d.models.head_model import HeadModel, neck_vertices
from portrait3d.rendering.rasterizer import rasterize

HAIRLESS_BELOW, HAIR_FADE = 70.0, 30.0
"""Height in the model frame (mm, y down) below which the skin carries no hair, and the fade above it."""


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
    """Depths (mm, inf where nothing is seen) and cosines of a fitted head, pixel by pixel."""

    skin: Float[np.ndarray, "H W"]
    """The bald head."""
    face: Float[np.ndarray, "H W"]
    """The face region alone, whatever lies in front of it."""
    scalp: Float[np.ndarray, "H W"]
    """The head without ears and neck, grown by the hair's thickness."""
    outer: Float[np.ndarray, "H W"]
    """The same with the neck."""
    face_cosine: Float[np.ndarray, "H W"]
    """Cosine between view ray and normal, 0 where the surface is not seen."""
    skin_cosine: Float[np.ndarray, "H W"]
    scalp_cosine: Float[np.ndarray, "H W"]
    is_ear: Bool[np.ndarray, "H W"]
    is_neck: Bool[np.ndarray, "H W"]
    ear_centres: Float[np.ndarray, "2 3"]
    """Pixels and depth of the middle of the two ears, smaller model x first."""


def render_model_views(skin: SkinModel, head: HeadInCrop, thickness: float) -> ModelViews:
    """Render the depth images of `head` with hair of a given thickness (mm) on its scalp."""
    faces, mean = skin.faces, skin.mean
    on_face = skin.face_mask[faces].mean(axis=1) > 0.5
    on_ear, on_neck = skin.on_ear, skin.on_neck

    camera_points = head.vertices @ head.rotation.T + head.translation
    cosines = triangle_cosines(camera_points, faces)
    hairy = np.clip(1 - skin.face_mask, 0, 1) * np.clip(1 - skin.ear_mask, 0, 1)
    hairy = hairy * np.clip((HAIRLESS_BELOW - mean[:, 1]) / HAIR_FADE, 0, 1)
    grown = head.vertices + thickness * hairy[:, None] * normals(head.vertices, faces)

    bare, thick = head.screen(head.vertices), head.screen(grown)
    bald_index, bald = render_depth(bare, faces, head.size)
    face_faces, scalp_faces = on_face & ~on_neck, ~(on_ear | on_neck)
    face_index, face = render_depth(bare, faces[face_faces], head.size)
    scalp_index, scalp = render_depth(thick, faces[scalp_faces], head.size)
    _, outer = render_depth(thick, faces[~on_ear], head.size)

    def lookup(values: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.where(index >= 0, values[index], np.zeros((), values.dtype))

    ears = [bare[(skin.ear_mask > 0.5) & (side * mean[:, 0] > 0)].mean(axis=0) for side in (-1, 1)]
    return ModelViews(
        skin=bald,
        face=face,
        scalp=scalp,
        outer=outer,
        face_cosine=lookup(cosines[face_faces], face_index),
        skin_cosine=lookup(cosines, bald_index),
        scalp_cosine=lookup(cosines[scalp_faces], scalp_index),
        is_ear=lookup(on_ear, bald_index),
        is_neck=lookup(on_neck & ~on_face, bald_index),
        ear_centres=np.stack(ears),
    )


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
