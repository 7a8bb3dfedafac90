"""The pinhole camera that every picture and crop of the project is seen through."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera with square pixels, in the OpenCV convention.

    Axes: +x right, +y down, +z forward, in millimetres. Pixel coordinates are continuous: (0, 0) is the
    top left corner of the image and pixel [row, column] has its centre at (column + 0.5, row + 0.5).
    """

    focal: Float[Tensor, "*batch"]
    """Focal length, in pixels."""
    principal: Float[Tensor, "*batch 2"]
    """Principal point (cx, cy), in pixels."""
    height: int
    width: int

    def project(self, points: Float[Tensor, "*batch N 3"]) -> Float[Tensor, "*batch N 2"]:
        """Project camera-frame points (mm, z > 0) to pixels. Points with z <= 0 give meaningless pixels."""
        return points[..., :2] / points[..., 2:] * self.focal[..., None, None] + self.principal[..., None, :]

    def unproject(
        self, pixels: Float[Tensor, "*batch N 2"], depth: Float[Tensor, "*batch N"]
    ) -> Float[Tensor, "*batch N 3"]:
        """Lift pixels to camera-frame points (mm) whose z equals `depth` (mm). Inverse of `project`."""
        rays = (pixels - self.principal[..., None, :]) / self.focal[..., None, None]
        return torch.cat([rays * depth[..., None], depth[..., None]], dim=-1)

    def screen(self, points: Float[Tensor, "*batch N 3"]) -> Float[Tensor, "*batch N 3"]:
        """Pixels and depth of camera-frame points, (x px, y px, z mm): the rasteriser's input."""
        return torch.cat([self.project(points), points[..., 2:]], dim=-1)

    def resized(self, height: int, width: int) -> "Camera":
        """The same view at another resolution; the aspect ratio must stay."""
        scale = width / self.width
        if abs(self.height * scale - height) > 1:
            raise ValueError(
                f"Resizing {self.height}x{self.width} to {height}x{width} would stretch the picture."
            )
        return Camera(self.focal * scale, self.principal * scale, height, width)

    def pixel_centres(self) -> Float[Tensor, "H W 2"]:
        """Coordinates of every pixel's centre, (x, y)."""
        device, dtype = self.focal.device, self.focal.dtype
        y = torch.arange(self.height, device=device, dtype=dtype) + 0.5
        x = torch.arange(self.width, device=device, dtype=dtype) + 0.5
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
