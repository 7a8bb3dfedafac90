"""The photo without the head: what may come to light when the head turns."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from portrait3d.geometry.filling import push_pull, resample

REDUCED = 384
"""Longest side at which holes are filled; what fills them is smooth."""


def grow(mask: Float[Tensor, "h w"], radius: float) -> Float[Tensor, "h w"]:
    """Dilate a mask by about a radius in pixels (a square window, computed at a reduced size if it is large)."""
    step = max(1, int(radius / 4))
    height, width = mask.shape
    small = F.max_pool2d(mask[None, None], step, step, ceil_mode=True)
    size = round(radius / step)
    small = F.max_pool2d(small, 2 * size + 1, 1, size)
    enlarged = F.interpolate(small, scale_factor=float(step), mode="nearest")[0, 0]
    return enlarged[:height, :width]


def fill_plate(
    picture: Float[Tensor, "3 h w"], hole: Float[Tensor, "h w"], body: Float[Tensor, "h w"]
) -> Float[Tensor, "3 h w"]:
    """Fill a hole in the photo, body and background apart, each with its own colours.

    Args:
        picture: The photo, RGB.
        hole: 1 where the photo is not to be used.
        body: Probability of body (clothes, shoulders) against background, where `hole` is 0.
    """
    height, width = hole.shape
    scale = min(1.0, REDUCED / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = resample(picture, size)
    known = (1 - resample(hole[None], size)[0] > 0.999).float()
    is_body = resample(body[None], size)[0]
    inner_body, inner_background = (is_body > 0.9).float() * known, (is_body < 0.1).float() * known
    share = push_pull(is_body[None], known)
    share = ((share - 0.5) * 4 + 0.5).clamp(0, 1)
    behind = push_pull(small, inner_background) if inner_background.any() else push_pull(small, known)
    before = push_pull(small, inner_body) if inner_body.any() else behind
    filled = resample(behind + (before - behind) * share, (height, width))
    return torch.where(hole[None] > 0, filled, picture)
