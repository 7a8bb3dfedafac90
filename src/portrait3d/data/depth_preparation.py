"""From scenes and clips to what the depth network will meet: fits and labels by the package's networks."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.data.avatar_fits import fit_avatar
from portrait3d.data.avatars import HELD_OUT, Avatar, read_avatars
from portrait3d.data.depth_scenes import AvatarScenes, Scene, SyntheticScenes
from portrait3d.data.depth_views import IS_HAIR, NOT_HAIR, UNKNOWN, DepthView, DepthViews
from portrait3d.data.fits import FaceFits, load_or_fit
from portrait3d.data.hairstyles import HELD_OUT_HAIRSTYLES, AvatarHair, Hairstyle, read_hairstyles
from portrait3d.data.model_views import SkinModel
from portrait3d.data.pairs import ClipFrame, clip_frames
from portrait3d.data.photos import ClipPair, PhotoFolder, pairs_by_clip
from portrait3d.data.synthetic import STYLES_TRAIN, STYLES_VALIDATION
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.similarity import Similarity
from portrait3d.models.face_depth import HeadDepths, render_head_depths
from portrait3d.models.face_fit import fit_face
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import ParsingExperts, parse_head
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.parsing_classes import ParsingClass
from portrait3d.preprocessing.alignment import HEAD_ZOOM, WIDE_ZOOM, Crop, crop_from_landmarks
from portrait3d.pretrained import bundled, load_network

logger = logging.getLogger(__name__)

SHARD = 24
"""Views in a file."""
LEAST_FACE = 40
"""Pixels of the face that the fit has to meet."""
WORST_FIT = 9.0
"""mm along the rays between the fitted and the true face, laid on each other, beyond which a fit is wrong."""
HAIR_AT_BORDER = 8
"""Pixels of hair along the head crop's border from which parsing looks beyond it."""
POINTS = 1500
"""Most points of unseen hair that a view remembers."""
CHECKED_SYNTHETIC = 24
"""Synthetic heads that validation looks at."""


@dataclass(frozen=True, slots=True)
class Readers:
    """The package's networks that read pictures before the depth network does."""

    head_model: HeadModel
    face_net: FaceNet
    parsing: ParsingExperts

    @classmethod
    def bundled(cls) -> "Readers":
        """Those that ship."""
        return cls(
            HeadModel.load(),
            load_network(FaceNet, bundled("face")).eval(),
            ParsingExperts.load(bundled("parsing")),
        )


@torch.inference_mode()
def read_scene(readers: Readers, scene: Scene, size: int, *, parsed: bool) -> DepthView | None:
    """What the pipeline makes of a scene's picture, with its truth; None where the fit misses the face.

    Args:
        readers: The networks.
        scene: The picture and its truth.
        size: Pixels of the wide crop.
        parsed: Take the labels from the parsing network, which errs, rather than the exact ones.
    """
    fit = fit_face(readers.face_net, readers.head_model, scene.picture, crop_from_landmarks(scene.landmarks))
    crop, head_crop = fit.crop.wide_crop(size), fit.crop.head_crop()
    vertices = readers.head_model.vertices(fit.coefficients.batched)
    head = render_head_depths(readers.head_model, vertices, fit.crop_from_model.batched, crop.camera())
    exact = crop.extract_labels(scene.labels)
    front, back = (extract_values(crop, depth, np.inf) for depth in (scene.front, scene.back))
    into_fit = fit_frame(head, front, face_proper(scene, crop, exact), crop, scene.camera)
    if into_fit is None:
        return None
    if parsed:
        labels = crop.extract_labels(parse_head(readers.parsing, scene.picture, head_crop).labels)
    else:
        labels = as_far_as_parsed(exact, head_crop.extract_labels(scene.labels))
    center = float(head.center)

    def relative(depth: np.ndarray) -> Float[np.ndarray, "H W"]:
        return np.where(np.isfinite(depth), depth - center, np.nan)

    within = crop.extract_labels(np.ones_like(scene.labels)) > 0
    is_hair = extract_values(crop, scene.back_is_hair.astype(np.float32), 0.0) > 0
    return DepthView(
        name=scene.name,
        style=scene.style,
        image=as_bytes(crop.extract(scene.picture)),
        labels=labels,
        near=relative(head.near[0].numpy()),
        far=relative(head.far[0].numpy()),
        front=relative(into_fit(front)),
        back=relative(into_fit(back)),
        back_hair=np.where(within, np.where(is_hair, IS_HAIR, NOT_HAIR), UNKNOWN).astype(np.uint8),
        center=center,
        unseen_hair=_moved(scene, into_fit),
        rotation=fit.crop_from_model.rotation.numpy(),
        translation=fit.crop_from_model.translation.numpy(),
    )


