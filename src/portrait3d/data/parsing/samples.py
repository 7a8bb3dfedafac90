"""Training samples for the parsing network: photos put together, framed and coloured at random."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int16, UInt16
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.parsing.label_sets import certain, mirrored_sets
from portrait3d.data.photos.compositions import (
    StoredPhoto,
    add_object,
    add_person,
    draw_backdrop,
    put_on_headwear,
    widen,
)
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.framing import Frame, frame_head, inside, labels_at, read_pyramid


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How far a sample may stray from the aligned head crop."""

    zoom: tuple[float, float] = (0.75, 1.35)
    """Range of the frame's side over its usual one."""
    far: float = 0.06
    """Share of samples that are zoomed out further, up to twice the side."""
    extend: float = 0.4
    """Share of samples whose border pixels are drawn out beyond the photo; the others are black there."""
    shift: float = 0.06
    """Largest shift of the centre, as a part of the head crop's side."""
    roll: float = math.radians(25)
    """Largest roll, radians; small ones are likelier."""
    headwear: float = 0.12
    """Share of samples with drawn headwear."""
    backdrop: float = 0.2
    """Share of samples before another backdrop, in a picture up to three times as large as the photo."""
    people: float = 0.1
    """Share of samples with somebody else beside the person."""
    objects: float = 0.08
    """Share of samples with a hand or a rectangle before the face."""


class ParsingSamples(Dataset):
    """An endless list of samples, each a function of its number.

    A sample is `(image [3, size, size], sets [4, size / 2, size / 2])`: RGB in [0, 1], and the classes that
    the four pixels under each of the network's logits may show, as bits (`data.parsing.label_sets`); 0 where
    the photo ends.

    Args:
        photos: What samples are cut from, in memory (about 0.6 MB each).
        framing: One of `FRAMINGS`.
        size: Side of the images.
        weights: Folder -> how often its photos are drawn.
        augmentation: Ranges of the changes.
        seed: Another seed gives other samples.
    """

    def __init__(
        self,
        photos: Sequence[StoredPhoto],
        *,
        framing: str,
        size: int,
        weights: Mapping[str, float],
        augmentation: Augmentation,
        seed: int = 0,
    ) -> None:
        self.photos, self.framing, self.size = photos, framing, size
        self.augmentation, self.seed = augmentation, seed
        chances = [weights[p.folder] * (1.5 if p.long_hair else 1.0) for p in self.photos]
        self.chances = np.cumsum(chances) / np.sum(chances)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng((self.seed, number))
        photo = self._compose(self._draw(random), random)
        frame = self._place(photo, random)
        extend = random.random() < self.augmentation.extend
        image, shown = cut_image(photo, frame, extend=extend)
        sets = cut_sets(photo, frame, extend=extend)
        if random.random() < 0.5:
            image, shown, sets = image.flip(-1), shown.flip(-1), mirrored_sets(sets[:, ::-1])
        return recolor(image, random) * shown, gather_cells(sets)

    def __len__(self) -> int:
        return 2**62

    def _draw(self, random: np.random.Generator) -> StoredPhoto:
        return self.photos[int(np.searchsorted(self.chances, random.random()))]

    def _compose(self, photo: StoredPhoto, random: np.random.Generator) -> StoredPhoto:
        a = self.augmentation
        headwear, backdrop, people, objects = random.random(4) < [a.headwear, a.backdrop, a.people, a.objects]
        if backdrop:
            factor = math.exp(random.uniform(0, math.log(3)))
            photo = widen(photo, draw_backdrop(photo, self._draw(random), random), factor, random)
        if people:
            photo = add_person(photo, self._draw(random), random)
        if headwear and photo.frontal and not (photo.labels == ParsingClass.HEADWEAR).any():
            photo = put_on_headwear(photo, random)
        return add_object(photo, random) if objects else photo

    def _place(self, photo: StoredPhoto, random: np.random.Generator) -> Frame:
        a = self.augmentation
        low, high = (a.zoom[1], 2.0) if random.random() < a.far else a.zoom
        zoom = math.exp(random.uniform(math.log(low), math.log(high)))
        shift = random.uniform(-a.shift, a.shift, 2) * photo.crop.side
        frame = frame_head(self.framing, photo.crop, photo.sets.shape, self.size)
        x, y = (np.array(frame.crop.centre) + shift).tolist()
        angle = frame.crop.angle + random.triangular(-a.roll, 0, a.roll)
        crop = replace(frame.crop, centre=(x, y), side=frame.crop.side * zoom, angle=angle)
        return replace(frame, crop=crop)


def cut_image(
    photo: StoredPhoto, frame: Frame, *, extend: bool
) -> tuple[Float[Tensor, "3 size size"], Bool[Tensor, "1 size size"]]:
    """The frame's picture, and where it shows something.

    Faster than `Frame.extract` and good enough here, since stored photos have about the frame's resolution.
    """
    positions, footprint = frame.positions(), frame.footprint()
    if not frame.bent:
        footprint = torch.exp2(footprint.log2().round())
    image = read_pyramid(photo.pixels, positions, footprint)
    shown = (inside(positions, *photo.sets.shape) | extend)[None]
    return image * shown, shown


def cut_sets(photo: StoredPhoto, frame: Frame, *, extend: bool) -> UInt16[np.ndarray, "size size"]:
    """The classes that each of the frame's pixels may show, 0 beyond the photo.

    When extended, background and body go on there.
    """
    positions = frame.positions()
    sets = labels_at(photo.sets, positions)
    known = inside(positions, *photo.sets.shape).numpy()
    if extend:
        known |= np.isin(certain(sets), (ParsingClass.BACKGROUND, ParsingClass.BODY))
    return np.where(known, sets, np.uint16(0))


def gather_cells(sets: UInt16[np.ndarray, "H W"]) -> Int16[Tensor, "4 h w"]:
    """The four pixels of every cell of 2 x 2, one after the other."""
    cells = [sets[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    return torch.from_numpy(np.stack(cells).astype(np.int16))


def recolor(image: Float[Tensor, "3 H W"], random: np.random.Generator) -> Float[Tensor, "3 H W"]:
    """Another exposure, white balance, contrast and saturation; sometimes dark, grey, coarse or noisy."""
    balance = random.uniform(0.88, 1.12, (3, 1, 1)) * random.uniform(0.7, 1.3)
    image = image * torch.from_numpy(balance.astype(np.float32))
    dark = random.random() < 0.1
    if dark:
        image = image.clamp(0, 1) ** random.uniform(1.0, 2.2) * random.uniform(0.35, 0.8)
    mean, contrast = float(image.mean()), random.uniform(0.7, 1.3)
    image = image * contrast + (mean * (1 - contrast) + random.uniform(-0.08, 0.08) * (not dark))
    grey = image.mean(0, keepdim=True)
    image = grey + (image - grey) * (0.0 if random.random() < 0.08 else random.uniform(0.6, 1.4))
    if random.random() < 0.25:
        size = round(image.shape[-1] / random.uniform(1.2, 3.0))
        small = F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)
        image = F.interpolate(small, size=image.shape[-2:], mode="bilinear", align_corners=False)[0]
    if dark or random.random() < 0.2:
        noise = random.standard_normal(image.shape, np.float32)
        image = image + torch.from_numpy(noise) * random.uniform(0.01, 0.05)
    return image.clamp(0, 1)
