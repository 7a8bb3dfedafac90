"""Pictures of a reconstructed head from any side."""

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import HeadMesh, welded_normals
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.rendering.fragments import Fragments
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize

SAMPLES = 2
"""Samples of a pixel along each axis; their mean softens edges, which the rasteriser draws hard."""
DISTANCE = 1500.0
"""From the camera of `frame_head` to the head's middle, mm: where a face fills a third of a portrait."""
CLAY = (0.88, 0.86, 0.83)
"""Linear grey of the plain surface, RGB."""
KEY_LIGHT = (-0.4, -0.6, -0.7)
"""Direction to the light of the plain surface: from above the viewer's left shoulder."""


def render_view(
    head: HeadMesh,
    camera_from_head: Pose,
    camera: Camera,
    *,
    style: Literal["photo", "clay"] = "photo",
    background: tuple[int, int, int] = (255, 255, 255),
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a head with its texture and hair sheet (`photo`) or as a plain, lit surface (`clay`), RGB.

    `camera_from_head` moves the mesh from its own frame to the camera's; the identity shows it as the photo
    does if `camera` is the photo's.
    """
    if style not in ("photo", "clay"):
        raise ValueError(f"A view's style is 'photo' or 'clay', got {style!r}.")
    height, width = camera.height * SAMPLES, camera.width * SAMPLES
    vertices = camera_from_head.apply(torch.from_numpy(head.vertices).float())
    faces = torch.from_numpy(head.faces)
    screen = camera.screen(vertices) * torch.tensor([SAMPLES, SAMPLES, 1.0])
    fragments = rasterize(screen[None], faces, height, width)
    if style == "photo":
        colours = _textured(head.uv, faces, fragments, head.texture)
    else:
        normals = interpolate(
            torch.from_numpy(welded_normals(vertices.numpy(), head.faces))[None], faces, fragments
        )
        colours = _clay(functional.normalize(normals, dim=1))
    covered = (fragments.face_index >= 0)[:, None]
    ground = torch.tensor(background)[None, :, None, None] / 255
    colours = torch.where(covered, colours, ground)
    # What is seen through is blended over the opaque head, one layer of each, what is worn first: hair that
    # the photo shows before it has left none of it there.
    for layer in reversed(head.see_through.values()) if style == "photo" else ():
        screen = camera.screen(camera_from_head.apply(torch.from_numpy(layer.vertices)))
        faces = torch.from_numpy(layer.faces)
        sheet = rasterize((screen * torch.tensor([SAMPLES, SAMPLES, 1.0]))[None], faces, height, width)
        shown = _textured(layer.uv, faces, sheet, layer.texture)
        # A z-buffer keeps one surface a pixel: the sheet's nearest triangle stands for those behind it. It is
        # not seen where the head is nearer.
        alpha = shown[:, 3:] * (sheet.depth < fragments.depth)[:, None]
        colours = colours + (shown[:, :3] - colours) * alpha
    picture = functional.avg_pool2d(colours, SAMPLES)[0]
    return as_bytes(picture)


def _textured(
    uv: Float[np.ndarray, "V 2"],
    faces: Int64[Tensor, "F 3"],
    fragments: Fragments,
    texture: UInt8[np.ndarray, "Ht Wt C"],
) -> Float[Tensor, "1 C H W"]:
    """The texture where a mesh is seen."""
    at = interpolate(torch.from_numpy(uv).float()[None], faces, fragments).permute(0, 2, 3, 1) * 2 - 1
    planes = torch.from_numpy(texture).permute(2, 0, 1)[None].float() / 255
    return functional.grid_sample(planes, at, padding_mode="border", align_corners=False)


def frame_head(head: HeadMesh, yaw: float, pitch: float, size: int) -> tuple[Pose, Camera]:
    """Pose and camera that show a whole head from the front (0, 0) or a side, in size x size pixels.

    Angles are in degrees and absolute: yaw > 0 turns the face to the picture's right, pitch > 0 up.
    """
    points = np.concatenate([head.vertices, *(layer.vertices for layer in head.see_through.values())])
    low, high = points.min(axis=0), points.max(axis=0)
    middle = torch.from_numpy((low + high) / 2).float()
    radius = float(np.linalg.norm(points - (low + high) / 2, axis=1).max())
    turn = Pose.from_euler(
        torch.tensor(math.radians(yaw)),
        torch.tensor(math.radians(pitch)),
        torch.tensor(0.0),
        torch.tensor([0.0, 0.0, DISTANCE]),
    )
    upright = Pose(head.camera_from_head.rotation.T, torch.zeros(3))
    centred = upright @ Pose(torch.eye(3), -middle)
    # The cone that touches the bounding sphere: sin = r / D, so tan = r / sqrt(D^2 - r^2) fills half the
    # picture.
    focal = size / 2 * math.sqrt(DISTANCE**2 - radius**2) / radius
    camera = Camera(torch.tensor(focal), torch.tensor([size / 2, size / 2]), size, size)
    return turn @ centred, camera


def _clay(normals: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Lambert's law with a key light, and a weaker light at the camera."""
    light = functional.normalize(normals.new_tensor(KEY_LIGHT), dim=0)
    key = (normals * light[:, None, None]).sum(1, keepdim=True).clamp_min(0)
    front = -normals[:, 2:]
    # Ambient light keeps shadows readable; the three shares add up to about 1 where the key light falls
    # head-on.
    return normals.new_tensor(CLAY)[:, None, None] * (0.24 + 0.54 * key + 0.3 * front.clamp_min(0))
