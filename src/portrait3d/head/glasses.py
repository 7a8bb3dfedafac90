"""Glasses as a piece of their own: a curved front before the eyes, and temples that lead back to the ears.

The photo shows them upon the face. They are taken off it, what they hid is filled from around them, and
their pixels go onto a surface that stands where glasses do, so that they stay rigid when the head turns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.filling import push_pull
from portrait3d.geometry.mesh import Binding, SeeThrough
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pixels import smoothstep
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.vectors import dot, length
from portrait3d.geometry.warping import cell_triangles
from portrait3d.head.worn import (
    crop_density,
    photographed,
    pixels_of,
    places_among,
    shown_cells,
    texels,
    worn_rays,
)
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import Crop
from portrait3d.rendering.rasterizer import rasterize


@dataclass(frozen=True)
class GlassesShape:
    """How glasses stand on a face, mm unless said otherwise."""

    distance: float = 13.0
    """From the eyes to the front."""
    bend: float = 400.0
    """Radius of the front's curve round the face."""
    tilt: float = 0.1
    """How much nearer to the face it is for every millimetre further down."""
    widths: tuple[float, float] = (52.0, 82.0)
    """Least and largest half of the front's width."""
    turned: float = 0.12
    """Sine of the yaw from which on the farther side alone tells the width."""
    thinnest: float = 0.5
    """What is less high at the front's ends doesn't count."""
    edge_on: float = 0.2
    """Cosine between a ray and the way the face looks below which the front is seen too flat."""
    shortest: float = 20.0
    """Least length of the temples."""
    slope: float = 12.0
    """By how much the temples may rise or fall to the ears."""
    beside_ear: float = 3.0
    """How far outside the ear's root they end, and how far behind it."""
    cell: float = 2.5
    """Side of the surface's cells."""
    lift: float = 1.5
    """How far before the skin the surface lies everywhere,"""
    farthest: float = 8.0
    """and how far it may be moved for that."""
    margin: float = 4.0
    """By how much the surface is higher than the glasses, above and below."""
    density: tuple[float, float] = (1.0, 4.0)
    """Texels of a millimetre: the photo's pixels, within these limits."""
    facing: tuple[float, float] = (0.15, 0.3)
    """Cosines to the view from which on the photo begins to show, and shows, what the surface has."""
    hidden: float = 9.0
    """What lies so far behind the face is not what the photo shows there."""
    end: float = 4.0
    """Part of the front's end that tells the height of its temple,"""
    solid: float = 0.35
    """if so much of it is frame,"""
    outer: float = 15.0
    """and the part that tells its colour."""
    arm: tuple[float, float] = (1.5, 6.0)
    """Least and largest height of a temple that no photo shows."""
    fades: float = 0.9
    """Part of a temple from which on it fades, behind the ear."""


SHAPE = GlassesShape()


