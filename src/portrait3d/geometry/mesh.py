"""Triangle meshes: the face model's, and the stitched head that users export."""

from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from portrait3d.geometry.pose import Pose


class HeadPart(IntEnum):
    """What a vertex of a `HeadMesh` belongs to."""

    FACE = 0
    HAIR = 1
    EAR = 2
    REST = 3


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles over vertices in millimetres.

    Seen from outside, a triangle's corners a, b, c run counter-clockwise in the picture, so that
    (b - a) x (c - a) points out of the surface.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "F 3"]


@dataclass(frozen=True, slots=True)
class HeadMesh:
    """The reconstructed head: a textured triangle mesh in the photo's camera frame (OpenCV axes, mm)."""

    vertices: Float[np.ndarray, "V 3"]
    """Camera coordinates, float32, mm."""
    faces: Int64[np.ndarray, "F 3"]
    part: UInt8[np.ndarray, " V"]
    """`HeadPart` of every vertex."""
    uv: Float[np.ndarray, "V 2"]
    """Texture coordinates in [0, 1], float32; (0, 0) is the texture's top left corner."""
    texture: UInt8[np.ndarray, "Ht Wt 3"]
    """RGB."""
    camera_from_head: Pose = field(default_factory=Pose.identity)
    """The head's pose in the mesh's frame; by default it looks straight at the camera."""

    @property
    def colors(self) -> UInt8[np.ndarray, "V 3"]:
        """RGB of every vertex: the texture's nearest pixel."""
        height, width = self.texture.shape[:2]
        column = np.clip((self.uv[:, 0] * width).astype(np.int64), 0, width - 1)
        row = np.clip((self.uv[:, 1] * height).astype(np.int64), 0, height - 1)
        return self.texture[row, column]

    def export(self, path: str | Path) -> Path:
        """Write the head as `.glb`, `.obj` (with `.mtl` and `.png` beside it) or `.ply`; returns the path.

        Files are written in metres with y up and the face along +z, as glTF asks, whatever the head's pose
        in the photo. Raises `ValueError` for any other ending.
        """
        from portrait3d.export import export_mesh

        return export_mesh(self, path)


def vertex_normals(
    vertices: Float[Tensor, "*batch V 3"], faces: Int64[Tensor, "F 3"]
) -> Float[Tensor, "*batch V 3"]:
    """Unit normals at the vertices, outward for the winding of `Mesh`: area-weighted mean of the triangles'.

    Vertices of no triangle get the zero vector. Differentiable.
    """
    a, b, c = (vertices[..., faces[:, k], :] for k in range(3))
    face_normals = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices)
    for k in range(3):
        normals = normals.index_add(-2, faces[:, k], face_normals)
    return F.normalize(normals, dim=-1)
