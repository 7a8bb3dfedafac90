"""Drawing moved surfaces into a part of the photo."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from portrait3d.compilation import compiled
from portrait3d.geometry import Camera
from portrait3d.rendering.interpolation import interpolate_seen
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.reposing.regions import Window

EDGE = 4.0
"""Neighbouring pixels whose depths differ by more (mm) show different things, with a soft edge between."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What the window's pixels show of a surface: K of them, in a box of h x w."""

    box: tuple[slice, slice]
    """Rows and columns of the window that the surface reaches."""
    place: Int64[Tensor, " K"]
    """Flat index of the pixel in the box."""
    face: Int64[Tensor, " K"]
    values: Float[Tensor, "C K"]
    """Attributes of the vertices, interpolated."""
    depth: Float[Tensor, "h w"]
    """mm; infinite beside the surface."""

    def spread(
        self, values: Float[Tensor, "C K"], depth: Float[Tensor, "h w"] | None = None
    ) -> tuple[Float[Tensor, "C h w"], Float[Tensor, "1 h w"]]:
        """Values of the pixels as maps with soft edges, and how much of each pixel is covered.

        `depth` replaces the surface's own: where it is infinite, something hides the surface.
        """
        depth = self.depth if depth is None else depth
        maps = torch.zeros(len(values), *depth.shape)
        _put(values.numpy(), self.place.numpy(), maps.flatten(1).numpy())
        covered = torch.empty(1, *depth.shape)
        _soften(maps.numpy(), depth.numpy(), covered[0].numpy())
        return maps, covered


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """The part of the photo that is drawn, and the photo's camera."""

    window: Window
    camera: Camera

    def draw(
        self,
        points: Float[np.ndarray, "N 3"],
        faces: Int64[np.ndarray, "F 3"],
        attributes: Float[np.ndarray, "N C"],
    ) -> Drawing:
        """Draw triangles at points of the camera's frame (mm), the nearest of them in every pixel."""
        screen = self.camera.screen(torch.from_numpy(points).float())
        screen -= torch.tensor([self.window.left, self.window.top, 0.0])
        height, width = self.window.shape
        # A pixel more on all sides is there to be softened.
        low = (screen[:, :2].amin(0).floor().int() - 1).tolist()
        high = (screen[:, :2].amax(0).ceil().int() + 1).tolist()
        left, top = (min(max(0, k), side - 1) for k, side in zip(low, (width, height), strict=True))
        right, bottom = (
            max(first + 1, min(k, side))
            for k, first, side in zip(high, (left, top), (width, height), strict=True)
        )
        triangles = torch.from_numpy(faces)
        screen -= torch.tensor([left, top, 0.0])
        seen = rasterize(screen[None], triangles, bottom - top, right - left)
        place, values = interpolate_seen(torch.from_numpy(attributes).float(), triangles, seen)
        box = slice(top, bottom), slice(left, right)
        return Drawing(box, place, seen.face_index.flatten()[place], values, seen.depth[0])


def read(picture: Shaped[np.ndarray, "H W C"], x: Tensor, y: Tensor) -> Float[Tensor, "C K"]:
    """Look values up bilinearly at pixel coordinates; the border goes on beyond the picture.

    Bytes become numbers in [0, 1].
    """
    out = np.empty((picture.shape[2], len(x)), np.float32)
    scale = np.float32(1 / 255 if picture.dtype == np.uint8 else 1)
    _read(picture, x.contiguous().numpy(), y.contiguous().numpy(), scale, out)
    return torch.from_numpy(out)


def read_maps(maps: Float[Tensor, "C H W"], x: Tensor, y: Tensor) -> Float[Tensor, "C K"]:
    """The same for maps one after the other: for few places, which don't make up for laying them side by
    side."""
    out = np.empty((len(maps), len(x)), np.float32)
    x, y = x.contiguous(), y.contiguous()
    near = np.empty(maps.shape[1:], np.float32)
    for values, found in zip(maps.numpy(), out, strict=True):
        # A copy, going through memory in order, is in the processor's cache when places here and there are
        # read: a third of the time.
        np.copyto(near, values)
        _read_map(near.ravel(), *near.shape, x.numpy(), y.numpy(), found)
    return torch.from_numpy(out)


