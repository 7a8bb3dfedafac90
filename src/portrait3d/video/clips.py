"""Videos of moving heads as training pairs: frames with labels, and which of them go together."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image

from portrait3d.data.clips import (
    UNFOLDED_CLASSES,
    FramePair,
    PairRules,
    choose_frames,
    choose_pairs,
    part_path,
    replace_file,
    write_part,
)
from portrait3d.data.fits import project_points
from portrait3d.errors import NoFaceError, PoorFitWarning
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.fit_quality import LEAST_QUALITY
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait
from portrait3d.preprocessing.alignment import FACE_SIZE, HEAD_SIZE, Crop
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
        window.save(portrait, folder, ids[frame])
        pose = portrait.pose
        rows.append(
            {
                "id": ids[frame],
                "source": str(video.parent),
                "original": video.name,
                "licence": licence,
                "width": window.size[0],
                "height": window.size[1],
                "person": name,
                "yaw": round(pose.yaw, 2),
                "pitch": round(-pose.pitch, 2),
                "roll": round(pose.roll, 2),
                "clip": name,
                "frame": int(numbers[frame]),
            }
        )
        points.append(window.points(mesh_points(model, portrait)))
        box = window.points(portrait.detection.box.reshape(2, 2).astype(np.float64))
        boxes.append([*box.ravel(), portrait.detection.score])
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


def mesh_points(model: Portrait3D, portrait: Portrait) -> Float[np.ndarray, "468 3"]:
    """The 468 points of MediaPipe's face mesh, in pixels of the photo.

    z is in pixels too: smaller is nearer, relative to the head's centre.
    """
    wide, coefficients = portrait.head_crop, portrait.coefficients
    crop = Crop(wide.centre, wide.side / wide.zoom, wide.angle, FACE_SIZE)
    batched = portrait.crop_from_model.batched
    points = MeshPoints.from_head_model(model.head_model)
    shape = torch.cat([coefficients.identity, coefficients.expression])[None]
    with torch.no_grad():
        seen = project_points(points, shape, batched, model.face_net.mesh_slide)[0]
        depth = batched.apply(points(shape))[0, :, 2]
    centre = batched.apply(torch.from_numpy(HEAD_CENTRE).float()[None, None])[0, 0, 2]
    scale = float(portrait.camera.focal) / float(centre)
    pixels = crop.photo_from_crop(seen)
    return torch.cat([pixels, (depth - centre)[:, None] * scale], dim=1).double().numpy()


@dataclass(frozen=True, slots=True)
class Window:
    """One part of the picture for all frames of a clip, and the size that it is stored at."""

    left: int
    top: int
    right: int
    bottom: int
    size: tuple[int, int]
    """Width and height, pixels."""

    @classmethod
    def around(cls, portraits: Sequence[Portrait]) -> "Window":
        """The smallest part that holds every head crop as far as the frames reach.

        Head crops are stored at about the resolution that training wants; frames are never enlarged.
        """
        centres = np.array([portrait.head_crop.centre for portrait in portraits])
        sides = np.array([portrait.head_crop.side for portrait in portraits])
        height, width = portraits[0].photo.pixels.shape[:2]
        left, top = np.floor((centres - sides[:, None] / 2).min(axis=0)).astype(int).clip(0).tolist()
        low = np.ceil((centres + sides[:, None] / 2).max(axis=0)).astype(int)
        right, bottom = np.minimum(low, [width, height]).tolist()
        scale = min(1.0, HEAD_SIZE / float(np.median(sides)))
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        return cls(left, top, right, bottom, size)

    def points(self, points: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
        """Pixels of a frame as those of the stored picture, with pixel centres at integers; z is scaled."""
        scale = np.array([self.size[0] / (self.right - self.left), self.size[1] / (self.bottom - self.top)])
        moved = points.copy()
        moved[:, :2] = (points[:, :2] - [self.left, self.top]) * scale - 0.5
        moved[:, 2:] *= scale.mean()
        return moved

    def cut(self, picture: UInt8[np.ndarray, "H W *C"], resample: Image.Resampling) -> Image.Image:
        """This part of a picture at the stored size."""
        part = Image.fromarray(np.ascontiguousarray(picture[self.top : self.bottom, self.left : self.right]))
        return part.resize(self.size, resample)

    def save(self, portrait: Portrait, folder: Path, name: str) -> None:
        """Write a frame and its parsing."""
        frame = self.cut(portrait.photo.pixels, Image.Resampling.LANCZOS)
        labels = self.cut(UNFOLDED_CLASSES[portrait.parsing], Image.Resampling.NEAREST)
        for image, path, how in (
            (frame, folder / "images" / f"{name}.jpg", {"format": "JPEG", "quality": 92}),
            (labels, folder / "parsing" / f"{name}.png", {"format": "PNG"}),
        ):
            buffer = io.BytesIO()
            image.save(buffer, **how)
            replace_file(path, buffer.getvalue())
