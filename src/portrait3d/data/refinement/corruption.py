"""Damage to real photos like that of turned heads: holes where the head was, cracks, seams, stretched hair.

A repaired photo can be compared with its original (the paired data of section 3.4 of the paper); for real
turns there is none.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.geometry.filling import push_pull
from portrait3d.parsing_classes import COVERING, HEAD, ParsingClass

OUTSIDE = 255
"""Label of crop pixels beyond the photo, of whose colours nothing is made."""
IDENTITY = ((1.0, 0.0), (0.0, 1.0))

Mask = Bool[Tensor, "H W"]
Image = Float[Tensor, "3 H W"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """How much goes wrong; lengths are pixels of the 256 px head crop (about 1.75 mm each)."""

    turn: float = 22.0
    """Largest distance between the outlines of the old head and the new one."""
    ring: int = 6
    """Largest width of the ring around the head whose colours are mixed with the head's and given up."""
    side: float = 0.7
    """Largest width of the newly seen side of the head that the photo doesn't show, over the distance between
    the outlines."""
    crack: float = 3.0
    """Largest width of cracks along hair, ears and neck."""
    stretch: float = 8.0
    """Largest displacement of colours at the side of the head."""
    jag: float = 1.5
    """Largest displacement of single pixels at borders."""
    tint: float = 0.015
    """Standard deviation of the head's change of colour, relative."""


@dataclass(frozen=True, slots=True)
class DamagedPhoto:
    """A photo that looks like a coarsely turned head."""

    image: Image
    """With seams; holes are filled roughly."""
    holes: Float[Tensor, "1 H W"]
    """1 where nothing is known."""


def damage_photo(
    original: Image,
    labels: UInt8[np.ndarray, "H W"],
    random: np.random.Generator,
    damage: Damage | None = None,
) -> DamagedPhoto:
    """Damage a head crop (RGB in [0, 1], nine-class labels) as a turn would; the same for the same generator.

    Holes lie on the border of the head, in hair and on the neck; everything that changes lies near the head.
    """
    damage = damage or Damage()
    head = torch.from_numpy(np.isin(labels, HEAD))
    turn = HeadTurn.draw(head, random, damage)
    holes = turn.uncovered(head, random)
    holes |= _dilated(head, int(random.integers(0, damage.ring + 1))) & ~head
    if random.random() < 0.8:
        holes |= turn.unseen(head, random)
    if random.random() < 0.5:
        holes |= cracks(labels, random, damage)
    if random.random() < 0.25:
        holes |= blobs(labels, random)
    image = original
    if random.random() < 0.4:
        image = stretch(image, head, turn, random, damage)
    if random.random() < 0.4:
        image = jag(image, labels, random, damage)
    if random.random() < 0.3:
        image = tint(image, head, random, damage)
    if random.random() < 0.4:
        image = halo(image, head, holes, labels, random)
    image = fill_roughly(image.clamp(0, 1), holes, labels, layered=random.random() < 0.85)
    return DamagedPhoto(image, holes[None].float())


def fill_roughly(image: Image, holes: Mask, labels: UInt8[np.ndarray, "H W"], *, layered: bool) -> Image:
    """Fill holes smoothly; when layered, head, body and background each from their own colours."""
    outside = torch.from_numpy(labels == OUTSIDE)
    known = ~holes & ~outside
    filled = push_pull(image, known.float())
    if not layered:
        return torch.where(outside, image, filled)
    head, body = (torch.from_numpy(np.isin(labels, classes)) for classes in (HEAD, COVERING))
    for layer in (head, body, ~head & ~body & ~outside):
        if bool((layer & known).any()) and bool((layer & holes).any()):
            filled = torch.where(layer, push_pull(image, (layer & known).float()), filled)
    return torch.where(outside, image, filled)


