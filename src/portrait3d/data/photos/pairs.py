"""Pairs of frames of clips for the depth network: one camera, one identity, and the head's motion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from portrait3d.data.face.fits import FaceFits, FitConfig, fit_points
from portrait3d.data.people.model_views import HeadInCrop, HeadView, SkinModel, render_model_views
from portrait3d.data.photos.labelled import ClipPair, LabelledPhoto, frames_of
from portrait3d.data.photos.registration import register_clip
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.models.head_parsing import ParsingExperts, parse_head
from portrait3d.models.mesh_points import IDENTITIES, OUTLINE, MeshPoints
from portrait3d.parsing_classes import HEAD
from portrait3d.preprocessing.alignment import FACE_SIZE, Crop

OUTSIDE = 255
"""What pixels of a crop beyond the photo are marked with: no class has this number."""


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """A frame of a clip, and the fitted head in it."""

    photo: LabelledPhoto
    labels: UInt8[np.ndarray, "H W"]
    """Parsing classes of the photo's pixels, by networks."""
    crop: Crop
    """The face crop that all frames of the clip share."""
    view: HeadView
    """What its head crop shows."""


def rows_of(fits: FaceFits) -> dict[tuple[str, str], int]:
    """The row of every photo, by folder and name."""
    names = zip(fits.folders, fits.names, strict=True)
    return {(str(folder), str(name)): k for k, (folder, name) in enumerate(names)}


def cut_photo(
    photo: LabelledPhoto, labels: UInt8[np.ndarray, "H W"], crop: Crop
) -> tuple[UInt8[np.ndarray, "S S 3"], UInt8[np.ndarray, "S S"], Bool[np.ndarray, "S S"]]:
    """Picture, labels and the part of the crop that the photo covers."""
    cut = crop.extract_labels(labels, OUTSIDE)
    inside = cut != OUTSIDE
    return as_bytes(crop.extract(photo.pixels())), np.where(inside, cut, 0).astype(np.uint8), inside


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
    # One identity for the clip: frontal frames tell it best.
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


def clip_frames(
    pairs: Sequence[ClipPair], fits: FaceFits, points: MeshPoints, skin: SkinModel, experts: ParsingExperts
) -> tuple[dict[str, ClipFrame], list[tuple[str, str]]]:
    """The frames of one clip's pairs by name, and the pairs whose motion is certain.

    The frames have one camera and one identity, and poses that agree with the face's pixels in these pairs.
    """
    photos = frames_of(pairs)
    names = [photo.name for photo in photos]
    listed = [(names.index(pair.first.name), names.index(pair.second.name)) for pair in pairs]
    frames = list(fitted_frames(photos, fits, points, skin, experts))
    views, certain = register_clip([frame.view for frame in frames], listed, skin)
    registered = [replace(frame, view=view) for frame, view in zip(frames, views, strict=True)]
    return dict(zip(names, registered, strict=True)), [(names[a], names[b]) for a, b in certain]


def fitted_frames(
    photos: Sequence[LabelledPhoto],
    fits: FaceFits,
    points: MeshPoints,
    skin: SkinModel,
    experts: ParsingExperts,
) -> Iterator[ClipFrame]:
    """Frames of one clip in one camera and with one identity, as their landmarks say."""
    crop, shape, pose = clip_poses(photos, fits, points)
    head_crop = crop.head_crop()
    for k, photo in enumerate(photos):
        parsed = parse_head(experts, photo.pixels(), head_crop).labels
        image, labels, inside = cut_photo(photo, parsed, head_crop)
        identity, expression = np.split(shape[k].astype(np.float64), [IDENTITIES])
        head = HeadInCrop(
            vertices=skin.vertices(identity, expression),
            rotation=pose.rotation[k].double().numpy(),
            translation=pose.translation[k].double().numpy(),
            focal=float(head_crop.camera().focal),
            size=head_crop.size,
        )
        view = HeadView(
            image=image,
            labels=labels,
            region=np.isin(labels, HEAD) & inside,
            face_depth=render_model_views(skin, head).face,
            head=head,
        )
        yield ClipFrame(photo, parsed, crop, view)
