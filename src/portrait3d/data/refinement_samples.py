"""Samples for the refinement network: photos with originals, damaged or turned, and turns without."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from portrait3d.data.compositions import store_photo
from portrait3d.data.corruption import OUTSIDE, Damage, damage_photo
from portrait3d.data.photos import LabelledPhoto
from portrait3d.geometry.pictures import as_bytes
from portrait3d.parsing_classes import HEAD
from portrait3d.preprocessing.alignment import HEAD_SIZE, Crop

REAL = "-real"
"""What the name of the real frame beside a turned one ends in."""
TURNS, FRAMES = "turns", "frames"
"""Folders of prepared turns: photos at random poses, and frames of clips turned into others."""


class DamagedPhotos(Dataset):
    """An endless list of paired samples, each a function of its number.

    A sample is a dictionary of maps [C, size, size]: `image` (holes filled roughly) and `holes`, the
    network's input, `original`, and `inside`, 1 where the photo is. Beyond the photo the original is black.

    Args:
        photos: Photos with parsing labels; read at once and kept reduced in memory.
        size: Side of the samples in the head crop's resolution: windows at the head's outline.
        damage: How much goes wrong.
        seed: Another seed gives other samples.
        augment: Vary placement, size and direction; otherwise sample k shows photo k's whole head crop, whose
            damage depends on the photo's name alone.
    """

    def __init__(
        self,
        photos: Sequence[LabelledPhoto],
        *,
        size: int = HEAD_SIZE,
        damage: Damage | None = None,
        seed: int = 0,
        augment: bool = True,
    ) -> None:
        if not photos:
            raise ValueError("Damaged photos need at least one photo with a parsing label, got none.")
        self.photos = [store_photo(photo, round(1.1 * HEAD_SIZE)) for photo in photos]
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


def head_outline(labels: UInt8[np.ndarray, "H W"]) -> Float[np.ndarray, "N 2"]:
    """Pixels of the head that touch something else, x and y; the picture's middle if there is no head."""
    head = np.isin(labels, HEAD)
    inner = head[1:-1, 1:-1] & head[:-2, 1:-1] & head[2:, 1:-1] & head[1:-1, :-2] & head[1:-1, 2:]
    rows, columns = np.nonzero(head[1:-1, 1:-1] & ~inner)
    if len(rows) == 0:
        return np.array([[labels.shape[1] / 2, labels.shape[0] / 2]])
    return np.stack([columns, rows], axis=1) + 1.5


def window_at_hole(
    sample: dict[str, Float[Tensor, "_ S S"]], size: int, random: np.random.Generator
) -> dict[str, Float[Tensor, "_ size size"]]:
    """A square window of the maps around a random pixel of a hole (around the middle if there is none)."""
    side = sample["holes"].shape[-1]
    places = torch.nonzero(sample["holes"][0])
    middle = places[int(random.integers(len(places)))].numpy() if len(places) else np.full(2, side / 2)
    corner = middle - size / 2 + random.uniform(-0.25, 0.25, 2) * size
    top, left = np.clip(corner, 0, side - size).astype(int).tolist()
    return {name: value[:, top : top + size, left : left + size] for name, value in sample.items()}


class CoarseTurns(Dataset):
    """An endless list of unpaired samples, each a function of its number: real turns without an original.

    A sample is a dictionary of `image` [3, size, size] and `holes` [1, size, size].

    Args:
        directory: RGBA PNG files as `save_turn` writes them.
        size: Side of the samples: windows of the head crop around holes, or all of it.
        seed: Another seed gives other samples.
    """

    def __init__(self, directory: Path, *, size: int = HEAD_SIZE, seed: int = 0) -> None:
        self.paths = sorted(directory.glob("*.png"))
        if not self.paths:
            raise FileNotFoundError(f"{directory} holds no coarse turns (*.png); prepare them first.")
        self.size, self.seed = size, seed

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self.seed, number, 1))
        image, holes = load_turn(self.paths[int(random.integers(len(self.paths)))])
        if random.random() < 0.5:
            image, holes = image.flip(-1), holes.flip(-1)
        sample = {"image": image, "holes": holes}
        return sample if self.size == HEAD_SIZE else window_at_hole(sample, self.size, random)


class TurnedFrames(Dataset):
    """An endless list of frames turned into others of their clip, each a function of its number.

    A sample is like one of `DamagedPhotos`; `inside` is 1 where it is known how the turn should look.

    Args:
        directory: What `turned_frames.prepare_frames` wrote.
        size: Side of the samples: windows of the head crop around holes, or all of it.
        seed: Another seed gives other samples.
    """

    def __init__(self, directory: Path, *, size: int = HEAD_SIZE, seed: int = 0) -> None:
        self.paths = sorted(directory.glob(f"*{REAL}.png"))
        if not self.paths:
            raise FileNotFoundError(f"{directory} holds no turned frames (*{REAL}.png); prepare them first.")
        self.size, self.seed = size, seed

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self.seed, number, 2))
        path = self.paths[int(random.integers(len(self.paths)))]
        original, unknown = load_turn(path)
        image, holes = load_turn(path.with_stem(path.stem.removesuffix(REAL)))
        inside = 1 - unknown
        sample = {"image": image, "holes": holes, "original": original * inside, "inside": inside}
        if random.random() < 0.5:
            sample = {name: value.flip(-1) for name, value in sample.items()}
        return sample if self.size == HEAD_SIZE else window_at_hole(sample, self.size, random)


def save_turn(path: Path, image: Float[Tensor, "3 S S"], holes: Float[Tensor, "1 S S"]) -> None:
    """Store a coarse turn as an RGBA PNG, transparent in holes (whose rough colours are kept)."""
    planes = torch.cat([image.clamp(0, 1), 1 - holes.clamp(0, 1)])
    pixels = as_bytes(planes)
    Image.fromarray(pixels, "RGBA").save(path)


def load_turn(path: Path) -> tuple[Float[Tensor, "3 S S"], Float[Tensor, "1 S S"]]:
    """Read a coarse turn: the picture, RGB in [0, 1], and its holes, 1 where nothing is known."""
    with Image.open(path) as file:
        if file.mode != "RGBA":
            raise ValueError(f"{path} is no coarse turn: it is {file.mode}, not RGBA.")
        planes = torch.from_numpy(np.array(file)).permute(2, 0, 1).float() / 255
    return planes[:3], 1 - planes[3:]
