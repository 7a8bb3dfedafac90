"""Neck, shoulders and collar below a synthetic head."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

AXIS = np.array([0.0, 66.0])
"""x and z of the vertical axis, model frame, mm."""
PROFILE = np.array(
    [
        *((70, 42, 40), (90, 44, 42), (108, 47, 45), (122, 60, 52), (136, 92, 64), (150, 132, 78)),
        *((166, 164, 92), (190, 186, 104), (230, 202, 116), (300, 208, 122), (380, 206, 124)),
    ],
    dtype=float,
)
"""y, half width and half depth of the average body, mm."""
POWER = 2.4
"""Exponent of the cross-sections: 2 would be ellipses."""
AROUND, DOWN, ABOVE = 64, 36, 12
"""Vertices around and down the torso, and how many rows of them are bare, above the collar."""


@dataclass(frozen=True, slots=True)
class Torso:
    """A stack of superellipses around the neck's axis."""

    width: float
    """Factor on the shoulders' width."""
    drop: float
    """How much lower the shoulders hang than on average, mm."""
    collar: float
    """y of the clothes' edge at the back, mm."""
    neckline: float
    """How much lower that edge lies in front, mm."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Torso":
        """A random body."""
        neckline = rng.choice([0.0, rng.uniform(10, 40), rng.uniform(40, 130)])
        return cls(rng.uniform(0.82, 1.1), rng.uniform(-6, 14), rng.uniform(92, 122), float(neckline))

    def half_axes(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Half width and half depth at heights y, mm."""
        low = np.clip((y - 110) / 60, 0, 1)
        height = y - self.drop * low
        width = np.interp(height, PROFILE[:, 0], PROFILE[:, 1])
        return width * (1 + (self.width - 1) * low), np.interp(height, PROFILE[:, 0], PROFILE[:, 2])

    def radius(self, y: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Distance from the axis to the surface; angle from the front toward x > 0, radians."""
        width, depth = self.half_axes(y)
        inverse = np.abs(np.sin(angle) / width) ** POWER + np.abs(np.cos(angle) / depth) ** POWER
        return inverse ** (-1 / POWER)

    def reach(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Distance in z from the axis to the surface, 0 beside the body, mm."""
        width, depth = self.half_axes(y)
        inside = np.clip(1 - np.abs((x - AXIS[0]) / width) ** POWER, 0, 1)
        return np.where(y < 90, 0.0, depth * inside ** (1 / POWER))

    def mesh(self) -> tuple[Float[np.ndarray, "V 3"], Int64[np.ndarray, "F 3"], Float[np.ndarray, " V"]]:
        """Vertices (model frame, mm), triangles and how far below the collar each vertex lies (mm)."""
        angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)[:, None]
        edge = self.collar + self.neckline * np.clip(np.cos(angle), 0, 1) ** 3
        bare, dressed = np.linspace(0, 1, ABOVE)[None], np.linspace(0, 1, DOWN - ABOVE)[None] ** 1.5
        y = np.concatenate([76 + (edge - 76) * bare, edge + (380 - edge) * dressed], axis=1)
        below = np.concatenate([y[:, :ABOVE] - edge - 0.01, y[:, ABOVE:] - edge + 0.01], axis=1)
        radius = self.radius(y, angle) + np.where(below > 0, 3.0, 0.0)
        x, z = AXIS[0] + radius * np.sin(angle), AXIS[1] - radius * np.cos(angle)
        points = np.stack([x, y, z], axis=-1)
        index = np.arange(AROUND * DOWN).reshape(AROUND, DOWN)
        following = np.roll(index, -1, axis=0)
        a, b, c, d = index[:, :-1], following[:, :-1], following[:, 1:], index[:, 1:]
        faces = np.concatenate(
            [np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)]
        )
        return points.reshape(-1, 3), faces, below.reshape(-1)
