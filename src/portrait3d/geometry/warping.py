"""Lifting a depth map to triangles and moving it into another view."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.topology import renumbered


@lru_cache(maxsize=8)
def grid_triangles(height: int, width: int) -> Int64[Tensor, "F 3"]:
    """Two triangles for every square of four pixel centres; vertices are the pixels in row-major order.

    Corners run as `Mesh` asks: the surface faces the camera.
    """
    index = torch.arange(height * width).view(height, width)
    top_left, top_right = index[:-1, :-1], index[:-1, 1:]
    bottom_left, bottom_right = index[1:, :-1], index[1:, 1:]
    upper = torch.stack([top_left, bottom_left, top_right], dim=-1)
    lower = torch.stack([top_right, bottom_left, bottom_right], dim=-1)
    return torch.stack([upper, lower], dim=2).flatten(0, 2).contiguous()


def region_triangles(region: Bool[Tensor, "H W"]) -> Int64[Tensor, "F 3"]:
    """The triangles of `grid_triangles` whose three corners lie in the region."""
    faces = grid_triangles(*region.shape).to(region.device)
    return faces[region.flatten()[faces].all(dim=1)]


def cell_triangles(
    cells: Bool[np.ndarray, "h w"],
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, "F 3"]]:
    """The two triangles of each of some cells of a grid: those of its (h + 1) x (w + 1) corners that they
    use, in row-major order, and the triangles over these."""
    height, width = cells.shape
    every = grid_triangles(height + 1, width + 1).numpy().reshape(height, width, 6)
    return renumbered(every[cells].reshape(-1, 3), (height + 1) * (width + 1))


def relative_motion(first: Pose, second: Pose) -> Pose:
    """The motion that takes the head from its place in the first view to that in the second.

    With poses camera_from_model: (R2 R1^-1, -R2 R1^-1 t1 + t2), section 3.3 of the paper.
    """
    return second @ first.inverse()


def moved_to_screen(source: DepthMap, motion: Pose, target: Camera) -> Float[Tensor, "B N 3"]:
    """Every pixel of a batch of depth maps, lifted, moved and seen by another camera.

    x and y in pixels and depth in mm of the H * W pixels in row-major order, NaN where `source` is not
    valid: the rasteriser leaves out triangles with such corners. Differentiable in the depth.
    """
    points = motion.apply(source.points().flatten(1, 2))
    valid = source.valid.flatten(1)[..., None]
    # Projecting z = 0 would divide by zero, and `where` passes the NaN of its other branch on to the
    # gradient.
    ahead = torch.where(valid, points, torch.ones_like(points))
    return torch.where(valid, target.screen(ahead), torch.full_like(points, torch.nan))
