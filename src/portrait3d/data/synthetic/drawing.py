"""Drawing a synthetic person: solid parts, then hair over them, light, lens and noise."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.data.synthetic.hair_mesh import HairMesh
from portrait3d.data.synthetic.scalp import sample, to_polar
from portrait3d.data.synthetic.skin import Solid
from portrait3d.data.synthetic.strands import HairLook
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose
from portrait3d.parsing_classes import HAIRY, HEAD, ParsingClass
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import spherical_harmonics


@dataclass(frozen=True, slots=True)
class Layer:
    """One mesh of a person, drawn by itself."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int64[np.ndarray, "F 3"]
    attributes: Float[np.ndarray, "V C"]
    """Normals, then RGB of the solid; across, along, rest and inner depth of hair."""
    labels: UInt8[np.ndarray, " V"]
    is_hair: bool


@dataclass(frozen=True, slots=True)
class Person:
    """Everything that does not depend on the view."""

    layers: tuple[Layer, ...]
    look: HairLook
    light: Float[np.ndarray, "3 9"]

    @classmethod
    def assemble(
        cls,
        solid: Solid,
        sheets: list[HairMesh],
        beard: HairMesh | None,
        look: HairLook,
        light: Float[np.ndarray, "3 9"],
        inside: Float[np.ndarray, "COLUMNS ROWS"],
    ) -> "Person":
        """Collect the layers; the skin under the hair takes the hair's colour."""
        albedo, labels = solid.albedo.copy(), solid.labels.copy()
        if sheets:
            azimuth, polar, _ = to_polar(solid.vertices)
            depth = sample(inside, azimuth, polar)
            rooted = np.clip(depth / 6, 0, 1) * (labels == ParsingClass.FACE) * (solid.vertices[:, 1] < 60)
            albedo += 0.85 * rooted[:, None] * (0.6 * look.color - albedo)
            labels[rooted > 0.5] = ParsingClass.HAIR
        layers = [Layer(solid.vertices, solid.faces, albedo, labels, False)]
        for mesh, label in [
            *((sheet, ParsingClass.HAIR) for sheet in sheets),
            *([(beard, ParsingClass.FACE)] if beard else []),
        ]:
            attributes = np.column_stack([mesh.strand, mesh.rest, mesh.depth])
            full = np.full(len(mesh.vertices), label, np.uint8)
            layers.append(Layer(mesh.vertices, mesh.faces, attributes, full, True))
        return cls(tuple(layers), look, light)

    def moved(self, motion: Callable[[np.ndarray], np.ndarray]) -> "Person":
        """The person with all vertices moved."""
        layers = [replace(layer, vertices=motion(layer.vertices)) for layer in self.layers]
        return replace(self, layers=tuple(layers))

    def prepared(self) -> "Person":
        """The person in single precision, with normals in front of the other attributes."""
        layers = []
        for layer in self.layers:
            points, faces = (
                torch.from_numpy(layer.vertices).float(),
                torch.from_numpy(layer.faces).contiguous(),
            )
            normals = vertex_normals(points, faces).numpy()
            attributes = np.concatenate([normals, layer.attributes.astype(np.float32)], axis=1)
            layers.append(replace(layer, vertices=points.numpy(), faces=faces.numpy(), attributes=attributes))
        return replace(self, layers=tuple(layers), light=self.light.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture with its depth and labels."""

    image: Float[Tensor, "3 H W"]
    depth: Float[Tensor, "H W"]
    labels: UInt8[Tensor, "H W"]


def draw_view(
    person: Person,
    pose: Pose,
    camera: Camera,
    background: Float[np.ndarray, "3 H W"],
    rng: np.random.Generator,
) -> Drawing:
    """Draw all layers, nearest first, in their light."""
    image = background.copy()
    depth = np.full(background.shape[1:], np.inf, np.float32)
    labels = np.zeros(background.shape[1:], np.uint8)
    for layer in person.layers:
        color, z, label = draw_layer(layer, person, pose, camera)
        nearer = z < depth
        image[:, nearer], depth[nearer], labels[nearer] = color[:, nearer], z[nearer], label[nearer]
    image = develop(soften_edges(shadow_of_hair(image, labels), depth), rng)
    return Drawing(torch.from_numpy(image), torch.from_numpy(depth), torch.from_numpy(labels))


@dataclass(frozen=True, slots=True)
class HeadSides:
    """First and last surface of face, hair and ears along every ray, whatever else lies before or behind."""

    front: Float[np.ndarray, "H W"]
    """mm; inf beside the head."""
    back: Float[np.ndarray, "H W"]
    """mm; inf beside the head."""
    back_is_hair: Bool[np.ndarray, "H W"]
    """Where the last surface is hair or headwear."""

    def joined(self, other: "HeadSides") -> "HeadSides":
        """The surfaces of both together."""
        farther = np.isfinite(other.back) & ~(np.isfinite(self.back) & (self.back >= other.back))
        return HeadSides(
            np.minimum(self.front, other.front),
            np.where(farther, other.back, self.back),
            np.where(farther, other.back_is_hair, self.back_is_hair),
        )


def draw_sides(person: Person, pose: Pose, camera: Camera) -> HeadSides:
    """Draw the head's first and last surfaces, without neck and clothes."""
    shape = camera.height, camera.width
    front, back = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)
    is_hair = np.zeros(shape, bool)
    for layer in person.layers:
        near, _ = _layer_side(layer, person, pose, camera, farthest=False)
        far, label = _layer_side(layer, person, pose, camera, farthest=True)
        front = np.minimum(front, near)
        farther = np.isfinite(far) & (far > back)
        back[farther], is_hair[farther] = far[farther], np.isin(label[farther], HAIRY)
    # Frayed ends may hide one side of a ray and not the other.
    known = np.isfinite(front) & np.isfinite(back)
    return HeadSides(np.where(known, front, np.inf), np.where(known, back, np.inf), is_hair & known)