def lift_glasses(
    pixels: UInt8[np.ndarray, "H W 3"],
    cover: Float[np.ndarray, "H W"],
    crop: Crop,
    model: HeadModel,
    vertices: Float[np.ndarray, "M 3"],
    crop_from_model: Pose,
) -> SeeThrough | None:
    """The glasses that a photo shows, in the frame of the crop's camera, mm; None if nothing of them is seen.

    Args:
        pixels: The photo.
        cover: How much of each pixel is frame, or a lens that hides the eyes.
        crop: The head crop.
        model: The head model.
        vertices: The fitted face in the model's frame, mm.
        crop_from_model: Its pose in the crop's camera.
    """
    skin = torch.from_numpy(vertices).float()
    standing = Standing.of(cover, crop, model, skin, crop_from_model)
    columns, rows = standing.lines()
    plain = standing.points(*np.meshgrid(columns, rows))
    grid = before_skin(plain, skin, model.skin_faces, columns, standing)
    plain, points = (
        crop_from_model.apply(torch.from_numpy(one).float()).double().numpy() for one in (plain, grid)
    )
    density = float(np.clip(crop_density(crop, points), *SHAPE.density))
    # The texture's pixels: along the front and both temples, and down.
    across, down = texels(columns, density), texels(rows, density)
    at = np.meshgrid(places_among(rows, down), places_among(columns, across), indexing="ij")
    lie = np.stack(
        [ndimage.map_coordinates(points[..., k], at, order=1, mode="nearest") for k in range(3)], -1
    )
    facing = ndimage.map_coordinates(_facing(plain), at, order=1, mode="nearest")
    seen = smoothstep((facing - SHAPE.facing[0]) / (SHAPE.facing[1] - SHAPE.facing[0]))
    seen = seen * in_front(lie, crop, skin, model.faces, crop_from_model)
    picture, known = on_both_sides(photographed(pixels, cover, crop, lie), seen)
    picture = add_temples(picture, known, across, down, density, standing)
    return _mesh(points, picture, columns, rows, density)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where glasses stand on a head, in the head model's frame, mm.

    Their surface has two coordinates: s runs along the left temple, the front and the right temple, from the
    middle of the face, and y downward.
    """

    middle: Float[np.ndarray, "3"]
    """Between the eyes."""
    half: float
    """Half of the front's width."""
    hinge: float
    """Height at which the temples begin."""
    ears: Float[np.ndarray, "2 3"]
    """Where they end."""
    top: float
    bottom: float
    """Heights between which there are glasses."""

    @classmethod
    def of(
        cls,
        cover: Float[np.ndarray, "H W"],
        crop: Crop,
        model: HeadModel,
        skin: Float[Tensor, "M 3"],
        crop_from_model: Pose,
    ) -> "Standing":
        """Glasses that cover a photo's pixels, on a head; arguments as of `lift_glasses`."""
        middle = model.landmarks(skin[None])[0, 36:48].double().numpy().mean(axis=0)
        x, y, size = _on_front(cover, crop, middle, crop_from_model)
        # On the nearer side the temple is seen beside the front: the farther one tells the front's width.
        aside = float(crop_from_model.rotation[0, 2])
        farther = np.sign(x) != np.sign(aside) if abs(aside) > SHAPE.turned else np.full(len(x), True)
        # What is as high as a thin wire is glasses, single pixels are not.
        height = np.bincount(np.abs(x[farther]).astype(int), minlength=1) * size**2
        wide = np.flatnonzero(height >= SHAPE.thinnest)
        half = float(np.clip(wide[-1] + 1 if len(wide) else 0, *SHAPE.widths))
        front = y[np.abs(x) < half] if (np.abs(x) < half).any() else y
        top, bottom = (float(np.quantile(front, share)) for share in (0.002, 0.998))
        end = y[np.abs(np.abs(x) - half + SHAPE.end / 2) < SHAPE.end / 2]
        hinge = float(np.median(end)) if len(end) else top
        return cls(middle, half, hinge, _ear_roots(model, skin), top, bottom)

    def lines(self) -> tuple[Float[np.ndarray, " w"], Float[np.ndarray, " h"]]:
        """The columns' s and the rows' y of the surface's cells."""
        front = np.linspace(-self.half, self.half, 2 * round(self.half / SHAPE.cell) + 1)
        count = round(self.length / SHAPE.cell)
        side = np.linspace(self.half, self.half + self.length, count + 1)[1:]
        height = self.bottom - self.top + 2 * SHAPE.margin
        rows = np.linspace(
            self.top - SHAPE.margin, self.bottom + SHAPE.margin, round(height / SHAPE.cell) + 1
        )
        return np.concatenate([-side[::-1], front, side]), rows

    @property
    def length(self) -> float:
        """Of the temples, which are alike."""
        front = float(_front(self.half, self.hinge))
        return max(float(self.ears[:, 2].mean()) - self.middle[2] - front, SHAPE.shortest)

    def points(self, s: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
        """The surface's points."""
        x, back = np.clip(s, -self.half, self.half), np.zeros_like(s)
        y = y.copy()
        depth = _front(x, y)
        for side, ear in zip((-1, 1), self.ears, strict=True):
            share = np.clip((side * s - self.half) / self.length, 0, 1)
            x = x + share * (ear[0] - self.middle[0] - side * self.half)
            back = back + share * (ear[2] - self.middle[2] - depth)
            y = y + share * np.clip(ear[1] - self.middle[1] - self.hinge, -SHAPE.slope, SHAPE.slope)
        return np.stack([x, y, depth + back], -1) + self.middle


def _on_front(
    cover: Float[np.ndarray, "H W"], crop: Crop, middle: Float[np.ndarray, "3"], crop_from_model: Pose
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"], float]:
    """Where the glasses' pixels lie on their front's plane, from between the eyes, and a pixel's size, mm."""
    inverse = crop_from_model.inverse()
    start = inverse.translation.double().numpy()
    ray = (worn_rays(cover, crop) @ inverse.rotation.T).double().numpy()
    # A head in profile shows its front edge-on: there the pixels lie as far away as the eyes.
    eyes = float(
        (crop_from_model.rotation.double() @ torch.from_numpy(middle))[2] + crop_from_model.translation[2]
    )
    plane = middle[2] - SHAPE.distance - start[2]
    way = np.where(ray[:, 2] > SHAPE.edge_on, plane / np.maximum(ray[:, 2], SHAPE.edge_on), eyes)
    x, y = start[:2, None] + ray[:, :2].T * way - middle[:2, None]
    return x, y, eyes / float(crop.camera().focal) * crop.size / crop.side


def _ear_roots(model: HeadModel, skin: Float[Tensor, "M 3"]) -> Float[np.ndarray, "2 3"]:
    """Where temples rest on the picture's left and right ear, model frame, mm."""
    ears, places = model.ears_mask > 0.5, []
    for side in (-1, 1):
        ear = skin[ears & (side * model.mean[:, 0] > 0)].double().numpy()
        front = np.quantile(ear[:, 2], 0.1)
        # The front of an ear, about where it meets the head, and not its outermost rim.
        inside = np.quantile(side * ear[ear[:, 2] < front + 6, 0], 0.3)
        top = np.quantile(ear[:, 1], 0.1)
        places.append([side * (inside + SHAPE.beside_ear), top, front + SHAPE.beside_ear])
    return np.array(places)


def _front(x: Any, y: Any) -> Any:
    """How far behind the eyes the front's points lie (mm), below 0 before them, by their place from between
    the eyes."""
    return x**2 / (2 * SHAPE.bend) + SHAPE.tilt * y - SHAPE.distance


def before_skin(
    grid: Float[np.ndarray, "h w 3"],
    skin: Float[Tensor, "M 3"],
    faces: Int64[Tensor, "F 3"],
    columns: Float[np.ndarray, " w"],
    standing: Standing,
) -> Float[np.ndarray, "h w 3"]:
    """The surface moved before the skin: the front to the front, the temples outward."""
    grid, sides = grid.copy(), np.abs(columns) > standing.half
    for chosen, axis, sign in (
        (~sides, 2, -1.0),
        (sides & (columns < 0), 0, -1.0),
        (sides & (columns > 0), 0, 1.0),
    ):
        # The skin seen along an axis of the model's frame, a pixel a millimetre.
        others = [k for k in range(3) if k != axis]
        low = skin[:, others].amin(0) - 1
        size = (skin[:, others].amax(0) - low).ceil().int() + 2
        flat = torch.cat([skin[:, others] - low, 1000 - sign * skin[:, axis : axis + 1]], 1)
        seen = rasterize(flat[None], faces, int(size[1]), int(size[0])).depth[0].double().numpy()
        outermost = np.where(np.isfinite(seen), 1000 - seen, -np.inf)
        points = grid[:, chosen]
        column, row = ((points[..., k] - float(b)).astype(int) for k, b in zip(others, low, strict=True))
        inside = (row >= 0) & (row < len(seen)) & (column >= 0) & (column < seen.shape[1])
        reach = outermost[row.clip(0, len(seen) - 1), column.clip(0, seen.shape[1] - 1)]
        wanted = np.where(inside, reach, -np.inf) + SHAPE.lift - sign * points[..., axis]
        points[..., axis] += sign * np.clip(wanted, 0, SHAPE.farthest)
        grid[:, chosen] = points
    return grid


def in_front(
    points: Float[np.ndarray, "h w 3"],
    crop: Crop,
    skin: Float[Tensor, "M 3"],
    faces: Int64[Tensor, "F 3"],
    crop_from_model: Pose,
) -> Bool[np.ndarray, "h w"]:
    """Which points of the crop's camera no face lies before."""
    camera = crop.camera()
    placed = crop_from_model.apply(skin)
    depth = rasterize(camera.screen(placed)[None], faces, crop.size, crop.size).depth[0].numpy()
    column, row = pixels_of(camera, points).astype(int).clip(0, crop.size - 1)
    return points[..., 2] < depth[row, column] + SHAPE.hidden


def on_both_sides(
    picture: Float[np.ndarray, "4 h w"], seen: Float[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "4 h w"], Float[np.ndarray, "h w"]]:
    """The picture with the other side's pixels where it shows nothing itself, and how far either does."""
    other = (1 - seen) * seen[:, ::-1]
    known = seen + other
    return (picture * seen + picture[..., ::-1] * other) / np.maximum(known, 1e-6), known


def add_temples(
    picture: Float[np.ndarray, "4 h w"],
    known: Float[np.ndarray, "h w"],
    across: Float[np.ndarray, " w"],
    down: Float[np.ndarray, " h"],
    density: float,
    standing: Standing,
) -> Float[np.ndarray, "4 h w"]:
    """The glasses with temples where the photo shows neither: plain, as high as the front's ends."""
    colours = push_pull(torch.from_numpy(picture[:3]).float(), torch.from_numpy(picture[3] * known).float())
    picture = np.concatenate([colours.numpy(), picture[3:] * (known > 0)])
    for side in (-1, 1):
        s = side * across
        end = (s > standing.half - SHAPE.end) & (s < standing.half)
        solid = (picture[3][:, end] * known[:, end]).mean(axis=1)
        label, count = ndimage.label(solid > SHAPE.solid)
        if not count:
            continue
        run = label == 1 + np.argmax(ndimage.sum(solid, label, np.arange(1, count + 1)))
        high = float(np.clip(run.sum() / density, *SHAPE.arm))
        middle = float(down[run].mean())
        # Pixels that are all frame tell its colour; at thin ends what is behind shows through.
        outer = (s > standing.half - SHAPE.outer) & (s < standing.half)
        sure = (picture[3] * known)[:, outer] ** 4
        colour = ((picture[:3][..., outer] * sure).sum(axis=(1, 2)) / sure.sum())[:, None, None]
        share = np.clip((s - standing.half) / standing.length, 0, 1)
        edge = np.clip(0.5 + (high / 2 - np.abs(down - middle)) * density, 0, 1)[:, None]
        strip = edge * (1 - smoothstep((share - SHAPE.fades) / (1 - SHAPE.fades))) * (s > standing.half)
        missing = (1 - known) * (s > standing.half)
        picture[:3] += missing * (colour - picture[:3])
        picture[3] += missing * (strip - picture[3])
    return picture


def _mesh(
    points: Float[np.ndarray, "h w 3"],
    picture: Float[np.ndarray, "4 H W"],
    columns: np.ndarray,
    rows: np.ndarray,
    density: float,
) -> SeeThrough | None:
    """The cells of the surface that show something."""
    shown = shown_cells(picture[3] > 0.02, columns, rows, density)
    shown = ndimage.binary_dilation(shown, np.ones((3, 3)))
    if not shown.any():
        return None
    used, faces = cell_triangles(shown)
    row, column = np.divmod(used, len(columns))
    uv = (np.stack([columns[column], rows[row]], 1) - [columns[0], rows[0]]) * density
    uv /= picture.shape[:0:-1]
    still = Binding.to_vertices(np.zeros(len(used), np.int64), 0.0)
    return SeeThrough(
        vertices=points.reshape(-1, 3)[used].astype(np.float32),
        faces=faces,
        uv=uv.clip(0, 1).astype(np.float32),
        texture=as_bytes(torch.from_numpy(picture).float()),
        binding=still,
    )


def _facing(points: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Cosine between a surface's outward normal and the way to the camera."""
    normal = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    return -dot(normal, points) / np.maximum(length(normal) * length(points), 1e-9)
