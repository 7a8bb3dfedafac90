"""Pairs of views for the depth network: frames of clips, and portraits seen from a second, made-up view."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from portrait3d.data.depth_views import DepthViews
from portrait3d.data.fits import FaceFits, FitConfig, fit_points
from portrait3d.data.inflation import inflate
from portrait3d.data.model_views import HeadInCrop, SkinModel, render_model_views
from portrait3d.data.outline import HeadFit, pull_skull_inside, share_outside
from portrait3d.data.photos import ClipPair, LabelledPhoto, frames_of, pairs_by_clip
from portrait3d.data.registration import register_clip
from portrait3d.data.turning import HeadView, steep_face, turn_view, turned
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.models.mesh_points import IDENTITIES, OUTLINE, MeshPoints
from portrait3d.parsing_classes import HEAD, ParsingClass
from portrait3d.preprocessing.alignment import FACE_SIZE, Crop

logger = logging.getLogger(__name__)

OUTSIDE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoFilter:
    """Which inflated portraits are good enough to learn from."""

    residual: float = 0.015
    """Largest landmark error of the fit, over face size; half as much again beyond 15 degrees of yaw."""
    identity: float = 1.4
    """Largest root mean square of the identity coefficients."""
    yaw: float = 30.0
    """Degrees."""
    skull_outside: float = 0.04
    """Largest share of the skull's picture outside the parsed head."""
    violations: float = 0.01
    """Largest share of hair before the face that ended behind it."""
    headwear: float = 0.01
    """Largest share of headwear in the head."""
    cut_side: float = 0.04
    """Largest share of the head's outline at the photo's left, right and top border."""


def head_crop_of(fits: FaceFits, row: int) -> Crop:
    """The head crop around a fitted face."""
    x, y = fits.centre[row].tolist()
    return Crop((x, y), float(fits.side[row]), float(fits.angle[row]), FACE_SIZE).head_crop()


def rows_of(fits: FaceFits) -> dict[tuple[str, str], int]:
    """The row of every photo, by folder and name."""
    names = zip(fits.folders, fits.names, strict=True)
    return {(str(folder), str(name)): k for k, (folder, name) in enumerate(names)}


def cut_photo(
    photo: LabelledPhoto, crop: Crop
) -> tuple[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "S S"], Bool[np.ndarray, "S S"]]:
    """Picture, labels and the part of the crop that the photo covers."""
    image = as_bytes(crop.extract(photo.pixels()))
    labels = crop.extract_labels(photo.parsing(), OUTSIDE)
    inside = labels != OUTSIDE
    return image, np.where(inside, labels, 0).astype(np.uint8), inside


