"""Drawing a moved surface into a part of the photo."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from portrait3d.geometry import Camera
from portrait3d.rendering.fragments import Fragments
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.openings import Painted
from portrait3d.reposing.surfaces import Surface, signed_area

STRETCHED, SMEARED = 3.0, 6.0
"""Surface drawn this many times larger than the photo shows it begins to fade, and is gone: the photo saw it
edge-on and says little about it."""
SMALL = 0.3
"""Area (pixels) below which sizes are not compared."""
EVENING = 2
"""How many rings of neighbours decide together whether surface is stretched."""


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

    @classmethod
    def nothing(cls, window: Window) -> "Drawing":
        """What is drawn of a surface without triangles."""
        return cls(
            colour=torch.zeros(3, *window.shape),
            alpha=torch.zeros(1, *window.shape),
            depth=torch.full(window.shape, torch.inf),
        )

    @property
    def shown(self) -> Float[Tensor, "1 h w"]:
        """1 on the surface."""
        return (self.depth < torch.inf).float()[None]

    def behind(self, other: "Drawing", gap: float) -> "Drawing":
        """This drawing, with the other one where it lies in front by more than `gap`, mm."""
        nearer = other.depth + gap < self.depth
        return Drawing(
            colour=torch.where(nearer, other.colour, self.colour),
            alpha=torch.where(nearer, other.alpha, self.alpha),
            depth=torch.where(nearer, other.depth, self.depth),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """The part of the photo that is drawn, and the photo's camera."""

    window: Window
    camera: Camera

    def draw(
        self,
        surface: Surface,
        turn: Turn,
        photo: Float[Tensor, "C h w"],
        texture: Float[Tensor, "3 Ht Wt"] | None = None,
        displacement: Float[np.ndarray, "M 3"] | None = None,
        sizes: Float[np.ndarray, " N"] | None = None,
    ) -> Drawing:
        """Turn a surface, after an expression's displacement of the head model, and look up its colours.

        `photo` holds colour and, as a fourth channel, opacity for the window's pixels; `texture` the colours
        of hidden triangles. With a texture, only triangles that face the camera are drawn; with the surface's
        `sizes` in the photo, what the turn stretches too much becomes transparent.
        """
        if not len(surface.faces):
            return Drawing.nothing(self.window)
        moved = surface.moved(turn, displacement)
        attributes = surface.uv
        if sizes is not None:
            turned = moved if displacement is None else surface.moved(turn, None)
            growth = self.sizes(surface, turned) / sizes
            share = np.clip((growth - STRETCHED) / (SMEARED - STRETCHED), 0, 1)
            trust = 1 - share * share * (3 - 2 * share)
            attributes = np.concatenate([attributes, trust[:, None]], axis=1)
        seen, place, margin = self._rasterize(moved, surface.faces, attributes, cull=texture is not None)
        index = seen.face_index[0]
        shown = index >= 0

        to_window = torch.tensor([self.window.left, self.window.top], dtype=torch.float32)[:, None, None]
        values = sample(photo, place[:2] - to_window)
        if sizes is not None:
            values[3:] *= place[2:]
        if texture is not None:
            hidden = torch.from_numpy(surface.hidden)[index.clamp_min(0)]
            scale = torch.tensor([texture.shape[2], texture.shape[1]])[:, None, None]
            other = sample(texture, place[:2] * scale)
            values = torch.where(hidden, torch.cat([other, torch.ones_like(values[:1])]), values)
        return _drawing(seen, values * shown, margin)

    def paint(
        self, surface: Painted, turn: Turn, displacement: Float[np.ndarray, "M 3"] | None = None
    ) -> Drawing:
        """Draw triangles in the colours of their vertices."""
        if not len(surface.faces):
            return Drawing.nothing(self.window)
        moved = turn.apply(surface.displaced(displacement))
        seen, colour, margin = self._rasterize(moved, surface.faces, surface.colours)
        shown = (seen.face_index >= 0).float()
        return _drawing(seen, torch.cat([colour * shown, shown]), margin)

    def _screen(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 2"]:
        """Where points of the photo's camera frame lie in the window, pixels."""
        offset = self.camera.principal.double().numpy() - np.array([self.window.left, self.window.top])
        return float(self.camera.focal) * points[:, :2] / points[:, 2:] + offset

    def sizes(self, surface: Surface, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
        """How large (pixels) the surface is around each of its vertices, if they lie at some points."""
        faces, count = surface.faces, len(surface.vertices)

        def about_vertices(values: Float[np.ndarray, " F"]) -> Float[np.ndarray, " N"]:
            return np.bincount(faces.ravel(), np.repeat(values, 3), count)

        size = about_vertices(np.abs(signed_area(self._screen(points), faces)) + SMALL)
        for _ in range(EVENING):
            size = about_vertices(size[faces].sum(axis=1))
        return np.maximum(size, SMALL)

    def _rasterize(
        self,
        points: Float[np.ndarray, "N 3"],
        faces: Int64[np.ndarray, "F 3"],
        attributes: Float[np.ndarray, "N C"],
        cull: bool = False,
    ) -> tuple[Fragments, Float[Tensor, "C h w"], tuple[int, int, int, int]]:
        """What is seen in the part of the window that triangles reach, the vertices' attributes there,
        and how far it is from there to the window's left, right, top and bottom."""
        height, width = self.window.shape
        screen = self._screen(points)
        x, y = (np.ascontiguousarray(line)[faces] for line in screen.T)
        low = np.floor([x.min(), y.min()]).astype(int).clip(1, [width, height]) - 1
        high = (np.ceil([x.max(), y.max()]).astype(int) + 1).clip(low + 1, [width, height])
        (left, top), (right, bottom) = low.tolist(), high.tolist()
        corners = torch.from_numpy(np.concatenate([screen - low, points[:, 2:]], axis=1)).float()
        triangles = torch.from_numpy(faces)
        seen = rasterize(corners[None], triangles, bottom - top, right - left, cull_backfaces=cull)
        values = interpolate(torch.from_numpy(attributes).float()[None], triangles, seen)[0]
        return seen, values, (left, width - right, top, height - bottom)


def _drawing(
    seen: Fragments,
    values: Float[Tensor, "4 h w"],
    margin: tuple[int, int, int, int],
) -> Drawing:
    """What was drawn in a part of the window, with nothing around it."""
    return Drawing(
        colour=F.pad(values[:3], margin),
        alpha=F.pad(values[3:], margin),
        depth=F.pad(seen.depth[0], margin, value=torch.inf),
    )


def sample(values: Float[Tensor, "C H W"], pixels: Float[Tensor, "2 h w"]) -> Float[Tensor, "C h w"]:
    """Look values up bilinearly at pixel coordinates (x, y); the border goes on beyond the picture."""
    scale = pixels.new_tensor([2 / values.shape[2], 2 / values.shape[1]])[:, None, None]
    grid = (pixels * scale - 1).permute(1, 2, 0)[None]
    return F.grid_sample(values[None], grid, padding_mode="border", align_corners=False)[0]
