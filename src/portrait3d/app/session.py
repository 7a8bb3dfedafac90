"""What the page does with a photo, without the page: open it, turn it, make files of it."""

import copy
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from portrait3d import arguments
from portrait3d.errors import InvalidImageError
from portrait3d.export.meshes import encode_glb
from portrait3d.export.overview import close_up, colour_depth, depth_of_photo, draw_landmarks, tint_classes
from portrait3d.export.viewer import viewer_html
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.detection import choose_face
from portrait3d.preprocessing.image import Photo, decode_photo
from portrait3d.reposing.reposer import reduced
from portrait3d.video.animation import draw_frames
from portrait3d.video.turntable import turntable_poses
from portrait3d.video.writing import write_video

MAX_FILE_BYTES = 20 * 2**20
"""Larger files are refused before they are read."""
MAX_PIXELS = 40_000_000
"""Larger pictures are refused before they are decoded."""
PREVIEW_SIDE = 640
"""Longest side (pixels) of the turned photo that follows the sliders; files have the photo's own size."""
FILM_FRAMES, FILM_RATE = 60, 20.0
"""Length of the turntable video and frames a second."""
FILM_YAW, FILM_PITCH = 25.0, 4.0
"""How far the head turns and nods in it, degrees."""
MAX_SESSIONS = 8
"""Photos that are kept open at once; the one that was used longest ago is forgotten first."""

EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "Open jaw": {"jawOpen": 1.0},
    "Smile": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
    "Pucker": {"mouthPucker": 1.0},
    "Wink left": {"eyeBlinkLeft": 1.0},
    "Wink right": {"eyeBlinkRight": 1.0},
    "Raise brows": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    "Frown": {"browDownLeft": 1.0, "browDownRight": 1.0, "mouthFrownLeft": 0.6, "mouthFrownRight": 0.6},
    "Puff cheeks": {"cheekPuff": 1.0},
}
"""ARKit weights of each of the page's expressions at full strength; left and right are the person's."""


class ExpiredError(LookupError):
    """The photo that is asked for is no longer open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Where the page's sliders stand."""

    angles: HeadAngles
    """Absolute pose, degrees."""
    expression: Mapping[str, float] = field(default_factory=dict)
    """Strengths from 0 to 1 by the names of `EXPRESSIONS`; they add to the photo's own expression."""

    def __post_init__(self) -> None:
        arguments.instance(self.angles, HeadAngles, "angles").check("angles")
        arguments.strengths(self.expression, "expression", EXPRESSIONS)

    @property
    def weights(self) -> dict[str, float]:
        """ARKit weights; expressions that share a shape add up to at most 1."""
        weights: dict[str, float] = {}
        for name, strength in self.expression.items():
            for shape, share in EXPRESSIONS[name].items():
                weights[shape] = min(1.0, weights.get(shape, 0.0) + strength * share)
        return {shape: weight for shape, weight in weights.items() if weight > 0}


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One person in one photo, opened."""

    model: Portrait3D = field(repr=False)
    """Networks shared with everybody; what it remembers for turning is this session's own."""
    portrait: Portrait
    preview: Portrait = field(repr=False)
    """The portrait in a photo of at most `PREVIEW_SIDE`."""
    boxes: Float[np.ndarray, "N 4"]
    """Left, top, right, bottom of every face in the photo, pixels, the largest first."""
    face: int
    """Which of them this is."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def resting(self) -> Controls:
        """The photo's own pose and expression."""
        return Controls(angles=self.portrait.pose)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the networks saw, as small square pictures."""

    landmarks: UInt8[np.ndarray, "S S 3"]
    parsing: UInt8[np.ndarray, "S S 3"]
    depth: UInt8[np.ndarray, "S S 3"]


def open_photo(path: str | Path, name: str) -> Photo:
    """Decode an uploaded file; messages call it `name`.

    Raises `InvalidImageError` for files over `MAX_FILE_BYTES`, pictures over `MAX_PIXELS` and everything that
    is no picture.
    """
    path = Path(arguments.path(path, "path"))
    arguments.text(name, "name")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise InvalidImageError(
            f"{name} is too large: {size / 2**20:.1f} MB, at most {MAX_FILE_BYTES // 2**20} MB are taken."
        )
    try:
        return replace(decode_photo(path, MAX_PIXELS), name=name)
    except InvalidImageError as error:
        raise InvalidImageError(str(error).replace(str(path), name)) from error


def open_session(model: Portrait3D, photo: Photo, face: int = 0) -> Session:
    """Reconstruct one person in a photo; errors as of `Portrait3D.reconstruct`."""
    arguments.instance(model, Portrait3D, "model")
    arguments.instance(photo, Photo, "photo")
    arguments.whole_number(face, "face")
    detections = model.detector.detect(photo.pixels, photo.name)
    portrait = model.reconstruct_face(photo, choose_face(detections, face, photo.name))
    preview = reduced(portrait, PREVIEW_SIDE / max(photo.pixels.shape[:2]))
    boxes = np.stack([detection.box for detection in detections])
    return Session(copy.copy(model), portrait, preview, boxes, face)


def findings(session: Session) -> Findings:
    """Landmarks, parsing and depth of the head's surroundings."""
    portrait = session.portrait
    pixels = portrait.photo.pixels
    return Findings(
        landmarks=draw_landmarks(portrait),
        parsing=close_up(portrait, tint_classes(pixels, portrait.parsing)),
        depth=close_up(portrait, colour_depth(*depth_of_photo(portrait))),
    )


