"""Training samples for the parsing network: randomly placed, coloured and hatted head crops with labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.headwear import draw_headwear
from portrait3d.data.photos import LabelledPhoto
from portrait3d.losses.parsing import IGNORED
from portrait3d.models.parsing_net import MIRRORED_CLASSES, PARSING_CLASSES
from portrait3d.preprocessing.alignment import Crop, crop_from_landmarks

BACKGROUND, HAIR, BODY, HEADWEAR = (
    PARSING_CLASSES.index(name) for name in ("background", "hair", "body", "headwear")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How far a sample may stray from the aligned head crop."""

    zoom: tuple[float, float] = (0.75, 1.3)
    """Range of the crop's side over that of the head crop."""
    far: float = 0.06
    """Share of samples that are zoomed out further, up to twice the side."""
    extend: float = 0.4
    """Share of samples whose border pixels are drawn out beyond the photo; the others are black there."""
    shift: float = 0.09
    """Largest shift of the centre, as a part of the head crop's side."""
    roll: float = math.radians(25)
    """Largest roll, radians; small ones are likelier."""
    headwear: float = 0.16
    """Share of samples with drawn headwear."""


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photo reduced to the resolution that training needs, with its head crop."""

    pixels: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]
    points: Float[np.ndarray, "468 2"]
    crop: Crop
    """The head crop in pixels of the reduced photo."""
    folder: str
    long_hair: bool
    """Hair below the chin is more than a small part of the head crop."""


def store_photo(photo: LabelledPhoto, resolution: int) -> StoredPhoto:
    """Read a photo and reduce it so that its head crop is at most `resolution` pixels wide."""
    pixels, labels, points = photo.pixels(), photo.parsing(), photo.points[:, :2]
    crop = crop_from_landmarks(torch.from_numpy(photo.landmarks)).head_crop()
    if crop.side > resolution:
        height, width = labels.shape
        size = (round(width * resolution / crop.side), round(height * resolution / crop.side))
        scale = np.array([size[0] / width, size[1] / height], np.float32)
        pixels = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        labels = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
        points = points * scale
        x, y = (np.array(crop.centre) * scale).tolist()
        crop = replace(crop, centre=(x, y), side=crop.side * float(scale.mean()))
    rows, columns = np.nonzero(labels == HAIR)
    hair = crop.crop_from_photo(torch.from_numpy(np.stack([columns, rows], 1).astype(np.float32)))
    chin = crop.crop_from_photo(torch.from_numpy(points[152]))[1]
    below = float((hair[:, 1] > chin).sum()) / crop.side**2
    return StoredPhoto(pixels, labels, points, crop, photo.folder, below > 0.01)


class ParsingSamples(Dataset):
    """An endless list of samples, each a function of its number.

    A sample is `(image [3, size, size], labels [size / 2, size / 2])`: RGB in [0, 1], and the classes at the
    resolution of the network's logits, `IGNORED` where they are not known.

    Args:
        photos: What samples are cut from, in memory (about 0.4 MB each).
        size: Side of the images.
        weights: Folder -> how often its photos are drawn.
        augmentation: Ranges of the changes.
        seed: Another seed gives other samples.
    """

    def __init__(
        self,
        photos: Sequence[StoredPhoto],
        *,
        size: int,
        weights: Mapping[str, float],
        augmentation: Augmentation,
        seed: int = 0,
    ) -> None:
        self.photos, self.size, self.augmentation, self.seed = photos, size, augmentation, seed
        chances = [weights[p.folder] * (1.5 if p.long_hair else 1.0) for p in self.photos]
        self.chances = np.cumsum(chances) / np.sum(chances)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng((self.seed, number))
        photo = self.photos[int(np.searchsorted(self.chances, random.random()))]
        crop = self._place(photo.crop, random)
        extend = random.random() < self.augmentation.extend
        image, inside = cut_image(photo, crop, extend=extend)
        labels = cut_labels(photo, crop.resized(self.size // 2), extend=extend)
        if random.random() < self.augmentation.headwear and not (labels == HEADWEAR).any():
            image, labels = _put_on_headwear(image, labels, crop, photo, random)
        image = recolor(image, random) * inside
        if random.random() < 0.5:
            image, labels = image.flip(-1), mirror_labels(labels)
        return image, labels

    def __len__(self) -> int:
        return 2**62

    def _place(self, crop: Crop, random: np.random.Generator) -> Crop:
        a = self.augmentation
        low, high = (a.zoom[1], 2.0) if random.random() < a.far else a.zoom
        zoom = math.exp(random.uniform(math.log(low), math.log(high)))
        shift = random.uniform(-a.shift, a.shift, 2) * crop.side
        x, y = (np.array(crop.centre) + shift).tolist()
        angle = crop.angle + random.triangular(-a.roll, 0, a.roll)
        return replace(crop, centre=(x, y), side=crop.side * zoom, angle=angle, size=self.size)


def cut_image(
    photo: StoredPhoto, crop: Crop, *, extend: bool
) -> tuple[Float[Tensor, "3 size size"], Bool[Tensor, "1 size size"]]:
    """The crop, sampled once a pixel, and where it shows something.

    Faster than `Crop.extract` and good enough here, since stored photos have about the crop's resolution.
    """
    source = torch.from_numpy(photo.pixels).permute(2, 0, 1)[None].float() / 255
    if crop.side > 1.8 * crop.size:
        source = F.avg_pool2d(source, 2, ceil_mode=True, count_include_pad=False)
    height, width = photo.labels.shape
    cosine, sine = crop.side * math.cos(crop.angle), crop.side * math.sin(crop.angle)
    x, y = crop.centre
    similarity = torch.tensor(
        [
            [cosine / width, -sine / width, 2 * x / width - 1],
            [sine / height, cosine / height, 2 * y / height - 1],
        ]
    )
    grid = F.affine_grid(similarity[None], [1, 3, crop.size, crop.size], align_corners=False)
    image = F.grid_sample(source, grid, padding_mode="border", align_corners=False)[0]
    inside = (grid.abs().amax(-1) <= 1) | extend
    return image * inside, inside


def cut_labels(photo: StoredPhoto, crop: Crop, *, extend: bool) -> Int64[Tensor, "size size"]:
    """The crop's labels, `IGNORED` beyond the photo; when extended, labels other than hair go on there."""
    if not extend:
        labels = crop.extract_labels(photo.labels, outside=IGNORED)
    else:
        labels = photo.labels.copy()
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            edge[np.isin(edge, (BACKGROUND, BODY), invert=True)] = IGNORED
        margin = math.ceil(crop.side)
        labels = np.pad(labels, margin, mode="edge")
        x, y = crop.centre
        labels = crop.recentred((x + margin, y + margin)).extract_labels(labels, outside=IGNORED)
    return torch.from_numpy(labels.astype(np.int64))


