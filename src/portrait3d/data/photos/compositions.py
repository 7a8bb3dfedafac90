"""Photos put together anew: before another backdrop, among other people, behind things, under hats.

Each function takes a photo and returns another one with fitting labels; only the photo's own person stays
labelled. They work in the photo's pixels, so that every framing sees the same.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8, UInt16
from PIL import Image, ImageFilter

from portrait3d.data.face.occlusion import draw_hand, draw_microphone, draw_rectangle
from portrait3d.data.parsing.headwear import draw_headwear
from portrait3d.data.parsing.label_sets import bit, certain, exact_sets
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, LabelledPhoto
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.alignment import Crop, crop_from_landmarks

NOBODY = np.uint16(bit("background"))
"""The set of pixels that surely show background."""
FRONTAL = math.radians(40)
"""Largest yaw of a face that drawn headwear fits."""


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photo reduced to the resolution that training needs, with its head crop."""

    pixels: UInt8[np.ndarray, "H W 3"]
    sets: UInt16[np.ndarray, "H W"]
    """The classes that each pixel may show (`data.parsing.label_sets`)."""
    points: Float[np.ndarray, "468 2"]
    crop: Crop
    """The head crop in pixels of the reduced photo."""
    folder: str
    long_hair: bool
    """Hair below the chin is more than a small part of the head crop."""
    frontal: bool = True
    """The face is turned so little that what is drawn for one from the front fits it."""

    @property
    def labels(self) -> UInt8[np.ndarray, "H W"]:
        """The class of every pixel, `UNSURE` where several are possible."""
        return certain(self.sets)

    @property
    def person(self) -> Bool[np.ndarray, "H W"]:
        """All pixels but those that surely show background."""
        return self.sets != NOBODY

    def moved(
        self, pixels: UInt8[np.ndarray, "h w 3"], sets: UInt16[np.ndarray, "h w"], left: float, top: float
    ) -> "StoredPhoto":
        """The same person in another picture, in which this photo's origin lies at (left, top)."""
        x, y = self.crop.centre
        points = self.points + np.array([left, top], np.float32)
        crop = self.crop.recentred((x + left, y + top))
        return replace(self, pixels=pixels, sets=sets, points=points, crop=crop)


def store_photo(
    photo: LabelledPhoto, resolution: int, sets: UInt16[np.ndarray, "H W"] | None = None
) -> StoredPhoto:
    """Read a photo and reduce it so that its head crop is at most `resolution` pixels wide.

    `sets` are the classes that its pixels may show; by default its parsing says which one.
    """
    sets = exact_sets(photo.parsing()) if sets is None else sets
    pixels, points = photo.pixels(), photo.points[:, :2]
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks)).head_crop()
    if crop.side > resolution:
        height, width = sets.shape
        size = (round(width * resolution / crop.side), round(height * resolution / crop.side))
        scale = np.array([size[0] / width, size[1] / height], np.float32)
        pixels = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        sets = np.array(Image.fromarray(sets).resize(size, Image.Resampling.NEAREST)).astype(np.uint16)
        points = points * scale
        x, y = (np.array(crop.centre) * scale).tolist()
        crop = replace(crop, centre=(x, y), side=crop.side * float(scale.mean()))
    rows, columns = np.nonzero(certain(sets) == ParsingClass.HAIR)
    hair = crop.crop_from_photo(torch.from_numpy(np.stack([columns, rows], 1).astype(np.float32)))
    chin = crop.crop_from_photo(torch.from_numpy(points[152]))[1]
    below = float((hair[:, 1] > chin).sum()) / crop.side**2
    return StoredPhoto(pixels, sets, points, crop, photo.folder, below > 0.01, abs(photo.yaw) < FRONTAL)


def change_backdrop(
    photo: StoredPhoto, backdrop: UInt8[np.ndarray, "H W 3"], left: int, top: int
) -> StoredPhoto:
    """Paste the person, cut out along the labels, onto a picture; what lies beyond it is cut off.

    Pixels that may be background or not keep what the photo shows there.
    """
    pixels, sets = backdrop.copy(), np.full(backdrop.shape[:2], NOBODY)
    _paste(pixels, photo.pixels, _soft_mask(photo.person), left, top)
    _paste(sets, photo.sets, photo.person.astype(np.float32), left, top)
    return photo.moved(pixels, sets, left, top)


def widen(
    photo: StoredPhoto, backdrop: UInt8[np.ndarray, "h w 3"], factor: float, random: np.random.Generator
) -> StoredPhoto:
    """The person in a picture `factor` times as large as the photo, before an enlarged backdrop.

    Two of three times the photo's lower border, where it cuts the body, is that of the picture too.
    """
    height, width = photo.sets.shape
    size = (round(width * factor), round(height * factor))
    canvas = np.array(Image.fromarray(backdrop).resize(size, Image.Resampling.BILINEAR))
    left = int(random.integers(0, size[0] - width + 1))
    top = size[1] - height if random.random() < 2 / 3 else int(random.integers(0, size[1] - height + 1))
    return change_backdrop(photo, canvas, left, top)


