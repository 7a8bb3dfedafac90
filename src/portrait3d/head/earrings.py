"""Earrings as pieces of their own: round bodies that hang on the lobes.

The photo shows them before ears, hair and background. They are taken off it, and their pixels go onto bodies
that are as thick as they are wide, so that they stay rigid when the head turns and are seen from every side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

from portrait3d.geometry.mesh import Binding, SeeThrough
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
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
from portrait3d.models.depth_net import HeadDepth
from portrait3d.models.earrings import lobes
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.removal import SOLID


@dataclass(frozen=True)
class EarringShape:
    """How earrings hang, mm unless said otherwise."""

    lift: float = 1.0
    """How far their middle lies before what is behind them,"""
    before_lobe: float = 20.0
    """and how far before the lobe that may be; it is never behind."""
    thickest: float = 5.0
    """Half of it; wider pieces are flat."""
    cell: float = 1.5
    """Side of a surface's cells."""
    margin: float = 1.0
    """By how much a surface is larger than its earring."""
    density: tuple[float, float] = (1.0, 6.0)
    """Texels of a millimetre: the photo's pixels, within these limits."""
    aside: float = 60.0
    """How much farther away than the other a lobe is that the head hides: its earring is the other's."""
    behind: float = 0.5
    """What a lobe's distance from the nearer one counts when it is asked whose an earring is."""
    shown: float = 0.1
    """Opacity of a texel from which on its cell is drawn."""


SHAPE = EarringShape()


def lift_earrings(
    pixels: UInt8[np.ndarray, "H W 3"],
    cover: Float[np.ndarray, "H W"],
    crop: Crop,
    model: HeadModel,
    vertices: Float[np.ndarray, "M 3"],
    crop_from_model: Pose,
    depth: HeadDepth,
) -> SeeThrough | None:
    """The earrings that a photo shows, in the frame of the crop's camera, mm; None if too little is seen.

    Args:
        pixels: The photo.
        cover: How much of each pixel is an earring.
        crop: The head crop.
        model: The head model.
        vertices: The fitted face in the model's frame, mm.
        crop_from_model: Its pose in the crop's camera.
        depth: Of the head without earrings, in the crop's wide crop.
    """
    places = crop_from_model.apply(lobes(model, torch.from_numpy(vertices).float())).double().numpy()
    row, column = np.nonzero(cover > 0)
    seen = crop.crop_from_photo(torch.from_numpy(np.stack([column, row], 1) + 0.5).float()).numpy()
    # An earring is that of the nearer lobe; where a head in profile has both in one place, of the seen one.
    at = pixels_of(crop.camera(), places[:, None])[..., 0].T
    away = np.linalg.norm(seen[:, None] - at, axis=2) * places[:, 2] / float(crop.camera().focal)
    nearer = (away + SHAPE.behind * (places[:, 2] - places[:, 2].min())).argmin(1)
    found: list[SeeThrough | None] = []
    for side, place in enumerate(places):
        own = np.zeros_like(cover)
        chosen = row[nearer == side], column[nearer == side]
        own[chosen] = cover[chosen]
        found.append(_hung(pixels, own, crop, place, depth) if (own > SOLID).any() else None)
    # Of a head that is turned aside only one ear is seen: the hidden one wears the same.
    found += [
        _mirrored(own, crop_from_model)
        for own, far, away in zip(found, found[::-1], (places[::-1] - places)[:, 2], strict=True)
        if own is not None and far is None and away > SHAPE.aside
    ]
    return _joined([one for one in found if one is not None])


