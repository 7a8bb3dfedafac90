"""Random distant light as spherical harmonics."""

import numpy as np
import torch
from jaxtyping import Float

from portrait3d.rendering.shading import spherical_harmonics

LOBE = np.array([1, *[2 / 3] * 3, *[1 / 4] * 5]) * np.pi
"""What the cosine lobe does to light of order 0, 1 and 2 (Ramamoorthi and Hanrahan, 2001)."""


def directional(direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, "9"]:
    """Weights of a distant lamp that lights a surface facing it with irradiance 1.

    `direction` points at the lamp, in the camera's axes.
    """
    unit = torch.from_numpy(direction / np.linalg.norm(direction))[None].float()
    return LOBE * spherical_harmonics(unit)[0].numpy()


def draw_light(rng: np.random.Generator) -> Float[np.ndarray, "3 9"]:
    """Weights for red, green and blue: ambient light, a key lamp and perhaps a fill or rim lamp."""
    light = np.zeros((3, 9))
    ambient = rng.uniform(0.3, 0.75)
    light[:, 0] = ambient * np.sqrt(4 * np.pi) * tint(rng, 0.04)
    side, height = rng.normal(0, 0.9), rng.normal(0.5, 0.5)
    key = np.array([np.sin(side), -height, -np.cos(side)])
    light += np.outer((1.05 - ambient) * rng.uniform(0.7, 1.2) * tint(rng, 0.05), directional(key))
    if rng.random() < 0.5:
        fill = rng.standard_normal(3) * [1, 0.6, 1]
        light += np.outer(rng.uniform(0.05, 0.35) * tint(rng, 0.1), directional(fill))
    # Photos are exposed for the face: scale what falls on a head that looks at the camera.
    facing = np.array([[0, 0, -1], [0.6, 0, -0.8], [-0.6, 0, -0.8], [0, 0.6, -0.8], [0, -0.6, -0.8]])
    harmonics = spherical_harmonics(torch.from_numpy(facing)).numpy()
    return light * rng.uniform(0.75, 1.15) / np.maximum((light @ harmonics.T).mean(), 0.2)


def tint(rng: np.random.Generator, strength: float) -> Float[np.ndarray, "3"]:
    """A colour near white: warm to cold, with a little green or magenta."""
    warm, green = rng.normal(0, strength), rng.normal(0, strength / 3)
    return np.array([1 + warm, 1 + green, 1 - warm])
