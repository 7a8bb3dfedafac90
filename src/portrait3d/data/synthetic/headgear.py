"""Headwear as shells around a head: beanies, caps, hats, headbands, hoods and headscarves."""

import colorsys
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import ndimage

from portrait3d.data.synthetic.drawing import Layer
from portrait3d.data.synthetic.scalp import CENTRE, TILT, crown_axis, to_polar
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.parsing_classes import ParsingClass

KINDS = {"beanie": 0.24, "cap": 0.22, "hat": 0.16, "band": 0.12, "hood": 0.13, "headscarf": 0.13}
"""What there is, and how often."""
CLOSED = ("hood", "headscarf")
"""Kinds that go around the face down to the shoulders: hair doesn't hang out of them."""
AROUND, DOWN = 144, 72
"""Azimuths and rows of a shell."""
BINS = 48, 20
"""Cells of azimuth and polar angle in which the head's extent is measured."""
WIDEST = np.radians(150)
"""Polar angle to which the head is measured."""
MOST_HAIR = 18.0
"""mm of hair that fit under headwear; the rest is pressed down."""
FACE_MIDDLE = (0.0, 8.0)
"""x and y of the middle of the face, model frame, mm."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a head reaches in every direction from `CENTRE`, mm, smoothed."""

    radius: Float[np.ndarray, "A P"]

    @classmethod
    def measure(cls, skin: Float[np.ndarray, "N 3"], hair: Float[np.ndarray, "M 3"]) -> "Extent":
        """The extent of the skin, and of hair up to `MOST_HAIR` above it."""
        bare = _farthest(skin)
        full = np.maximum(bare, _farthest(hair)) if len(hair) else bare
        radius = np.minimum(full, bare + MOST_HAIR)
        return cls(ndimage.gaussian_filter(radius, 1.0, mode=("wrap", "nearest")))

    def at(self, azimuth: np.ndarray, polar: np.ndarray) -> np.ndarray:
        """Radius at azimuths and polar angles (radians), mm."""
        columns, rows = self.radius.shape
        where = [azimuth / (2 * np.pi) * columns - 0.5, polar / WIDEST * rows - 0.5]
        wrapped = np.pad(self.radius, ((2, 2), (0, 0)), mode="wrap")
        where[0] = where[0] % columns + 2
        return ndimage.map_coordinates(wrapped, where, order=1, mode="nearest")


