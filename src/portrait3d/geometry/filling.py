"""Spreading known colours smoothly over unknown pixels."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def push_pull(
    values: Float[Tensor, "C H W"], weight: Float[Tensor, "H W"], floor: float = 1e-4
) -> Float[Tensor, "C H W"]:
    """Keep values of weight 1 and fill where the weight falls to 0 from coarser and coarser averages.

    The push-pull pyramid of Gortler et al., "The Lumigraph" (1996): every level is the weighted mean of 2 x 2
    pixels with its weights saturated at 1, so that few known pixels suffice to decide a coarse one. Zero
    everywhere if no weight is above `floor`.
    """
    levels = [(values * weight, weight[None])]
    while min(levels[-1][1].shape[-2:]) > 1:
        premultiplied, known = levels[-1]
        pad = (0, known.shape[-1] % 2, 0, known.shape[-2] % 2)
        premultiplied = F.avg_pool2d(F.pad(premultiplied, pad)[None], 2)[0] * 4
        known = F.avg_pool2d(F.pad(known, pad)[None], 2)[0] * 4
        scale = known.clamp(max=1.0) / known.clamp_min(floor)
        levels.append((premultiplied * scale, known * scale))
    premultiplied, known = levels[-1]
    filled = premultiplied / known.clamp_min(floor)
    for premultiplied, known in levels[-2::-1]:
        height, width = known.shape[-2:]
        coarse = F.interpolate(filled[None], scale_factor=2.0, mode="bilinear", align_corners=False)[0]
        filled = premultiplied + (1 - known) * coarse[:, :height, :width]
    return filled


def resample(values: Float[Tensor, "C H W"], size: tuple[int, int]) -> Float[Tensor, "C h w"]:
    """Enlarge or reduce maps bilinearly; pixel centres stay where they are."""
    if values.shape[-2:] == size:
        return values
    reduce = size[0] < values.shape[-2]
    return F.interpolate(values[None], size=size, mode="bilinear", antialias=reduce, align_corners=False)[0]


def as_planes(picture: np.ndarray) -> Float[Tensor, "C H W"]:
    """A uint8 picture [H, W, C] as float planes in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255
