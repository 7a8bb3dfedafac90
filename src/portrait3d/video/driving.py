"""From a driver's tracked face to the poses and expressions of a portrait."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from portrait3d.geometry import Pose
from portrait3d.geometry.pose import rotation_from_axis_angle
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.reposing.motion import axis_angle
from portrait3d.video.gaze import find_irises
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
GAZE_CUTOFF, GAZE_GAIN = 2.0, 12.0
"""The same for the irises' places: Hz, and Hz for half an eye's width a second. Eyes rest, then jump."""
FULL_GAZE = 0.35
"""How far `eyeLook*` at full strength moves an iris in a drawn photo, halves of the eye's width: the mean of
four people's, as `find_irises` sees them. By the eyeball it would be 0.4, 5.6 mm of 14 mm."""
SHUT, OPEN = 0.45, 0.65
"""An iris that stands out so far, over its usual contrast, is covered by the lid; or not at all."""
LEAST_BLINK = 0.03
"""Rise of the network's coefficient for blinking from which on it sees one; at twice that, a whole one."""
GAZES = (
    ("eyeLookOutLeft", "eyeLookInLeft"),
    ("eyeLookInRight", "eyeLookOutRight"),
)
"""Expressions that turn each of the person's eyes to the picture's right and to its left."""
BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")
JAW = "jawOpen"
DRAWN_JAW = 0.5
"""Share of a jaw's opening that arrives in the drawn photo. The face network reads mouths of real films 0.9,
of artist-made heads 1.3 times as wide as they are, but drawn photos open theirs less than the head does: two
portraits that three real films drove opened by 0.3 to 0.6 of the driver's, with this by 0.6 to 0.85."""
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
    are held within bounds. Where irises can be told in the driver's eyes, eyes turn to the side as far as
    they do, and close in full where they vanish: the face network hardly sees either. Of a jaw that opens
    `DRAWN_JAW` arrives in the photo, which is put right.

    Args:
        track: The driver's face.
        rate: Frames a second.
        portrait: The person to be moved.
        absolute: Whether the photo's own pose and expression are left behind.
    """
    photo = portrait.camera_from_model.rotation.double().numpy()
    names = portrait.head_model.expression_names
    jaw = names.index(JAW)
    track = replace(track, expression=with_whole_jaw(track.expression, jaw))
    own = with_whole_jaw(portrait.coefficients.expression.double().numpy(), jaw)
    reference = None if absolute else neutral_frame(track, jaw)
    start = photo if reference is None else track.rotation[reference]
    neutral = own if reference is None else track.expression[reference]
    # The turn from the neutral frame in the head's own axes, as a vector: such can be interpolated and
    # filtered.
    turns = np.stack(
        [
            axis_angle(start.T @ r) if k else np.zeros(3)
            for r, k in zip(track.rotation, track.known, strict=True)
        ]
    )
    # Bridged before they are smoothed: the zeros of lost frames would leak into their neighbours.
    turns = smooth(bridge(turns, track.known), rate, POSE_CUTOFF, POSE_GAIN)
    changes = bridge(track.expression - neutral, track.known)
    changes = smooth(changes, rate, EXPRESSION_CUTOFF, EXPRESSION_GAIN)
    changes[:, jaw] = np.maximum(changes[:, jaw], -max(own[jaw], 0.0))  # closed no further than shut
    changes = with_eyes(changes, track, rate, portrait, absolute=absolute)
    rotations = torch.from_numpy(photo) @ rotation_from_axis_angle(torch.from_numpy(within_reach(turns)))
    poses = [HeadAngles.of(Pose(rotation, torch.zeros(3).double())) for rotation in rotations]
    return Motion(poses, changes.clip(-STRONGEST, STRONGEST), reference)


def with_whole_jaw(expression: Float[np.ndarray, "*T 64"], jaw: int) -> Float[np.ndarray, "*T 64"]:
    """Expressions as the network reads them, but with the jaw, whose number is given, as wide as it must be
    for the drawn mouth to open as far as the one that was read."""
    whole = expression.copy()
    whole[..., jaw] /= DRAWN_JAW
    return whole


def with_eyes(
    changes: Float[np.ndarray, "T 64"],
    track: FaceTrack,
    rate: float,
    portrait: Portrait,
    *,
    absolute: bool,
) -> Float[np.ndarray, "T 64"]:
    """Changes of expression with the gaze and the blinks that the driver's irises show, if they are seen.

    The driver looks straight where it looks most of the time: at what the photo looks at. With `absolute`,
    eyes turn from where the photo's irises are to where the driver's are.
    """
    place, contrast = track.irises.T
    seen = np.isfinite(contrast)
    if not seen.any():
        return changes
    names, changes = list(portrait.head_model.expression_names), changes.copy()
    blinks = [names.index(name) for name in BLINKS]
    closed = closure(contrast, track.expression[:, blinks].mean(axis=1))
    steady = seen & (closed == 0)
    if steady.any():
        straight = float(np.median(place[steady]))
        if absolute:
            own_place = find_irises(portrait.photo.pixels, portrait.landmarks.astype(np.float64))[0]
            straight = own_place if np.isfinite(own_place) else straight
        aside = bridge(np.nan_to_num(place - straight)[:, None], steady)
        turn = (smooth(aside, rate, GAZE_CUTOFF, GAZE_GAIN)[:, 0] / FULL_GAZE).clip(-1, 1)
        for right, left in GAZES:
            changes[:, names.index(right)], changes[:, names.index(left)] = turn.clip(0), (-turn).clip(0)
    own = portrait.coefficients.expression.double().numpy()
    for blink in blinks:
        changes[:, blink] = np.maximum(changes[:, blink], closed * (1 - own[blink]))
    return changes


def closure(contrast: Float[np.ndarray, " T"], blink: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """How far eyes are shut in each frame, 0 to 1: the iris has vanished, and the network sees some blinking.

    The network alone sees little of a blink, and the iris alone vanishes in light eyes when they are wide
    open too. Usual is the contrast that is passed in a fifth of the frames, and the blinking that is not
    reached in a fifth: eyes are open most of the time.

    Args:
        contrast: How dark irises stand out; nan, where it isn't known, counts as open.
        blink: The network's coefficient for blinking.
    """
    seen = np.isfinite(contrast)
    usual = max(float(np.quantile(contrast[seen], 0.8)), 1e-9)
    vanished = (OPEN - contrast / usual) / (OPEN - SHUT)
    rise = (blink - np.quantile(blink[seen], 0.2) - LEAST_BLINK) / LEAST_BLINK
    return np.where(seen, np.minimum(vanished, rise), 0).clip(0, 1)


def neutral_frame(track: FaceTrack, jaw: int) -> int:
    """The frame with the least expression, near the pose that the head has most of the time.

    `jaw` is the coefficient of an open mouth, which counts once more: who talks smiles less, but is not calm.
    """
    usual = np.median(track.rotation[track.known], axis=0)
    # The angle between rotations A and B has 2 cos = trace(A^T B) - 1; the median is nearly a rotation.
    cosine = (np.einsum("tij,ij->t", track.rotation, usual) - 1) / 2
    away = np.arccos(cosine.clip(-1, 1))
    score = np.linalg.norm(track.expression, axis=1) + track.expression[:, jaw].clip(0) + POSE_WEIGHT * away
    return int(np.where(track.known, score, np.inf).argmin())


def within_reach(turns: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 3"]:
    """Rotation vectors (radians) whose angles beyond `FREE` grow more and more slowly toward `FARTHEST`."""
    angle = np.linalg.norm(turns, axis=1, keepdims=True)
    rest = FARTHEST - FREE
    # tanh continues with slope 1: nothing jerks where the limit sets in.
    held = np.where(angle > FREE, FREE + rest * np.tanh((angle - FREE) / rest), angle)
    return turns * held / np.maximum(angle, 1e-12)
