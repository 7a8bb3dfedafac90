"""Earrings for synthetic people and for photos: studs, rings and what hangs on hooks and chains."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from portrait3d.data.synthetic.drawing import Drawing
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pixels import smoothstep
from portrait3d.geometry.pose import Pose

KINDS = {"stud": 0.5, "ring": 0.18, "drop": 0.32}
"""Share of each kind of earring."""
MATERIALS = {"gold": 0.28, "silver": 0.2, "pearl": 0.18, "stone": 0.18, "enamel": 0.16}
"""Share of each material."""
FINER = 4
"""Earrings are drawn at this many times the resolution."""
SUNK = 8.0
"""How far (mm) an earring may lie below the drawn surface before it is hidden."""
SHADOW = 6.0
"""How far (mm) a shadow reaches beyond its earring."""
Values = Float[np.ndarray, "h w"]


@dataclass(frozen=True, slots=True)
class Material:
    """How a surface takes light."""

    colour: Float[np.ndarray, "3"]
    metal: float
    """How much it mirrors its surroundings, 0 to 1."""
    gloss: float
    """How bright its highlights are, 0 to 1."""
    facets: float
    """Size (mm) of planes that each take light differently; 0 is smooth."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Material":
        """A random material."""
        kind = str(rng.choice(list(MATERIALS), p=list(MATERIALS.values())))
        facets = rng.uniform(0.6, 2.5)
        if kind == "gold":
            colour = np.array([0.83, rng.uniform(0.58, 0.72), rng.uniform(0.25, 0.5)]) * rng.uniform(0.6, 1.1)
            return cls(colour, rng.uniform(0.5, 1), rng.uniform(0.3, 1), facets * (rng.random() < 0.4))
        if kind == "silver":
            colour = np.array([0.8, 0.8, 0.82]) * rng.uniform(0.35, 1.1)
            return cls(colour, rng.uniform(0.5, 1), rng.uniform(0.3, 1), facets * (rng.random() < 0.4))
        if kind == "pearl":
            colour = rng.choice([1.0, 1.0, 0.3]) * np.array(
                [0.93, rng.uniform(0.85, 0.93), rng.uniform(0.75, 0.92)]
            )
            return cls(colour, rng.uniform(0, 0.15), rng.uniform(0.2, 0.6), 0.0)
        colour = rng.uniform(0, 1, 3) * rng.choice([0.1, 0.5, 1.0])
        if kind == "stone":
            colour = rng.choice([0.0, 1.0]) * rng.uniform(0.7, 1) + rng.choice([0.15, 1.0]) * colour
            return cls(colour.clip(0, 1), rng.uniform(0.3, 0.8), 1.0, facets)
        return cls(colour, rng.uniform(0, 0.2), rng.uniform(0, 0.8), 0.0)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an earring: a superellipse, full or a ring, flat or round."""

    centre: tuple[float, float]
    """From the lobe: outward and down, mm."""
    half: tuple[float, float]
    """Half of its width and height, mm."""
    power: float
    """Exponent of the outline: 1 is a diamond, 2 an ellipse, 4 nearly a rectangle."""
    width: float
    """Of a ring's band, mm; 0 for a full piece."""
    petals: int
    """Bulges of the outline; 0 for none."""
    taper: float
    """How much narrower the top is than the bottom, -1 to 1."""
    material: Material

    def shape(self, across: Values, down: Values) -> Values:
        """1 inside, 0 outside, at places from the lobe, mm."""
        x, y = across - self.centre[0], down - self.centre[1]
        v = (y / self.half[1]).clip(-1, 1)
        u = x / (self.half[0] * (1 - self.taper * (1 - v) / 2).clip(0.05))
        reach = (np.abs(u) ** self.power + np.abs(y / self.half[1]) ** self.power) ** (1 / self.power)
        if self.petals:
            reach = reach * (1.15 + 0.15 * np.cos(self.petals * np.arctan2(y, x)))
        inside = reach < 1
        if self.width:
            inside &= reach > 1 - self.width / min(self.half)
        return inside.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Earring:
    """What hangs on one lobe."""

    pieces: tuple[Piece, ...]
    shadow: float
    """How dark its shadow on neck and cheek is, 0 to 1."""
    behind: float
    """How far down (mm from the lobe) its rear lies behind the lobe, as a ring's does; 0 for none."""

    @property
    def extent(self) -> float:
        """How far from the lobe its pieces reach at most, mm."""
        return max(
            max(abs(place) + half for place, half in zip(one.centre, one.half, strict=True))
            for one in self.pieces
        )

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Earring":
        """A random earring."""
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        first, second = Material.draw(rng), Material.draw(rng)
        pieces, behind = [], 0.0
        if kind == "ring":
            high = rng.uniform(4, 26)
            wide = high * rng.uniform(0.15, 1)
            width = min(rng.uniform(0.8, 6), 0.8 * min(wide, high))
            pieces.append(Piece((0, high - 2), (wide, high), rng.uniform(1.7, 2.6), width, 0, 0.0, first))
            behind = rng.choice([0.0, rng.uniform(2, 6)])
        else:
            large = kind == "stud"
            size = rng.uniform(1.5, 10 if large else 5)
            pieces.append(_full((0.0, rng.uniform(-1, 0.4 * size)), size, first, rng))
            if rng.random() < 0.35:  # a setting around a stone
                pieces.append(_full(pieces[0].centre, size * rng.uniform(0.4, 0.8), second, rng))
        if kind == "drop":
            below = pieces[0].centre[1] + pieces[0].half[1]
            for _ in range(int(rng.integers(1, 4))):
                link = rng.uniform(0, 8) * (rng.random() < 0.7)
                if link > 1:
                    half = (rng.uniform(0.3, 0.8), link / 2)
                    pieces.append(Piece((0, below + link / 2), half, 4, 0.0, 0, 0.0, first))
                material = first if rng.random() < 0.5 else second
                high, wide = rng.uniform(1.5, 10), rng.uniform(0.25, 1.2)
                ring = rng.uniform(0.8, 2) * (rng.random() < 0.25 and high * min(wide, 1) > 3)
                centre, half = (0.0, below + link + high), (high * wide, high)
                power, petals = rng.choice([1.0, 2.0, 2.0, 4.0]), int(rng.choice([0, 0, 0, 5, 8]))
                pieces.append(Piece(centre, half, power, ring, petals, rng.uniform(-0.3, 0.9), material))
                below = centre[1] + 0.95 * high
        return cls(tuple(pieces), rng.uniform(0, 0.5) * (rng.random() < 0.7), behind)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnEarring:
    """The picture of an earring, to be laid over a picture of the ear."""

    colour: Float[np.ndarray, "3 h w"]
    """RGB in [0, 1], straight, not premultiplied."""
    cover: Values
    """How much of each pixel it takes."""
    shade: Values
    """How much light reaches what is behind it."""

    def behind(self, before: Values) -> "DrawnEarring":
        """The same with something before it, such as hair: how far that hides each pixel."""
        return replace(self, cover=self.cover * (1 - before))

    def lit(self, light: float) -> "DrawnEarring":
        """The same in brighter or darker light."""
        return replace(self, colour=(self.colour * light).clip(0, 1))

    def over(self, picture: Float[np.ndarray, "3 h w"]) -> Float[np.ndarray, "3 h w"]:
        """The picture with the earring."""
        picture = picture * self.shade
        return (picture + self.cover * (self.colour - picture)).clip(0, 1)


