"""Draw the head model: its mean, the first identity and albedo modes, and some expressions.

python tools/draw_head_model.py
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from portrait3d.export import save_image
from portrait3d.export.sheets import contact_sheet
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import shade

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE, SAMPLES = 200, 3
MODES = 8
YAW = 25.0
"""Degrees that shapes are turned by, so that their profile shows."""
LIGHT = (3.3, -0.5, -0.6, -0.35, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Soft light from above the viewer's left shoulder, as harmonics."""
CLAY = (0.64, 0.62, 0.59)
EXPRESSIONS = (
    *("jawOpen", "mouthSmileLeft", "mouthPucker", "mouthFrownLeft", "eyeBlinkLeft", "browInnerUp"),
    *("browDownLeft", "cheekPuff", "mouthLeft", "mouthFunnel", "noseSneerLeft"),
)


def main() -> None:
    """Write docs/images/albedo_modes.jpg, identity_modes.jpg and expressions.jpg."""
    head = HeadModel.load()
    modes(head, "albedo", "albedo_modes.jpg")
    modes(head, "identity", "identity_modes.jpg")
    neutral = FaceCoefficients.neutral()
    pictures, labels = [draw(head, neutral, clay=True)], ["neutral"]
    for name in EXPRESSIONS:
        names = {name} if name == "mouthLeft" else {name, name.replace("Left", "Right")}
        strength = torch.tensor([[float(other in names) for other in head.expression_names]])
        pictures.append(draw(head, replace(neutral, expression=strength), clay=True))
        labels.append(", ".join(sorted(names)) if len(names) == 1 else name.replace("Left", "Left, Right"))
    save_image(contact_sheet(pictures, 6, labels), IMAGES / "expressions.jpg")


def modes(head: HeadModel, part: str, name: str) -> None:
    """One column a mode, the mean first: +2 standard deviations above, -2 below."""
    neutral, yaw = FaceCoefficients.neutral(), 0.0 if part == "albedo" else YAW
    mean = draw(head, neutral, yaw, clay=part == "identity")
    rows, labels = [], []
    for sigma in (2.0, -2.0):
        rows.append(mean)
        labels.append("mean")
        for mode in range(MODES):
            value = torch.zeros(1, 80)
            value[0, mode] = sigma
            rows.append(draw(head, replace(neutral, **{part: value}), yaw, clay=part == "identity"))
            labels.append(f"mode {mode + 1}, {sigma:+.0f} SD")
    save_image(contact_sheet(rows, MODES + 1, labels), IMAGES / name)


def draw(head: HeadModel, face: FaceCoefficients, yaw: float = 0.0, *, clay: bool = False) -> np.ndarray:
    """A head from the front or turned by `yaw` degrees, in its colours or as plain surface, uint8 RGB."""
    vertices, colours = head.vertices(face), head.albedo(face)
    other = head.faces[head.face_part > 0]
    points = torch.cat([head.subdivide(vertices), vertices], dim=1)
    colours = torch.cat([head.subdivide(colours), colours], dim=1)
    faces = torch.cat([head.subdivided_faces, other + points.shape[1] - vertices.shape[1]])
    if clay:
        colours = torch.tensor(CLAY).expand_as(colours)
    angle = torch.tensor([math.radians(yaw)])
    rotation = rotation_from_euler(angle, torch.zeros(1), torch.zeros(1))
    points = Pose(rotation, torch.tensor([[0.0, 4.0, 1500.0]])).apply(points)
    shaded = shade(colours, vertex_normals(points, faces), torch.tensor([LIGHT]))
    size = SIZE * SAMPLES
    camera = Camera(torch.tensor(size * 6.2), torch.full((2,), size / 2), size, size)
    fragments = rasterize(camera.screen(points), faces, size, size)
    seen = torch.where(
        (fragments.face_index >= 0)[:, None], interpolate(shaded, faces, fragments), torch.tensor(0.98)
    )
    return (avg_pool2d(seen.clamp(0, 1), SAMPLES)[0] * 255).round().byte().permute(1, 2, 0).numpy()


if __name__ == "__main__":
    main()
