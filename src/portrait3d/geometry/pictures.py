"""Pictures as planes and as bytes, at another size, and read between their pixels."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.compilation import compiled


def as_planes(picture: np.ndarray) -> Float[Tensor, "C H W"]:
    """A uint8 picture [H, W, C] as float planes in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float() / 255


def as_bytes(picture: Float[Tensor, "C H W"]) -> UInt8[np.ndarray, "H W C"]:
    """Float planes as a uint8 picture."""
    channels, *size = picture.shape
    pixels = np.empty((*size, channels), np.uint8)
    _as_bytes(picture.detach().contiguous().numpy(), pixels)
    return pixels


def colour_bytes(colours: Float[np.ndarray, "N C"]) -> UInt8[np.ndarray, "N C"]:
    """Float colours as uint8."""
    return np.round(colours.clip(0, 1) * 255).astype(np.uint8)


def resample(values: Float[Tensor, "C H W"], size: tuple[int, int]) -> Float[Tensor, "C h w"]:
    """Enlarge or reduce maps bilinearly; pixel centres stay where they are."""
    if values.shape[-2:] == size:
        return values
    # Only reducing needs a low-pass filter against aliasing.
    reduce = size[0] < values.shape[-2]
    return F.interpolate(values[None], size=size, mode="bilinear", antialias=reduce, align_corners=False)[0]


def sample(values: Float[Tensor, "C H W"], places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N C"]:
    """Values at places (x, y), 0 to 1 across the picture, bilinear; the border goes on beyond it."""
    (found,) = sample_each([values], places)
    return found


def sample_each(
    pictures: Sequence[Float[Tensor, "_ _ _"]], places: Float[np.ndarray, "N 2"]
) -> list[Float[np.ndarray, "N _"]]:
    """The same of several pictures, each of its own size."""
    grid = torch.from_numpy(places.astype(np.float32)).mul_(2).sub_(1)[None, None]
    found = [
        F.grid_sample(values[None].float(), grid, padding_mode="border", align_corners=False)
        for values in pictures
    ]
    return [values[0, :, 0].T.numpy() for values in found]


def weighted_median(
    values: Float[np.ndarray, "N C"], weight: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " C"]:
    """The value of each channel that half of the weight lies below."""
    order = values.argsort(axis=0)
    total = np.cumsum(weight[order], axis=0)
    # Each channel by itself: the median need not be one of the colours.
    place = (total >= total[-1] / 2).argmax(axis=0)
    columns = np.arange(values.shape[1])
    return values[order[place, columns], columns]


@compiled
def _as_bytes(planes, pixels):
    for row in range(pixels.shape[0]):
        for c in range(len(planes)):
            line = planes[c, row]
            for column in range(pixels.shape[1]):
                value = min(max(line[column], np.float32(0)), np.float32(1)) * np.float32(255)
                pixels[row, column, c] = np.uint8(np.rint(value))
