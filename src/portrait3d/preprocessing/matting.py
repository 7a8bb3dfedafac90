"""Soft outlines: from a probability of each pixel to how much of it is covered, along the picture's edges."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from portrait3d.geometry.filling import as_planes, push_pull, resample
from portrait3d.preprocessing.alignment import Crop

RADIUS, SMOOTHNESS = 3, 1e-4
"""Window (pixels of the reduced picture) and regularisation of the guided filter."""
REDUCED = 256
"""Longest side at which the filter's coefficients are computed."""
CONTRAST = 1.6
"""Steepening of the filtered matte about one half."""
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
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    grid = crop.crop_from_photo(points) * (2 / crop.size) - 1
    target, near = functional.grid_sample(
        torch.stack([probability, alike])[None], grid[None], align_corners=False
    )[0]
    mixed = unmix(picture, target, max(1, round(BELT * crop.side * scale)))
    sharp = ((target - 0.5) * CONTRAST + 0.5).clamp(0, 1)
    mixed = mixed + (sharp - mixed) * near
    enlarged = Image.fromarray(mixed.numpy()).resize(region.size, Image.Resampling.BILINEAR)
    matte[top:bottom, left:right] = np.asarray(enlarged).clip(0, 1)
    return matte


def _bounds(
    crop: Crop, mask: Bool[Tensor, "size size"], height: int, width: int
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the photo's pixels around a mask of a crop, with room; may be empty."""
    row, column = torch.nonzero(mask, as_tuple=True)
    if not len(row):
        return 0, 0, 0, 0
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
    size = 2 * radius + 1
    inner = ndimage.minimum_filter(probability.numpy(), size) > 1 - SURE
    outer = ndimage.maximum_filter(probability.numpy(), size) < SURE
    # Faint guesses that nothing firm is near to are no strands.
    outer |= ndimage.maximum_filter(probability.numpy(), 2 * size - 1) < FIRM
    sure_in, sure_out = torch.from_numpy(inner), torch.from_numpy(outer)
    guided = refine_matte(picture, probability)
    front = push_pull(picture, sure_in.float())
    back = push_pull(picture, sure_out.float())
    apart = front - back
    square = apart.square().sum(0)
    share = ((picture - back) * apart).sum(0) / (square + 1e-6)
    share = share.clamp(0, 1)
    missed = (picture - back - share * apart).square().sum(0)
    trust = square / (square + NOISE**2 * 3) * NOISE**2 * 3 / (missed + NOISE**2 * 3)
    # Believe colours only near the rough edge: far from it they speak of texture.
    near = (4 * probability * (1 - probability)).sqrt()
    mixed = guided + (share - guided) * (trust * near)
    return torch.where(sure_in, 1.0, torch.where(sure_out, 0.0, mixed)).clamp(0, 1)


def refine_matte(picture: Float[Tensor, "3 h w"], probability: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Move the soft edge of a probability map to the picture's edges.

    Colour guided filter (He et al., ECCV 2010) in its fast form: coefficients at a reduced size, applied to
    the picture itself. Only the belt about the edge is filtered.
    """
    height, width = probability.shape
    scale = min(1.0, REDUCED / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    guide, target = resample(picture, size), resample(probability[None], size)
    radius = max(1, round(RADIUS * max(size) / REDUCED))
    gain, bias = _guided_coefficients(guide, target, radius)
    gain, bias = resample(gain, (height, width)), resample(bias, (height, width))
    filtered = (gain * picture).sum(0) + bias[0]
    matte = ((filtered - 0.5) * CONTRAST + 0.5).clamp(0, 1)
    share = _box((target > 0.5).float(), 2 * radius)
    share = resample(share, (height, width))[0]
    matte = torch.where(share < 1e-3, torch.zeros_like(matte), matte)
    return torch.where(share > 1 - 1e-3, torch.ones_like(matte), matte)


def _guided_coefficients(
    guide: Float[Tensor, "3 h w"], target: Float[Tensor, "1 h w"], radius: int
) -> tuple[Float[Tensor, "3 h w"], Float[Tensor, "1 h w"]]:
    """The filter's linear model target = gain . guide + bias, averaged over all windows of a pixel."""
    products = torch.stack([guide[i] * guide[j] for i in range(3) for j in range(i, 3)])
    means = _box(torch.cat([guide, target, guide * target, products]), radius)
    mean, mean_target, mixed, second = means[:3], means[3:4], means[4:7], means[7:]
    covariance = torch.zeros(3, 3, *guide.shape[-2:])
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    for k, (i, j) in enumerate(pairs):
        covariance[i, j] = covariance[j, i] = second[k] - mean[i] * mean[j]
    covariance = covariance.permute(2, 3, 0, 1) + SMOOTHNESS * torch.eye(3)
    slope = (mixed - mean * mean_target).permute(1, 2, 0)[..., None]
    gain = _solve_symmetric(covariance, slope)[..., 0].permute(2, 0, 1)
    bias = mean_target - (gain * mean).sum(0, keepdim=True)
    smooth = _box(torch.cat([gain, bias]), radius)
    return smooth[:3], smooth[3:]


def _solve_symmetric(
    matrix: Float[Tensor, "h w 3 3"], right: Float[Tensor, "h w 3 1"]
) -> Float[Tensor, "h w 3 1"]:
    """Solve many 3 x 3 systems by the adjugate: far faster than a batched factorisation."""
    columns = matrix.unbind(-1)
    adjugate = torch.stack(
        [torch.linalg.cross(columns[(k + 1) % 3], columns[(k + 2) % 3], dim=-1) for k in range(3)], dim=-2
    )
    determinant = (columns[0] * adjugate[..., 0, :]).sum(-1)[..., None, None]
    return adjugate @ right / determinant


def _box(values: Float[Tensor, "C h w"], radius: int) -> Float[Tensor, "C h w"]:
    """Mean over square windows; running sums, so that the window's size costs nothing."""
    size = 2 * radius + 1
    rows = ndimage.uniform_filter1d(values.numpy(), size, axis=1, mode="nearest")
    return torch.from_numpy(ndimage.uniform_filter1d(rows, size, axis=2, mode="nearest"))
