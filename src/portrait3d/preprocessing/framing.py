"""Framings: how a network sees a head in a photo, as a plain crop, bent by tanh, or as the whole picture."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from portrait3d.geometry.tanh_warp import stretch, unwarp, warp
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.sampling import add_level

FRAMINGS = ("plain", "tanh", "whole")
"""The head crop; the RoI tanh-warp about the face; the whole picture resized."""
TANH_ZOOM = 0.5
"""Side of the box that the warp is about, over the head crop's: the face crop, 1.6 sizes of the landmarks."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A square picture of a photo: a crop, or what the RoI tanh-warp makes of the whole plane about it.

    Bent, the frame's pixel at u (-1 to 1 from border to border, each axis by itself) shows the photo at
    x = atanh(u) half sides of the crop, which turns with the crop's angle. Lin et al., "Face Parsing with RoI
    Tanh-Warping" (CVPR 2019). Pixel coordinates are continuous, as everywhere.
    """

    crop: Crop
    bent: bool = False

    @property
    def size(self) -> int:
        """Pixels along a side."""
        return self.crop.size

    def resized(self, size: int) -> "Frame":
        """The same view with another number of pixels."""
        return replace(self, crop=self.crop.resized(size))

    def photo_from_frame(self, points: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Move points from pixels of the frame to those of the photo; a bent frame ends at infinity."""
        if self.bent:
            half = self.size / 2
            points = unwarp(points / half - 1) * half + half
        return self.crop.photo_from_crop(points)

    def frame_from_photo(self, points: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Move points from pixels of the photo to pixels of the frame."""
        points = self.crop.crop_from_photo(points)
        if self.bent:
            half = self.size / 2
            points = warp(points / half - 1) * half + half
        return points

    def depth(self, points: Float[Tensor, "*batch 2"]) -> Float[Tensor, " *batch"]:
        """How far points given in its own pixels lie from its border, below zero beyond it."""
        x, y = (self.size / 2 - (points - self.size / 2).abs()).unbind(-1)
        return torch.minimum(x, y)

    def seen(self, points: Float[Tensor, "*batch 2"]) -> Bool[Tensor, "*batch"]:
        """Whether the frame reaches points given in its own pixels; bent, up to the outermost centres."""
        return self.depth(points) >= (0.5 if self.bent else 0.0)

    def density(self, points: Float[Tensor, "*batch 2"]) -> Float[Tensor, " *batch"]:
        """Frame pixels per photo pixel along a line, mean of both axes, at points given in its own pixels."""
        density = torch.full(points.shape[:-1], self.size / self.crop.side)
        if self.bent:
            # tanh rounds to 1 far away, where the stretch would be infinite.
            x, y = stretch(points / (self.size / 2) - 1).clamp(max=1e6).unbind(-1)
            density = density / (x * y).sqrt()
        return density

    def footprint(self) -> Float[Tensor, "size size"]:
        """Photo pixels along a side of each of the frame's pixels."""
        # The mean stretch of both axes is geometric, as in `density`: it keeps the area.
        line = self._line()
        along = (stretch(line) if self.bent else torch.ones_like(line)).sqrt()
        return along[:, None] * along * (self.crop.side / self.size)

    def positions(self) -> Float[Tensor, "size size 2"]:
        """Where the centres of the frame's pixels lie in the photo."""
        line = self._line()
        line = (unwarp(line) if self.bent else line) * (self.size / 2) + self.size / 2
        return self.crop.photo_from_grid(line, line)

    def extract(self, pixels: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "3 size size"]:
        """The picture, RGB in [0, 1], black beyond the photo; pixels are means over what they cover."""
        if not self.bent:
            return self.crop.extract(pixels)
        positions = self.positions()
        return read_pyramid(pixels, positions, self.footprint()) * inside(positions, *pixels.shape[:2])

    def extract_labels(
        self, labels: Integer[np.ndarray, "H W"], outside: int = 0
    ) -> Integer[np.ndarray, "size size"]:
        """The label under each pixel's centre, `outside` off the photo."""
        if not self.bent:
            return self.crop.extract_labels(labels, outside)
        positions = self.positions()
        found = labels_at(labels, positions)
        return np.where(inside(positions, *labels.shape).numpy(), found, labels.dtype.type(outside))

    def read(
        self, values: Float[Tensor, "C size size"], points: Float[Tensor, "*grid 2"]
    ) -> Float[Tensor, "C ..."]:
        """Read maps of the frame at points in its own pixels, bilinearly; the border's values beyond it."""
        grid = (points * (2 / self.size) - 1).reshape(1, 1, -1, 2).to(values.dtype)
        read = functional.grid_sample(values[None], grid, padding_mode="border", align_corners=False)
        return read.reshape(len(values), *points.shape[:-1])

    def _line(self) -> Float[Tensor, " size"]:
        """The pixels' centres along an axis, -1 to 1 from border to border."""
        return (torch.arange(self.size, dtype=torch.float32) + 0.5) * (2 / self.size) - 1


def frame_head(framing: str, head_crop: Crop, shape: tuple[int, ...], size: int) -> Frame:
    """How a framing shows the head in a head crop of a photo whose shape begins with height and width.

    Raises `ValueError` for a framing that is none of `FRAMINGS`.
    """
    if framing == "plain":
        return Frame(head_crop.resized(size))
    if framing == "tanh":
        return Frame(replace(head_crop, side=head_crop.side * TANH_ZOOM, size=size), bent=True)
    if framing == "whole":
        height, width = shape[:2]
        side = float(max(height, width))
        return Frame(Crop((width / 2, height / 2), side, 0.0, size, head_crop.zoom * side / head_crop.side))
    raise ValueError(f"A framing is one of {', '.join(FRAMINGS)}, got {framing!r}.")


def inside(positions: Float[Tensor, "*grid 2"], height: int, width: int) -> Bool[Tensor, " *grid"]:
    """Which points lie in a picture."""
    x, y = positions.unbind(-1)
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)


