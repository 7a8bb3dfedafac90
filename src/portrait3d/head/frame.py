"""The crop that shows the whole head with its hair, and what photo and networks say in it."""

import math
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.geometry.camera import Camera
from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_view import (
    HairView,
    hair_outline,
    rounded,
    settled_back,
    settled_front,
    shown_hair,
)
from portrait3d.head.layout import SIDES
from portrait3d.head.scene import Scene
from portrait3d.models.depth_net import HeadDepth
from portrait3d.models.head_parsing import GROWTH, HeadParsing
from portrait3d.parsing_classes import HAIRY
from portrait3d.preprocessing.alignment import Crop

TEXTURES = (512, 2048, 4096)
"""Least, usual and largest bound of a texture's side, pixels; a smaller photo gives a smaller one."""
BORDER = 3
"""Hair this near to the head crop's border, pixels, leaves it."""


def whole_head(head_crop: Crop, labels: UInt8[np.ndarray, "size size"]) -> Crop:
    """The head crop, or, if hair leaves it, a larger one with the same pixels in the middle.

    It is as large as parsing looks (`head_parsing.GROWTH`).
    """
    hair = np.isin(labels, HAIRY)
    hair[BORDER:-BORDER, BORDER:-BORDER] = False
    if not hair.any():
        return head_crop
    # Even, so that the head crop is exactly its middle.
    size = 2 * round(head_crop.size * GROWTH / 2)
    factor = size / head_crop.size
    return replace(head_crop, side=head_crop.side * factor, size=size, zoom=head_crop.zoom * factor)


def texture_size(head_crop: Crop, largest: int) -> int:
    """Pixels of the head crop's side in the texture, half of its own: no fewer than the photo has, unless
    that made it larger than `largest`."""
    return min(largest // SIDES, max(head_crop.size, 2 * math.ceil(head_crop.side / 2)))


def see_scene(
    pixels: UInt8[np.ndarray, "H W 3"], parsing: HeadParsing, head_crop: Crop, frame: Crop, size: int
) -> Scene:
    """Picture, classes and matte of the photo in the frame; the head crop's side gets `size` pixels."""
    fine = frame.resized(math.ceil(size * frame.size / head_crop.size))
    grey = np.round(parsing.matte * 255).astype(np.uint8)
    return Scene.of(fine.extract(pixels), frame.extract_labels(parsing.labels), fine.extract(grey)[0])


def see_hair(model: FittedHead, labels: UInt8[np.ndarray, "S S"], depth: HeadDepth, frame: Crop) -> HairView:
    """Hair's front, back and place in the frame.

    Args:
        model: The head model as the frame's camera sees it.
        labels: Classes of the frame's pixels.
        depth: First and last surface, in the wide crop's camera.
        frame: `whole_head`.
    """
    camera = frame.camera()
    maps = [depth.front, depth.back, depth.back_hair, depth.back_scale]
    # From the depth network's crop to the frame, whose pixels are finer.
    hidden, back, is_hair, error = seen_by(torch.stack(maps), depth.camera, camera).double().numpy()
    hair = shown_hair(labels)
    front = settled_front(hidden, hair, model.depth)
    inside = hair_outline(labels, hair, is_hair)
    front, back = rounded(
        front,
        settled_back(back, error, inside),
        inside,
        float(np.median(model.depth[np.isfinite(model.depth)])) / float(camera.focal),
    )
    return HairView(
        focal=float(camera.focal),
        labels=labels,
        hair=hair,
        inside=inside,
        front=front,
        hidden=hidden,
        back=back,
        back_is_hair=is_hair,
        skin=model.depth,
    )


def seen_by(maps: Float[Tensor, "C h w"], camera: Camera, other: Camera) -> Float[Tensor, "C H W"]:
    """Maps of one crop's pixels in another crop with the same centre and angle; the border goes on beyond."""
    rows, columns = torch.meshgrid(
        torch.arange(other.height) + 0.5, torch.arange(other.width) + 0.5, indexing="ij"
    )
    # Same centre and angle: the two crops differ by a scale alone.
    scale = camera.focal / other.focal
    x = (columns - other.principal[0]) * scale / camera.width * 2
    y = (rows - other.principal[1]) * scale / camera.height * 2
    grid = torch.stack([x, y], dim=-1)[None].float()
    return F.grid_sample(maps[None].float(), grid, padding_mode="border", align_corners=False)[0]