def _hung(
    pixels: UInt8[np.ndarray, "H W 3"],
    cover: Float[np.ndarray, "H W"],
    crop: Crop,
    lobe: Float[np.ndarray, "3"],
    depth: HeadDepth,
) -> SeeThrough | None:
    """One earring before what it hangs on, in the crop's camera."""
    rays = worn_rays(cover, crop).double().numpy()
    # Hair that covers the ear, or the lobe itself.
    x, y = pixels_of(depth.camera, rays[None])[:, 0].astype(int).clip(0, len(depth.front) - 1)
    behind = depth.front[y, x][depth.valid[y, x]]
    nearest = float(behind.median()) if len(behind) else lobe[2]
    middle = float(np.clip(nearest, lobe[2] - SHAPE.before_lobe, lobe[2])) - SHAPE.lift
    spread = SHAPE.margin + 0.5 * middle / float(crop.camera().focal)
    low, high = rays[:, :2].min(0) * middle - spread, rays[:, :2].max(0) * middle + spread
    columns, rows = (
        np.linspace(*ends, max(2, round((ends[1] - ends[0]) / SHAPE.cell)) + 1)
        for ends in zip(low, high, strict=True)
    )
    plane = _at(columns, rows, middle)
    density = float(np.clip(crop_density(crop, plane), *SHAPE.density))
    across, down = texels(columns, density), texels(rows, density)
    picture = photographed(pixels, cover, crop, _at(across, down, middle))
    at = np.meshgrid(places_among(down, rows), places_among(across, columns), indexing="ij")
    half = ndimage.map_coordinates(half_thickness(picture[3] > SOLID, density), at, order=1)
    return _body(plane, half, picture, columns, rows, density)


def half_thickness(inside: Bool[np.ndarray, "h w"], density: float) -> Float[np.ndarray, "h w"]:
    """Half of how thick a shape is that is as thick as it is wide, mm; `density` texels are a millimetre."""
    deep = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] / density
    radius = min(float(deep.max()), SHAPE.thickest)
    deep = deep.clip(0, radius)
    # A circle's height, r² - (r - d)², as a product: the difference may round to less than 0.
    return np.sqrt(deep * (2 * radius - deep))


def _body(
    plane: Float[np.ndarray, "h w 3"],
    half: Float[np.ndarray, "h w"],
    picture: Float[np.ndarray, "4 H W"],
    columns: Float[np.ndarray, " w"],
    rows: Float[np.ndarray, " h"],
    density: float,
) -> SeeThrough | None:
    """A front and a back that meet at the outline, each with the picture."""
    shown = shown_cells(picture[3] > SHAPE.shown, columns, rows, density)
    if not shown.any():
        return None
    used, faces = cell_triangles(shown)
    flat, away = plane.reshape(-1, 3)[used], half.reshape(-1, 1)[used] * [0, 0, 1]
    uv = (flat[:, :2] - [columns[0], rows[0]]) * density / picture.shape[:0:-1]
    return SeeThrough(
        vertices=np.concatenate([flat - away, flat + away]).astype(np.float32),
        faces=np.concatenate([faces, faces[:, ::-1] + len(used)]),
        uv=np.concatenate([uv, uv]).clip(0, 1).astype(np.float32),
        texture=as_bytes(torch.from_numpy(picture).float()),
        binding=Binding.to_vertices(np.zeros(2 * len(used), np.int64), 0.0),
    )


def _mirrored(earring: SeeThrough, crop_from_model: Pose) -> SeeThrough:
    """The same on the head's other side."""
    points = crop_from_model.inverse().apply(torch.from_numpy(earring.vertices))
    other = crop_from_model.apply(points * torch.tensor([-1.0, 1.0, 1.0]))
    return replace(earring, vertices=other.numpy(), faces=earring.faces[:, ::-1].copy())


def _joined(earrings: Sequence[SeeThrough]) -> SeeThrough | None:
    """One mesh of all, their pictures side by side in one texture; None of none."""
    if not earrings:
        return None
    sizes = np.array([one.texture.shape[:2] for one in earrings])
    high, wide = int(sizes[:, 0].max()), int(sizes[:, 1].sum())
    texture = np.zeros((high, wide, 4), np.uint8)
    uv, faces, left, first = [], [], 0, 0
    for one, (height, width) in zip(earrings, sizes.tolist(), strict=True):
        texture[:height, left : left + width] = one.texture
        uv.append((one.uv * [width, height] + [left, 0]) / [wide, high])
        faces.append(one.faces + first)
        left, first = left + width, first + len(one.vertices)
    return SeeThrough(
        vertices=np.concatenate([one.vertices for one in earrings]),
        faces=np.concatenate(faces),
        uv=np.concatenate(uv).astype(np.float32),
        texture=texture,
        binding=Binding.joined(*(one.binding for one in earrings)),
    )


def _at(columns: np.ndarray, rows: np.ndarray, away: float) -> Float[np.ndarray, "h w 3"]:
    """Points of a plane that faces the camera."""
    return np.stack([*np.meshgrid(columns, rows), np.full((len(rows), len(columns)), away)], -1)