def _layer_side(
    layer: Layer, person: Person, pose: Pose, camera: Camera, *, farthest: bool
) -> tuple[Float[np.ndarray, "H W"], UInt8[np.ndarray, "H W"]]:
    # Depth (inf where nothing is) and class of the head's part of one layer.
    faces = layer.faces[np.isin(layer.labels[layer.faces], HEAD).all(axis=1)]
    label = np.zeros((camera.height, camera.width), np.uint8)
    if not len(faces):
        return np.full(label.shape, np.inf, np.float32), label
    points = pose.apply(torch.from_numpy(layer.vertices))
    fragments = rasterize(
        camera.screen(points)[None], torch.from_numpy(faces), *label.shape, farthest=farthest
    )
    index = fragments.face_index[0].numpy()
    seen = index >= 0
    weights, corners = fragments.barycentric[0].numpy()[seen], faces[index[seen]]
    z = fragments.depth[0].numpy().copy()
    label[seen] = layer.labels[corners[np.arange(len(corners)), weights.argmax(axis=1)]]
    if layer.is_hair:
        across, along, rest = np.einsum("nkc,nk->cn", layer.attributes[corners][..., 3:6], weights)
        fine, _ = person.look.streaks(np.stack([across, along]))
        z[seen] = np.where(person.look.kept(along, rest, fine), z[seen], np.inf)
    return z, label