def mirror_labels(labels: Int64[Tensor, "H W"]) -> Int64[Tensor, "H W"]:
    """The labels of the mirrored picture: flipped, with the ears' names exchanged."""
    table = torch.full((IGNORED + 1,), IGNORED)
    table[: len(MIRRORED_CLASSES)] = torch.tensor(MIRRORED_CLASSES)
    return table[labels.flip(-1)]


def _put_on_headwear(
    image: Float[Tensor, "3 size size"],
    labels: Int64[Tensor, "half half"],
    crop: Crop,
    photo: StoredPhoto,
    random: np.random.Generator,
) -> tuple[Float[Tensor, "3 size size"], Int64[Tensor, "half half"]]:
    points = crop.crop_from_photo(torch.from_numpy(photo.points)).numpy()
    layer = draw_headwear(labels.numpy().repeat(2, 0).repeat(2, 1), points, random)
    alpha, color = torch.from_numpy(layer.alpha), torch.from_numpy(layer.color).permute(2, 0, 1)
    image = image * torch.from_numpy(layer.shade)
    image = image + (color - image) * alpha
    covered = F.avg_pool2d(alpha[None], 2)[0] >= 0.5
    return image, labels.masked_fill(covered & (labels != IGNORED), HEADWEAR)


def recolor(image: Float[Tensor, "3 H W"], random: np.random.Generator) -> Float[Tensor, "3 H W"]:
    """Another exposure, white balance, contrast and saturation; sometimes grey, coarse or noisy."""
    balance = random.uniform(0.88, 1.12, (3, 1, 1)) * random.uniform(0.7, 1.3)
    image = image * torch.from_numpy(balance.astype(np.float32))
    mean, contrast = float(image.mean()), random.uniform(0.7, 1.3)
    image = image * contrast + (mean * (1 - contrast) + random.uniform(-0.08, 0.08))
    grey = image.mean(0, keepdim=True)
    image = grey + (image - grey) * (0.0 if random.random() < 0.08 else random.uniform(0.6, 1.4))
    if random.random() < 0.25:
        size = round(image.shape[-1] / random.uniform(1.2, 3.0))
        small = F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)
        image = F.interpolate(small, size=image.shape[-2:], mode="bilinear", align_corners=False)[0]
    if random.random() < 0.25:
        noise = random.standard_normal(image.shape, np.float32)
        image = image + torch.from_numpy(noise) * random.uniform(0.01, 0.05)
    return image.clamp(0, 1)
