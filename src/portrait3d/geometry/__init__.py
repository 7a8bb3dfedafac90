"""Cameras, poses, meshes and depth maps: pure geometry, no networks and no files."""

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.mesh import HeadMesh, HeadPart, Mesh, vertex_normals
from portrait3d.geometry.pose import (
    Pose,
    rotation_from_axis_angle,
    rotation_from_euler,
    rotation_from_quaternion,
)

__all__ = [
    "Camera",
    "DepthMap",
    "HeadMesh",
    "HeadPart",
    "Mesh",
    "Pose",
    "rotation_from_axis_angle",
    "rotation_from_euler",
    "rotation_from_quaternion",
    "vertex_normals",
]
