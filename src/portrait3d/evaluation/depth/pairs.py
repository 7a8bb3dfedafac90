"""How well depth explains one frame of a real clip by another.

Two things besides depth decide such a figure, and are dealt with here. Poses: all frames of a clip are
registered on the face's own pixels (`data.photos.registration`), the same for all methods, because a wrong
pose costs more than any wrong depth. What no depth explains (light, noise, waving strands): a floor, the best
depth for every 7 x 7 pixels, stands beside the methods, as does the error without any motion. All methods
are compared on the same pixels, those of hair and ears that none of them hides; a pixel that a method moves
off the hair is compared with what is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage

from portrait3d.data.face.fits import fit_photos
from portrait3d.data.people.model_views import HeadView, SkinModel, render_depth
from portrait3d.data.photos.labelled import ClipPair, PhotoFolder, evenly, frames_of, pairs_by_clip
from portrait3d.data.photos.pairs import clip_frames
from portrait3d.data.photos.registration import Motion, lifted, projected, relative, sampled
from portrait3d.evaluation.depth.methods import depth_methods
from portrait3d.geometry.warping import region_triangles
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.parsing_classes import EARS, ParsingClass
from portrait3d.pipeline import Portrait3D
from portrait3d.rendering.warping import LONGEST_STEP

HAIR_AND_EARS = (ParsingClass.HAIR, *EARS)
BOUNDARY = 2
"""Pixels along a region's boundary that are left out: parsing is off by as much."""
HIDDEN = 4.0
"""A point this far (mm) behind the moved surface is not seen."""
LEAST_PIXELS = 150
"""Pairs with fewer pixels to compare say nothing."""
OFFSETS = np.arange(-48.0, 49.0, 4.0)
"""Depths that the floor may choose from, around the network's, mm."""
PATCH = 7
"""Side (pixels) of the window whose colours a depth must explain: a single pixel fits somewhere by chance."""

Row = dict[str, str | int | float]
"""One row of the table: a clip's name, how many directions, and colour differences."""


@dataclass(frozen=True, slots=True)
class PairErrors:
    """One direction of one pair: mean colour differences, 0 to 255, mean over the channels."""

    clip: str
    still: float
    """Hair and ears as if the head had not moved."""
    methods: Mapping[str, float]
    """Hair and ears moved by the depth of each method."""
    floor: float
    """Moved by the best depth for every 7 x 7 pixels."""
    moved: float
    """How far hair and ears move by the network's depth, pixels."""


def evaluate_pairs(model: Portrait3D, data: Path, limit: int, clips: Sequence[str] = ()) -> list[Row]:
    """A row for each clip, `limit` of its pairs in both directions, and the means of clips and of directions.

    Args:
        model: Whose depth network is judged.
        data: Root of the labelled photos.
        limit: Pairs of each clip.
        clips: Names of the clips; the validation clips if there are none.

    Raises:
        ValueError: The data have no clip of a name.
    """
    folder = PhotoFolder(data, folders=["clips"], split=None if clips else "val")
    found = pairs_by_clip(folder.clip_pairs())
    if unknown := set(clips) - set(found):
        raise ValueError(f"There are no pairs of the clips {sorted(unknown)}; there are {sorted(found)}.")
    rows = []
    for clip, pairs in sorted(found.items()):
        if clips and clip not in clips:
            continue
        errors = compare_clip(model, clip, pairs, limit)
        if errors:
            rows.append(summarise(clip, errors))
    return [*rows, *means(rows)] if len(rows) > 1 else rows


def compare_clip(model: Portrait3D, clip: str, pairs: Sequence[ClipPair], limit: int) -> list[PairErrors]:
    """Both directions of up to `limit` of a clip's pairs, of those whose motion is certain."""
    points, skin = MeshPoints.from_head_model(model.head_model), SkinModel.from_head_model(model.head_model)
    methods = depth_methods(model.depth_net, model.head_model)
    fits = fit_photos(frames_of(pairs), points, slide=model.face_net.mesh_slide)
    frames, certain = clip_frames(pairs, fits, points, skin, model.parsing_net)
    views = {name: frame.view for name, frame in frames.items()}
    depths: dict[str, dict[str, Float[np.ndarray, "S S"]]] = {}
    found = []
    for pair in evenly(certain, limit):
        for a, b in (pair, pair[::-1]):
            if a not in depths:
                depths[a] = {name: give(views[a]) for name, give in methods.items()}
            errors = compare_pair(clip, views[a], views[b], depths[a])
            if errors is not None:
                found.append(errors)
    return found


def covered(view: HeadView) -> Bool[np.ndarray, "S S"]:
    """The part of the crop that the photo covers: crops are black beyond it."""
    return ndimage.binary_opening(view.image.any(axis=-1), iterations=2)