def labels_at(
    labels: Integer[np.ndarray, "H W"], positions: Float[Tensor, "*grid 2"]
) -> Integer[np.ndarray, "*grid"]:
    """The labels at points of a picture, and beyond it those at the nearest border."""
    height, width = labels.shape
    limit = torch.tensor([width - 1, height - 1])
    column, row = positions.floor().clamp(min=0).minimum(limit).long().unbind(-1)
    return labels[row.numpy(), column.numpy()]


def read_pyramid(
    pixels: UInt8[np.ndarray, "H W 3"], positions: Float[Tensor, "h w 2"], footprint: Float[Tensor, "h w"]
) -> Float[Tensor, "3 h w"]:
    """Read a picture at points that each stand for a square of `footprint` pixels, border values beyond.

    Returns RGB in [0, 1]. Trilinear reading of a pyramid (Williams, "Pyramidal Parametrics", SIGGRAPH 1983):
    level k holds means over 2^k pixels, and every point reads the two levels about its own.
    """
    height, width = pixels.shape[:2]
    level = footprint.clamp(min=1).log2()
    # Pixels that see nothing of the photo would ask for far coarser levels than any that counts.
    level = level.clamp(max=float(torch.where(inside(positions, height, width), level, 0).max()))
    positions, image = positions.clamp(-1e6, 1e6), Image.fromarray(pixels)
    total = torch.zeros(3, *positions.shape[:2])
    finest, coarsest = math.floor(float(level.min())), math.ceil(float(level.max()))
    image = image.reduce(2**finest) if finest else image
    for k in range(finest, coarsest + 1):
        image = image.reduce(2) if k > finest else image
        add_level(total, np.array(image) if k else pixels, 2**k, positions, 1 - (level - k).abs())
    return total
