"""Parts of the photo that lie see-through just before the surface that they show: neck, mouth and hair."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from scipy import ndimage
from torch import Tensor

from portrait3d.compilation import compiled
from portrait3d.geometry.binding import bind
from portrait3d.geometry.blurring import gaussian
from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPiece
from portrait3d.geometry.pixels import nearest
from portrait3d.geometry.topology import renumbered
from portrait3d.geometry.warping import region_triangles
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import Crop
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.reposing.guide import SEEN
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.regions import photo_frame
from portrait3d.reposing.surfaces import Surface

CELL = 4
"""Side of the cells of neck and mouth, pixels of the head crop: both are smooth."""
LIFT = 1.0
"""They lie this far before the model's surface, mm, as the hair's sheet does before its body."""
FEWEST_NECK, FEWEST_MOUTH = 50, 12
"""Pixels of the head crop below which the photo shows none; a fitted mouth may be open where it is closed."""
REACH = (12.0, 60.0)
"""How far (mm) from the model's skin the neck follows it fully, and stands still."""


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A part of the photo on a surface of its own."""

    surface: Surface
    picture: Shaped[np.ndarray, "h w 4"]
    """Colours without what lies behind, and opacity, as `drawing.read` takes them."""
    places: Float[np.ndarray, "N 2"]
    """The picture's pixels at which the vertices are seen."""
    layer: int = SEEN
    """Of `guide.LAYERS`."""


def neck_surface(portrait: Portrait, head_model: HeadModel, source_pose: Turn) -> Surface | None:
    """Where the photographed neck lies, which bends with the model's; None if the photo shows none."""
    frame, labels = photo_frame(portrait)
    head = portrait.head
    bends = (source_pose.following(head.vertices.astype(np.float64)) < 1) & (head.piece == HeadPiece.SURFACE)
    # The photo shows the front half alone; beside the fitted neck's outline its nape would be the nearest.
    middle = float(source_pose.pivot[2])
    points, faces = lifted(frame, labels == ParsingClass.NECK, FEWEST_NECK, head, bends, middle)
    if not len(faces):
        return None
    skin = head_model.skin_faces.unique().numpy()
    binding = bind(points, portrait.face.vertices.double().numpy(), skin, REACH)
    return Surface.of(points, faces, binding, portrait.camera, source_pose)


def mouth_surface(portrait: Portrait, source_pose: Turn) -> Surface | None:
    """Where the photographed teeth lie, which no expression moves; None if the photo's mouth is closed."""
    frame, labels = photo_frame(portrait)
    head = portrait.head
    shown = labels == ParsingClass.INNER_MOUTH
    points, faces = lifted(frame, shown, FEWEST_MOUTH, head, head.piece == HeadPiece.TEETH)
    if not len(faces):
        return None
    still = Binding.to_vertices(np.zeros(len(points), np.int64), 0.0)
    return Surface.of(points, faces, still, portrait.camera, source_pose)


def lifted(
    frame: Crop,
    region: Bool[np.ndarray, "S S"],
    fewest: int,
    head: HeadMesh,
    vertices: Bool[np.ndarray, " V"],
    farthest: float = np.inf,
) -> tuple[Float[np.ndarray, "N 3"], Int64[np.ndarray, "F 3"]]:
    """Cells of a region of a crop just before a part of the head: points (photo camera, mm) and triangles.

    `vertices` are the part's; nothing lies further than `farthest`, mm. Empty if the region has fewer pixels
    or the crop does not show the part.
    """
    depth = part_depth(frame, head, head.faces[vertices[head.faces].all(axis=1)])
    if region.sum() < fewest or depth is None:
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    # Grown by a cell: the photo's opacity cuts the sheet out, its triangles need not.
    cells = ndimage.maximum_filter(region, 2 * CELL + 1)[::CELL, ::CELL]
    faces = region_triangles(torch.from_numpy(cells)).numpy()
    used, faces = renumbered(faces, cells.size)
    row, column = np.divmod(used, len(cells))
    pixels = torch.from_numpy(np.stack([column, row], axis=1) * CELL + 0.5).float()
    depth = np.minimum(depth[row, column], farthest) - LIFT
    points = frame.camera().unproject(pixels, torch.from_numpy(depth).float())
    return frame.roll.apply(points).double().numpy(), faces


def part_depth(frame: Crop, head: HeadMesh, faces: Int64[np.ndarray, "F 3"]) -> np.ndarray | None:
    """Depth (mm) of a part of the head at every `CELL`-th pixel of a crop, smooth and continued beyond it.

    None if the crop does not show it.
    """
    upright = frame.roll.inverse().apply(torch.from_numpy(head.vertices))
    screen = frame.camera().screen(upright) / torch.tensor([CELL, CELL, 1.0])
    side = -(-frame.size // CELL)
    seen = rasterize(screen[None], torch.from_numpy(faces), side, side).depth[0].double().numpy()
    if not np.isfinite(seen).any():
        return None
    # The nearer of the neighbours, so that smoothing leaves the sheet before the surface.
    _, source = nearest(np.isfinite(seen))
    return gaussian(ndimage.minimum_filter(seen[source], 3), 1.0)


def channels_last(*maps: Float[Tensor, "_ h w"]) -> Float[np.ndarray, "h w D"]:
    """Maps side by side, a pixel's values next to each other: as they are read."""
    picture = np.empty((*maps[0].shape[1:], sum(map(len, maps))), np.float32)
    first = 0
    for part in maps:
        _lay_beside(part.contiguous().numpy(), first, picture)
        first += len(part)
    return picture


@compiled
def _lay_beside(maps, first, picture):
    # Row by row: numpy's transposition goes through all of the memory for each map.
    for row in range(len(picture)):
        for k in range(len(maps)):
            line = maps[k, row]
            for column in range(len(line)):
                picture[row, column, first + k] = line[column]
