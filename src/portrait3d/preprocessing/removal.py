"""Taking what is worn off a photo: glasses and earrings stay rigid when a head turns, its skin does not."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy import ndimage

from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.pictures import as_bytes, as_planes
from portrait3d.geometry.pixels import box_about, smoothstep
from portrait3d.preprocessing.alignment import Crop

SOLID = 0.5
"""Share of a pixel from which on it counts as worn."""
GLASSES_EDGE, EARRINGS_EDGE = 0.0025, 0.005
"""How far (over the head crop's side) beyond their pixels things are taken off the photo: there are their
soft edges and shadows, which would stay as a ghost. Behind earrings no fine detail would be lost."""
AROUND = 0.2
"""What around them (over the head crop's side) is looked at for filling."""


def take_off(
    pixels: UInt8[np.ndarray, "H W 3"], cover: Float[np.ndarray, "H W"], crop: Crop, edge: float
) -> UInt8[np.ndarray, "H W 3"]:
    """A photo without what is worn, filled from around; `cover` is how much of each pixel that takes.

    `crop` is the head crop, `edge` how far beyond those pixels is filled, over its side.
    """
    box = box_about(cover > 0.02, round(AROUND * crop.side))
    side = 2 * max(1, round(edge * crop.side)) + 1
    near = smoothstep(ndimage.grey_dilation(cover[box], (side, side)) / SOLID)
    near = torch.from_numpy(near).float()
    picture = as_planes(pixels[box])
    bare = pixels.copy()
    bare[box] = as_bytes(picture + (push_pull(picture, 1 - near) - picture) * near)
    return bare
