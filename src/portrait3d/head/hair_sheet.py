"""The photographed hair at the photo's resolution: a see-through sheet just before the hair's body."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.binding import bind
from portrait3d.geometry.blurring import gaussian
from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.mesh import SeeThrough
from portrait3d.geometry.pictures import as_bytes, resample
from portrait3d.geometry.pixels import blurred_inside, inner_distance, nearest, smoothstep
from portrait3d.geometry.warping import cell_triangles
from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_view import HairView
from portrait3d.head.scene import Scene
from portrait3d.parsing_classes import HAIRY

HAIR_REACH = (2.0, 22.0)
"""How far (mm) from the face hair follows it fully, and stands still."""


@dataclass(frozen=True)
class SheetLook:
    """How the sheet is cut, and where one sees through it."""

    cell: int = 2
    """Side of the sheet's cells, pixels of the crop: about 2 mm."""
    grown: int = 4
    """Pixels of the crop by which the sheet goes on beyond the parsed hair, where single strands are."""
    jump: float = 22.0
    """A cell that spans more depth (mm) is cut: hair before and hair behind."""
    edge_on: float = 0.3
    face_on: float = 0.65
    """Cosines to the view between which the sheet fades: seen edge-on, the photo's colours would be smeared
    when the head turns, and the body below has its own."""
    opaque: float = 0.75
    clear: float = 0.15
    """Share of hair from which the sheet hides what is behind it, and below which it is not there."""
    sure: float = 0.97
    """Coverage from which a pixel shows hair's own colour and nothing of what is behind it."""
    smooth: float = 2.0
    """Width of the blur (pixels of the crop) that parts smooth colours from strands."""
    strip: float = 11.0
    """Hair between skin and background that is narrower than this (mm) is left to the body: the picture shows
    mostly what is behind it, and seen from another side it would stand on the head as a line."""
    fewest: int = 50
    """Pixels of hair's own colour below which the picture is taken as it is."""


SHEET = SheetLook()


def lift_sheet(view: HairView, model: FittedHead, scene: Scene) -> SeeThrough | None:
    """The sheet of a head, in the crop camera's frame, mm; None without hair."""
    cells = wanted_cells(view)
    if not cells.any():
        return None
    vertices, faces, pixels = sheet_grid(view, cells)
    rows, columns = (SHEET.cell * np.flatnonzero(cells.any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + SHEET.cell, columns[0], columns[-1] + SHEET.cell
    box = (slice(top, bottom), slice(left, right))
    # The texture is the box of the crop around the sheet.
    uv = (pixels - np.array([left, top])) / np.array([right - left, bottom - top])
    return SeeThrough(
        vertices=vertices.astype(np.float32),
        faces=faces,
        uv=uv.astype(np.float32),
        texture=as_bytes(sheet_picture(view, scene, box)),
        binding=bind(vertices, model.vertices, model.topology.used, HAIR_REACH),
    )


def wanted_cells(view: HairView) -> Bool[np.ndarray, "h w"]:
    """Cells of the crop that the sheet covers."""
    grown = ndimage.binary_dilation(view.hair, iterations=SHEET.grown)
    count = view.size // SHEET.cell
    cells = grown.reshape(count, SHEET.cell, count, SHEET.cell).any(axis=(1, 3))
    # A cell whose corners lie far apart in depth spans an occluding contour: it would be a curtain when
    # turned.
    corners = corner_depth(view)
    around = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]])
    return cells & (np.ptp(around, axis=0) < SHEET.jump)


def sheet_grid(
    view: HairView, cells: Bool[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "N 3"], Int64[np.ndarray, "F 3"], Float[np.ndarray, "N 2"]]:
    """Two triangles a cell, facing the camera: vertices (crop camera, mm), triangles, vertices' pixels."""
    used, faces = cell_triangles(cells)
    row, column = np.divmod(used, cells.shape[1] + 1)
    pixels = SHEET.cell * np.stack([column, row], axis=-1).astype(np.float64)
    vertices = view.rays(pixels[:, 1], pixels[:, 0]) * corner_depth(view).ravel()[used][:, None]
    return vertices, faces, pixels