def draw_earring(
    earring: Earring,
    size: tuple[int, int],
    lobe: tuple[float, float],
    millimetre: float,
    rng: np.random.Generator,
    *,
    side: int = -1,
    squeeze: float = 1.0,
    blur: float = 0.5,
) -> DrawnEarring:
    """Draw an earring that hangs straight down.

    Args:
        earring: What is drawn.
        size: The picture's height and width.
        lobe: Where the lobe lies, x and y in the picture's pixels.
        millimetre: The length of one in pixels.
        rng: For light and facets.
        side: -1 for the picture's left ear, 1 for the right one.
        squeeze: How wide it is seen, over its width.
        blur: Of the picture, the deviation in pixels.
    """
    # Only the part of the picture that the earring and its shadow can reach is drawn.
    reach = (earring.extent + SHADOW) * millimetre + 4 * blur
    low = np.floor(np.array(lobe[::-1]) - reach).astype(int)
    high = np.ceil(np.array(lobe[::-1]) + reach).astype(int)
    box = tuple(slice(max(0, first), max(0, last)) for first, last in zip(low, high, strict=True))
    height, width = (
        max(0, min(part.stop, limit) - part.start) for part, limit in zip(box, size, strict=True)
    )
    colour, cover, shade = (
        np.zeros((3, *size), np.float32),
        np.zeros(size, np.float32),
        np.ones(size, np.float32),
    )
    if height == 0 or width == 0:
        return DrawnEarring(colour, cover, shade)
    row, column = (
        part.start + (np.arange(count * FINER) + 0.5) / FINER
        for part, count in zip(box, (height, width), strict=True)
    )
    down = np.broadcast_to(((row - lobe[1]) / millimetre)[:, None], (height * FINER, width * FINER))
    across = np.broadcast_to(side * (column - lobe[0]) / millimetre / squeeze, down.shape)
    light = rng.normal(size=3) * (1, 1, 0.3) + (0, -0.7, 0.8)
    light /= np.linalg.norm(light)
    solid, lit = np.zeros(down.shape, np.float32), np.zeros((3, *down.shape), np.float32)
    for piece in earring.pieces:
        shape = piece.shape(across, down)
        if not shape.any():
            continue
        part = ndimage.find_objects(shape.astype(np.uint8))[0]
        inside = shape[part] > 0
        lit[:, *part] = np.where(inside, _lit(piece, inside, FINER * millimetre, light, rng), lit[:, *part])
        solid[part] = np.maximum(solid[part], inside)
    if earring.behind:
        # The rear half of a ring runs behind the lobe, on the face's side.
        solid *= 1 - ((across < 0) & (down < earring.behind))

    def reduced(values: np.ndarray) -> np.ndarray:
        small = values.reshape(*values.shape[:-2], height, FINER, width, FINER).mean((-3, -1))
        return ndimage.gaussian_filter(small, [0] * (small.ndim - 2) + [blur, blur])

    soft = reduced(solid)
    shift = rng.uniform(0, SHADOW / 2, 2) * millimetre * (1, -side)
    dark = ndimage.shift(ndimage.gaussian_filter(soft, rng.uniform(0.5, 2) * millimetre), shift, order=1)
    colour[:, *box] = reduced(lit * solid) / np.maximum(soft, 1e-3)
    cover[box] = soft
    shade[box] = 1 - earring.shadow * dark.clip(0, 1)
    return DrawnEarring(colour, cover, shade)