@dataclass(frozen=True, slots=True)
class HeadTurn:
    """How the outline of the old head lies to that of the new one, in pixels about the head's middle."""

    middle: tuple[float, float]
    shift: tuple[float, float]
    scale: tuple[float, float]
    angle: float
    side: float
    """How far the newly seen side reaches across the head, pixels, > 0 from the left, < 0 from the right:
    from the uncovered background."""

    @classmethod
    def draw(cls, head: Mask, random: np.random.Generator, damage: Damage) -> "HeadTurn":
        """A random turn, mostly sideways."""
        rows, columns = torch.nonzero(head, as_tuple=True)
        empty = len(rows) == 0
        middle = (
            (head.shape[1] / 2, head.shape[0] / 2)
            if empty
            else (float(columns.float().mean()), float(rows.float().mean()))
        )
        distance = damage.turn * random.uniform(0.1, 1.0) * random.choice((-1, 1))
        return cls(
            middle=middle,
            shift=(distance, random.uniform(-0.4, 0.4) * damage.turn),
            scale=(random.uniform(0.96, 1.08), random.uniform(0.97, 1.04)),
            angle=math.radians(random.uniform(-7, 7)),
            side=-distance * random.uniform(0.1, damage.side),
        )

    def uncovered(self, head: Mask, random: np.random.Generator) -> Mask:
        """Where the old head was and the new one isn't, with uneven edges that reach a little too far."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        (sx, sy), (x, y) = self.scale, self.shift
        old = _moved(head, self.middle, ((cosine / sx, sine / sx), (-sine / sy, cosine / sy)), (x, y))
        return _roughened(old, random, reach=int(random.integers(0, 4))) & ~head

    def unseen(self, head: Mask, random: np.random.Generator) -> Mask:
        """A strip along one side of the head that comes into view, in pieces."""
        return head & ~self.seen(head) & (_noise(head.shape, random, 24) > random.uniform(-2.5, 0.0))

    def seen(self, head: Mask) -> Mask:
        """The head without the side that comes into view (and some more beyond its other side)."""
        return _moved(head, self.middle, IDENTITY, (self.side, 0.0))


def cracks(labels: UInt8[np.ndarray, "H W"], random: np.random.Generator, damage: Damage) -> Mask:
    """Pieces of the borders between the parts of the head."""
    border = _borders(torch.from_numpy(labels.astype(np.int64)))
    width = round(random.uniform(0, (damage.crack - 1) / 2))
    pieces = _noise(border.shape, random, 16) > random.uniform(0.2, 1.5)
    return _dilated(border & pieces, width) & _dilated(torch.from_numpy(np.isin(labels, HEAD)), 2)


def blobs(labels: UInt8[np.ndarray, "H W"], random: np.random.Generator) -> Mask:
    """Round holes in hair and on the neck behind the jaw."""
    places = torch.from_numpy((labels == ParsingClass.HAIR) | (labels == ParsingClass.NECK))
    return places & (_noise(places.shape, random, int(random.integers(12, 32))) > random.uniform(1.2, 2.0))


def stretch(image: Image, head: Mask, turn: HeadTurn, random: np.random.Generator, damage: Damage) -> Image:
    """Colours drawn out over the side of the head, as on surface seen at a grazing angle."""
    weight = F.avg_pool2d((head & ~turn.seen(head)).float()[None, None], 9, 1, 4, count_include_pad=False)[
        0, 0
    ]
    amount = random.uniform(0.2, 1) * damage.stretch * weight * (1 + 0.3 * _noise(head.shape, random, 8))
    moved = _displaced(image, math.copysign(1, turn.side) * amount, torch.zeros_like(amount))
    return torch.where(head, moved, image)


def jag(image: Image, labels: UInt8[np.ndarray, "H W"], random: np.random.Generator, damage: Damage) -> Image:
    """Pixels along the borders of the head displaced one by one: jagged edges."""
    parts = torch.from_numpy(labels.astype(np.int64))
    band = _dilated(_borders(parts) & _dilated(torch.from_numpy(np.isin(labels, HEAD)), 1), 1)
    amount = random.uniform(0.3, 1) * damage.jag * band
    return _displaced(image, amount * _noise(parts.shape, random, 2), amount * _noise(parts.shape, random, 2))


def tint(image: Image, head: Mask, random: np.random.Generator, damage: Damage) -> Image:
    """The head in a slightly different colour from the rest, its edge included."""
    gain = torch.from_numpy(random.normal(0, damage.tint, (3, 1, 1)).astype(np.float32))
    soft = F.avg_pool2d(head.float()[None, None], 3, 1, 1, count_include_pad=False)[0]
    return image * (1 + gain * soft)


def halo(
    image: Image, head: Mask, holes: Mask, labels: UInt8[np.ndarray, "H W"], random: np.random.Generator
) -> Image:
    """Remains of the old head's colours around its holes, and a light or dark rim around the new one."""
    hair = torch.from_numpy(labels == ParsingClass.HAIR)
    region = hair if int(hair.sum()) > 100 else head
    colour = (
        image[:, region].mean(1)[:, None, None] if bool(region.any()) else image.mean((1, 2), keepdim=True)
    )
    rest = _dilated(holes & ~head, int(random.integers(1, 3))) & ~head
    share = random.uniform(0.1, 0.6) * (0.5 + 0.5 * _noise(head.shape, random, 6).clamp(-1, 1))
    image = torch.lerp(image, colour.expand_as(image), rest * share)
    rim = (head & _dilated(~head, 1)) if random.random() < 0.5 else (_dilated(head, 1) & ~head)
    return image + rim * float(random.uniform(-0.15, 0.15)) * _noise(head.shape, random, 12).abs()


