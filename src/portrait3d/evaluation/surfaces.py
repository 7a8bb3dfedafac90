"""The outer surfaces of heads as samples: what can be seen from around, and how far apart two lie.

Layers below (skin under hair, the inside of a mouth) are no part of it, or hair would be measured against
what it hides.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from scipy.spatial import cKDTree

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose
from portrait3d.rendering.rasterizer import rasterize

DENSITY = 1.0
"""Samples of a square millimetre."""
REACH = 1.0
"""Each sample stands for a disc of this radius (mm), or a surface would lie 0.5 mm from itself."""
QUERIES = 4000
"""Samples of a region whose distances are measured, at most."""
DIRECTIONS = (
    *((yaw, 0.0) for yaw in range(0, 360, 20)),
    *((yaw, -45.0) for yaw in range(0, 360, 45)),
    (0.0, -90.0),
)
"""Yaw and pitch (degrees) from which the outer surface is seen: level, from above, the top.

None from below, where necks are open.
"""
DISTANCE = 3000.0
"""From the camera to the head's middle for these, mm."""
SIZE = 320
"""Pixels of their pictures' side."""
CLEARANCE = 3.0
"""A sample that lies deeper than this behind what a pixel shows is hidden, mm."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Samples of a surface, evenly spread and in random order."""

    points: Float[np.ndarray, "N 3"]
    """mm."""
    normals: Float[np.ndarray, "N 3"]
    """Of unit length."""
    labels: UInt8[np.ndarray, " N"]
    """What they belong to."""

    @cached_property
    def tree(self) -> cKDTree:
        """For nearest neighbours."""
        return cKDTree(self.points)

    def kept(self, chosen: Bool[np.ndarray, " N"]) -> "Surface":
        """Some of the samples."""
        return Surface(self.points[chosen], self.normals[chosen], self.labels[chosen])

    def of(self, *labels: int) -> "Surface":
        """The samples with these labels."""
        return self.kept(np.isin(self.labels, labels))

    def distance_to(self, other: "Surface") -> float:
        """Mean distance (mm) to another surface; NaN if either is empty."""
        if not len(self.points) or not len(other.points):
            return float("nan")
        points = self.points[:QUERIES]
        distance, index = other.tree.query(points)
        # Distance to the disc around the nearest sample: across it in full, along it less the disc's radius.
        across = ((points - other.points[index]) * other.normals[index]).sum(axis=1)
        along = np.sqrt(np.maximum(distance**2 - across**2, 0))
        return float(np.hypot(across, np.maximum(along - REACH, 0)).mean())


def sample_surface(
    vertices: Float[np.ndarray, "V 3"],
    faces: Int64[np.ndarray, "F 3"],
    labels: UInt8[np.ndarray, " F"],
    density: float = DENSITY,
) -> Surface:
    """Points spread evenly over triangles, `density` of them on a square millimetre; the same every time."""
    random = np.random.default_rng(0)
    a, b, c = vertices[faces].astype(float).transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    # Triangles are drawn by their areas, places in them evenly: the other half of the parallelogram is folded
    # back.
    total = np.cumsum(length / 2)
    count = math.ceil(density * total[-1]) if len(total) else 0
    face = (
        np.searchsorted(total, random.random(count) * total[-1], side="right") if count else np.zeros(0, int)
    )
    u, v = random.random((2, count, 1))
    outside = u + v > 1
    u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
    points = a[face] + u * (b - a)[face] + v * (c - a)[face]
    return Surface(points, normal[face] / length[face, None], labels[face])


def outer_surface(
    surface: Surface, vertices: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"]
) -> Bool[np.ndarray, " N"]:
    """Which samples are seen from one of `DIRECTIONS`, with a mesh in the same upright frame before them."""
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    radius = float(np.linalg.norm(vertices - middle, axis=1).max())
    focal = SIZE / 2 * math.sqrt(DISTANCE**2 - radius**2) / radius
    camera = Camera(torch.tensor(focal), torch.tensor([SIZE / 2, SIZE / 2]), SIZE, SIZE)
    triangles = torch.from_numpy(faces)
    outer = np.zeros(len(surface.points), bool)
    for yaw, pitch in DIRECTIONS:
        pose = turned(yaw, pitch, middle, DISTANCE)
        screen = camera.screen(pose.apply(torch.from_numpy(vertices).float()))
        depth = rasterize(screen[None], triangles, SIZE, SIZE).depth[0].numpy()
        hidden = np.flatnonzero(~outer)
        outer[hidden] = seen(surface.points[hidden], pose, camera, depth)
    return outer


def seen(
    points: Float[np.ndarray, "N 3"],
    camera_from_points: Pose,
    camera: Camera,
    depth: Float[np.ndarray, "H W"],
) -> Bool[np.ndarray, " N"]:
    """Which points nothing hides in a picture whose depth (mm) is known; none of those off the picture."""
    column, row, z = camera.screen(camera_from_points.apply(torch.from_numpy(points).float())).numpy().T
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    column, row = (np.where(inside, place, 0).astype(np.int64) for place in (column, row))
    return inside & (z <= depth[row, column] + CLEARANCE)


def turned(yaw: float, pitch: float, middle: Float[np.ndarray, "3"], distance: float) -> Pose:
    """The pose of an upright head turned by angles (degrees) about a point at a distance (mm)."""
    about_y, about_x, none = (torch.tensor(math.radians(angle)) for angle in (yaw, pitch, 0.0))
    turn = Pose.from_euler(about_y, about_x, none, torch.tensor([0.0, 0.0, distance]))
    return turn @ Pose(torch.eye(3), -torch.from_numpy(np.asarray(middle)).float())
