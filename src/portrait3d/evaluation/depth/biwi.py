"""Table 1 of the paper: mean distances to the depth that a Kinect measured, by one command."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from portrait3d.data.photos.biwi import BiwiFrame, BiwiRecording, read_biwi
from portrait3d.evaluation.depth.errors import HeadErrors, head_errors, surface_of
from portrait3d.evaluation.depth.methods import depth_methods, rest_of_head
from portrait3d.evaluation.depth.photos import (
    photo_points,
    points_of,
    portrait_methods,
    reconstruct,
    seen_in,
    truth_in,
)
from portrait3d.pipeline import Portrait3D


@dataclass(frozen=True, slots=True)
class BiwiScores:
    """Mean distances (mm) of one method's points to the measured surface, first over the frames of each
    recording, then over the recordings."""

    method: str
    recordings: int
    frames: int
    face: float
    """Table 1, everything aligned rigidly with everything; face and elsewhere as the method's own parsing."""
    elsewhere: float
    all: float
    face_in_frame: float
    """The faces aligned instead."""
    elsewhere_in_frame: float
    """The same for the rest of the head, in the frame of the faces."""
    depth_in_frame: float
    """Difference in depth, pixel by pixel, over the rest of the head in that frame."""


def evaluate_biwi(model: Portrait3D, root: Path, frames: int = 10) -> list[BiwiScores]:
    """Measure the whole line from photo to head on `frames` frames of every recording, evenly spread.

    Frames in which no face is found are left out.
    """
    found: dict[str, dict[str, list[HeadErrors]]] = {}
    for recording in read_biwi(root):
        picked = np.unique(np.linspace(0, len(recording.frames) - 1, frames).astype(int))
        for index in picked:
            for method, errors in measure_frame(model, recording, recording.frames[index]):
                found.setdefault(method, {}).setdefault(recording.name, []).append(errors)
    return [score_recordings(method, recordings) for method, recordings in found.items()]


def measure_frame(
    model: Portrait3D, recording: BiwiRecording, frame: BiwiFrame
) -> Iterator[tuple[str, HeadErrors]]:
    """Every method's errors in one frame; nothing if there is no face in it."""
    portrait = reconstruct(model, frame.pixels())
    if portrait is None:
        return
    depth, camera = recording.depth_in_photo(frame), recording.photo_camera
    surface = surface_of(photo_points(depth, camera))
    seen = seen_in(portrait, model.head_model)
    face, rest = seen.bare_face, rest_of_head(seen)
    truth = truth_in(portrait.head_crop, depth, camera, face, rest, surface)
    methods = depth_methods(model.depth_net, model.head_model)
    for name, method in {**methods, **portrait_methods(portrait)}.items():
        predicted = method(seen)
        known = seen.region & np.isfinite(predicted)
        yield name, head_errors(points_of(predicted, known, seen.head.focal), known, truth)


def score_recordings(method: str, recordings: dict[str, list[HeadErrors]]) -> BiwiScores:
    """One row of the table."""

    def mean(name: str) -> float:
        per_person = [np.nanmean([getattr(e, name) for e in errors]) for errors in recordings.values()]
        return float(np.nanmean(per_person))

    return BiwiScores(
        method=method,
        recordings=len(recordings),
        frames=sum(map(len, recordings.values())),
        face=mean("face_table1"),
        elsewhere=mean("rest_table1"),
        all=mean("all_table1"),
        face_in_frame=mean("face"),
        elsewhere_in_frame=mean("rest"),
        depth_in_frame=mean("rest_pixel"),
    )
