"""A portrait whose photo has got drawn earrings, with what is known about them."""

from dataclasses import replace

import numpy as np
import torch

from portrait3d.data.synthetic.earrings import Earring, Material, Piece, draw_earring
from portrait3d.geometry.pictures import as_bytes, as_planes
from portrait3d.models.earrings import lobes
from portrait3d.portrait import Portrait

BLUE = Material(np.array([0.1, 0.2, 0.9]), 0.0, 0.0, 0.0)
DROP = Earring((Piece((0.0, 8.0), (5.0, 10.0), 2.0, 0.0, 0, 0.0, BLUE),), 0.0, 0.0)
"""A plain blue oval, 10 mm wide and 20 mm high."""


def hanging_place(portrait: Portrait, side: int) -> tuple[tuple[float, float], float]:
    """Where the picture's left (0) or right (1) lobe is seen, and how many pixels a millimetre takes."""
    place = lobes(portrait.head_model, portrait.face.vertices)[side]
    x, y = portrait.camera.project(place[None])[0].tolist()
    return (x, y), float(portrait.camera.focal / place[2])


def with_earrings(portrait: Portrait, earring: Earring = DROP, sides: tuple[int, ...] = (0, 1)) -> Portrait:
    """The portrait of the photo with earrings, which are known exactly."""
    picture = as_planes(portrait.photo.pixels).numpy()
    height, width = portrait.photo.pixels.shape[:2]
    cover = np.zeros((height, width), np.float32)
    for side in sides:
        lobe, millimetre = hanging_place(portrait, side)
        drawn = draw_earring(
            earring, (height, width), lobe, millimetre, np.random.default_rng(0), side=2 * side - 1
        )
        picture = drawn.over(picture)
        cover = np.maximum(cover, drawn.cover)
    pixels = as_bytes(torch.from_numpy(picture).float())
    return replace(portrait, photo=replace(portrait.photo, pixels=pixels), earrings=cover)
