"""Which pixels of the photo move with the head, and which come to light behind it."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.sheet import HAIR, HEAD, HEADWEAR, NECK, is_bald
from portrait3d.portrait import Portrait
from portrait3d.reposing.drawing import Drawing, Window
from portrait3d.reposing.motion import Turn

HOLE_INNER, HOLE_OUTER = 2.5, 5.0
"""Distance from the head (pixels of the head crop) up to which the photo's background is replaced, and from
which it is kept; stray hair and the light rims of bad edges lie between."""
FARTHEST = 12.0
"""Distance from what is surely head or neck (pixels of the head crop) beyond which all is kept."""
RIM, HAIR_RIM = 2.0, 4.0
"""Width of the outline (pixels of the head crop) whose colours are taken from further inside, and the same
for wide hair, which the background shines through."""
REACH = 48
"""How far from where they are (pixels of the head crop) head and neck may come."""


def turning_window(portrait: Portrait) -> Window:
    """The part of the photo that head and neck may reach when they turn."""
    height, width = portrait.photo.pixels.shape[:2]
    size = portrait.head_crop.size
    row, column = np.nonzero(np.isin(portrait.head_parsing.head_labels, (*HEAD, NECK)))
    if not len(row):
        row = column = np.arange(size)
    left, right = max(column.min() - REACH, 0), min(column.max() + 1 + REACH, size)
    top, bottom = max(row.min() - REACH, 0), min(row.max() + 1 + REACH, size)
    corners = torch.tensor([[x, y] for x in (left, right) for y in (top, bottom)], dtype=torch.float32)
    corners = portrait.head_crop.photo_from_crop(corners).numpy()
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, [width - 1, height - 1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), [left + 1, top + 1], [width, height])
    return Window(int(left), int(top), int(right), int(bottom))


def hole_weight(head: Float[np.ndarray, "S S"], neck: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
    """1 where the photo shows head or neck and close to the head, falling to 0 further out."""
    from_head = ndimage.distance_transform_edt(head < 0.2)
    weight = np.clip((HOLE_OUTER - from_head) / (HOLE_OUTER - HOLE_INNER), 0, 1)
    from_neck = ndimage.distance_transform_edt(neck < 0.3)
    weight = np.maximum(weight, np.clip(2.0 - from_neck, 0, 1))
    # Faint guesses reach no farther.
    from_sure = ndimage.distance_transform_edt(np.maximum(head, neck) < 0.5)
    return weight * np.clip(FARTHEST - from_sure, 0, 1)


def inside_rim(labels: UInt8[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
    """1 where the photo shows the head's own colours, 0 at its outline, where the background's mix in."""
    hair = np.isin(labels, (HAIR, HEADWEAR))
    inner = np.isin(labels, HEAD) & ~(hair & is_bald(labels))
    # A strip of hair that is narrower has no colours further inside: those would be the skin's.
    wide = ndimage.binary_opening(hair, iterations=round(HAIR_RIM) + 1)
    return np.clip(ndimage.distance_transform_edt(inner) - np.where(wide, HAIR_RIM, RIM), 0, 1)


def moving_share(portrait: Portrait, at_rest: Turn) -> Float[np.ndarray, "S S"]:
    """1 where head, hair and neck move with the head; 0 at the shoulders, where nothing comes to light."""
    crop, size = portrait.head_crop, portrait.head_crop.size
    pixels = crop.photo_from_crop(crop.camera().pixel_centres()).reshape(-1, 2)
    depth = torch.full((len(pixels),), float(at_rest.pivot[2]))
    points = portrait.camera.unproject(pixels, depth).double().numpy()
    return np.clip((at_rest.following(points).reshape(size, size) - 0.03) / 0.12, 0, 1)


def soft_alpha(drawing: Drawing, behind: Drawing, gap: float) -> Float[Tensor, "1 h w"]:
    """The drawing's opacity where nothing of another one lies before it by more than `gap`, mm.

    The matte softens the outline that the photo shows. Where the turned surface ends before itself or before
    what is behind it, this does.
    """
    return drawing.alpha * blur((drawing.depth < behind.depth + gap).float()[None], 1)


def left_by(cover: Drawing, drawing: Drawing, gap: float) -> Float[Tensor, "1 h w"]:
    """Share of each pixel of a drawing that one before it leaves, by more than `gap`, mm."""
    return 1 - cover.alpha * (cover.depth + gap < drawing.depth)


def spread_out(drawing: Drawing) -> Float[Tensor, "3 h w"]:
    """The drawing's colours beyond its edges, by a pixel."""
    shown = drawing.shown
    total = blur(torch.cat([drawing.colour * shown, shown]), 1)
    return torch.where(shown > 0, drawing.colour, total[:3] / total[3:].clamp_min(1e-6))


def soften(unknown: Float[Tensor, "1 h w"]) -> Float[Tensor, "1 h w"]:
    """Edges a few pixels wide, so that what fills a hole meets what surrounds it gradually."""
    return torch.minimum(blur(unknown, max(1, max(unknown.shape) // 300)), unknown * 4)


def blur(values: Float[Tensor, "C h w"], radius: int) -> Float[Tensor, "C h w"]:
    """Mean over small square windows; the border goes on beyond the picture."""
    size, (height, width) = 2 * radius + 1, values.shape[1:]
    padded = F.pad(values[None], (radius,) * 4, mode="replicate")[0]
    rows = padded[..., :width].clone()
    for shift in range(1, size):
        rows += padded[..., shift : shift + width]
    total = rows[:, :height].clone()
    for shift in range(1, size):
        total += rows[:, shift : shift + height]
    return total / size**2


def box_around(mask: Bool[Tensor, "h w"], margin: int) -> tuple[slice, slice]:
    """Rows and columns of the box around a mask, with a margin; empty slices for an empty mask."""
    bounds = []
    for axis, length in ((1, mask.shape[0]), (0, mask.shape[1])):
        at = mask.any(dim=axis).nonzero()[:, 0]
        low, high = (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)
        bounds.append(slice(max(0, low - margin), min(length, high + margin)) if high else slice(0, 0))
    return bounds[0], bounds[1]
