"""Everything the depth network learns from, drawn, read and registered once below one folder."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from portrait3d.data.depth.reading import Readers, read_scene
from portrait3d.data.depth.scenes import AvatarScenes, Scene, SyntheticScenes
from portrait3d.data.depth.views import UNKNOWN, DepthView, DepthViews
from portrait3d.data.face.fits import FaceFits, load_or_fit
from portrait3d.data.people.avatar_fits import fit_avatar
from portrait3d.data.people.avatars import HELD_OUT, Avatar, read_avatars
from portrait3d.data.people.hairstyles import HELD_OUT_HAIRSTYLES, AvatarHair, Hairstyle, read_hairstyles
from portrait3d.data.people.model_views import SkinModel
from portrait3d.data.photos.labelled import ClipPair, PhotoFolder, pairs_by_clip
from portrait3d.data.photos.pairs import ClipFrame, clip_frames
from portrait3d.data.synthetic import STYLES_TRAIN, STYLES_VALIDATION
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.models.face_depth import render_head_depths
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints

logger = logging.getLogger(__name__)

SHARD = 24
"""Views in a file."""
CHECKED_SYNTHETIC = 24
"""Synthetic heads that validation looks at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewCounts:
    """How many views of each source are drawn."""

    avatars: int = 2400
    synthetic: int = 1800
    hairstyles: int = 1800


@dataclass(frozen=True, slots=True)
class Desk:
    """Where scenes are read, and where the views go."""

    readers: Readers
    out: Path
    size: int
    """Pixels of the wide crop."""

    def write(
        self, stem: str, scene: Callable[[int], Scene], count: int, *, checking: bool = False
    ) -> Iterator[Path]:
        """Files of `SHARD` scenes, `out/STEM-NUMBER.npz`; files that are there are kept.

        In training every second scene has exact labels, for the sake of variety.
        """
        for start in range(0, count, SHARD):
            path = self.out / f"{stem}-{start:05d}.npz"
            if not path.is_file():
                numbers = range(start, min(start + SHARD, count))
                read = [
                    read_scene(self.readers, scene(k), self.size, parsed=checking or k % 2 == 0)
                    for k in numbers
                ]
                views = [view for view in read if view is not None]
                logger.info("%s: %d of %d fits met the face.", path.name, len(views), len(read))
                DepthViews.collect(views).save(path)
            yield path


def prepare_depth_views(
    out: Path,
    data: Path,
    size: int,
    counts: ViewCounts,
    *,
    avatars: Path | None,
    hairstyles: Path | None,
    seed: int = 0,
) -> None:
    """Draw and read everything the training needs, validation first, in turns from all sources.

    Args:
        out: Gets `train/` and `val/` with files of `DepthViews`; files that are there are kept.
        data: Root of labelled photos; its clips are used if it has any.
        size: Pixels of the wide crop.
        counts: How many views to draw.
        avatars: The directory of artist-made heads, all but `HELD_OUT` for training; None leaves them out.
        hairstyles: A file of hairstyles that `tools/bind_hairstyles.py` writes; None leaves them out.
        seed: Of everything that is drawn.
    """
    desk = Desk(Readers.bundled(), out, size)
    sources = [prepare_synthetic(desk, counts.synthetic, seed)]
    if avatars is not None:
        sources.insert(0, prepare_avatars(desk, avatars, counts.avatars, seed))
    worn = hairstyles_to_wear(hairstyles, avatars)
    if worn:
        sources.append(prepare_hairstyles(desk, worn, counts.hairstyles, seed))
    if (data / "clips" / "pairs.csv").is_file():
        sources.append(prepare_clips(desk, data))
    # In turns, so that an interrupted preparation has something of every source.
    for paths in zip_longest(*sources):
        for path in filter(None, paths):
            logger.info("%s is ready.", path.name)


def prepare_synthetic(desk: Desk, count: int, seed: int = 0) -> Iterator[Path]:
    """Files of the package's own synthetic heads; styles and people of the two splits differ."""
    # Lists of different seeds share no scene.
    checked = SyntheticScenes(10 * seed + 2, STYLES_VALIDATION)
    yield from desk.write("val/synthetic", checked.scene, CHECKED_SYNTHETIC, checking=True)
    learned = SyntheticScenes(10 * seed + 1, STYLES_TRAIN)
    yield from desk.write("train/synthetic", learned.scene, count)


