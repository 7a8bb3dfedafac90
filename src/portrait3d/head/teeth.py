"""The head model's teeth, as long as the photo shows them."""

import weakref
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from scipy import ndimage

from portrait3d.geometry.pixels import blurred_inside
from portrait3d.geometry.pose import Pose
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.alignment import Crop

SIZE, REACH = 128, 96.0
"""Side of the crop in which teeth are looked for, pixels and mm."""
FEWEST = 60
"""Of these pixels below which an open mouth shows nothing."""
BRIGHT = 0.6
"""Share of the brightest green in the mouth that teeth have at least: what is dark has less."""
PALE = 0.88
"""Share of the brightest teeth's green to red that lower teeth have at least: lips and tongues, which may be
bright below the upper teeth, have less."""
LEAST_BRIGHT = 0.8
"""Share of the green around the mouth that the brightest teeth have at least."""
GAP = 1.5
"""Height of what is no tooth, mm, at which a row of teeth ends."""
GUMS = 0.5
"""Share of the opening's height within which the upper teeth begin."""
TUCK, HIDDEN = 4.0, 5.0
"""Upper teeth that reach the lower lip end so far behind it, mm, and lower teeth that it hides."""
ALONG = 3.0
"""Width of the blur along a row of teeth, mm."""
RANGE = (-10.0, 14.0)
"""Millimetres by which teeth get longer."""
NEIGHBOURS = (7.0, 10.0)
"""Distances across and into the mouth, mm, in which a vertex' root and edge are looked for."""
FRONT = 25.0
"""Teeth up to this far from the middle, mm, are seen from the front: their edges are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The upper or the lower teeth of a head model."""

    down: int
    """1 if their free edge is the lower one, as the upper teeth's is; -1 for the lower teeth."""
    vertices: Int64[np.ndarray, " N"]
    across: Float[np.ndarray, " N"]
    """Their places across the mouth in the average head, mm."""
    share: Float[np.ndarray, " N"]
    """0 at the root to 1 at the edge: the part of the edge's way that each goes."""
    edge: Int64[np.ndarray, " K"]
    """Of these vertices those of the edge in front, from the picture's left to its right."""


_rows: "weakref.WeakKeyDictionary[HeadModel, tuple[Row, Row]]" = weakref.WeakKeyDictionary()


def teeth_of(model: HeadModel) -> tuple[Row, Row]:
    """The upper and the lower teeth of a head model; found once for each."""
    if model not in _rows:
        _rows[model] = (_row(model, "upper_teeth", 1), _row(model, "lower_teeth", -1))
    return _rows[model]


def _row(model: HeadModel, part: str, down: int) -> Row:
    own = model.face_part.numpy() == model.part_names.index(part)
    vertices = np.unique(model.faces.numpy()[own])
    place = model.mean.double().numpy()[vertices]
    height = down * place[:, 1]
    away = np.abs(place[:, None] - place)
    near = (away[..., 0] < NEIGHBOURS[0]) & (away[..., 2] < NEIGHBOURS[1])
    root, edge = np.where(near, height, np.inf).min(axis=1), np.where(near, height, -np.inf).max(axis=1)
    share = (height - root) / (edge - root)
    # In front: of those at about one place across the mouth, the nearest.
    front = np.where(near, place[:, 2], np.inf).min(axis=1)
    seen = (share > 0.9) & (place[:, 2] < front + 5) & (np.abs(place[:, 0]) < FRONT)
    chosen = np.flatnonzero(seen)
    return Row(down, vertices, place[:, 0], share, chosen[np.argsort(place[chosen, 0])])


@dataclass(frozen=True, slots=True, eq=False)
class SeenMouth:
    """An open mouth in a photo."""

    crop: Crop
    """A part of the head crop, `REACH` wide at the teeth."""
    opening: Bool[np.ndarray, "S S"]
    """What lies between the lips."""
    bright: Bool[np.ndarray, "S S"]
    """What of it is as bright as teeth."""
    pale: Bool[np.ndarray, "S S"]
    """What of that is as pale as they are, too."""


def see_mouth(
    model: HeadModel,
    placed: Float[torch.Tensor, "V 3"],
    crop: Crop,
    pixels: UInt8[np.ndarray, "H W 3"],
    labels: UInt8[np.ndarray, "H W"],
) -> SeenMouth | None:
    """The mouth of a photo of known classes; None if it is closed.

    `placed` is the fitted face in the camera of the head crop, mm.
    """
    middle = placed[np.concatenate([row.vertices[row.edge] for row in teeth_of(model)])].mean(0)
    near = crop.around(middle, REACH, SIZE)
    opening = near.extract_labels(labels) == ParsingClass.INNER_MOUTH
    if opening.sum() < FEWEST:
        return None
    return SeenMouth(near, opening, *shown_teeth(near.extract(pixels).numpy(), opening))