def _farthest(points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "A P"]:
    # The largest radius in every cell; empty cells take their nearest neighbour's.
    azimuth, polar, radius = to_polar(points)
    column = (azimuth / (2 * np.pi) * BINS[0]).astype(int) % BINS[0]
    row = (polar / WIDEST * BINS[1]).astype(int)
    inside = row < BINS[1]
    table = np.zeros(BINS)
    np.maximum.at(table, (column[inside], row[inside]), radius[inside])
    # Three turns side by side: the nearest cell may lie beyond azimuth 0.
    tiled = np.tile(table, (3, 1))
    nearest = ndimage.distance_transform_edt(tiled == 0, return_distances=False, return_indices=True)
    return tiled[tuple(nearest)][BINS[0] : 2 * BINS[0]]  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headgear:
    """One piece of headwear, by its measures in mm in the head model's frame."""

    kind: str
    front: float
    """y of its edge on the forehead."""
    back: float
    """y of its edge at the back of the head."""
    thickness: float
    """Of the shell over the head."""
    height: float
    """What stands off over the crown besides."""
    width: float
    """Of a band, and reach of visors and brims."""
    drop: float
    """How far visors and brims hang down; y of the end of hoods and scarves."""
    opening: tuple[float, float]
    """Half axes of the opening for the face."""
    colours: Float[np.ndarray, "2 3"]
    waves: Float[np.ndarray, "3 4"]
    """Directions (1 / mm) in which the cloth's pattern and folds vary."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Headgear":
        """Random headwear."""
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        front = rng.uniform(-92, -48)
        closed, wide = kind in CLOSED, kind == "hat"
        return cls(
            kind=kind,
            front=front,
            back=front + rng.uniform(10, 95) if not closed else 60.0,
            thickness=rng.uniform(8, 24) if kind == "hood" else rng.uniform(2, 8),
            height=rng.uniform(10, 55) if wide else rng.uniform(0, 25) * (kind in ("beanie", "cap", "hood")),
            width=rng.uniform(12, 50) if kind == "band" else rng.uniform(25, 95),
            drop=rng.uniform(120, 230) if closed else rng.uniform(-10, 30),
            opening=(rng.uniform(58, 80), rng.uniform(78, 98)),
            colours=np.stack([_cloth(rng), _cloth(rng)]),
            waves=rng.normal(0, 1, (3, 4)) * rng.uniform(0.02, 0.4, 4) * [rng.random() < 0.4, 1, 1, 1],
        )

    def line(self, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, " *N"]:
        """How far points lie below the plane of the edge, mm."""
        share = (points[..., 2] + 50) / 180
        return points[..., 1] - (self.front + share * (self.back - self.front))

    def pressed(
        self, points: Float[np.ndarray, "N 3"], extent: Extent, hair: Bool[np.ndarray, " N"]
    ) -> Float[np.ndarray, "N 3"]:
        """Points of which those of hair that would stand out of the shell are moved into it."""
        azimuth, polar, radius = to_polar(points)
        most = extent.at(azimuth, polar) - 1.5
        covered = hair & (radius > most) & (polar < WIDEST) & self._covers(points)
        factor = np.where(covered, most / radius, 1.0)
        return (CENTRE + (points - CENTRE) * factor[:, None]).astype(points.dtype)

    def layer(self, extent: Extent) -> Layer:
        """The headwear as something to draw, with normals and colours."""
        pieces = self._closed(extent) if self.kind in CLOSED else self._pieces(extent)
        vertices = np.concatenate([points.reshape(-1, 3) for points, _ in pieces])
        starts = np.cumsum([0] + [points.shape[0] * points.shape[1] for points, _ in pieces[:-1]])
        faces = np.concatenate(
            [
                _grid_faces(*points.shape[:2], around=around) + k
                for k, (points, around) in zip(starts, pieces, strict=True)
            ]
        )
        if self.kind in CLOSED:
            faces = faces[~self._open(vertices)[faces].any(axis=1)]
        faces = np.ascontiguousarray(faces)
        vertices = vertices.astype(np.float32)
        normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()
        attributes = np.concatenate([normals, self._colour(vertices)], axis=1).astype(np.float32)
        return Layer(
            vertices, faces, attributes, np.full(len(vertices), ParsingClass.HEADWEAR, np.uint8), False
        )

    def _covers(self, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        if self.kind in CLOSED:
            return ~self._open(points)
        below = self.line(points)
        return (below < 6) & (below > -self.width - 6) if self.kind == "band" else below < 6

    def _open(self, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
        # The hole for the face: before the ears, inside an ellipse that the forehead's edge may cut.
        x, y = points[:, 0] - FACE_MIDDLE[0], points[:, 1] - FACE_MIDDLE[1]
        inside = (x / self.opening[0]) ** 2 + (y / self.opening[1]) ** 2 < 1
        return inside & (points[:, 2] < 30) & (self.line(points) > 0)

    def _shell(self, extent: Extent, first: np.ndarray, last: np.ndarray) -> Float[np.ndarray, "A D 3"]:
        # Over the head, between two polar angles for every azimuth.
        azimuth = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)[:, None]
        polar = first[:, None] + np.linspace(0, 1, DOWN) * (last - first)[:, None]
        over = self.thickness + self.height * np.clip(1 - polar / np.radians(80), 0, 1) ** 0.5
        radius = extent.at(*np.broadcast_arrays(azimuth, polar)) + over
        return CENTRE + radius[..., None] * _direction(azimuth, polar)

    def _edge(self, extent: Extent, above: float = 0.0) -> Float[np.ndarray, " A"]:
        # Polar angle at which the shell meets a plane `above` that of the edge, for every azimuth.
        azimuth = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)[:, None]
        polar = np.linspace(np.radians(5), WIDEST, 120)[None]
        radius = extent.at(*np.broadcast_arrays(azimuth, polar)) + self.thickness
        below = self.line(CENTRE + radius[..., None] * _direction(azimuth, polar)) + above > 0
        return polar[0, np.where(below.any(axis=1), below.argmax(axis=1), -1)]

    def _pieces(self, extent: Extent) -> list[tuple[np.ndarray, bool]]:
        # Grids of points, and whether each goes around.
        edge = self._edge(extent)
        if self.kind == "band":
            return [(self._shell(extent, self._edge(extent, self.width), edge), True)]
        shell = self._shell(extent, np.full(AROUND, 1e-3), edge)
        rim, steps = shell[:, -1], np.linspace(0, 1, 10)[None, :, None]
        if self.kind == "hat":
            outward = rim - rim.mean(axis=0)
            outward = outward / np.linalg.norm(outward, axis=1, keepdims=True)
            reach = outward * self.width + np.array([0, 0.4 * self.drop, 0]) * outward[:, :1] ** 2
            return [(shell, True), (rim[:, None] + reach[:, None] * steps, True)]
        if self.kind == "cap":
            angle = np.linspace(-1, 1, 33)
            index = np.round(angle * AROUND * 0.19).astype(int) % AROUND
            reach = 0.75 * self.width * np.sqrt(1 - 0.999 * angle**2)
            forward = np.stack(
                [0 * angle, self.drop * (1 + 0.4 * angle**2) * reach / self.width, -reach], axis=1
            )
            return [(shell, True), (rim[index][:, None] + forward[:, None] * steps, False)]
        return [(shell, True)]

    def _closed(self, extent: Extent) -> list[tuple[np.ndarray, bool]]:
        shell = self._shell(extent, np.full(AROUND, 1e-3), np.full(AROUND, np.radians(118)))
        rim, steps = shell[:, -1:], np.linspace(0, 1, 40)[None, :, None]
        # From the head to the shoulders, wider on the way; loose cloth bulges.
        end = np.array([0.0, self.drop, 55.0]) + (rim - rim.mean(axis=0)) * np.array([1.9, 0, 1.25])
        end[..., 1] = self.drop - 0.25 * np.abs(end[..., 0])
        skirt = rim + (end - rim) * np.concatenate([steps**1.6, steps, steps**1.6], axis=-1)
        return [(shell, True), (skirt, True)]

    def _colour(self, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "V 3"]:
        phase = np.sin(vertices @ self.waves)
        first, second = self.colours
        patterned = phase[:, :1] > 0.5
        fold = 1 + 0.12 * phase[:, 1:2] + 0.08 * phase[:, 2:3] + 0.05 * phase[:, 3:]
        return np.clip(np.where(patterned, second, first) * fold, 0.01, 0.98)


def _direction(azimuth: np.ndarray, polar: np.ndarray) -> Float[np.ndarray, "*grid 3"]:
    # The inverse of `to_polar`'s angles.
    azimuth, polar = np.broadcast_arrays(azimuth, polar)
    front = np.array([0.0, -np.sin(TILT), -np.cos(TILT)])
    flat = np.cos(azimuth)[..., None] * front + np.sin(azimuth)[..., None] * np.array([1.0, 0.0, 0.0])
    return np.cos(polar)[..., None] * crown_axis() + np.sin(polar)[..., None] * flat


def _grid_faces(columns: int, rows: int, *, around: bool) -> Int64[np.ndarray, "F 3"]:
    index = np.arange(columns * rows).reshape(columns, rows)
    following = np.roll(index, -1, axis=0)
    last = columns if around else columns - 1
    a, b, c, d = (part[:last] for part in (index[:, :-1], following[:, :-1], following[:, 1:], index[:, 1:]))
    return np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])


def _cloth(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Often dark or muted, sometimes vivid."""
    saturation = rng.uniform(0.5, 1.0) if rng.random() < 0.35 else rng.uniform(0.0, 0.35)
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, rng.beta(1.2, 1.4) * 0.9 + 0.04))