def turned_preview(session: Session, controls: Controls) -> UInt8[np.ndarray, "h w 3"]:
    """The reduced photo with the head as the sliders say; quick enough to follow them."""
    _check(session, controls)
    with session.lock:
        return _turned(session.model, session.preview, controls)


def turned_photo(session: Session, controls: Controls) -> UInt8[np.ndarray, "H W 3"]:
    """The photo in its own size with the head as the sliders say."""
    _check(session, controls)
    return _turned(copy.copy(session.model), session.portrait, controls)


def head_file(session: Session) -> bytes:
    """The head as GLB."""
    return encode_glb(session.portrait.head)


def viewer_file(session: Session) -> bytes:
    """A web page around the head that needs nothing else."""
    return viewer_html(head_file(session), session.portrait.photo.name).encode()


def film_file(session: Session, path: Path, report: Callable[[int, int], object]) -> None:
    """Write the turntable video (.mp4); `report` hears how many frames are done, and of how many."""
    poses = turntable_poses(session.portrait, FILM_FRAMES, FILM_YAW, FILM_PITCH)
    frames = draw_frames(copy.copy(session.model), session.portrait, poses, None, PREVIEW_SIDE)
    with write_video(path, FILM_RATE) as film:
        for number, frame in enumerate(frames, start=1):
            film.add(frame)
            report(number, FILM_FRAMES)


def _check(session: Session, controls: Controls) -> None:
    arguments.instance(session, Session, "session")
    arguments.instance(controls, Controls, "controls")


def _turned(model: Portrait3D, portrait: Portrait, controls: Controls) -> UInt8[np.ndarray, "h w 3"]:
    angles = controls.angles
    return model.repose(portrait, angles.yaw, angles.pitch, angles.roll, controls.weights)


class Sessions:
    """Open sessions by key. Whoever has the key has the photo, so keys can't be guessed.

    Args:
        capacity: How many to keep; the least recently used goes first.
    """

    def __init__(self, capacity: int = MAX_SESSIONS) -> None:
        self._capacity = capacity
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, session: Session) -> str:
        """Keep a session; returns its key."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._open[key] = session
            while len(self._open) > self._capacity:
                self._open.popitem(last=False)
        return key

    def get(self, key: str) -> Session:
        """The session with that key; raises `ExpiredError` if there is none (any more)."""
        with self._lock:
            if key not in self._open:
                raise ExpiredError("This photo is no longer open; drop it again.")
            self._open.move_to_end(key)
            return self._open[key]

    def drop(self, key: str) -> None:
        """Forget a session, if it is still there."""
        with self._lock:
            self._open.pop(key, None)