def draw_layer(
    layer: Layer, person: Person, pose: Pose, camera: Camera
) -> tuple[Float[np.ndarray, "3 H W"], Float[np.ndarray, "H W"], UInt8[np.ndarray, "H W"]]:
    """Colour, depth (inf where nothing is) and parsing class of one layer."""
    points = pose.apply(torch.from_numpy(layer.vertices))
    faces = torch.from_numpy(layer.faces)
    fragments = rasterize(camera.screen(points)[None], faces, camera.height, camera.width)
    index = fragments.face_index[0].numpy()
    seen = index >= 0
    weights, corners = fragments.barycentric[0].numpy()[seen], layer.faces[index[seen]]
    values = np.einsum("nkc,nk->cn", layer.attributes[corners], weights)
    z = fragments.depth[0].numpy().copy()
    label = np.zeros(index.shape, np.uint8)
    label[seen] = layer.labels[corners[np.arange(len(corners)), weights.argmax(axis=1)]]
    color = np.zeros((3, *seen.shape), np.float32)
    normal = pose.rotation.numpy() @ values[:3]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=0), 1e-6)
    if not layer.is_hair:
        color[:, seen] = values[3:6] * irradiance(normal, person.light)
        return color, z, label
    normal = normal * np.where(normal[2] > 0, -1, 1)  # the inside of a sheet is lit like its outside
    color[:, seen], kept = shade_hair(person.look, values[3:], normal, person.light)
    z[seen] = np.where(kept, z[seen], np.inf)
    return color, z, label


def irradiance(normal: Float[np.ndarray, "3 N"], light: Float[np.ndarray, "3 9"]) -> Float[np.ndarray, "3 N"]:
    """Light of each colour that falls on surfaces with these normals (camera frame)."""
    harmonics = spherical_harmonics(torch.from_numpy(normal.T)).numpy()
    return np.maximum(light @ harmonics.T, 0.06)


def shade_hair(
    look: HairLook, values: Float[np.ndarray, "4 N"], normal: Float[np.ndarray, "3 N"], light: np.ndarray
) -> tuple[Float[np.ndarray, "3 N"], np.ndarray]:
    """Colour of points of the hair, and which of them are hair."""
    strand, rest, inner = values[:2], values[2], values[3]
    fine, coarse = look.streaks(strand)
    bright = 1 + look.contrast * (0.7 * fine + 0.5 * coarse)
    # Darker toward the skull and at the roots, where hair shades itself.
    bright = np.clip(bright, 0.25, 2.0) * (1 - 0.45 * inner) * (0.75 + 0.25 * np.clip(strand[1] / 60, 0, 1))
    # Streaks tilt the normals, so that strands beside each other catch the light differently.
    tilted = normal + 0.18 * np.clip(fine + coarse, -2, 2) * np.array([[1.0], [0.3], [0.0]], np.float32)
    tilted /= np.linalg.norm(tilted, axis=0)
    lit = irradiance(tilted, light)
    gloss = (
        look.shine * np.clip(lit.mean(0) - 0.75, 0, 1) ** 2 * np.clip(0.6 + 0.5 * fine, 0, 2) * (1 - inner)
    )
    return look.color[:, None] * bright * lit + gloss, look.kept(strand[1], rest, fine)


def shadow_of_hair(image: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "3 H W"]:
    """Darken skin and clothes close to hair that stands before them."""
    hair = (labels == ParsingClass.HAIR).astype(np.float32)
    scale = len(labels) / 256
    # Light mostly comes from above: the shadow lies a little below the hair.
    near = np.roll(hair, int(3 * scale), axis=0)
    for _ in range(2):
        near = ndimage.uniform_filter(near, 2 * int(5 * scale) + 1)
    dark = np.where((labels > 0) & (labels != ParsingClass.HAIR), 1 - 0.45 * near, 1.0)
    return image * dark


def soften_edges(image: np.ndarray, depth: np.ndarray) -> Float[np.ndarray, "3 H W"]:
    """Blur across depth edges, as a lens and a pixel's area do."""
    flat = np.where(np.isfinite(depth), depth, 3000.0)
    edge = ndimage.maximum_filter(flat, 3) - ndimage.minimum_filter(flat, 3) > 6
    blurred = ndimage.gaussian_filter(image, (0, 0.7, 0.7))
    return np.where(edge, blurred, image)


def develop(image: np.ndarray, rng: np.random.Generator) -> Float[np.ndarray, "3 H W"]:
    """Exposure, contrast, a little blur and noise."""
    image = np.clip(image, 0, 1.2)
    sigma = rng.uniform(0.0, 0.8)
    if sigma > 0.3:
        image = ndimage.gaussian_filter(image, (0, sigma, sigma))
    noise = rng.uniform(0, 0.02) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image + noise, 0, 1)