def portrait_pair(
    photo: LabelledPhoto,
    fits: FaceFits,
    row: int,
    skin: SkinModel,
    generator: np.random.Generator,
    limits: PseudoFilter | None = None,
) -> tuple[HeadView, HeadView] | str:
    """A portrait with inflated depth and the same head 5 to 15 degrees on; or why it is no good.

    The turn goes toward the front more often than away from it.
    """
    limits = limits or PseudoFilter()
    crop = head_crop_of(fits, row)
    image, labels, inside = cut_photo(photo, crop)
    identity, expression = np.split(fits.shape[row].astype(np.float64), [IDENTITIES])
    head = HeadInCrop(
        vertices=skin.vertices(identity, expression),
        rotation=fits.rotation[row].astype(np.float64),
        translation=fits.translation[row].astype(np.float64),
        focal=float(crop.camera().focal),
        size=crop.size,
    )
    forward = head.rotation @ np.array([0.0, 0.0, -1.0])
    yaw = math.atan2(forward[0], -forward[2])
    region = np.isin(labels, HEAD) & inside
    if fits.residual[row] > limits.residual * (1.5 if abs(yaw) > math.radians(15) else 1.0):
        return f"fit {fits.residual[row]:.3f}"
    if abs(yaw) > math.radians(limits.yaw):
        return f"yaw {math.degrees(yaw):.0f}"
    if (labels == ParsingClass.HEADWEAR).sum() > limits.headwear * region.sum():
        return "headwear"
    if (cut := share_cut(region, inside)) > limits.cut_side:
        return f"cut by the border {cut:.2f}"
    fit = pull_skull_inside(skin, HeadFit(identity, expression, head), labels, inside)
    if (rms := float(np.sqrt((fit.identity**2).mean()))) > limits.identity:
        return f"identity {rms:.2f}"
    pseudo = inflate(labels, inside, skin, fit.head)
    skull = np.isfinite(pseudo.views.skin) & ~pseudo.views.is_neck & ~pseudo.views.is_ear & inside
    if (out := share_outside(skull, labels)) > limits.skull_outside:
        return f"skull outside {out:.3f}"
    if pseudo.violations > limits.violations:
        return f"layer order {pseudo.violations:.3f}"
    view = HeadView(
        image=image,
        labels=labels,
        region=pseudo.region,
        face_depth=steep_face(pseudo.views),
        depth=pseudo.depth,
        trust=pseudo.trust,
        head=fit.head,
    )
    angle = math.radians(generator.uniform(5, 15))
    side = -np.sign(yaw) if generator.random() < 0.5 + min(abs(yaw), 0.5) else np.sign(yaw)
    pitch = math.radians(generator.uniform(-4, 4))
    other = turn_view(view, skin, pseudo.thickness, turned(fit.head, float(side or 1.0) * angle, pitch))
    return view, other


def share_cut(region: Bool[np.ndarray, "H W"], inside: Bool[np.ndarray, "H W"]) -> float:
    """Share of the region's outline that the photo's top, left or right border cuts; the bottom is free."""
    ring = region.copy()
    ring[1:-1, 1:-1] &= ~(region[:-2, 1:-1] & region[2:, 1:-1] & region[1:-1, :-2] & region[1:-1, 2:])
    outside = ~np.pad(inside, 3, constant_values=False)
    height, width = inside.shape
    steps = ((0, 3), (3, 0), (3, 6))
    beside = np.logical_or.reduce([outside[y : y + height, x : x + width] for y, x in steps])
    return float((ring & beside).sum() / max(ring.sum(), 1))


def prepare_portraits(
    photos: Sequence[LabelledPhoto],
    fits: FaceFits,
    skin: SkinModel,
    folder: Path,
    shard: int = 32,
    seed: int = 0,
) -> Iterator[Path]:
    """Write pseudo-pairs of `photos` in files of `shard` photos; yields each file as it is done.

    Existing files are kept, so an interrupted run goes on where it stopped.
    """
    rows = rows_of(fits)
    for start in range(0, len(photos), shard):
        path = folder / f"portraits-{start:05d}.npz"
        if not path.is_file():
            names, views, pairs = [], [], []
            for k, photo in enumerate(photos[start : start + shard]):
                generator = np.random.default_rng([seed, start + k])
                found = portrait_pair(photo, fits, rows[photo.folder, photo.name], skin, generator)
                if isinstance(found, str):
                    logger.info("%s is left out: %s.", photo.name, found)
                    continue
                pairs.append((len(views), len(views) + 1))
                names += [f"{photo.folder}/{photo.name}", f"{photo.folder}/{photo.name} turned"]
                views += found
            if not views:
                continue
            DepthViews.collect(names, views, pairs).save(path)
        yield path


