"""How well depth explains one frame of a real clip by another.

Three things besides depth decide such a figure, and are dealt with here. Poses: each pair is registered anew
on the face's own pixels, the same for all methods, because a wrong pose costs more than any wrong depth.
Hair that doesn't follow the head: the error without any motion stands beside the methods'. What no depth
explains (light, noise, waving strands): so does a floor, the best depth for every 7 x 7 pixels. All methods
are compared on the same pixels, those of hair and ears that every one of them shows in both frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage

from portrait3d.data.fits import fit_photos
from portrait3d.data.model_views import SkinModel, render_depth
from portrait3d.data.pairs import clip_views
from portrait3d.data.photos import ClipPair, PhotoFolder
from portrait3d.data.turning import HeadView
from portrait3d.evaluation.depth_methods import SeenHead, bare_face, depth_methods
from portrait3d.evaluation.depth_registration import Motion, lifted, projected, register, relative, sampled
from portrait3d.geometry.warping import region_triangles
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.pipeline import Portrait3D
from portrait3d.rendering.warping import LONGEST_STEP

HAIR_AND_EARS = (2, 3, 4)
RIM = 2
"""Pixels of a region's rim that are left out: parsing is off by as much."""
FACE_RIM = 6
"""Pixels of the face's rim that take no part in registration: what lies beside them moves otherwise."""
HIDDEN = 4.0
"""A point this far (mm) behind the moved surface is not seen."""
LEAST_PIXELS = 150
"""Pairs with fewer pixels to compare say nothing."""
OFFSETS = np.arange(-48.0, 49.0, 4.0)
"""Depths that the floor may choose from, around the network's, mm."""
PATCH = 7


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
    face: float
    """The face, moved by the fitted face's depth after registration."""
    face_before: float
    """The same in the fitted poses."""
    moved: float
    """How far hair and ears move by the network's depth, pixels."""


def evaluate_pairs(model: Portrait3D, data: Path, limit: int) -> list[dict[str, str | int | float]]:
    """A row for each validation clip, `limit` of its pairs in both directions, and a row for their mean."""
    folder = PhotoFolder(data, folders=["clips"], split="val", parsed=True)
    clips: dict[str, list[ClipPair]] = {}
    for pair in folder.clip_pairs():
        clips.setdefault(str(pair.first.clip), []).append(pair)
    rows = []
    for clip, pairs in sorted(clips.items()):
        picked = [pairs[k] for k in np.unique(np.linspace(0, len(pairs) - 1, limit).astype(int))]
        errors = compare_clip(model, clip, picked)
        if errors:
            rows.append(summarise(clip, errors))
    if len(rows) > 1:
        names = [name for name in rows[0] if name not in ("clip", "directions")]
        mean = {name: float(np.mean([row[name] for row in rows])) for name in names}
        directions = sum(int(row["directions"]) for row in rows)
        rows.append({"clip": "mean of the clips", "directions": directions, **mean})
    return rows


def compare_clip(model: Portrait3D, clip: str, pairs: Sequence[ClipPair]) -> list[PairErrors]:
    """Both directions of some pairs of one clip."""
    points, skin = MeshPoints.from_head_model(model.head_model), SkinModel.from_head_model(model.head_model)
    methods = depth_methods(model.depth_net, model.head_model)
    photos = list({photo.name: photo for pair in pairs for photo in (pair.first, pair.second)}.values())
    fits = fit_photos(photos, points, slide=model.face_net.mesh_slide)
    views = dict(zip(fits.names, clip_views(photos, fits, points, skin), strict=True))
    depths = {
        name: {method: give(SeenHead(view, covered(view))) for method, give in methods.items()}
        for name, view in views.items()
    }
    found = []
    for pair in pairs:
        for a, b in ((pair.first.name, pair.second.name), (pair.second.name, pair.first.name)):
            errors = compare_pair(clip, views[a], views[b], depths[a])
            if errors is not None:
                found.append(errors)
    return found


def covered(view: HeadView) -> Bool[np.ndarray, "S S"]:
    """The part of the crop that the photo covers: crops are black beyond it."""
    return ndimage.binary_opening(view.image.any(axis=-1), iterations=2)


def summarise(clip: str, errors: Sequence[PairErrors]) -> dict[str, str | int | float]:
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
        "face, fitted pose": mean([e.face_before for e in errors]),
        "face, registered": mean([e.face for e in errors]),
    }


def compare_pair(
    clip: str, a: HeadView, b: HeadView, depths: Mapping[str, Float[np.ndarray, "S S"]]
) -> PairErrors | None:
    """Frame `a` moved into frame `b` by several depths; None if too few pixels can be compared."""
    face = ndimage.binary_erosion(bare_face(a), iterations=FACE_RIM)
    if face.sum() < LEAST_PIXELS:
        return None
    face_points = lifted(np.where(face, a.face_depth, 1.0), a.head.focal)[face]
    fitted = relative(a, b)
    motion = register(a, b, face_points, face)
    hair = np.isin(a.labels, HAIR_AND_EARS) & a.region
    shown = ndimage.binary_erosion(hair, iterations=RIM) & np.isin(b.labels, HAIR_AND_EARS)
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
        face=face_difference(a, b, face_points, face, motion),
        face_before=face_difference(a, b, face_points, face, fitted),
        moved=float(np.linalg.norm(places[network] - still, axis=-1)[shown].mean()),
    )


def difference(a: HeadView, b: HeadView, at: Float[np.ndarray, "S S 2"]) -> Float[np.ndarray, "S S"]:
    """Mean absolute difference of the channels between the pixels of `a` and places in `b`."""
    gaps = [np.abs(sampled(b.image[..., k].astype(float), at) - a.image[..., k]) for k in range(3)]
    return np.mean(gaps, axis=0)


def moved_pixels(
    a: HeadView, b: HeadView, depth: Float[np.ndarray, "S S"], motion: Motion
) -> tuple[Float[np.ndarray, "S S 2"], Bool[np.ndarray, "S S"]]:
    """Where the pixels of `a` go in `b`, and which are seen there on hair or ears."""
    size, focal = len(depth), b.head.focal
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
    on_hair = np.isin(b.labels, HAIR_AND_EARS)[row, column]
    return at, known & inside & on_hair & (moved[..., 2] < nearest[row, column] + HIDDEN)


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


def face_difference(
    a: HeadView,
    b: HeadView,
    points: Float[np.ndarray, "N 3"],
    face: Bool[np.ndarray, "S S"],
    motion: Motion,
) -> float:
    """Mean absolute colour difference of the face after a motion."""
    at = projected(points @ motion[0].T + motion[1], b.head.focal, len(a.image))
    gaps = [np.abs(sampled(b.image[..., k].astype(float), at) - a.image[face, k]) for k in range(3)]
    return float(np.mean(gaps))
