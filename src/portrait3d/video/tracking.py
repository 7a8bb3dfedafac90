"""Following one face through a video: pose, expression and landmarks of every frame."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from portrait3d.errors import NoFaceError
from portrait3d.models.face_fit import read_faces, rotation_in_photo
from portrait3d.pipeline import Portrait3D
from portrait3d.preprocessing.alignment import Crop, crop_from_detection
from portrait3d.preprocessing.detection import Detection, Detector, FaceDetector
from portrait3d.video.gaze import find_irises

BATCH = 8
"""Frames that the face network sees at once."""
NEARBY = 2.4
"""Side of the square about the last face that is searched first, over the face's size."""
NEAR_SIDE = 160
"""Pixels that this square is reduced to."""
ASTRAY = 0.6
"""Landmarks whose middle is this far from the detected face, over its size, belong to something else."""

Fit = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Rotation, expression, landmarks and irises of one face."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceTrack:
    """One face in the frames of a video; where it was not found, the values are zero."""

    known: Bool[np.ndarray, " T"]
    """Frames in which it was found."""
    rotation: Float[np.ndarray, "T 3 3"]
    """Of the head, from the model's frame to the camera's."""
    expression: Float[np.ndarray, "T 64"]
    landmarks: Float[np.ndarray, "T 68 2"]
    """iBUG order, pixels of the frame."""
    irises: Float[np.ndarray, "T 2"] = field(default_factory=lambda: np.zeros((0, 2)))
    """What `gaze.find_irises` finds; if left out, nan: nothing is known."""

    def __post_init__(self) -> None:
        if len(self.irises) == 0:
            object.__setattr__(self, "irises", np.full((len(self.known), 2), np.nan))

    @property
    def missing(self) -> list[int]:
        """Frames without the face, counted from 0."""
        return np.flatnonzero(~self.known).tolist()


@dataclass(frozen=True)
class FaceTracker:
    """Finds a face, searches for it near its last place and fits the head model to it, frame by frame."""

    model: Portrait3D
    near: Detector = field(default_factory=lambda: FaceDetector(sides=(NEAR_SIDE,)))
    """Searches where the face was last."""

    def track(self, frames: Iterable[UInt8[np.ndarray, "H W 3"]], name: str = "the video") -> FaceTrack:
        """Follow the largest face of the first frame that shows one. Raises `NoFaceError` if none does."""
        fits: list[Fit | None] = []
        waiting: list[tuple[np.ndarray, Detection]] = []
        places: list[int | None] = []  # a number for every frame: which of the fits is its own
        count, last, previous = 0, None, None
        for frame in frames:
            # Videos repeat frames to keep an even rate: their fits are shared.
            if previous is not None and np.array_equal(frame, previous):
                places.append(places[-1])
                continue
            previous = frame
            found = self._find(frame, last)
            last = found or last
            if found is None:
                places.append(None)
                continue
            places.append(count)
            count += 1
            waiting.append((frame, found))
            if len(waiting) == BATCH:
                fits += self._fit(waiting)
                waiting = []
        if waiting:
            fits += self._fit(waiting)
        results = [None if place is None else fits[place] for place in places]
        if not any(results):
            raise NoFaceError(f"No face found in any of the {len(places)} frames of {name}.")
        return _gather(results)

    def _find(self, frame: UInt8[np.ndarray, "H W 3"], last: Detection | None) -> Detection | None:
        """The face near its last place; if it is not there, the one of the whole frame that is nearest."""
        if last is not None:
            left, top, right, bottom = _around(last, *frame.shape[:2])
            found = _detect(self.near, frame[top:bottom, left:right])
            if found:
                shift = np.array([left, top], np.float32)
                face = min(found, key=lambda face: _distance(_moved(face, shift), last))
                return _moved(face, shift)
        found = _detect(self.model.detector, frame)
        if not found:
            return None
        return found[0] if last is None else min(found, key=lambda face: _distance(face, last))

    def _fit(self, waiting: list[tuple[np.ndarray, Detection]]) -> Iterator[Fit | None]:
        """Rotation, expression, landmarks and irises in each frame; None where the fit went astray.

        The crop is the detection's: placing it anew by a first result, as for photos, would bring landmarks
        nearer by a sixtieth and take as long again.
        """
        frames = [frame for frame, _ in waiting]
        crops = [crop_from_detection(face) for _, face in waiting]
        for (frame, face), (rotation, expression, points) in zip(
            waiting, self._fit_crops(frames, crops), strict=True
        ):
            landmarks = points.double().numpy()
            low, high = landmarks.min(axis=0), landmarks.max(axis=0)
            size = np.sqrt(face.area)
            middle = (face.box[:2] + face.box[2:]) / 2
            astray = np.linalg.norm((low + high) / 2 - middle) > ASTRAY * size
            yield None if astray else (rotation, expression, landmarks, find_irises(frame, landmarks))

    @torch.inference_mode()
    def _fit_crops(
        self, frames: list[np.ndarray], crops: list[Crop]
    ) -> list[tuple[np.ndarray, np.ndarray, torch.Tensor]]:
        """Rotation in the frame's camera, expression and landmarks (pixels of the frame) for each crop."""
        pictures = torch.stack([crop.extract(frame) for crop, frame in zip(crops, frames, strict=True)])
        reading = read_faces(self.model.face_net, self.model.head_model, pictures, mirrored=False)
        angles = np.array([crop.angle for crop in crops], np.float32)
        rotations = rotation_in_photo(reading.camera_from_model.rotation, angles).double().numpy()
        expressions = reading.coefficients.expression.double().numpy()
        landmarks = [crop.photo_from_crop(seen) for crop, seen in zip(crops, reading.landmarks, strict=True)]
        return list(zip(rotations, expressions, landmarks, strict=True))


def _gather(fits: list[Fit | None]) -> FaceTrack:
    """The fits of all frames as arrays."""
    nothing = np.zeros((3, 3)), np.zeros(64), np.zeros((68, 2)), np.full(2, np.nan)
    rotation, expression, landmarks, irises = zip(*(fit or nothing for fit in fits), strict=True)
    known = np.array([fit is not None for fit in fits])
    return FaceTrack(known, np.stack(rotation), np.stack(expression), np.stack(landmarks), np.stack(irises))


def _detect(detector: Detector, pixels: UInt8[np.ndarray, "H W 3"]) -> list[Detection]:
    """The faces in a picture, none if there are none."""
    try:
        return detector.detect(pixels)
    except NoFaceError:
        return []


def _around(face: Detection, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a square about a face, within the frame."""
    middle = (face.box[:2] + face.box[2:]) / 2
    reach = NEARBY / 2 * float((face.box[2:] - face.box[:2]).max())
    # At least two pixels, however far beyond the frame the face has gone.
    left, top = np.floor(middle - reach).astype(int).clip(0, [width - 2, height - 2]).tolist()
    right, bottom = np.ceil(middle + reach).astype(int).clip([left + 2, top + 2], [width, height]).tolist()
    return left, top, right, bottom


def _moved(face: Detection, shift: Float[np.ndarray, "2"]) -> Detection:
    """A detection in a part of the frame, in pixels of the frame."""
    return Detection(face.box + np.tile(shift, 2), face.score, face.keypoints + shift)


def _distance(one: Detection, other: Detection) -> float:
    """Between the middles of two faces, pixels."""
    return float(np.linalg.norm((one.box[:2] + one.box[2:] - other.box[:2] - other.box[2:]) / 2))
