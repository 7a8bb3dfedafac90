"""Glasses for synthetic people: a frame of lines before the eyes, with clear, tinted or black lenses."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from portrait3d.data.synthetic.drawing import Drawing
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose

DARK = 0.3
"""Share of the glasses that are sunglasses."""
FINER = 3
"""Lines are drawn at this many times the resolution."""
SUNK = 4.0
"""How far (mm) the frame may lie below the drawn surface before it is hidden."""


@dataclass(frozen=True, slots=True)
class Glasses:
    """One pair of glasses."""

    width: float
    """Half of a lens's width, mm."""
    height: float
    """Half of a lens's height, mm."""
    power: float
    """Exponent of the rim's superellipse: 2 is round, 4 nearly square."""
    thickness: float
    """Of the frame, mm."""
    frame: Float[np.ndarray, "3"]
    lens: Float[np.ndarray, "3"]
    opacity: float
    """Of the lenses, 0 to 1."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Glasses":
        """Random glasses."""
        dark = rng.random() < DARK
        return cls(
            width=rng.uniform(20, 27),
            height=rng.uniform(14, 23),
            power=rng.uniform(2, 4.5),
            thickness=rng.uniform(1.0, 4.5),
            frame=rng.uniform(0, 1, 3) * rng.choice([0.2, 0.6, 1.0]),
            lens=rng.uniform(0, 0.25, 3) if dark else rng.uniform(0.5, 1, 3),
            opacity=rng.uniform(0.5, 0.98) if dark else rng.uniform(0, 0.3),
        )

    def lenses(self, landmarks: Float[np.ndarray, "68 3"]) -> Float[np.ndarray, "2 49 3"]:
        """The closed rims before the picture's left and right eye, in the frame of the landmarks (mm)."""
        angle = np.linspace(0, 2 * np.pi, 49)
        across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / self.power)
        down = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / self.power)
        rim = np.stack([self.width * across, 5 + self.height * down, np.full(49, -13.0)], axis=-1)
        return np.stack([rim + landmarks[eye].mean(0) for eye in (slice(36, 42), slice(42, 48))])

    def lines(self, landmarks: Float[np.ndarray, "68 3"]) -> list[Float[np.ndarray, "_ 3"]]:
        """Rims, bridge and temples."""
        left, right = self.lenses(landmarks)
        bridge = np.linspace(left[left[:, 0].argmax()], right[right[:, 0].argmin()], 9)
        bridge[:, 1] -= 4 * np.sin(np.linspace(0, np.pi, 9))
        bridge[:, 2] = np.minimum(bridge[:, 2], landmarks[27, 2] - 3)
        temples = [
            np.linspace(hinge, landmarks[ear] + [side * 3, hinge[1] - landmarks[ear, 1], 5], 25)
            for hinge, ear, side in ((left[left[:, 0].argmin()], 0, -1), (right[right[:, 0].argmax()], 16, 1))
        ]
        return [left, right, bridge, *temples]


def put_on(
    drawing: Drawing, glasses: Glasses, landmarks: Float[Tensor, "68 3"], pose: Pose, camera: Camera
) -> Float[Tensor, "3 H W"]:
    """The drawing's image with glasses; `landmarks` are the head's, in the model's frame (mm)."""
    marks, depth = landmarks.double().numpy(), drawing.depth.numpy()

    def screen(line: np.ndarray) -> np.ndarray:
        return camera.screen(pose.apply(torch.from_numpy(line).float())).numpy()

    image = drawing.image.numpy()
    for lens in map(screen, glasses.lenses(marks)):
        mask = Image.new("L", (camera.width * FINER, camera.height * FINER))
        ImageDraw.Draw(mask).polygon((lens[:, :2] * FINER).ravel().tolist(), fill=255)
        covered = _reduced(mask, camera) * (depth > lens[:, 2].mean() - SUNK)
        image = image + glasses.opacity * covered * (glasses.lens[:, None, None] - image)
    mask = Image.new("L", (camera.width * FINER, camera.height * FINER))
    pen = ImageDraw.Draw(mask)
    for line in map(screen, glasses.lines(marks)):
        column, row = (line[:, k].astype(int).clip(0, camera.width - 1) for k in (0, 1))
        shown = line[:, 2] < depth[row, column] + SUNK
        wide = max(round(glasses.thickness * float(camera.focal / line[:, 2].mean()) * FINER), 1)
        for k in np.flatnonzero(shown[:-1] & shown[1:]):
            pen.line((line[k : k + 2, :2] * FINER).ravel().tolist(), fill=255, width=wide)
    image = image + _reduced(mask, camera) * (glasses.frame[:, None, None] - image)
    return torch.from_numpy(image).float().clamp(0, 1)


def _reduced(mask: Image.Image, camera: Camera) -> Float[np.ndarray, "H W"]:
    return np.asarray(mask.resize((camera.width, camera.height), Image.Resampling.BOX), np.float32) / 255