def summarise(clip: str, errors: Sequence[PairErrors]) -> Row:
    """One row of the table."""

    def mean(values: list[float]) -> float:
        return float(np.mean(values))

    return {
        "clip": clip,
        "directions": len(errors),
        "moved px": mean([e.moved for e in errors]),
        "no motion": mean([e.still for e in errors]),
        **{name: mean([e.methods[name] for e in errors]) for name in errors[0].methods},
        "floor": mean([e.floor for e in errors]),
    }


def means(rows: Sequence[Row]) -> list[Row]:
    """Two rows more: every clip counts alike, and every direction."""
    directions = [int(row["directions"]) for row in rows]
    found: list[Row] = []
    for title, weights in (("mean of the clips", None), ("mean of the directions", directions)):
        values = {
            name: float(np.average([float(row[name]) for row in rows], weights=weights))
            for name in rows[0]
            if name not in ("clip", "directions")
        }
        found.append({"clip": title, "directions": sum(directions), **values})
    return found


def compare_pair(
    clip: str, a: HeadView, b: HeadView, depths: Mapping[str, Float[np.ndarray, "S S"]]
) -> PairErrors | None:
    """Frame `a` moved into frame `b` by several depths; None if too few pixels can be compared."""
    motion = relative(a.head, b.head)
    hair = np.isin(a.labels, HAIR_AND_EARS) & a.region
    shown = ndimage.binary_erosion(hair, iterations=BOUNDARY)
    places = {}
    for name, depth in depths.items():
        places[name], seen = moved_pixels(a, b, depth, motion)
        shown &= seen
    if shown.sum() < LEAST_PIXELS:
        return None
    size = len(a.image)
    still = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), axis=-1)
    network = next(iter(depths))
    return PairErrors(
        clip=clip,
        still=float(difference(a, b, still)[shown].mean()),
        methods={name: float(difference(a, b, at)[shown].mean()) for name, at in places.items()},
        floor=float(best_difference(a, b, depths[network], motion, hair)[shown].mean()),
        moved=float(np.linalg.norm(places[network] - still, axis=-1)[shown].mean()),
    )


def difference(a: HeadView, b: HeadView, at: Float[np.ndarray, "S S 2"]) -> Float[np.ndarray, "S S"]:
    """Mean absolute difference of the channels between the pixels of `a` and places in `b`."""
    gaps = [np.abs(sampled(b.image[..., k].astype(float), at) - a.image[..., k]) for k in range(3)]
    return np.mean(gaps, axis=0)


def moved_pixels(
    a: HeadView, b: HeadView, depth: Float[np.ndarray, "S S"], motion: Motion
) -> tuple[Float[np.ndarray, "S S 2"], Bool[np.ndarray, "S S"]]:
    """Where the pixels of `a` go in `b`, and which are seen there."""
    size, focal = len(depth), b.head.focal
    # Unknown depth is replaced by any that can be projected: those pixels are left out by `known`.
    known = a.region & np.isfinite(depth)
    moved = lifted(np.where(known, depth, 1000.0), a.head.focal) @ motion[0].T + motion[1]
    at = projected(moved, focal, size)
    faces = region_triangles(torch.from_numpy(known)).numpy()
    faces = faces[np.ptp(depth.ravel()[faces], axis=1) <= LONGEST_STEP]
    screen = np.concatenate([at, moved[..., 2:]], axis=-1).reshape(-1, 3)
    _, nearest = render_depth(screen, faces, size)
    column, row = np.floor(at).astype(int).transpose(2, 0, 1)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    row, column = row.clip(0, size - 1), column.clip(0, size - 1)
    inside &= covered(b)[row, column]
    return at, known & inside & (moved[..., 2] < nearest[row, column] + HIDDEN)


def best_difference(
    a: HeadView,
    b: HeadView,
    depth: Float[np.ndarray, "S S"],
    motion: Motion,
    hair: Bool[np.ndarray, "S S"],
) -> Float[np.ndarray, "S S"]:
    """The difference at the depth that explains the pixels around best, of those near `depth`."""
    share = np.maximum(ndimage.uniform_filter(hair.astype(float), PATCH), 1e-6)
    depth = np.where(np.isfinite(depth), depth, 1000.0)
    least, result = np.full(hair.shape, np.inf), np.zeros(hair.shape)
    for offset in OFFSETS:
        moved = lifted(depth + offset, a.head.focal) @ motion[0].T + motion[1]
        gap = difference(a, b, projected(moved, b.head.focal, len(depth)))
        around = ndimage.uniform_filter(np.where(hair, gap, 0.0), PATCH) / share
        result = np.where(around < least, gap, result)
        least = np.minimum(around, least)
    return result
