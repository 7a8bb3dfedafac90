"""The head crop as colours are taken from it: its picture, and what is where."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.pictures import resample, weighted_median
from portrait3d.geometry.pixels import blurred_inside, inner_distance
from portrait3d.parsing_classes import SKIN, ParsingClass

SKIN_BORDER = 3.0
"""Width of the skin's border (pixels of the crop) that may show hair or background."""
HAIRLINE = 6
"""Pixels of the crop by which skin's colours go on into the hair beside it."""
BORDER, DEEP = 1.0, 6.0
"""Pixels of the crop from the border of hair to where it counts at all, and counts fully: nearer, it mixes
with skin, and light shines in from behind."""
SMOOTH = 2.5
"""Width of the blur (pixels of the crop) that parts smooth colours of skin from detail."""
SPREAD = 0.5
"""Distance to the hair's usual colour, logarithms, at which a pixel counts a quarter: highlights do less."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The head crop: its picture and what is where."""

    picture: Float[Tensor, "3 S S"]
    """RGB in [0, 1], at the texture's resolution."""
    coarse: Float[Tensor, "3 H W"]
    """The same at the parsing's resolution."""
    labels: UInt8[np.ndarray, "H W"]
    coverage: Float[np.ndarray, "H W"]
    """Probability of face, hair, ears and headwear."""
    matte: Float[Tensor, "S S"]
    """The same at the texture's resolution."""

    @classmethod
    def of(
        cls,
        picture: Float[Tensor, "3 S S"],
        labels: UInt8[np.ndarray, "H W"],
        matte: Float[Tensor, "S S"],
    ) -> "Scene":
        """The scene of a crop (RGB in [0, 1]), its classes and how much of every pixel is head."""
        coverage = resample(matte[None], labels.shape)[0].numpy().astype(np.float64)
        return cls(picture, resample(picture, labels.shape), labels, coverage, matte)

    def finely(self, box: tuple[slice, slice]) -> tuple[slice, slice]:
        """Rows and columns of the picture that show a box of the parsing's pixels."""
        scale = self.picture.shape[-1] / len(self.labels)
        rows, columns = (slice(round(side.start * scale), round(side.stop * scale)) for side in box)
        return rows, columns

    @cached_property
    def skin(self) -> Float[np.ndarray, "H W"]:
        """1 on skin, 0 from its border on and beyond."""
        return faded(np.isin(self.labels, SKIN))

    @cached_property
    def smooth_skin(self) -> Float[Tensor, "3 H W"]:
        """The picture at the parsing's resolution without detail, blurred within the skin."""
        return torch.from_numpy(blurred_inside(self.coarse.numpy(), self.skin, SMOOTH))

    def skin_with(self, hair: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
        """1 on skin and on some hair, 0 from the head's outline on and beyond."""
        return faded(np.isin(self.labels, SKIN) | hair & (self.coverage > 0.8))

    def hairline(self, lying: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
        """Of hair that is `lying` on the skin what is next to bare skin: farther on, a sheet covers it."""
        return lying & ndimage.binary_dilation(np.isin(self.labels, SKIN), iterations=HAIRLINE)

    @cached_property
    def worn(self) -> Float[np.ndarray, "H W"]:
        """How deep inside headwear pixels are, 0 to 1."""
        return self.inside(ParsingClass.HEADWEAR)

    @cached_property
    def hair(self) -> Float[np.ndarray, "H W"]:
        """How deep inside hair pixels are, 0 to 1."""
        return self.inside(ParsingClass.HAIR)

    @cached_property
    def own_hair(self) -> Float[np.ndarray, "H W"]:
        """How far pixels show the own colour of hair or headwear, 0 to 1: not its border, not highlights."""
        own, hairy = self.worn.copy(), self.hair > 0
        if hairy.any():
            own[hairy] += self.hair[hairy] * self.alike(self.usual(self.hair), hairy)
        return own

    @cached_property
    def firm_hair(self) -> Float[np.ndarray, "H W"]:
        """How far pixels show hair or headwear of whatever colour, 0 to 1: near its border, where light comes
        through from behind, of its own alone."""
        # Well inside nothing shines through: highlights and second colours are the hair's own.
        deep = np.maximum(self.hair, self.worn) == 1
        return np.where(deep, 1.0, self.own_hair)

    def inside(self, kind: int) -> Float[np.ndarray, "H W"]:
        """How deep inside a class of the parsing pixels are: 0 at its border, 1 from `DEEP` pixels on."""
        own = (self.labels == kind) & (self.coverage > 0.8)
        if not own.any():
            return np.zeros(own.shape)
        return np.clip((inner_distance(own) - BORDER) / (DEEP - BORDER), 0, 1) ** 2

    def usual(self, weight: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "3"]:
        """The weighted median colour; some weight must be above 0."""
        chosen = weight > 0
        return weighted_median(self.coarse.numpy()[:, chosen].T.astype(np.float64), weight[chosen])

    def alike(
        self, colour: Float[np.ndarray, "3"], chosen: Bool[np.ndarray, "H W"]
    ) -> Float[np.ndarray, " N"]:
        """1 at chosen pixels of some colour, falling towards 0 where they are brighter, darker or others."""
        # Logarithms: a shadow changes all channels by one factor. Below 0.03 there is noise alone.
        away = np.log(np.maximum(self.coarse.numpy()[:, chosen], 0.03))
        away = away - np.log(np.maximum(colour, 0.03))[:, None]
        return (1 + (away**2).mean(axis=0) / SPREAD**2) ** -2.0


def faded(region: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """1 inside a region, falling to 0 over its border of `SKIN_BORDER`."""
    return np.clip((inner_distance(region) - 0.5) / SKIN_BORDER, 0, 1)