def hairstyles_to_wear(path: Path | None, avatars: Path | None) -> list[Hairstyle]:
    """Hairstyles of a file and of artist-made heads, one of each of their styles, without those held out."""
    worn = [] if path is None else [s for s in read_hairstyles(path) if s.name not in HELD_OUT_HAIRSTYLES]
    if avatars is None:
        return worn
    head = HeadModel.load()
    firsts: dict[str, Avatar] = {}
    for avatar in read_avatars(avatars):
        if avatar.name not in HELD_OUT:
            firsts.setdefault(avatar.style, avatar)
    hair = [AvatarHair.of(avatar, fit_avatar(avatar, head), head) for avatar in firsts.values()]
    return [*worn, *(found.style for found in hair if found is not None)]


def prepare_hairstyles(desk: Desk, worn: Sequence[Hairstyle], count: int, seed: int = 0) -> Iterator[Path]:
    """Files of synthetic heads that wear hairstyles modelled by hand over cropped hair."""
    learned = SyntheticScenes(10 * seed + 3, {"buzz": STYLES_TRAIN["buzz"]}, worn)
    yield from desk.write("train/hairstyles", learned.scene, count)


def prepare_avatars(desk: Desk, directory: Path, count: int, seed: int = 0) -> Iterator[Path]:
    """Files of artist-made heads; those of `HELD_OUT` are for validation."""
    heads = read_avatars(directory)
    checked = AvatarScenes(seed, [head for head in heads if head.name in HELD_OUT]).checked()
    yield from desk.write("val/avatars", checked.__getitem__, len(checked), checking=True)
    learned = AvatarScenes(seed, [head for head in heads if head.name not in HELD_OUT])
    yield from desk.write("train/avatars", learned.scene, count)


def prepare_clips(desk: Desk, data: Path) -> Iterator[Path]:
    """Files of clips' frames, one a split, with the pairs whose motion is certain; nothing is known of their
    depth."""
    model = desk.readers.head_model
    points = MeshPoints.from_head_model(model)
    folder = PhotoFolder(data, folders=["clips"])
    fits = load_or_fit(folder.photos, points, desk.out)
    for split in ("val", "train"):
        path = desk.out / split / "clips.npz"
        pairs = [pair for pair in folder.clip_pairs() if pair.first.split == split]
        if pairs and not path.is_file():
            register_clips(desk, pairs, fits, points).save(path)
        if path.is_file():
            yield path


def register_clips(
    desk: Desk, pairs: Sequence[ClipPair], fits: FaceFits, points: MeshPoints, largest_zoom: float = 1.1
) -> DepthViews:
    """The frames of `pairs`, all frames of a clip in one camera and with one identity.

    Pairs whose faces differ in size by more than `largest_zoom` are left out (the camera zoomed, or the
    person came nearer), and those whose motion is uncertain.
    """
    pairs = [pair for pair in pairs if abs(math.log(pair.scale)) < math.log(largest_zoom)]
    views: dict[str, DepthView] = {}
    certain: list[tuple[str, str]] = []
    for own in pairs_by_clip(pairs).values():
        frames, kept = clip_frames(
            own, fits, points, SkinModel.from_head_model(desk.readers.head_model), desk.readers.parsing
        )
        views |= {name: frame_view(desk, frame) for name, frame in frames.items()}
        certain += kept
    place = {name: k for k, name in enumerate(views)}
    listed = [(place[first], place[second]) for first, second in certain]
    logger.info("The head's motion is certain in %d of %d pairs of frames.", len(listed), len(pairs))
    return DepthViews.collect(list(views.values()), listed)


def frame_view(desk: Desk, frame: ClipFrame) -> DepthView:
    """A frame of a clip in its wide crop."""
    crop, head = frame.crop.wide_crop(desk.size), frame.view.head
    pose = Pose(torch.from_numpy(head.rotation).float(), torch.from_numpy(head.translation).float())
    vertices = torch.from_numpy(head.vertices).float()[None]
    fitted = render_head_depths(desk.readers.head_model, vertices, pose.batched, crop.camera())
    center = float(fitted.center)
    unknown = np.full((desk.size, desk.size), np.nan)
    near, far = (depth[0].numpy() for depth in (fitted.near, fitted.far))
    return DepthView(
        name=frame.photo.name,
        style="clip",
        image=as_bytes(crop.extract(frame.photo.pixels())),
        labels=crop.extract_labels(frame.labels),
        near=np.where(np.isfinite(near), near - center, np.nan),
        far=np.where(np.isfinite(far), far - center, np.nan),
        front=unknown,
        back=unknown,
        back_hair=np.full((desk.size, desk.size), UNKNOWN, np.uint8),
        center=center,
        unseen_hair=np.zeros((0, 3), np.float32),
        rotation=pose.rotation.numpy(),
        translation=pose.translation.numpy(),
    )
