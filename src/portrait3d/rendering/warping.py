"""Seeing the pixels of one view in another: the warp that the depth network is trained through."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.warping import grid_triangles, moved_to_screen
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize

LONGEST_STEP = 15.0
"""Triangles over a larger step in depth (mm) join things that do not belong together."""


@dataclass(frozen=True, slots=True)
class WarpedView:
    """What another camera sees of a moved depth map."""

    values: Float[Tensor, "B C H W"]
    """The source's values, 0 where nothing is seen. Differentiable in them and in the source's depth."""
    depth: Float[Tensor, "B 1 H W"]
    """mm, inf where nothing is seen."""
    visible: Bool[Tensor, "B 1 H W"]
    """Where the moved surface is seen; the nearest wins, so hidden parts of the source are nowhere."""


def warp(
    values: Float[Tensor, "B C H W"],
    source: DepthMap,
    motion: Pose,
    target: Camera,
    longest_step: float = LONGEST_STEP,
) -> WarpedView:
    """Triangulate the valid pixels of `source`, move them rigidly and draw their `values` in `target`.

    `motion` leads from the source camera's frame to the target camera's. Triangles over a depth step beyond
    `longest_step` (mm) still hide what lies behind them, but are not `visible` themselves.
    """
    faces = grid_triangles(*source.depth.shape[-2:]).to(values.device)
    screen = moved_to_screen(source, motion, target)
    fragments = rasterize(screen, faces, target.height, target.width)
    drawn = interpolate(values.flatten(2).transpose(1, 2), faces, fragments)
    with torch.no_grad():
        corner_depth = torch.where(source.valid, source.depth, torch.zeros_like(source.depth)).flatten(1)
        corners = faces[fragments.face_index.clamp_min(0)].flatten(1)
        of_corners = corner_depth.gather(1, corners).unflatten(1, (*fragments.face_index.shape[1:], 3))
        joined = of_corners.amax(-1) - of_corners.amin(-1) <= longest_step
        visible = (fragments.face_index >= 0) & joined
    return WarpedView(drawn, fragments.depth[:, None], visible[:, None])
