"""Soft outlines: from a probability of each pixel to how much of it is covered, along the picture's edges."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from portrait3d.compilation import compiled
from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.pictures import as_planes, resample
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.guided import CONTRAST, box_means, refine_matte

WORKING = 400
"""Longest side of the head crop at which its outline is found; finer photos get it enlarged."""
SURE = 0.04
"""Probabilities this near 0 or 1 are believed."""
FIRM = 0.5
"""Without a probability as high as this nearby there is nothing."""
BELT = 0.012
"""Half width of the belt beyond the sure regions in which the outline is looked for, of the crop's side."""
NOISE = 0.06
"""Colours of head and surroundings that differ by less than about this tell nothing."""


def soft_outline(
    pixels: UInt8[np.ndarray, "H W 3"],
    crop: Crop,
    probability: Float[Tensor, "size size"],
    alike: Float[Tensor, "size size"],
) -> Float[np.ndarray, "H W"]:
    """How much of each of a photo's pixels is what a crop's probability means; 0 beyond the crop.

    `alike` is 1 where the surroundings look like the thing itself, as neck does below a chin: colours say
    nothing about the outline there, and the probability decides.
    """
    height, width = pixels.shape[:2]
    matte = np.zeros((height, width), np.float32)
    left, top, right, bottom = _bounds(crop, probability > SURE, height, width)
    if left >= right or top >= bottom:
        return matte
    region = Image.fromarray(pixels[top:bottom, left:right])
    scale = min(1.0, WORKING / crop.side)
    size = (max(1, round(region.width * scale)), max(1, round(region.height * scale)))
    picture = as_planes(np.array(region.resize(size, Image.Resampling.BOX) if scale < 1 else region))
    x, y = (
        (torch.arange(count, dtype=torch.float32) + 0.5) * (full / count) + start
        for count, full, start in zip(size, region.size, (left, top), strict=True)
    )
    # From the photo to the crop that the probabilities were read in.
    grid = crop.crop_from_grid(x, y).mul_(2 / crop.size).sub_(1)
    target, near = functional.grid_sample(
        torch.stack([probability, alike])[None], grid[None], align_corners=False
    )[0]
    mixed = unmix(picture, target, max(1, round(BELT * crop.side * scale)))
    # As steep as the guided matte, so that both agree where one gives way to the other.
    sharp = ((target - 0.5) * CONTRAST + 0.5).clamp(0, 1)
    mixed = mixed + (sharp - mixed) * near
    matte[top:bottom, left:right] = resample(mixed[None], (region.height, region.width))[0].numpy()
    return matte


def _bounds(
    crop: Crop, mask: Bool[Tensor, "size size"], height: int, width: int
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the photo's pixels around a mask of a crop, with room; may be empty."""
    row, column = torch.nonzero(mask, as_tuple=True)
    if not len(row):
        return 0, 0, 0, 0
    # The matte may reach beyond the probabilities by its belt.
    room = 4 * BELT * crop.size
    x, y = ((float(line.min()) - room, float(line.max()) + 1 + room) for line in (column, row))
    corners = crop.photo_from_crop(torch.tensor([[a, b] for a in x for b in y]))
    left, top = corners.amin(0).floor().int().clamp(min=0).tolist()
    right, bottom = corners.amax(0).ceil().int().minimum(torch.tensor([width, height])).tolist()
    return left, top, right, bottom


def unmix(
    picture: Float[Tensor, "3 h w"], probability: Float[Tensor, "h w"], radius: int
) -> Float[Tensor, "h w"]:
    """A matte from a rough probability map, by the colours on both sides of its edge.

    In a belt about the edge, the colours of the sure regions are spread over the unknown one; a pixel's place
    on the line between both colours is its coverage (Chuang et al., "A Bayesian Approach to Digital Matting",
    CVPR 2001, with one colour a side). Where both look alike, or the pixel is off the line, the guided
    filter's matte counts instead.
    """
    # A trimap: surely inside, surely outside, and a belt about the edge.
    known = probability.numpy()
    inner = ~anywhere_near(known <= 1 - SURE, radius)
    # Faint guesses that nothing firm is near to are no strands.
    outer = ~(anywhere_near(known >= SURE, radius) & anywhere_near(known >= FIRM, 2 * radius))
    guided = refine_matte(picture, probability)
    # One colour for either side of the edge, continued into the belt.
    front = push_pull(picture, torch.from_numpy(inner).float())
    back = push_pull(picture, torch.from_numpy(outer).float())
    # Believe colours only near the rough edge: far from it they speak of texture.
    near = (4 * probability * (1 - probability)).clamp(min=0).sqrt()
    matte = np.where(inner, np.float32(1), np.float32(0))
    maps = (picture, front, back, guided, near)
    _mix(*(values.contiguous().numpy() for values in maps), inner | outer, matte)
    return torch.from_numpy(matte)


def anywhere_near(region: Bool[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    """Pixels with some of a region in the square of 2 radius + 1 pixels about them."""
    return box_means(torch.from_numpy(region).float()[None], radius)[0].numpy() > 0


@compiled
def _mix(picture, front, back, guided, near, sure, matte):
    noise = np.float32(NOISE**2 * 3)
    for row in range(len(matte)):
        for column in range(matte.shape[1]):
            if sure[row, column]:
                continue
            # The compositing equation I = a F + (1 - a) B, solved for a in the least squares over the
            # channels.
            along = square = missed = np.float32(0)
            for c in range(3):
                apart = front[c, row, column] - back[c, row, column]
                square += apart * apart
                along += (picture[c, row, column] - back[c, row, column]) * apart
            share = min(max(along / (square + np.float32(1e-6)), np.float32(0)), np.float32(1))
            for c in range(3):
                apart = front[c, row, column] - back[c, row, column]
                miss = picture[c, row, column] - back[c, row, column] - share * apart
                missed += miss * miss
            # Colours are believed where both sides differ by more than noise and the pixel lies on the line
            # between them.
            trust = square / (square + noise) * np.float32(NOISE**2) * np.float32(3) / (missed + noise)
            own = guided[row, column]
            mixed = own + (share - own) * (trust * near[row, column])
            matte[row, column] = min(max(mixed, np.float32(0)), np.float32(1))
