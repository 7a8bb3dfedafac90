"""A head from all around: is it closed, and does it look like one person's from every side?"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from scipy import ndimage

from portrait3d.export.sheets import contact_sheet
from portrait3d.geometry.mesh import HeadMesh
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.view import frame_head, render_view

DIRECTIONS = (*((float(yaw), 0.0) for yaw in (0, 45, 90, 135, 180, -135, -90, -45)), (0.0, -70.0))
"""Yaw and pitch of the head, degrees: eight around, and the top."""
SIZE = 256
"""Pixels of a picture's side."""
BACKGROUND = (255, 0, 255)
"""Magenta: no head has it, so that it shows where one looks through."""
INSIDE = (0, 255, 255)
"""Cyan marks the surface's inner side where it can be seen."""
SMALLEST = 3
"""Pixels; less is the rasteriser's rounding at the outline."""


@dataclass(frozen=True, slots=True, eq=False)
class DirectionView:
    """A head from one direction."""

    yaw: float
    """Degrees; > 0 turns the face to the picture's right."""
    pitch: float
    """Degrees; < 0 shows the top."""
    photo: UInt8[np.ndarray, "S S 3"]
    """With its texture."""
    shape: UInt8[np.ndarray, "S S 3"]
    """As a plain surface; the inner side in cyan."""
    gaps: int
    """Pixels of background with head all around."""
    inside: int
    """Pixels that show the surface's inner side."""


def view_direction(head: HeadMesh, yaw: float, pitch: float, size: int = SIZE) -> DirectionView:
    """Draw a head from one direction and count what is open in it.

    Gaps may also be real, such as between a curl and the neck. `size` is the side of the pictures, in pixels.
    """
    pose, camera = frame_head(head, yaw, pitch, size)
    vertices = pose.apply(torch.from_numpy(head.vertices).float())
    faces = torch.from_numpy(head.faces)
    index = rasterize(camera.screen(vertices)[None], faces, size, size).face_index[0].numpy()
    a, b, c = (vertices[faces[:, k]].numpy() for k in range(3))
    # The camera is in the origin: a normal along the ray points away from it.
    turned_away = (np.cross(b - a, c - a) * a).sum(axis=1) > 0
    covered = index >= 0
    inside = large_regions(covered & turned_away[np.where(covered, index, 0)])
    gaps = large_regions(ndimage.binary_fill_holes(covered) & ~covered)
    shape = render_view(head, pose, camera, style="clay", background=BACKGROUND)
    shape[inside] = INSIDE
    return DirectionView(
        yaw=yaw,
        pitch=pitch,
        photo=render_view(head, pose, camera, background=BACKGROUND),
        shape=shape,
        gaps=int(gaps.sum()),
        inside=int(inside.sum()),
    )


def view_directions(head: HeadMesh, size: int = SIZE) -> list[DirectionView]:
    """The head from all of `DIRECTIONS`."""
    return [view_direction(head, yaw, pitch, size) for yaw, pitch in DIRECTIONS]


def directions_sheet(views: list[DirectionView]) -> UInt8[np.ndarray, "H W 3"]:
    """Textured pictures above plain ones, what is open in pixels underneath."""
    images = [view.photo for view in views] + [view.shape for view in views]
    labels = [
        f"yaw {view.yaw:+.0f}°" + (f", pitch {view.pitch:+.0f}°" if view.pitch else "") for view in views
    ]
    labels += [f"gaps {view.gaps} px, inside {view.inside} px" for view in views]
    return contact_sheet(images, len(views), labels)


def large_regions(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The mask without connected regions of fewer than `SMALLEST` pixels."""
    regions, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    return mask & (sizes >= SMALLEST)[regions]
