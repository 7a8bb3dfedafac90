"""The head's texture: the head model's own layout above, the photo's crop below left."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.baking import Scene
from portrait3d.geometry.filling import push_pull, resample
from portrait3d.geometry.layout import FREE, SIDES, Texels
from portrait3d.geometry.sheet import HAIR, HEADWEAR, NECK, is_bald

RIM = 1.5
"""Width of the outline (pixels of the crop) whose colours are taken from further inside."""
HAIR_RIM = 5.0
"""The same for hair, whose parsed outline is further off and which the background shines through."""
MARGIN = 3
"""Pixels by which the islands of the layout are continued, so that no empty texel shines in."""


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Where things lie in a texture of `SIDES` x `SIDES` sides of the photo's chart."""

    size: int
    """Side of the photo's chart, pixels."""

    def of_photo(self, pixels: Float[np.ndarray, "N 2"], crop: int) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of pixels of the crop."""
        return (pixels / crop + np.array([0.0, 1.0])) / SIDES

    def of_model(self, points: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of places of the head model's layout."""
        return points / SIDES

    @property
    def free(self) -> tuple[slice, slice]:
        """Rows and columns of the texture that no island of the model uses."""
        left, top, right, bottom = (round(side * self.size) for side in FREE)
        return slice(top, bottom), slice(left, right)

    def of_free(self, places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of places (x, y), 0 to 1, in the free part, half a pixel off its border."""
        rows, columns = self.free
        low = np.array([columns.start, rows.start]) + 0.5
        high = np.array([columns.stop, rows.stop]) - 0.5
        return (low + places * (high - low)) / (SIDES * self.size)

    def compose(
        self,
        photo: Float[Tensor, "3 S S"],
        texels: Texels,
        colours: Float[np.ndarray, "N 3"],
        free: Float[np.ndarray, "h w 3"] | None = None,
    ) -> UInt8[np.ndarray, "T T 3"]:
        """Put the texture together; `free` are the colours of the part that no island uses."""
        side = SIDES * self.size
        ground = colours.mean(axis=0).clip(0, 1) * 255
        texture = np.empty((side, side, 3), np.uint8)
        texture[:] = np.round(ground).astype(np.uint8)
        flat, known = texture.reshape(-1, 3), np.zeros(side * side, bool)
        flat[texels.place] = np.round(colours.clip(0, 1) * 255).astype(np.uint8)
        known[texels.place] = True
        known = known.reshape(side, side)
        for _ in range(MARGIN):
            grow(texture, known)
        if free is not None:
            texture[self.free] = np.round(free.clip(0, 1) * 255).astype(np.uint8)
        texture[self.size :, : self.size] = (photo.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        return texture


def grow(texture: UInt8[np.ndarray, "T T 3"], known: np.ndarray) -> None:
    """Continue what is known by a pixel, in place: each new one takes the colour of a neighbour."""
    border = ndimage.binary_dilation(known) & ~known
    row, column = np.nonzero(border)
    taken = np.zeros(len(row), bool)
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = (row + down).clip(0, len(known) - 1), (column + right).clip(0, len(known) - 1)
        here = known[y, x] & ~taken
        texture[row[here], column[here]] = texture[y[here], x[here]]
        taken |= here
    known[row, column] = True


def clean_photo(scene: Scene) -> Float[Tensor, "3 S S"]:
    """The photo with a clean rim: what it shows of the head, spread over its outline and beyond."""
    size = scene.picture.shape[-1]
    labels = scene.labels
    whole, half = (size, size), (size // 2, size // 2)
    # Colours mix with the background's at the rim: take them from further inside. The neck keeps its own.
    inner = (scene.coverage > 0.5) & ~(np.isin(labels, (HAIR, HEADWEAR)) & is_bald(labels))
    depth_inside = ndimage.distance_transform_edt(inner)
    rim = np.where(np.isin(labels, (HAIR, HEADWEAR)), HAIR_RIM, RIM)
    trusted = resample(torch.from_numpy(np.clip(depth_inside - rim, 0, 1)).float()[None], whole)[0]
    neck = torch.from_numpy(ndimage.binary_erosion(labels == NECK)).float()[None]
    trusted = torch.maximum(trusted, resample(neck, whole)[0])
    sure = (resample(trusted[None], half)[0] > 0.99).float()
    filled = resample(push_pull(resample(scene.picture, half), sure), whole)
    return filled + (scene.picture - filled) * trusted