def _moved(
    mask: Mask,
    middle: tuple[float, float],
    matrix: tuple[tuple[float, float], tuple[float, float]],
    shift: tuple[float, float],
) -> Mask:
    """A mask moved by `shift` after a linear map about `middle`, of which `matrix` is the inverse."""
    height, width = mask.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x, y = x - middle[0] - shift[0], y - middle[1] - shift[1]
    (a, b), (c, d) = matrix
    column = (a * x + b * y + middle[0]).floor().long().clamp(0, width - 1)
    row = (c * x + d * y + middle[1]).floor().long().clamp(0, height - 1)
    return mask[row, column]


def _roughened(mask: Mask, random: np.random.Generator, reach: int) -> Mask:
    """A mask with uneven edges, grown by about `reach`."""
    soft = F.avg_pool2d(_dilated(mask, reach).float()[None, None], 5, 1, 2, count_include_pad=False)[0, 0]
    return soft + 0.3 * _noise(mask.shape, random, 5).clamp(-1, 1) > 0.5


def _borders(labels: Tensor) -> Mask:
    """Pixels whose right or lower neighbour has another label."""
    border = torch.zeros(labels.shape, dtype=torch.bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    return border


def _dilated(mask: Mask, reach: int) -> Mask:
    if reach <= 0:
        return mask
    return F.max_pool2d(mask.float()[None, None], 2 * reach + 1, 1, reach)[0, 0] > 0


def _noise(shape: tuple[int, ...], random: np.random.Generator, size: int) -> Float[Tensor, "H W"]:
    """Smooth noise of about unit deviation whose spots are about `size` pixels wide."""
    height, width = shape
    coarse = random.normal(0, 1.4, (1, 1, height // size + 2, width // size + 2)).astype(np.float32)
    return F.interpolate(torch.from_numpy(coarse), (height, width), mode="bilinear", align_corners=False)[
        0, 0
    ]


def _displaced(image: Image, dx: Float[Tensor, "H W"], dy: Float[Tensor, "H W"]) -> Image:
    """The image read dx to the left and dy above of every pixel."""
    _, height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    grid = torch.stack([(x - dx) * 2 / width - 1, (y - dy) * 2 / height - 1], -1)[None]
    return F.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0]