def prepare_clips(
    pairs: Sequence[ClipPair],
    fits: FaceFits,
    points: MeshPoints,
    skin: SkinModel,
    path: Path,
    largest_zoom: float = 1.1,
) -> None:
    """Write the frames of `pairs`, all frames of a clip in one camera and with one identity.

    Pairs whose faces differ in size by more than `largest_zoom` are left out (the camera zoomed, or the
    person came nearer), and those whose motion is uncertain.
    """
    pairs = [pair for pair in pairs if abs(math.log(pair.scale)) < math.log(largest_zoom)]
    views: dict[str, HeadView] = {}
    certain: list[tuple[str, str]] = []
    for own in pairs_by_clip(pairs).values():
        frames, kept = clip_views(own, fits, points, skin)
        views |= frames
        certain += kept
    place = {name: k for k, name in enumerate(views)}
    listed = [(place[first], place[second]) for first, second in certain]
    logger.info("The head's motion is certain in %d of %d pairs of frames.", len(listed), len(pairs))
    DepthViews.collect(list(views), list(views.values()), listed).save(path)


def clip_poses(
    photos: Sequence[LabelledPhoto], fits: FaceFits, points: MeshPoints
) -> tuple[Crop, Float[np.ndarray, "N 144"], Pose]:
    """The mean face crop of frames of one clip, shapes with the clip's mean identity, and poses in that crop.

    The poses are fitted anew.
    """
    rows = rows_of(fits)
    index = np.array([rows[photo.folder, photo.name] for photo in photos])
    x, y = fits.centre[index].mean(axis=0).tolist()
    crop = Crop((x, y), float(fits.side[index].mean()), float(fits.angle[index].mean()), FACE_SIZE)
    pixels = [crop.crop_from_photo(torch.from_numpy(photo.points[:, :2].copy())) for photo in photos]
    frontal = 1 / (0.05 + np.abs(fits.rotation[index][:, 0, 2]))
    shape = fits.shape[index].copy()
    shape[:, :IDENTITIES] = np.average(shape[:, :IDENTITIES], axis=0, weights=frontal)
    config = FitConfig(iterations=10, pose_iterations=10)
    outline = torch.from_numpy(np.isin(np.arange(len(points.mean)), OUTLINE))
    _, pose = fit_points(
        points,
        torch.stack(pixels).float(),
        outline=outline,
        config=config,
        slide=torch.from_numpy(fits.slide),
        shape=torch.from_numpy(shape),
    )
    return crop, shape, pose


def clip_views(
    pairs: Sequence[ClipPair], fits: FaceFits, points: MeshPoints, skin: SkinModel
) -> tuple[dict[str, HeadView], list[tuple[str, str]]]:
    """The frames of one clip's pairs by name, and the pairs whose motion is certain.

    The frames have one camera and one identity, poses that agree with the face's pixels in these pairs, and
    no known depth.
    """
    frames = frames_of(pairs)
    names = [photo.name for photo in frames]
    listed = [(names.index(pair.first.name), names.index(pair.second.name)) for pair in pairs]
    views, certain = register_clip(list(fitted_views(frames, fits, points, skin)), listed, skin)
    return dict(zip(names, views, strict=True)), [(names[a], names[b]) for a, b in certain]


def fitted_views(
    photos: Sequence[LabelledPhoto], fits: FaceFits, points: MeshPoints, skin: SkinModel
) -> Iterator[HeadView]:
    """Frames of one clip in one camera and with one identity, as their landmarks say."""
    crop, shape, pose = clip_poses(photos, fits, points)
    wide = crop.head_crop()
    for k, photo in enumerate(photos):
        image, labels, inside = cut_photo(photo, wide)
        identity, expression = np.split(shape[k].astype(np.float64), [IDENTITIES])
        head = HeadInCrop(
            vertices=skin.vertices(identity, expression),
            rotation=pose.rotation[k].double().numpy(),
            translation=pose.translation[k].double().numpy(),
            focal=float(wide.camera().focal),
            size=wide.size,
        )
        nothing: Float[np.ndarray, "S S"] = np.full(labels.shape, np.inf)
        yield HeadView(
            image=image,
            labels=labels,
            region=np.isin(labels, HEAD) & inside,
            face_depth=steep_face(render_model_views(skin, head, 0.0)),
            depth=nothing,
            trust=np.zeros(labels.shape),
            head=head,
        )
