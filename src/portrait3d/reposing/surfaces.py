"""Textured surfaces in the photo's camera frame, and the head crop's pixels that they are lifted from."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8

from portrait3d.geometry.mesh import Binding
from portrait3d.geometry.sheet import pixel_under, triangulate
from portrait3d.portrait import Portrait
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.reposing.motion import Turn


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Triangles that take their colours from the photo or from the head's texture."""

    vertices: Float[np.ndarray, "N 3"]
    """Photo camera, mm, in the photo's pose."""
    follow: Float[np.ndarray, " N"]
    """Share of the head's turn that each vertex takes part in."""
    faces: Int64[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "N 2"]
    """Where the colours come from: pixels of the photo, or texture coordinates where `hidden`."""
    hidden: Bool[np.ndarray, " F"]
    """Triangles that the photo does not show."""
    binding: Binding
    """How the vertices follow the head model's expressions."""

    @classmethod
    def empty(cls) -> "Surface":
        """A surface of nothing."""
        no_vertices = np.zeros(0, np.int64)
        return cls(
            vertices=np.zeros((0, 3)),
            follow=np.zeros(0),
            faces=np.zeros((0, 3), np.int64),
            uv=np.zeros((0, 2)),
            hidden=np.zeros(0, bool),
            binding=Binding.to_vertices(no_vertices),
        )

    def moved(self, turn: Turn, displacement: Float[np.ndarray, "M 3"] | None) -> Float[np.ndarray, "N 3"]:
        """The vertices after an expression, which displaces the head model's vertices (mm), and a turn."""
        if displacement is None:
            return turn.apply(self.vertices, self.follow)
        return turn.apply(self.vertices + self.binding.apply(displacement), self.follow)

    def trimmed(self) -> "Surface":
        """This surface without the vertices of no triangle."""
        used, corners = np.unique(self.faces, return_inverse=True)
        return Surface(
            vertices=self.vertices[used],
            follow=self.follow[used],
            faces=corners.reshape(-1, 3),
            uv=self.uv[used],
            hidden=self.hidden,
            binding=self.binding.chosen(used),
        )

    def beside(self, other: "Surface") -> "Surface":
        """This surface and another one as one."""
        return Surface(
            vertices=np.concatenate([self.vertices, other.vertices]),
            follow=np.concatenate([self.follow, other.follow]),
            faces=np.concatenate([self.faces, other.faces + len(self.vertices)]),
            uv=np.concatenate([self.uv, other.uv]),
            hidden=np.concatenate([self.hidden, other.hidden]),
            binding=Binding.joined(self.binding, other.binding),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CropGrid:
    """The head crop's pixels and labels, and the way from there to the photo's camera."""

    portrait: Portrait
    labels: UInt8[np.ndarray, "S S"]

    @property
    def size(self) -> int:
        """Pixels of the crop's side."""
        return len(self.labels)

    @property
    def roll(self) -> Float[np.ndarray, "3 3"]:
        """Rotation from the crop's camera to the photo's."""
        cosine, sine = np.cos(self.portrait.head_crop.angle), np.sin(self.portrait.head_crop.angle)
        return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])

    def project(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Pixels of the crop at which points of the photo's camera frame are seen."""
        upright = points @ self.roll
        focal = float(self.portrait.head_crop.camera().focal)
        return focal * upright[:, :2] / upright[:, 2:] + self.size / 2

    def labels_at(self, pixels: Float[np.ndarray, "N 2"]) -> UInt8[np.ndarray, " N"]:
        """Class of the crop's pixels; those of the border beyond it."""
        return self.labels[pixel_under(pixels, self.labels.shape)]

    def draw(
        self, points: Float[np.ndarray, "N 3"], faces: Int64[np.ndarray, "F 3"]
    ) -> tuple[Int64[np.ndarray, "S S"], Float[np.ndarray, "S S"]]:
        """Which triangle (-1: none) of a surface in the photo's frame each pixel shows, and its depth, mm."""
        screen = self.portrait.head_crop.camera().screen(torch.from_numpy(points @ self.roll).float())
        seen = rasterize(screen[None], torch.from_numpy(faces), self.size, self.size)
        return seen.face_index[0].numpy(), seen.depth[0].double().numpy()

    def lift(
        self, region: Bool[np.ndarray, "S S"], depth: Float[np.ndarray, "S S"]
    ) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 2"], Int64[np.ndarray, "F 3"], np.ndarray]:
        """Points (photo camera), photo pixels, triangles and flat pixel index of a region of the crop."""
        faces = triangulate(depth, region, self.labels)
        used, faces = np.unique(faces, return_inverse=True)
        row, column = np.divmod(used, self.size)
        pixels = np.stack([column, row], axis=1) + 0.5
        focal = float(self.portrait.head_crop.camera().focal)
        rays = np.concatenate([(pixels - self.size / 2) / focal, np.ones((len(used), 1))], axis=1)
        points = (rays * depth[row, column][:, None]) @ self.roll.T
        photo = self.portrait.head_crop.photo_from_crop(torch.from_numpy(pixels)).numpy()
        return points, photo, faces.reshape(-1, 3), used


def signed_area(pixels: Float[np.ndarray, "N 2"], faces: Int64[np.ndarray, "F 3"]) -> np.ndarray:
    """Area of triangles in the picture; negative for those that face the camera."""
    a, b, c = (pixels[faces[:, k]] for k in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