def corner_depth(view: HairView) -> Float[np.ndarray, "h1 w1"]:
    """Depth of the front at the corners of all cells, mm: the mean of the four pixels around each."""
    padded = np.pad(view.front, 1, mode="edge")
    around = padded[:-1, :-1] + padded[:-1, 1:] + padded[1:, :-1] + padded[1:, 1:]
    return around[:: SHEET.cell, :: SHEET.cell] / 4


def sheet_picture(view: HairView, scene: Scene, box: tuple[slice, slice]) -> Float[Tensor, "4 h w"]:
    """RGB and alpha of the sheet in a box of the crop, at the photo's resolution."""
    scale = scene.picture.shape[-1] / view.size
    fine = scene.finely(box)
    size = tuple(side.stop - side.start for side in fine)
    picture = scene.picture[:, fine[0], fine[1]]
    maps = np.stack(
        [
            hair_share(view, scene) * broad(view, scene),
            faded(view),
            np.maximum(scene.firm_hair, before_skin(view, scene)),
        ]
    )
    share, face_on, own = resample(torch.from_numpy(maps).float()[:, box[0], box[1]], size)  # pyright: ignore
    cover = share * scene.matte[fine[0], fine[1]]
    colours = clean_colours(picture, cover, own, SHEET.smooth * scale)
    solid = smoothstep(((cover - SHEET.clear) / (SHEET.opaque - SHEET.clear)).numpy())
    return torch.cat([colours, (torch.from_numpy(solid) * face_on)[None].float()])


def clean_colours(
    picture: Float[Tensor, "3 h w"], cover: Float[Tensor, "h w"], own: Float[Tensor, "h w"], width: float
) -> Float[Tensor, "3 h w"]:
    """The picture's hair without the background that shows through at its outline.

    Smooth colours there are those of the hair further inside; the strands upon them are the picture's.

    Args:
        picture: The photo.
        cover: How much of each pixel is hair.
        own: How far it shows hair's own colour.
        width: Of the blur that parts smooth colours from strands, pixels.
    """
    if own.sum() < SHEET.fewest:
        return picture
    # Low frequencies from inside the hair, high ones (strands) from the picture, as far as it is all hair.
    clean = push_pull(picture, own)
    firm = cover > SHEET.sure
    smooth = torch.from_numpy(blurred_inside(picture.numpy(), firm.numpy(), width))
    strands = (picture - smooth) * firm
    # Where a pixel shows hair's own colour this is the picture itself.
    return clean + strands + (picture - clean - strands) * own


def hair_share(view: HairView, scene: Scene) -> Float[np.ndarray, "S S"]:
    """How much of each pixel's head is hair, soft along the border to skin; 1 on toward the background."""
    return gaussian(1.0 - (bare_head(view, scene) & ~view.hair), 1.2)


def broad(view: HairView, scene: Scene) -> Float[np.ndarray, "S S"]:
    """0 on narrow strips of hair along the background and beside them, 1 elsewhere, soft between."""
    half = 0.5 * SHEET.strip / view.millimetres
    # What a disc as wide as a strip may be covers (a morphological opening), rounded corners included.
    _, (row, column) = nearest(view.hair)
    covered = nearest(inner_distance(view.hair) > half)[0] < 1.5 * half
    narrow = view.hair & ~covered & (nearest(scene.coverage < 0.5)[0] < 2 * half)
    return gaussian(1.0 - narrow[row, column], 1.2)


def before_skin(view: HairView, scene: Scene) -> Float[np.ndarray, "S S"]:
    """1 where what shines through hair is the head's own skin, 0 where it is the background, soft between."""
    skin, beside = bare_head(view, scene), scene.coverage < 0.9
    if not skin.any() or not beside.any():
        return np.full(skin.shape, float(skin.any()))
    nearer = ndimage.distance_transform_edt(~skin) < ndimage.distance_transform_edt(~beside)
    return gaussian(nearer.astype(np.float64), 1.2)


def bare_head(view: HairView, scene: Scene) -> Bool[np.ndarray, "S S"]:
    """Pixels of the head that show no hair."""
    return np.isin(view.labels, HAIRY, invert=True) & (scene.coverage > 0.3)


def faded(view: HairView) -> Float[np.ndarray, "S S"]:
    """1 where hair is seen face-on, 0 where it is seen edge-on."""
    cosine = gaussian(view.facing(), 1.5)
    return smoothstep((cosine - SHEET.edge_on) / (SHEET.face_on - SHEET.edge_on))
