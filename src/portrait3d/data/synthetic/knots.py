"""Buns and pony tails."""

import numpy as np

from portrait3d.data.synthetic.drawn_hair import Hair
from portrait3d.data.synthetic.hair_mesh import HairMesh, as_mesh
from portrait3d.data.synthetic.scalp import sample


def buns(hair: Hair, skin: np.ndarray, normals: np.ndarray) -> list[HairMesh]:
    """One bun in the middle, or one on either side."""
    polar = np.radians(hair.get("bun_polar"))
    side = np.radians(hair.get("bun_side"))
    azimuths = (side, -side) if side else (np.pi if polar >= 0 else 0.0,)
    return [ball(hair, skin, normals, azimuth % (2 * np.pi), abs(polar)) for azimuth in azimuths]


def ball(hair: Hair, skin: np.ndarray, normals: np.ndarray, azimuth: float, polar: float) -> HairMesh:
    """A bun at a place on the skull (radians)."""
    where = np.array(azimuth), np.array(polar)
    radius = hair.get("bun")
    middle = sample(skin, *where) + sample(normals, *where) * (0.7 * radius + hair.get("top"))
    around, down = np.linspace(0, 2 * np.pi, 41)[:, None], np.linspace(0.02, np.pi - 0.02, 22)[None]
    lumps = (1 + 0.06 * np.sin(5 * around) * np.sin(down)) * radius
    x, z = np.sin(around) * np.sin(down), -np.cos(around) * np.sin(down)
    points = np.stack([x, -np.cos(down) + 0 * around, z], axis=-1)
    return as_mesh(middle + points * lumps[..., None] * [1.1, 0.85, 1.0], around[:, 0] / 2)


def tail(hair: Hair, skin: np.ndarray, normals: np.ndarray, rng: np.random.Generator) -> HairMesh:
    """A pony tail: a tube from the back of the head that bends down."""
    where = np.array(np.pi), np.array(np.radians(rng.uniform(25, 60)))
    start, outward = sample(skin, *where), sample(normals, *where)
    share = np.linspace(0, 1, 40)[:, None]
    drop = np.maximum(hair.get("tail") - start[1], 60)
    middle = start + outward * (45 * (1 - np.exp(-4 * share))) + np.array([0, 1, 0]) * drop * share**1.6
    middle[:, 0] += rng.normal(0, 12) * share[:, 0]
    around = np.linspace(0, 2 * np.pi, 33)
    radius = (
        rng.uniform(18, 30) * np.clip(0.45 + 3 * share[:, 0], 0, 1) * np.sqrt(1 - 0.85 * share[:, 0] ** 3)
    )
    ring = np.stack([np.cos(around), 0 * around, np.sin(around)], axis=-1)[:, None] * radius[:, None]
    return as_mesh(middle + ring, around / 3)