def draw_backdrop(
    photo: StoredPhoto, other: StoredPhoto, random: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """A backdrop: a small piece of another photo, or smooth noise in any colour or in that of the hair."""
    if random.random() < 0.5:
        height, width = other.sets.shape
        high, wide = (max(8, int(random.uniform(0.2, 0.6) * side)) for side in (height, width))
        top, left = random.integers(0, height - high + 1), random.integers(0, width - wide + 1)
        piece = other.pixels[top : top + high, left : left + wide]
        return np.rot90(piece, int(random.integers(0, 4))).copy()
    hair = photo.pixels[photo.labels == ParsingClass.HAIR]
    if len(hair) and random.random() < 0.6:
        colour, spread = hair[random.integers(0, len(hair))] * random.uniform(0.8, 1.25), hair.std()
    else:
        colour, spread = random.uniform(0, 255, 3), random.uniform(5, 50)
    cells = int(random.integers(2, 24))
    noise = random.normal(size=(cells, cells, 1)) + 0.3 * random.normal(size=(cells, cells, 3))
    small = Image.fromarray((colour + noise * spread * 0.7).clip(0, 255).astype(np.uint8))
    return np.array(small.resize((128, 128), Image.Resampling.BICUBIC))


def add_person(photo: StoredPhoto, other: StoredPhoto, random: np.random.Generator) -> StoredPhoto:
    """Somebody else beside the person, before or behind, of about the same size, and not labelled."""
    scale = photo.crop.side / other.crop.side * random.uniform(0.5, 1.3)
    height, width = other.sets.shape
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    pixels = np.array(Image.fromarray(other.pixels).resize(size, Image.Resampling.BILINEAR))
    person = np.array(Image.fromarray(other.person).resize(size, Image.Resampling.NEAREST))
    aside = random.choice([-1, 1]) * random.uniform(0.4, 0.8)
    centre = np.array(photo.crop.centre) + np.array([aside, random.uniform(-0.25, 0.25)]) * photo.crop.side
    left, top = np.round(centre - np.array(other.crop.centre) * scale).astype(int).tolist()
    canvas, kept = photo.pixels.copy(), photo.sets.copy()
    mask = _soft_mask(person)
    if random.random() < 0.3:  # before the person
        _paste(canvas, pixels, mask, left, top)
        _paste(kept, np.full(mask.shape, NOBODY), (mask > 0.5).astype(np.float32), left, top)
        return replace(photo, pixels=canvas, sets=kept)
    _paste(canvas, pixels, mask, left, top)
    _paste(canvas, photo.pixels, _soft_mask(photo.person), 0, 0)
    return replace(photo, pixels=canvas)


def add_object(photo: StoredPhoto, random: np.random.Generator) -> StoredPhoto:
    """A hand, a microphone or a rectangle before the head, which is background."""
    height, width = photo.sets.shape
    layer = Image.new("RGBA", (width, height))
    landmarks = photo.points[LANDMARKS_OF_MESH].astype(np.float64)
    drawers = (draw_hand, draw_microphone, draw_rectangle)
    drawers[random.choice(len(drawers), p=(0.55, 0.25, 0.2))](layer, landmarks, random)
    values = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    alpha = values[..., 3:] / 255
    pixels = (photo.pixels + alpha * (values[..., :3] - photo.pixels)).astype(np.uint8)
    return replace(photo, pixels=pixels, sets=np.where(alpha[..., 0] >= 0.5, NOBODY, photo.sets))


def put_on_headwear(photo: StoredPhoto, random: np.random.Generator) -> StoredPhoto:
    """Headwear over the head, drawn at half the photo's resolution."""
    height, width = photo.sets.shape
    layer = draw_headwear(photo.labels[::2, ::2], photo.points / 2, random)

    def enlarged(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "H W 1"]:
        image = Image.fromarray(values.astype(np.float32))
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))[..., None]

    alpha = enlarged(layer.alpha)
    color = np.concatenate([enlarged(layer.color[..., i]) for i in range(3)], -1) * 255
    pixels = photo.pixels * enlarged(layer.shade)
    pixels = (pixels + alpha * (color - pixels)).clip(0, 255).astype(np.uint8)
    sets = np.where(alpha[..., 0] >= 0.5, np.uint16(1 << ParsingClass.HEADWEAR), photo.sets)
    return replace(photo, pixels=pixels, sets=sets)


def _soft_mask(mask: np.ndarray) -> Float[np.ndarray, "H W"]:
    """A mask with a soft boundary of about two pixels, drawn in by half a pixel against halos."""
    image = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1.0))
    return ((np.asarray(image, np.float32) / 255 - 0.3) / 0.6).clip(0, 1)


def _paste(
    canvas: np.ndarray, piece: np.ndarray, alpha: Float[np.ndarray, "h w"], left: int, top: int
) -> None:
    """Blend a piece into a canvas, in place; what lies beyond the canvas is cut off."""
    height, width = alpha.shape
    rows = slice(max(0, -top), min(height, canvas.shape[0] - top))
    columns = slice(max(0, -left), min(width, canvas.shape[1] - left))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    target = canvas[rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]
    share = alpha[rows, columns].reshape(*target.shape[:2], *(1,) * (canvas.ndim - 2))
    target[...] = np.round(target + share * (piece[rows, columns].astype(np.float32) - target))
