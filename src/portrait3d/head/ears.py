"""The head model's ears, moved to where the photo shows them."""

import numpy as np
from jaxtyping import Float, UInt8

from portrait3d.geometry.pixels import smoothstep
from portrait3d.parsing_classes import EARS

FEWEST = 25
"""Pixels of an ear from which its place is known."""
HEIGHT, WIDTH = (0.85, 1.25), (0.6, 1.8)
"""Range in which an ear is scaled."""
FARTHEST = 14.0
"""Pixels of the crop by which an ear moves at most."""


def fit_ears(
    vertices: Float[np.ndarray, "V 3"],
    ears_mask: Float[np.ndarray, " V"],
    side: Float[np.ndarray, " V"],
    labels: UInt8[np.ndarray, "H W"],
    focal: float,
) -> Float[np.ndarray, "V 3"]:
    """The model's vertices with each ear shifted and scaled in the picture to the ear that the photo shows.

    The ear stays where it grows from the head; its outer rim and its lobe move to those of the parsed ear,
    as does its top unless hair covers it.

    Args:
        vertices: Crop camera, mm.
        ears_mask: 1 on the ears, 0 off them.
        side: Negative for vertices of the ear on the picture's left.
        labels: Classes of the head crop.
        focal: Of the crop's camera, pixels.
    """
    moved = vertices.copy()
    pixels = focal * vertices[:, :2] / vertices[:, 2:] + np.array(labels.shape[::-1]) / 2
    for sign, label in zip((-1, 1), EARS, strict=True):
        row, column = np.nonzero(labels == label)
        # `sign` makes outward positive on either side. The root is the ring along which the ear grows from
        # the head.
        own = (ears_mask > 0.5) & (sign * side > 0)
        root = (ears_mask > 0.02) & (ears_mask < 0.3) & (sign * side > 0)
        if len(row) < FEWEST or not own.any() or not root.any():
            continue
        x, y = pixels[own].T
        inner, outer = float(np.median(pixels[root, 0])), float((x * sign).max() * sign)
        # A quantile rather than the outermost pixel, and half a pixel from its centre to its edge.
        wanted = float(np.quantile((column + 0.5) * sign, 0.97) * sign) + 0.5 * sign
        across = np.clip((wanted - inner) * sign / max((outer - inner) * sign, 1.0), *WIDTH)
        top, bottom = float(y.min()), float(y.max())
        high, low = np.quantile(row + 0.5, [0.02, 0.98])
        along = np.clip((low - high) / max(bottom - top, 1.0), *HEIGHT)
        # Scaled about the root across and about the lobe along: hair may cover the top.
        shift_x = inner + (pixels[:, 0] - inner) * across - pixels[:, 0]
        shift_y = low + (pixels[:, 1] - bottom) * along - pixels[:, 1]
        shift = np.clip(np.stack([shift_x, shift_y], axis=1), -FARTHEST, FARTHEST)
        share = smoothstep(ears_mask / 0.5) * (sign * side > 0)
        # From pixels to millimetres at each vertex's depth.
        moved[:, :2] += shift * share[:, None] * vertices[:, 2:] / focal
    return moved