def hang_on(
    drawing: Drawing,
    earring: Earring,
    lobes: Float[np.ndarray, "2 3"],
    pose: Pose,
    camera: Camera,
) -> Float[Tensor, "3 H W"]:
    """The drawing's image with a pair of earrings that are alike from all sides.

    `lobes` are the head's, in the model's frame (mm).
    """
    image = drawing.image.numpy()
    places = pose.apply(torch.from_numpy(lobes).float())
    for side, place in zip((-1, 1), places, strict=True):
        x, y, away = camera.screen(place[None])[0].tolist()
        millimetre = float(camera.focal) / away
        # Light and facets follow from the earring itself: the same in every picture of a person.
        rng = np.random.default_rng(int(earring.extent * 1e6))
        drawn = draw_earring(earring, (camera.height, camera.width), (x, y), millimetre, rng, side=side)
        hidden = drawing.depth.numpy() < away - SUNK
        image = drawn.behind(hidden.astype(np.float32)).over(image)
    return torch.from_numpy(image).float()


def _full(centre: tuple[float, float], size: float, material: Material, rng: np.random.Generator) -> Piece:
    """A full piece about as wide as high."""
    half = size, size * rng.uniform(0.7, 1.4)
    power = rng.choice([1.2, 2.0, 2.0, 2.0, 4.0])
    return Piece(centre, half, power, 0.0, int(rng.choice([0, 0, 0, 5, 6, 8])), 0.0, material)


def _lit(
    piece: Piece,
    inside: np.ndarray,
    millimetre: float,
    light: Float[np.ndarray, "3"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "3 h w"]:
    """The colours of a piece as it takes light: round, as wide parts are thicker than narrow ones."""
    material = piece.material
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    flat = rng.uniform(0.3, 1) * depth.max()
    bulge = np.sqrt((1 - (1 - depth / flat).clip(0) ** 2).clip(0)) * flat * rng.uniform(0.4, 1.2)
    slope = [-g for g in np.gradient(np.pad(bulge, 1, mode="edge"))]
    normal = np.stack([slope[1], slope[0], np.ones_like(slope[0])])[:, 1:-1, 1:-1]
    if material.facets:
        # Planes around random points, each tilted its own way.
        cells = max(1, round(inside.sum() / (material.facets * millimetre) ** 2))
        points = rng.uniform(0, 1, (min(cells, 150), 2)) * inside.shape
        marks = np.full(inside.shape, True)
        at = points.astype(int)
        marks[at[:, 0], at[:, 1]] = False
        nearest = ndimage.distance_transform_edt(marks, return_distances=False, return_indices=True)
        tilt = rng.normal(0, 0.7, (2, *inside.shape))
        normal[:2] += tilt[:, nearest[0], nearest[1]]
    normal /= np.linalg.norm(normal, axis=0)
    facing = np.tensordot(light, normal, 1).clip(0)
    diffuse = 0.35 + 0.65 * facing
    # Surroundings: bright and dark bands, as rooms have.
    bands = rng.normal(0, 2.5, 3)
    around = 0.55 + 0.55 * np.sin(np.tensordot(bands, normal, 1) + rng.uniform(0, 6))
    shine = material.gloss * smoothstep((facing - 0.8) / 0.2)
    base = material.colour[:, None, None] * (diffuse + material.metal * (around - diffuse))
    return (base + shine * (1 - base)).astype(np.float32).clip(0, 1)
