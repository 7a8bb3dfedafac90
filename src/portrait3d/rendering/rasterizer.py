"""Triangles to pixels: which face is seen in every pixel, where on it, and how far away."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from portrait3d.rendering.barycentrics import barycentrics_compiled, barycentrics_torch
from portrait3d.rendering.fragments import Fragments
from portrait3d.rendering.interpolation import interpolate_compiled, interpolate_torch
from portrait3d.rendering.visibility import NEAR, visible_faces_compiled, visible_faces_torch

__all__ = ["Backend", "Fragments", "rasterize"]

Backend = Literal["compiled", "torch"]


def rasterize(
    screen: Float[Tensor, "B V 3"],
    faces: Int64[Tensor, "F 3"],
    height: int,
    width: int,
    *,
    cull_backfaces: bool = False,
    farthest: bool = False,
    backend: Backend | None = None,
) -> Fragments:
    """Draw a batch of meshes that share their triangles.

    `screen` holds x and y in pixels, with pixel [row, column] centred at (column + 0.5, row + 0.5), and depth
    in mm. Triangles reaching behind the camera, without area or with infinite or undefined corners are not
    drawn. With `cull_backfaces`, only triangles whose right-handed normal points at the camera are (negative
    area in pixels with y down). With `farthest`, pixels show the last surface along their ray, not the first.
    The backend follows the device: compiled loops on the CPU, torch operations elsewhere; both see the same
    faces. Gradients reach `screen` through the barycentric coordinates and the depth, for a fixed visibility.
    """
    if height < 1 or width < 1:
        raise ValueError(f"A picture needs height >= 1 and width >= 1, got {height=} and {width=}.")
    if backend is None:
        backend = "compiled" if screen.device.type == "cpu" else "torch"
    if backend == "compiled":
        visible_faces, barycentrics, interpolate = (
            visible_faces_compiled,
            barycentrics_compiled,
            interpolate_compiled,
        )
    else:
        visible_faces, barycentrics, interpolate = visible_faces_torch, barycentrics_torch, interpolate_torch
    ordered = _back_to_front(screen) if farthest else screen
    face_index = visible_faces(ordered, faces, height, width, cull_backfaces)
    barycentric = barycentrics(screen, faces, face_index)
    depth = interpolate(screen[..., 2:], faces, face_index, barycentric).squeeze(1)
    return Fragments(face_index, barycentric, torch.where(face_index >= 0, depth, torch.inf))


def _back_to_front(screen: Float[Tensor, "B V 3"]) -> Float[Tensor, "B V 3"]:
    """The same pixels with depths in reverse order.

    What is linear over a triangle's picture is the inverse of depth. It has to stay so, or triangles that
    cross would cover each other wrongly.
    """
    depth = screen[..., 2:]
    drawn = (depth > NEAR) & depth.isfinite()
    inverse = torch.where(drawn, depth, torch.inf).reciprocal()
    # Mirror 1 / depth about its maximum: still affine in 1 / depth, still positive, and the last comes first.
    reversed_depth = (2 * inverse.amax() - inverse).reciprocal()
    return torch.cat([screen[..., :2], torch.where(drawn, reversed_depth, depth)], dim=-1)
