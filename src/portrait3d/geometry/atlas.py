"""The head's texture: the head model's own layout above, the photo's crop below left."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.filling import push_pull, resample
from portrait3d.geometry.layout import FREE, SIDES, Texels
from portrait3d.geometry.scene import Scene
from portrait3d.geometry.sheet import HAIR, HEADWEAR, NECK, is_bald, nearest

RIM = 1.5
"""Width of the outline (pixels of the crop) whose colours are taken from further inside."""
HAIR_RIM = 5.0
"""The same for hair, whose parsed outline is further off and which the background shines through."""
MARGIN = 2
"""Pixels (at half the texture's size) by which islands are continued, so that no empty texel shines in."""


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
        ground: Float[Tensor, "3 T T"],
        texels: Texels,
        colours: Float[np.ndarray, "N 3"],
        free: Float[np.ndarray, "h w 3"] | None = None,
    ) -> UInt8[np.ndarray, "T T 3"]:
        """Put the texture together: the texels' colours on a ground, the photo, and the part that no island
        uses."""
        texture = as_bytes(ground)
        texture.reshape(-1, 3)[texels.place] = np.round(colours.clip(0, 1) * 255).astype(np.uint8)
        if free is not None:
            texture[self.free] = np.round(free.clip(0, 1) * 255).astype(np.uint8)
        texture[self.size :, : self.size] = as_bytes(photo)
        return texture


def as_bytes(picture: Float[Tensor, "C H W"]) -> UInt8[np.ndarray, "H W C"]:
    """Float planes as a uint8 picture."""
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def grown(texels: Texels, colours: Float[np.ndarray, "N 3"]) -> Float[Tensor, "3 T T"]:
    """The texels' colours as a picture, continued by `MARGIN` pixels beyond the islands."""
    side = texels.side
    total = torch.zeros(4, side * side)
    total[:, torch.from_numpy(texels.place)] = torch.from_numpy(
        np.concatenate([colours, np.ones((len(colours), 1), np.float32)], axis=1).T
    ).float()
    total = total.unflatten(1, (side, side))
    for _ in range(MARGIN):
        around = F.avg_pool2d(total[None], 3, 1, 1)[0]
        around = around / around[3:].clamp_min(1e-6) * (around[3:] > 1e-6)
        total = torch.where(total[3:] > 0, total, around)
    mean = torch.from_numpy(colours.mean(axis=0)).float()[:, None, None]
    return torch.where(total[3:] > 0, total[:3], mean)


def clean_photo(scene: Scene) -> Float[Tensor, "3 S S"]:
    """The photo with a clean rim: what it shows of the head, spread over its outline and beyond."""
    size = scene.picture.shape[-1]
    labels = scene.labels
    whole, half = (size, size), (size // 2, size // 2)
    # Colours mix with the background's at the rim: take them from further inside. The neck keeps its own.
    inner = (scene.coverage > 0.5) & ~(np.isin(labels, (HAIR, HEADWEAR)) & is_bald(labels))
    depth_inside = ndimage.distance_transform_edt(inner | (labels == NECK)) * inner
    rim = np.where(np.isin(labels, (HAIR, HEADWEAR)), HAIR_RIM, RIM)
    trusted = resample(torch.from_numpy(np.clip(depth_inside - rim, 0, 1)).float()[None], whole)[0]
    neck = torch.from_numpy(ndimage.binary_erosion(labels == NECK)).float()[None]
    trusted = torch.maximum(trusted, resample(neck, whole)[0])
    sure = (resample(trusted[None], half)[0] > 0.99).float()
    # Hair and skin apart: a narrow strip of hair has no colours of its own to be trusted.
    _, source = nearest(inner) if inner.any() else (None, tuple(np.indices(labels.shape)))
    hair = torch.from_numpy(np.isin(labels, (HAIR, HEADWEAR))[source]).float()[None]
    share = resample(hair, half)[0]
    small = resample(scene.picture, half)
    filled = push_pull(small, sure * (share < 0.5))
    if (of_hair := sure * (share > 0.5)).any():
        filled = filled + (push_pull(small, of_hair) - filled) * share
    reach = HAIR_RIM * half[0] / len(labels)
    filled = resample(mirrored(small, sure > 0, share > 0.5, filled, reach), whole)
    return filled + (scene.picture - filled) * trusted


def mirrored(
    picture: Float[Tensor, "3 h w"],
    sure: Bool[Tensor, "h w"],
    hair: Bool[Tensor, "h w"],
    filled: Float[Tensor, "3 h w"],
    reach: float,
) -> Float[Tensor, "3 h w"]:
    """Fill the rim of what is `sure` with its mirror image, so that strands go on in it; `filled` elsewhere.

    The mirror image fades into `filled` from `reach` pixels on, and is left out where it would show something
    unsure, or hair for skin.
    """
    known, hairy = sure.numpy(), hair.numpy()
    if not known.any():
        return filled
    distance, (row, column) = nearest(known)
    y, x = np.indices(known.shape)
    to_row, to_column = (
        (2 * row - y).clip(0, known.shape[0] - 1),
        (2 * column - x).clip(0, known.shape[1] - 1),
    )
    usable = known[to_row, to_column] & (hairy[to_row, to_column] == hairy)
    share = torch.from_numpy(np.clip(2 - distance / reach, 0, 1) * usable).float()
    return filled + (picture[:, to_row, to_column] - filled) * share
