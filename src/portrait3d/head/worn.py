"""What is worn, as pictures on surfaces: its pixels of the photo, and the grids that they lie on."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.pictures import as_planes
from portrait3d.geometry.pixels import box_about
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.removal import SOLID

AROUND = 0.02
"""What around the worn pixels (over the head crop's side) is read too."""


def worn_rays(cover: Float[np.ndarray, "H W"], crop: Crop) -> Float[Tensor, "N 3"]:
    """The rays, 1 mm deep, on which the crop's camera sees the photo's worn pixels."""
    row, column = np.nonzero(cover > SOLID)
    seen = crop.crop_from_photo(torch.from_numpy(np.stack([column, row], 1) + 0.5).float())
    return crop.camera().unproject(seen, torch.ones(len(seen)))


def photographed(
    pixels: UInt8[np.ndarray, "H W 3"],
    cover: Float[np.ndarray, "H W"],
    crop: Crop,
    points: Float[np.ndarray, "h w 3"],
) -> Float[np.ndarray, "4 h w"]:
    """RGB and opacity of what is worn at points of the crop's camera."""
    box = box_about(cover > 0.02, round(AROUND * crop.side))
    own = torch.from_numpy(cover[box])
    # At their edges worn pixels mix with the skin's: their colours are those of further inside.
    colours = push_pull(as_planes(pixels[box]), ((own - SOLID) / (1 - SOLID)).clamp(0, 1))
    maps = torch.cat([colours, own[None]]).numpy()
    places = torch.from_numpy(pixels_of(crop.camera(), points).transpose(1, 2, 0).copy()).float()
    x, y = crop.photo_from_crop(places).double().numpy().transpose(2, 0, 1)
    at = [y - box[0].start - 0.5, x - box[1].start - 0.5]
    read = [ndimage.map_coordinates(one, at, order=1, mode="nearest") for one in maps[:3]]
    return np.stack([*read, ndimage.map_coordinates(maps[3], at, order=1, mode="constant")])


def crop_density(crop: Crop, points: Float[np.ndarray, "h w 3"]) -> float:
    """The photo's pixels of a millimetre at points of the crop's camera."""
    return float(crop.camera().focal) / float(np.median(points[..., 2])) * crop.side / crop.size


def pixels_of(camera: Camera, points: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "2 h w"]:
    """Pixels (x, y) of points."""
    flat = camera.project(torch.from_numpy(points.reshape(-1, 3)).float()).double().numpy()
    return flat.T.reshape(2, *points.shape[:2])


def texels(lines: np.ndarray, density: float) -> np.ndarray:
    """Where the middles of a texture's pixels lie between the first and the last of a grid's lines."""
    return lines[0] + (np.arange(int((lines[-1] - lines[0]) * density)) + 0.5) / density


def places_among(lines: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Positions among a grid's lines."""
    return np.interp(at, lines, np.arange(len(lines)))


def shown_cells(
    shown: Bool[np.ndarray, "H W"], columns: np.ndarray, rows: np.ndarray, density: float
) -> Bool[np.ndarray, "h w"]:
    """The cells between a grid's lines that hold a texel which is shown."""
    cell = [np.searchsorted(lines, texels(lines, density)) - 1 for lines in (rows, columns)]
    cells = np.zeros((len(rows) - 1, len(columns) - 1), bool)
    np.logical_or.at(cells, np.ix_(*cell), shown)
    return cells
