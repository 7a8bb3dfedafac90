"""Damaged photos whose originals are known, for the refinement network: R and R^ of the paper."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.parsing.label_sets import exact_sets
from portrait3d.data.photos.compositions import store_photo
from portrait3d.data.photos.labelled import LabelledPhoto
from portrait3d.data.refinement.corruption import OUTSIDE, Damage, DamagedPhoto, damage_photo
from portrait3d.parsing_classes import HAIRY, HEAD, ParsingClass
from portrait3d.preprocessing.alignment import HEAD_SIZE, Crop

STEEP = 14.0
"""Pixels of the head crop from the outline of a head to where it is seen straight on, about."""
Labels = Callable[[LabelledPhoto], UInt8[np.ndarray, "H W"]]
"""Gives the class of every pixel of a photo."""


class DamagedPhotos(Dataset):
    """An endless list of paired samples, each a function of its number.

    A sample is a dictionary of maps [C, size, size]: `image` (holes filled roughly), `holes` and `guide`,
    the network's input, `original`, and `inside`, 1 where the photo is. Beyond the photo the original is
    black.

    Args:
        photos: Read at once and kept reduced in memory.
        labels: What they show.
        size: Side of the samples in the head crop's resolution: windows at the head's outline.
        damage: How much goes wrong.
        seed: Another seed gives other samples.
        augment: Vary placement, size and direction; otherwise sample k shows photo k's whole head crop, whose
            damage depends on the photo's name alone.
    """

    def __init__(
        self,
        photos: Sequence[LabelledPhoto],
        labels: Labels,
        *,
        size: int = HEAD_SIZE,
        damage: Damage | None = None,
        seed: int = 0,
        augment: bool = True,
    ) -> None:
        if not photos:
            raise ValueError("Damaged photos need at least one photo, got none.")
        side = round(1.1 * HEAD_SIZE)
        self.photos = [store_photo(photo, side, exact_sets(labels(photo))) for photo in photos]
        self.names = [photo.name for photo in photos]
        self.outlines = [head_outline(photo.labels) for photo in self.photos]
        self.size, self.damage, self.seed, self.augment = size, damage, seed, augment

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self.seed, number))
        index = int(random.integers(len(self.photos))) if self.augment else number % len(self.photos)
        if not self.augment:
            random = np.random.default_rng((self.seed, *self.names[index].encode()))
        photo = self.photos[index]
        crop = self._place(index, random) if self.augment else photo.crop.resized(HEAD_SIZE)
        image = crop.extract(photo.pixels)
        labels = crop.extract_labels(photo.labels, outside=OUTSIDE)
        if self.augment and random.random() < 0.5:
            image, labels = image.flip(-1), labels[:, ::-1].copy()
        inside = torch.from_numpy(labels != OUTSIDE)[None].float()
        image = image * inside
        damaged = damage_photo(image, labels, random, self.damage)
        return {
            "image": damaged.image * inside,
            "holes": damaged.holes * inside,
            "guide": guide_of(damaged, labels) * inside,
            "original": image,
            "inside": inside,
        }

    def _place(self, index: int, random: np.random.Generator) -> Crop:
        """A window around a point of the head's outline, of the head crop's resolution or a little finer."""
        photo, outline = self.photos[index], self.outlines[index]
        side = photo.crop.side * self.size / HEAD_SIZE * random.uniform(0.6, 1.1)
        height, width = photo.labels.shape
        place = outline[int(random.integers(len(outline)))] + random.uniform(-0.25, 0.25, 2) * side
        x, y = (
            min(max(v, side / 2), max(limit - side / 2, limit / 2))
            for v, limit in zip(place, (width, height), strict=True)
        )
        angle = photo.crop.angle + math.radians(random.triangular(-12, 0, 12))
        return replace(photo.crop, centre=(x, y), side=side, angle=angle, size=self.size)


def guide_of(damaged: DamagedPhoto, labels: UInt8[np.ndarray, "S S"]) -> Float[Tensor, "9 S S"]:
    """What a turn's guide (`reposing.guide.CHANNELS`) would say of a damaged photo.

    A head is seen ever flatter towards its outline, as anything round; there is no better reference than the
    picture itself.
    """
    holes = damaged.holes[0] > 0.5
    hair, head = (torch.from_numpy(np.isin(labels, group)) for group in (HAIRY, (*HEAD, ParsingClass.NECK)))
    skin = head & ~hair
    layers = [hair & ~holes, hair & holes, skin & ~holes, skin & holes, ~head & holes]
    inner = torch.from_numpy(ndimage.distance_transform_edt(head.numpy())).float()
    steepness = torch.where(head, (inner / STEEP).clamp(0, 1), torch.tensor(1.0)) * ~holes
    return torch.cat([torch.stack(layers).float(), steepness[None], damaged.image])


def head_outline(labels: UInt8[np.ndarray, "H W"]) -> Float[np.ndarray, "N 2"]:
    """Pixels of the head that touch something else, x and y; the picture's middle if there is no head."""
    head = np.isin(labels, HEAD)
    inner = head[1:-1, 1:-1] & head[:-2, 1:-1] & head[2:, 1:-1] & head[1:-1, :-2] & head[1:-1, 2:]
    rows, columns = np.nonzero(head[1:-1, 1:-1] & ~inner)
    if len(rows) == 0:
        return np.array([[labels.shape[1] / 2, labels.shape[0] / 2]])
    return np.stack([columns, rows], axis=1) + 1.5
