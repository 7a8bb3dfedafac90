"""From a driver's tracked face to the poses and expressions of a portrait."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from portrait3d.geometry import Pose
from portrait3d.geometry.pose import rotation_from_axis_angle
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.reposing.motion import axis_angle
from portrait3d.video.smoothing import bridge, smooth
from portrait3d.video.tracking import FaceTrack

POSE_CUTOFF, POSE_GAIN = 2.0, 10.0
"""Of the One-Euro filter for rotation vectors: Hz, and Hz for one radian a second."""
EXPRESSION_CUTOFF, EXPRESSION_GAIN = 3.0, 6.0
"""The same for expression coefficients: Hz, and Hz for one unit a second."""
FREE, FARTHEST = np.radians(25.0), np.radians(40.0)
"""Turns away from the photo's pose are followed up to the first angle, and held below the second one."""
STRONGEST = 1.0
"""Largest change of an expression coefficient."""
POSE_WEIGHT = 1.5
"""How much a radian away from the usual pose counts against a unit of expression in the neutral frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What a portrait does in every frame."""

    poses: list[HeadAngles]
    """Absolute."""
    expressions: Float[np.ndarray, "T 64"]
    """Added to the photo's own coefficients."""
    reference: int | None
    """The driver's frame that stands for the photo; None for absolute motion."""


def drive(track: FaceTrack, rate: float, portrait: Portrait, *, absolute: bool = False) -> Motion:
    """Move a driver's pose and expression onto a portrait.

    The driver's change against its own most neutral frame is added to the photo's pose and expression: the
    rotation in the head's own axes, the expression coefficient by coefficient. With `absolute`, the driver's
    pose and expression themselves are taken. Frames without a face are bridged, all are smoothed, and turns
    are held within bounds.

    Args:
        track: The driver's face.
        rate: Frames a second.
        portrait: The person to be moved.
        absolute: Whether the photo's own pose and expression are left behind.
    """
    photo = portrait.camera_from_model.rotation.double().numpy()
    own = portrait.coefficients.expression.double().numpy()
    reference = None if absolute else neutral_frame(track)
    start = photo if reference is None else track.rotation[reference]
    neutral = own if reference is None else track.expression[reference]
    turns = np.stack(
        [
            axis_angle(start.T @ r) if k else np.zeros(3)
            for r, k in zip(track.rotation, track.known, strict=True)
        ]
    )
    turns = smooth(bridge(turns, track.known), rate, POSE_CUTOFF, POSE_GAIN)
    changes = bridge(track.expression - neutral, track.known)
    changes = smooth(changes, rate, EXPRESSION_CUTOFF, EXPRESSION_GAIN)
    rotations = torch.from_numpy(photo) @ rotation_from_axis_angle(torch.from_numpy(within_reach(turns)))
    poses = [HeadAngles.of(Pose(rotation, torch.zeros(3).double())) for rotation in rotations]
    return Motion(poses, changes.clip(-STRONGEST, STRONGEST), reference)


def neutral_frame(track: FaceTrack) -> int:
    """The frame with the least expression, near the pose that the head has most of the time."""
    usual = np.median(track.rotation[track.known], axis=0)
    # The angle between rotations A and B has 2 cos = trace(A^T B) - 1; the median is nearly a rotation.
    cosine = (np.einsum("tij,ij->t", track.rotation, usual) - 1) / 2
    away = np.arccos(cosine.clip(-1, 1))
    score = np.linalg.norm(track.expression, axis=1) + POSE_WEIGHT * away
    return int(np.where(track.known, score, np.inf).argmin())


def within_reach(turns: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3"]:
    """Rotation vectors (radians) whose angles beyond `FREE` grow more and more slowly toward `FARTHEST`."""
    angle = np.linalg.norm(turns, axis=1, keepdims=True)
    rest = FARTHEST - FREE
    held = np.where(angle > FREE, FREE + rest * np.tanh((angle - FREE) / rest), angle)
    return turns * held / np.maximum(angle, 1e-12)
