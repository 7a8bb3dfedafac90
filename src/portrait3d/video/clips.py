"""Videos of moving heads as training pairs: frames with labels, and which of them go together."""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from portrait3d.data.photos.clips import (
    FramePair,
    PairRules,
    choose_frames,
    choose_pairs,
    part_path,
    write_part,
)
from portrait3d.data.photos.labelling import PhotoLabels, Window, labelled_row
from portrait3d.errors import NoFaceError, PoorFitWarning
from portrait3d.models.fit_quality import LEAST_QUALITY
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.video.reading import open_video
from portrait3d.video.tracking import FaceTracker

BESIDE = 0.6
"""A face whose middle is farther from the tracked one than this part of its size is another person's."""


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """What one video gave."""

    name: str
    frames: int
    pairs: int


def prepare_clip(
    model: Portrait3D, video: Path, folder: Path, rules: PairRules | None = None, licence: str = "unknown"
) -> PreparedClip:
    """Follow the largest face of a video, choose frames and pairs, and write them into a `clips/` folder.

    Raises `NoFaceError` if there is no face, `ValueError` if no two
    frames make a pair.
    """
    rules, name = rules or PairRules(), clip_name(video)
    _, frames = open_video(video)
    track = FaceTracker(model).track(frames, video.name)
    known = np.flatnonzero(track.known)
    chosen = known[choose_frames(track.rotation[known], track.landmarks[known], rules.most_frames)]
    found = list(portraits_of(model, video, chosen, track.landmarks[chosen]))
    numbers, portraits = [number for number, _ in found], [portrait for _, portrait in found]
    pairs = pairs_of(portraits, rules)
    if not pairs:
        raise ValueError(
            f"{video} gives no pair: no two of the {len(found)} frames that were looked at differ by "
            f"{rules.nearest:g} to {rules.farthest:g} degrees and little in eyes and mouth."
        )
    used = sorted({frame for pair in pairs for frame in (pair.first, pair.second)})
    ids = {frame: f"{name}_{numbers[frame]:05d}" for frame in used}
    window = Window.around([portraits[frame] for frame in used])
    rows, points, boxes = [], [], []
    for frame in used:
        portrait = portraits[frame]
        labels = PhotoLabels.of(model, portrait)
        window.save(portrait.photo.pixels, labels, folder, ids[frame])
        row = labelled_row(portrait, window, ids[frame], video, licence, person=name)
        rows.append({**row, "clip": name, "frame": int(numbers[frame])})
        points.append(window.points(labels.points))
        boxes.append(window.box(portrait))
    listed = [
        {
            "clip": name,
            "frame_a": ids[pair.first],
            "frame_b": ids[pair.second],
            "rotation_deg": round(pair.rotation, 2),
            "eye_diff": round(pair.eyes, 3),
            "mouth_diff": round(pair.mouth, 3),
            "scale_ratio": round(pair.scale, 3),
        }
        for pair in pairs
    ]
    write_part(folder, name, rows, listed, np.stack(points), np.array(boxes))
    return PreparedClip(name, len(rows), len(listed))


def clip_name(video: Path) -> str:
    """The name of a video's clip: that of its file, with plain characters alone."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", video.stem) or "clip"


def is_prepared(video: Path, folder: Path) -> bool:
    """Whether a `clips/` folder has the clip of a video already."""
    return part_path(folder, clip_name(video)).is_file()


def portraits_of(
    model: Portrait3D, video: Path, chosen: Int64[np.ndarray, " K"], landmarks: Float[np.ndarray, "K 68 2"]
) -> Iterator[tuple[int, Portrait]]:
    """Number and portrait of the chosen frames in which the tracked face is fitted well."""
    expected = dict(zip(chosen.tolist(), landmarks, strict=True))
    # The video is read a second time: frames of the first are too many to keep.
    _, frames = open_video(video)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorFitWarning)
        for number, frame in enumerate(frames):
            if number not in expected:
                continue
            try:
                portrait = model.reconstruct(frame)
            except NoFaceError:
                continue
            tracked = expected[number]
            apart = np.linalg.norm(portrait.landmarks.mean(axis=0) - tracked.mean(axis=0))
            same = apart < BESIDE * np.sqrt(np.ptp(tracked, axis=0).prod())
            if same and portrait.quality >= LEAST_QUALITY:
                yield number, portrait


def pairs_of(portraits: Sequence[Portrait], rules: PairRules) -> list[FramePair]:
    """Which portraits of one clip go together."""
    if len(portraits) < 2:
        return []
    rotation = np.stack([portrait.camera_from_model.rotation.double().numpy() for portrait in portraits])
    landmarks = np.stack([portrait.landmarks.astype(np.float64) for portrait in portraits])
    return choose_pairs(rotation, landmarks, rules)
