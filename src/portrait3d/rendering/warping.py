"""Seeing the pixels of one view in another: what compares two pictures of one head, given depth."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.warping import grid_triangles, moved_to_screen
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize

LONGEST_STEP = 15.0
"""Triangles over a larger step in depth (mm) join what does not belong together: they span
an occluding contour."""


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
        # Steps are measured in the source's own view: a triangle across one joins pixels that are neighbours
        # in the picture but not on the surface.
        corner_depth = torch.where(source.valid, source.depth, torch.zeros_like(source.depth)).flatten(1)
        corners = faces[fragments.face_index.clamp_min(0)].flatten(1)
        of_corners = corner_depth.gather(1, corners).unflatten(1, (*fragments.face_index.shape[1:], 3))
        joined = of_corners.amax(-1) - of_corners.amin(-1) <= longest_step
        visible = (fragments.face_index >= 0) & joined
    return WarpedView(drawn, fragments.depth[:, None], visible[:, None])


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What another view shows where the pixels of this one go."""

    values: Float[Tensor, "B C H W"]
    """The other view's values, bilinear. Differentiable in them and in this view's depth."""
    depth: Float[Tensor, "B 1 H W"]
    """Depth of the moved pixels, mm."""
    surface: Float[Tensor, "B 1 H W"]
    """Depth of the other view's own surface there (mm), inf where it has none."""
    inside: Bool[Tensor, "B 1 H W"]
    """Valid pixels that stay within the other view's picture."""


def look_up(values: Float[Tensor, "B C H W"], source: DepthMap, motion: Pose, target: DepthMap) -> LookedUp:
    """Read the target view's `values` at the places to which the source's pixels move.

    The inverse of `warp`: the gradient in the depth is that of the target's picture, outlines included, where
    `warp` has the gradient of the source's. Nothing is hidden; compare `depth` with `surface`.
    """
    valid = source.valid[:, None]
    height, width = source.depth.shape[-2:]
    screen = moved_to_screen(source, motion, target.camera).unflatten(1, (height, width))
    # grid_sample with NaN would give NaN gradients.
    screen = torch.where(valid.movedim(1, -1), screen, torch.zeros_like(screen))
    size = screen.new_tensor([target.camera.width, target.camera.height])
    place = screen[..., :2] / size * 2 - 1
    own = torch.where(target.valid, target.depth, torch.full_like(target.depth, torch.inf))[:, None]
    return LookedUp(
        values=F.grid_sample(values, place, padding_mode="border", align_corners=False),
        depth=screen[..., 2][:, None],
        # Nearest: a mean of depths on both sides of a contour, or of inf, would be no surface.
        surface=F.grid_sample(own, place.detach(), "nearest", "border", align_corners=False),
        inside=valid & (place.abs() < 1).all(dim=-1)[:, None],
    )
