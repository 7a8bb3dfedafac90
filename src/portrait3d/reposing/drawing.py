"""Drawing a moved surface into a part of the photo."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.surfaces import Surface, signed_area

STRETCH = 4.0
"""Triangles drawn this many times larger than the photo shows them say little about what is there."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the photo, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def rows(self) -> slice:
        """The photo's rows."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """The photo's columns."""
        return slice(self.left, self.right)


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A surface as seen in the window after the turn."""

    colour: Float[Tensor, "3 h w"]
    alpha: Float[Tensor, "1 h w"]
    depth: Float[Tensor, "h w"]
    """mm; infinite beside the surface."""
    doubtful: Float[Tensor, "h w"]
    """1 where the colour is stretched or not the photo's."""


def draw(
    surface: Surface,
    turn: Turn,
    window: Window,
    focal: float,
    principal: tuple[float, float],
    photo: Float[Tensor, "C h w"],
    texture: Float[Tensor, "3 Ht Wt"] | None = None,
    cull: bool = False,
) -> Drawing:
    """Turn a surface and look up its colours.

    `photo` holds colour and, as a fourth channel, opacity for the window's pixels; `texture` the colours of
    hidden triangles.
    """
    height, width = window.shape
    moved = turn.apply(surface.vertices, surface.follow)
    offset = np.array(principal) - np.array([window.left, window.top])
    screen = focal * moved[:, :2] / moved[:, 2:] + offset
    before = focal * surface.vertices[:, :2] / surface.vertices[:, 2:] + offset
    used = screen[surface.faces]
    low = np.clip(np.floor(used.min(axis=(0, 1))).astype(int) - 1, 0, [width - 1, height - 1])
    high = np.clip(np.ceil(used.max(axis=(0, 1))).astype(int) + 1, low + 1, [width, height])
    (left, top), (right, bottom) = low, high

    corners = torch.from_numpy(np.concatenate([screen - low, moved[:, 2:]], axis=1)).float()
    faces = torch.from_numpy(surface.faces)
    seen = rasterize(corners[None], faces, int(bottom - top), int(right - left), cull_backfaces=cull)
    attributes = torch.from_numpy(surface.uv).float()
    place = interpolate(attributes[None], faces, seen)[0]
    index = seen.face_index[0]
    shown = index >= 0
    safe = index.clamp_min(0)

    to_window = torch.tensor([window.left, window.top], dtype=torch.float32)[:, None, None]
    values = sample(photo, place - to_window)
    hidden = torch.from_numpy(surface.hidden)[safe] & shown
    if texture is not None and bool(hidden.any()):
        scale = torch.tensor([texture.shape[2], texture.shape[1]])[:, None, None]
        other = sample(texture, place * scale)
        opaque = torch.ones_like(values[:1])
        values = torch.where(hidden, torch.cat([other, opaque]), values)
    growth = np.abs(signed_area(screen, surface.faces)) / np.maximum(
        np.abs(signed_area(before, surface.faces)), 1e-3
    )
    stretched = torch.from_numpy(growth > STRETCH)[safe] & shown
    values = values * shown

    def place_back(part: Tensor, fill: float = 0.0) -> Tensor:
        pad = (int(left), width - int(right), int(top), height - int(bottom))
        return F.pad(part, pad, value=fill)

    return Drawing(
        colour=place_back(values[:3]),
        alpha=place_back(values[3:]),
        depth=place_back(seen.depth[0], torch.inf),
        doubtful=place_back((hidden | stretched).float()),
    )


def sample(values: Float[Tensor, "C H W"], pixels: Float[Tensor, "2 h w"]) -> Float[Tensor, "C h w"]:
    """Look values up bilinearly at pixel coordinates (x, y); the border goes on beyond the picture."""
    scale = pixels.new_tensor([2 / values.shape[2], 2 / values.shape[1]])[:, None, None]
    grid = (pixels * scale - 1).permute(1, 2, 0)[None]
    return F.grid_sample(values[None], grid, padding_mode="border", align_corners=False)[0]