def shown_teeth(
    picture: Float[np.ndarray, "3 S S"], opening: Bool[np.ndarray, "S S"]
) -> tuple[Bool[np.ndarray, "S S"], Bool[np.ndarray, "S S"]]:
    """Which pixels of an open mouth are as bright as teeth, and which of these are as pale, too."""
    red, green, _ = picture
    brightest = np.quantile(green[opening], 0.9)
    around = ndimage.binary_dilation(opening, iterations=8) & ~opening
    if not around.any() or brightest < LEAST_BRIGHT * np.median(green[around]):
        return np.zeros_like(opening), np.zeros_like(opening)
    bright = opening & (green > BRIGHT * brightest)
    paleness = green / np.maximum(red, 1e-3)
    usual = np.median(paleness[opening & (green >= brightest)])
    return bright, bright & (paleness > PALE * usual)


def fit_teeth(
    model: HeadModel,
    vertices: Float[np.ndarray, "V 3"],
    crop_from_model: Pose,
    crop: Crop,
    pixels: UInt8[np.ndarray, "H W 3"],
    labels: UInt8[np.ndarray, "H W"],
) -> Float[np.ndarray, "V 3"]:
    """A face's vertices (model frame, mm) with its teeth as long as the photo shows them.

    Where they are shorter, the photo's teeth would be painted on the tongue, far behind them.

    Args:
        model: The head model.
        vertices: The fitted face, its lips where the photo shows them.
        crop_from_model: The model's frame to the head crop's camera.
        crop: The head crop.
        pixels: The photo.
        labels: The classes of its pixels.
    """
    placed = crop_from_model.apply(torch.from_numpy(vertices).float())
    mouth = see_mouth(model, placed, crop, pixels, labels)
    if mouth is None:
        return vertices
    moved = vertices.copy()
    for row, ends in zip(teeth_of(model), row_ends(mouth), strict=True):
        columns = np.flatnonzero(np.isfinite(ends))
        if not len(columns):
            continue
        edge = row.vertices[row.edge]
        at = mouth.crop.crop_from_photo(crop.photo_from_crop(crop.camera().project(placed[edge]))).numpy()
        wanted = np.interp(at[:, 0], columns + 0.5, ends[columns])
        longer = np.clip(row.down * (wanted - at[:, 1]) * REACH / SIZE, *RANGE)
        way = np.interp(row.across, row.across[row.edge], longer)
        moved[row.vertices, 1] += row.down * way * row.share
    return moved


def row_ends(mouth: SeenMouth) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
    """The row at which the upper teeth end in each column of a mouth, and that at which the lower ones do.

    Teeth from lip to lip are upper ones. Where no upper teeth are seen, NaN; no lower ones, behind the lip.
    """
    gap = GAP * SIZE / REACH
    upper, lower, lip = (np.full(SIZE, np.nan) for _ in range(3))
    for column in np.flatnonzero(mouth.opening.any(axis=0)):
        inside = np.flatnonzero(mouth.opening[:, column])
        runs = _runs(mouth.bright[:, column], gap)
        top, bottom = inside[0], inside[-1] + 1
        if runs and runs[0][0] < top + GUMS * (bottom - top):
            end = runs.pop(0)[1]
            upper[column] = end if end < bottom - gap else bottom + TUCK * SIZE / REACH
        lower[column] = bottom + HIDDEN * SIZE / REACH
        if runs and runs[-1][1] > bottom - gap and mouth.pale[slice(*runs[-1]), column].mean() > 0.5:
            lower[column] = runs[-1][0]
        lip[column] = bottom
    # Blurred is how far they end from the lip, whose line is curved.
    return lip + _blurred(upper - lip), lip + _blurred(lower - lip)


def _runs(line: Bool[np.ndarray, " S"], gap: float) -> list[tuple[int, int]]:
    """First row and end of each run in a column; runs that are nearer than a gap are one."""
    places = np.flatnonzero(line)
    if not len(places):
        return []
    breaks = np.flatnonzero(np.diff(places) > gap)
    firsts, lasts = places[np.append(0, breaks + 1)], places[np.append(breaks, len(places) - 1)]
    return [(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]


def _blurred(values: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """Values blurred along a row of teeth, where they are known."""
    known = np.isfinite(values)
    return np.where(known, blurred_inside(values[None], known[None], ALONG * SIZE / REACH)[0], np.nan)
