"""Depth maps: a depth for some pixels of a camera's picture."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from portrait3d.geometry.camera import Camera


@dataclass(frozen=True, slots=True)
class DepthMap:
    """Depth along the camera's z axis, in millimetres, at pixel centres."""

    depth: Float[Tensor, "*batch H W"]
    """Millimetres; finite where `valid`, otherwise without meaning."""
    valid: Bool[Tensor, "*batch H W"]
    camera: Camera

    def points(self) -> Float[Tensor, "*batch H W 3"]:
        """Camera-frame points (mm) of all pixels; zeros where not `valid`."""
        depth = torch.where(self.valid, self.depth, torch.zeros_like(self.depth))
        pixels = self.camera.pixel_centres().flatten(0, 1).expand(*depth.shape[:-2], -1, 2)
        return self.camera.unproject(pixels, depth.flatten(-2)).unflatten(-2, depth.shape[-2:])
