"""The photo's layers: what moves without what is behind it, and what is behind without what moves."""

from jaxtyping import Float
from torch import Tensor

from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.pictures import resample

REDUCED = 384
"""Longest side at which holes are filled; what fills them is smooth."""


def fill_clean_plate(
    picture: Float[Tensor, "3 h w"], hole: Float[Tensor, "h w"], body: Float[Tensor, "h w"]
) -> Float[Tensor, "3 h w"]:
    """Fill a hole in the photo, body and background apart, each with its own colours.

    Args:
        picture: The photo, RGB.
        hole: How far the photo is replaced, 0 to 1.
        body: Probability of body (clothes, shoulders) against background, where `hole` is 0.
    """
    height, width = hole.shape
    scale = min(1.0, REDUCED / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = resample(picture, size)
    # Only what lies wholly outside the hole: a mixed pixel would bring the head's colours back.
    known = (1 - resample((hole > 0).float()[None], size)[0] > 0.999).float()
    is_body = resample(body[None], size)[0]
    inner_body, inner_background = (is_body > 0.9).float() * known, (is_body < 0.1).float() * known
    share = push_pull(is_body[None], known)
    # A spread label would blur the shoulder into the background: sharpened about one half, its border goes
    # on.
    share = ((share - 0.5) * 4 + 0.5).clamp(0, 1)
    behind = push_pull(small, inner_background) if inner_background.any() else push_pull(small, known)
    before = push_pull(small, inner_body) if inner_body.any() else behind
    filled = resample(behind + (before - behind) * share, (height, width))
    return filled.sub_(picture).mul_(hole).add_(picture)
