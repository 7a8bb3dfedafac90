"""Faces for the accessory networks: photos of people without what is drawn onto them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.face.fits import FaceFits
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import FACE_SIZE, Crop
from portrait3d.rendering.rasterizer import rasterize

FINEST = 440
"""Pixels of a face crop's side beyond which photos are reduced: samples don't see more."""


@dataclass(frozen=True, slots=True, eq=False)
class BareFace:
    """A photo of somebody without the accessory, with the head model fitted to it."""

    pixels: UInt8[np.ndarray, "H W 3"]
    hair: UInt8[np.ndarray, "H W"]
    """How likely each pixel is hair, 0 to 255."""
    crop: Crop
    """The face crop."""
    coefficients: Float[Tensor, " C"]
    """Identity and expression, as fits hold them."""
    pose: Pose
    """In the camera of the upright face crop, mm."""

    @classmethod
    def read(cls, photo: LabelledPhoto, fits: FaceFits, row: int) -> "BareFace":
        """The part around the face of a photo, whose fit is in a row of `fits`."""
        centre, side = fits.centre[row].astype(float), float(fits.side[row])
        pixels = photo.pixels()
        hair = np.round(photo.probability("hair") * 255).astype(np.uint8)
        left, top = (max(0, int(value - 0.9 * side)) for value in centre)
        box = slice(top, int(centre[1] + 0.9 * side)), slice(left, int(centre[0] + 0.9 * side))
        shrink = max(1.0, side / FINEST)
        pixels, hair = (_shrunk(part[box], shrink) for part in (pixels, hair))
        x, y = ((centre - (left, top)) / shrink).tolist()
        crop = Crop((x, y), side / shrink, float(fits.angle[row]), FACE_SIZE)
        pose = Pose(torch.from_numpy(fits.rotation[row]), torch.from_numpy(fits.translation[row]))
        return cls(pixels, hair, crop, torch.from_numpy(fits.shape[row]), pose)

    def vertices(self, head: HeadModel) -> Float[Tensor, "V 3"]:
        """The fitted head, in the model's frame (mm)."""
        vector = FaceCoefficients.neutral().to_vector()
        vector[0, : len(self.coefficients)] = self.coefficients
        return head.vertices(FaceCoefficients.from_vector(vector))[0]

    def screen(self, points: Float[Tensor, "N 3"], crop: Crop) -> Float[Tensor, "N 3"]:
        """Where points of the model's frame are seen in a crop (pixels), and how far away they are (mm)."""
        moved = self.pose.apply(points)
        at = crop.crop_from_photo(self.crop.photo_from_crop(self.crop.camera().project(moved)))
        return torch.cat([at, moved[:, 2:]], 1)

    def depth(self, head: HeadModel, vertices: Float[Tensor, "V 3"], crop: Crop) -> Float[np.ndarray, "s s"]:
        """How far away the head is in a crop of the photo (mm); infinite beside it."""
        corners = self.screen(vertices, crop)[None]
        return rasterize(corners, head.faces, crop.size, crop.size).depth[0].double().numpy()


class AccessorySamples(Dataset):
    """An endless list of samples, each a function of its number: a picture and how much of it is worn.

    Args:
        faces: People without what is drawn onto them.
        head: The model that was fitted to them.
        seed: Another seed gives other samples.
        still: For evaluation: no change of place or colours.
    """

    def __init__(
        self, faces: Sequence[BareFace], head: HeadModel, *, seed: int = 0, still: bool = False
    ) -> None:
        self.faces, self.head, self.seed, self.still = faces, head, seed, still

    def __len__(self) -> int:
        return 2**62

    def chosen(self, number: int, random: np.random.Generator) -> int:
        """The number of a sample's face: each in turn if they are `still`, otherwise any."""
        return number % len(self.faces) if self.still else int(random.integers(len(self.faces)))


def misplaced(crop: Crop, random: np.random.Generator) -> Crop:
    """A crop as the network gets it from faces that are fitted a little wrong."""
    shift = random.normal(0, 0.03, 2) * crop.side
    x, y = (np.array(crop.centre) + shift).tolist()
    return replace(
        crop,
        centre=(x, y),
        side=crop.side * math.exp(random.normal(0, 0.12)),
        angle=crop.angle + math.radians(random.normal(0, 5)),
    )


def read_wearers(path: Path | None) -> set[str]:
    """The names of photos with glasses, one a line of a text file; none without a file."""
    return set() if path is None else set(path.read_text(encoding="utf-8").split())


def _shrunk(picture: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return picture
    height, width = (max(1, round(side / factor)) for side in picture.shape[:2])
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