@compiled
def _put(values, place, maps):
    for c in range(len(values)):
        for k in range(len(place)):
            maps[c, place[k]] = values[c, k]


@compiled
def _read(picture, x, y, scale, out):
    height, width, channels = picture.shape
    half, one = np.float32(0.5), np.float32(1)
    for k in range(len(x)):
        across = min(max(x[k] - half, np.float32(0)), np.float32(width - 1))
        down = min(max(y[k] - half, np.float32(0)), np.float32(height - 1))
        left, top = int(across), int(down)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        a, b = across - np.float32(left), down - np.float32(top)
        for c in range(channels):
            upper = picture[top, left, c] * (one - a) + picture[top, right, c] * a
            lower = picture[bottom, left, c] * (one - a) + picture[bottom, right, c] * a
            out[c, k] = (upper * (one - b) + lower * b) * scale


@compiled
def _read_map(values, height, width, x, y, out):
    half, one = np.float32(0.5), np.float32(1)
    for k in range(len(x)):
        across = min(max(x[k] - half, np.float32(0)), np.float32(width - 1))
        down = min(max(y[k] - half, np.float32(0)), np.float32(height - 1))
        left, top = np.int32(across), np.int32(down)
        fx, fy = across - np.float32(left), down - np.float32(top)
        # Unsigned, as an index below 0 would count from the end: this loop becomes vector instructions.
        place = np.uint64(top * width + left)
        right = np.uint64(left < width - 1)
        below = place + np.uint64(width * (top < height - 1))
        upper = values[place] * (one - fx) + values[place + right] * fx
        lower = values[below] * (one - fx) + values[below + right] * fx
        out[k] = upper * (one - fy) + lower * fy


def _soften(
    maps: Float[np.ndarray, "C h w"], depth: Float[np.ndarray, "h w"], covered: Float[np.ndarray, "h w"]
) -> None:
    """At edges, the mean of what the 3 x 3 pixels around show, and the share of them that show anything."""
    flat, place = maps.reshape(len(maps), -1), np.flatnonzero(_on_edge(depth))
    means, shown = np.empty((len(maps), len(place)), np.float32), np.empty(len(place), np.float32)
    _average(flat, depth, place, np.empty(9, np.int64), means, shown)
    _put(means, place, flat)
    covered[:] = depth < np.inf
    covered.ravel()[place] = shown / 9


def _on_edge(depth: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels around which depths differ. Inside a surface the drawing stays as sharp as the photo; infinite
    depth beside it counts as a step."""
    least = most = np.pad(depth, 1, mode="edge")
    for _ in range(2):  # down, then, transposed, across
        least = np.minimum.reduce([least[:-2], least[1:-1], least[2:]]).T
        most = np.maximum.reduce([most[:-2], most[1:-1], most[2:]]).T
    with np.errstate(invalid="ignore"):
        return (least < np.inf) & (most - least > EDGE)


@compiled
def _average(maps, depth, place, around, means, shown):
    """Means of the 3 x 3 pixels around some places, of those that show anything, and how many do."""
    height, width = depth.shape
    for k in range(len(place)):
        row, column = place[k] // width, place[k] % width
        count = 0
        for j in range(9):
            # Beyond the border the outermost pixels come again.
            y = min(max(row - 1 + j // 3, 0), height - 1)
            x = min(max(column - 1 + j % 3, 0), width - 1)
            if depth[y, x] < np.inf:
                around[count] = y * width + x
                count += 1
        shown[k] = count
        for c in range(len(maps)):
            total = np.float32(0)
            for j in range(count):
                total += maps[c, around[j]]
            means[c, k] = total / np.float32(count)
