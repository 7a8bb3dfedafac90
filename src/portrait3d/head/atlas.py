"""The head's texture: the head model's own layout above and below right, the hair's chart below left."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.head.layout import SIDES, Texels

MARGIN = 2
"""Pixels (at half the texture's size) by which islands are continued, so that no empty texel shines in."""


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Where things lie in a texture of `SIDES` x `SIDES` sides of the hair's chart."""

    size: int
    """Side of the hair's chart, pixels."""

    def of_hair(self, places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of places (x, y), 0 to 1, in the chart of the hair's body."""
        return (places + np.array([0.0, 1.0])) / SIDES

    def of_model(self, points: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of places of the head model's layout."""
        return points / SIDES

    def compose(
        self,
        ground: Float[Tensor, "3 T T"],
        texels: Texels,
        colours: Float[np.ndarray, "N 3"],
        hair: Float[Tensor, "3 S S"] | None,
    ) -> UInt8[np.ndarray, "T T 3"]:
        """Put the texture together: the model's colours on a ground, and the hair's chart."""
        texture = as_bytes(ground)
        texture.reshape(-1, 3)[texels.place] = np.round(colours.clip(0, 1) * 255).astype(np.uint8)
        if hair is not None:
            texture[self.size :, : self.size] = as_bytes(hair)
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
