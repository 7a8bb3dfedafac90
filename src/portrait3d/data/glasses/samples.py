"""Training samples for the glasses network: photos of people without glasses, most with drawn ones."""

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
from portrait3d.data.parsing.samples import recolor
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.synthetic.glasses import Glasses, wear
from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.glasses import BAND, SIZE, eye_crop
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import FACE_SIZE, Crop
from portrait3d.rendering.rasterizer import rasterize

FINEST = 440
"""Pixels of a face crop's side beyond which photos are reduced: samples don't see more."""
WORN = 0.7
"""Share of the samples with glasses."""
BEHIND_HAIR = 0.8
"""Share of the glasses that hair lies before; others are worn over it."""


@dataclass(frozen=True, slots=True, eq=False)
class BareFace:
    """A photo of somebody without glasses, with the head model fitted to it."""

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


class GlassesSamples(Dataset):
    """An endless list of samples, each a function of its number.

    A sample is `(picture [3, 128, 256], cover [1, 128, 256])`: RGB in [0, 1], and how much of each pixel is
    frame or a lens that hides the eyes.

    Args:
        faces: People without glasses.
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

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng((self.seed, number))
        face = self.faces[number % len(self.faces) if self.still else int(random.integers(len(self.faces)))]
        vector = FaceCoefficients.neutral().to_vector()
        vector[0, : len(face.coefficients)] = face.coefficients
        vertices = self.head.vertices(FaceCoefficients.from_vector(vector))
        landmarks = self.head.landmarks(vertices)[0]
        seen = face.crop.photo_from_crop(face.crop.camera().project(face.pose.apply(landmarks)))
        crop = self._place(eye_crop(face.crop, seen), random)
        picture, cover = crop.extract(face.pixels), torch.zeros(1, SIZE, SIZE)
        if random.random() < WORN:
            glasses = Glasses.draw(random)

            def screen(points: np.ndarray) -> np.ndarray:
                moved = face.pose.apply(torch.from_numpy(points).float())
                at = crop.crop_from_photo(face.crop.photo_from_crop(face.crop.camera().project(moved)))
                return torch.cat([at, moved[:, 2:]], 1).double().numpy()

            corners = torch.from_numpy(screen(vertices[0].numpy())).float()
            depth = rasterize(corners[None], self.head.faces, SIZE, SIZE).depth[0].double().numpy()
            worn = wear(glasses, landmarks.double().numpy(), screen, depth, random)
            if random.random() < BEHIND_HAIR:
                before = crop.extract(face.hair[..., None])[0].numpy()
                worn = worn.behind(np.clip(2 * before - 0.5, 0, 1))
            picture = torch.from_numpy(worn.over(picture.numpy()))
            cover = torch.from_numpy(worn.cover)[None]
        if random.random() < 0.5:
            picture, cover = picture.flip(-1), cover.flip(-1)
        if not self.still:
            picture = recolor(picture, random)
        return picture[:, BAND].float(), cover[:, BAND].float()

    def _place(self, crop: Crop, random: np.random.Generator) -> Crop:
        """A crop as the network gets it from faces that are fitted a little wrong."""
        if self.still:
            return crop
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