def extract_values(
    crop: Crop, values: Float[np.ndarray, "H W"], outside: float
) -> Float[np.ndarray, "size size"]:
    """The value of the photo's pixel under each of the crop's centres, `outside` off the photo."""
    places = np.arange(values.size).reshape(values.shape)
    found = crop.extract_labels(places, -1)
    return np.where(found >= 0, values.reshape(-1)[found.clip(0)], outside)


@dataclass(frozen=True, slots=True)
class FitFrame:
    """Brings true depths to those of the fitted head: a similarity lays the true face on the fitted one.

    Neither size nor focal length can be told from a picture, and the fit errs in the head's pose too. What
    matters is where hair lies in relation to the fitted face. A point stays in the pixel that shows it, so
    that truth, picture and labels share their outlines, and takes the depth that the motion gives it.
    """

    crop: Crop
    picture_camera: Camera
    fit_from_picture: Similarity

    def __call__(self, depth: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
        """Depths in the fit's frame of the crop's pixels, whose true ones are given; infinite ones stay."""
        finite = np.isfinite(depth)
        points = self._points(np.where(finite, depth, 1.0))
        return np.where(finite, self.fit_from_picture.apply(points)[..., 2], np.inf)

    def moved(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Points of the picture's camera frame in the crop's."""
        depth = torch.from_numpy(self.fit_from_picture.apply(points.double().numpy())[:, 2])
        pixels = self.crop.crop_from_photo(self.picture_camera.project(points))
        return self.crop.camera().unproject(pixels, depth.to(points))

    def _points(self, depth: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S 3"]:
        pixels = self.crop.photo_from_crop(self.crop.camera().pixel_centres())
        return self.picture_camera.unproject(pixels, torch.from_numpy(depth).float()).double().numpy()


def fit_frame(
    head: HeadDepths,
    front: Float[np.ndarray, "S S"],
    face: Bool[np.ndarray, "S S"],
    crop: Crop,
    picture_camera: Camera,
) -> FitFrame | None:
    """The frame of a fit, from the face that is seen; None where the fit misses it.

    Args:
        head: The fitted head in the crop.
        front: True first surface in the crop's pixels, mm in the picture's camera.
        face: Which of them show the face.
        crop: Of the picture.
        picture_camera: What took it.
    """
    near = head.near[0].numpy()
    both = face & np.isfinite(near) & np.isfinite(front)
    if both.sum() < LEAST_FACE:
        return None
    unmoved = FitFrame(crop, picture_camera, Similarity(1.0, np.eye(3), np.zeros(3)))
    camera = crop.camera()
    mask = torch.from_numpy(both)
    fitted = camera.unproject(camera.pixel_centres()[mask], head.near[0][mask])
    frame = replace(
        unmoved, fit_from_picture=Similarity.robust(unmoved._points(front)[both], fitted.double().numpy())
    )
    return frame if np.abs(frame(front)[both] - near[both]).mean() < WORST_FIT else None


def face_proper(scene: Scene, crop: Crop, labels: UInt8[np.ndarray, "S S"]) -> Bool[np.ndarray, "S S"]:
    """The crop's pixels of the face from brows to chin: a bald scalp is face too, but no fit knows it."""
    low, high = (f(crop.crop_from_photo(scene.landmarks).numpy(), axis=0) for f in (np.min, np.max))
    centres = crop.camera().pixel_centres().numpy()
    return (labels == ParsingClass.FACE) & ((centres >= low) & (centres <= high)).all(axis=-1)


def as_far_as_parsed(
    labels: UInt8[np.ndarray, "H W"], head_labels: UInt8[np.ndarray, "S S"]
) -> UInt8[np.ndarray, "H W"]:
    """Exact labels of a wide crop as `parse_head` gives them: beyond the head crop only if hair leaves it."""
    hair = head_labels == ParsingClass.HAIR
    if sum(int(edge.sum()) for edge in (hair[0], hair[-1], hair[:, 0], hair[:, -1])) > HAIR_AT_BORDER:
        return labels
    size = len(labels)
    margin = round(size * (1 - HEAD_ZOOM / WIDE_ZOOM) / 2)
    middle = np.s_[margin : size - margin, margin : size - margin]
    kept = np.zeros_like(labels)
    kept[middle] = labels[middle]
    return kept


def _moved(scene: Scene, into_fit: FitFrame) -> Float[np.ndarray, "P 3"]:
    # Unseen hair in the crop's camera, in the fit's frame; NaN fills up what the head lacks.
    if scene.unseen_hair is None:
        return np.zeros((0, 3), np.float32)
    result = np.full((POINTS, 3), np.nan, np.float32)
    points = into_fit.moved(torch.from_numpy(scene.unseen_hair[:POINTS]))
    result[: len(points)] = points.numpy()
    return result


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
    for paths in zip_longest(*sources):
        for path in filter(None, paths):
            logger.info("%s is ready.", path.name)


def prepare_synthetic(desk: Desk, count: int, seed: int = 0) -> Iterator[Path]:
    """Files of the package's own synthetic heads; styles and people of the two splits differ."""
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
