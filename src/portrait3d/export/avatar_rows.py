"""Contact sheets of reconstructed artist-made heads: the true head above, the reconstruction below."""

import numpy as np
from jaxtyping import UInt8

from portrait3d.evaluation.heads.pictures import HeadPair
from portrait3d.export.sheets import contact_sheet

YAWS = (0.0, 35.0, -35.0, 80.0, 180.0)
"""That heads are shown from, degrees, whatever the photo's."""
CELL = 200
"""Pixels of a panel's side."""


def avatar_rows(pair: HeadPair) -> UInt8[np.ndarray, "H W 3"]:
    """One photo's two rows: photo and true head, then the reconstruction; textured, then plain."""
    photo = pair.photo
    names = (f"{photo.avatar.name} {photo.yaw:+.0f}°", photo.avatar.style)
    true, found = [photo.pixels], [np.full_like(photo.pixels, 255)]
    labels = [f"yaw {yaw:+.0f}°" for yaw in YAWS]
    true += [pair.draw_true(yaw, CELL).colours for yaw in YAWS]
    found += [pair.draw_found(yaw, CELL).colours for yaw in YAWS]
    shapes = [pair.draw_shapes(yaw, CELL) for yaw in YAWS]
    true += [one for one, _ in shapes]
    found += [other for _, other in shapes]
    rows = [[names[0], *labels, *labels], [names[1], *["reconstructed"] * (2 * len(YAWS))]]
    return contact_sheet([*true, *found], len(true), [*rows[0], *rows[1]], cell=(CELL, CELL))
