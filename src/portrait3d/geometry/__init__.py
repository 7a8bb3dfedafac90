"""Cameras, poses, meshes and depth maps: pure geometry, no networks and no files."""

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPart, HeadPiece, Mesh, vertex_normals
from portrait3d.geometry.pose import (
    Pose,
    rotation_from_axis_angle,
    rotation_from_euler,
)

__all__ = [
    "Binding",
    "Camera",
    "DepthMap",
    "HeadMesh",
    "HeadPart",
    "HeadPiece",
    "Mesh",
    "Pose",
    "rotation_from_axis_angle",
    "rotation_from_euler",
    "vertex_normals",
]
