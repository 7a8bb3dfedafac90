"""From a driver's face to a portrait's poses and expressions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from portrait3d.geometry import rotation_from_euler
from portrait3d.portrait import Portrait
from portrait3d.video import driving
from portrait3d.video.driving import (
    DRAWN_JAW,
    FARTHEST,
    FREE,
    FULL_GAZE,
    drive,
    neutral_frame,
    within_reach,
)
from portrait3d.video.tracking import FaceTrack
from synthetic_head import synthetic_portrait


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return synthetic_portrait()


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    angles = (torch.tensor(np.radians(angle), dtype=torch.float64) for angle in (yaw, pitch, roll))
    return rotation_from_euler(*angles).numpy()


def track(rotations: list[np.ndarray], expression: np.ndarray, known: list[bool] | None = None) -> FaceTrack:
    count = len(rotations)
    return FaceTrack(
        np.array(known or [True] * count), np.stack(rotations), expression, np.zeros((count, 68, 2))
    )


def test_a_still_driver_leaves_the_photo_as_it_is(portrait: Portrait) -> None:
    face = np.tile(np.random.default_rng(0).uniform(0, 0.4, 64), (8, 1))
    motion = drive(track([rotation(20, -5, 8)] * 8, face), 25, portrait)
    assert not motion.expressions.any()
    for pose in motion.poses:
        assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((0, 0, 0), abs=1e-5)


def test_the_drivers_change_is_added_from_its_neutral_frame_on(portrait: Portrait) -> None:
    count = 60
    yaws = np.linspace(0, 15, count)
    face = np.full((count, 64), 0.02) + np.linspace(0, 1, count)[:, None] * np.eye(64)[12] * 0.5
    motion = drive(track([rotation(10 + yaw) for yaw in yaws], face), 25, portrait)
    turned = np.array([pose.yaw for pose in motion.poses])
    assert np.ptp(turned) == pytest.approx(15, abs=1.5)
    assert np.ptp(motion.expressions[:, 12]) == pytest.approx(0.5, abs=0.06)
    assert np.abs(motion.expressions[:, :12]).max() < 1e-9
    assert motion.reference is not None
    assert turned[motion.reference] == pytest.approx(0, abs=1.0)


def test_absolute_motion_is_the_drivers_own(portrait: Portrait) -> None:
    face = np.full((5, 64), 0.1)
    motion = drive(track([rotation(12, 4, -6)] * 5, face), 25, portrait, absolute=True)
    assert motion.reference is None
    own = portrait.coefficients.expression.numpy()
    jaw = list(portrait.head_model.expression_names).index("jawOpen")
    face[:, jaw] /= DRAWN_JAW
    np.testing.assert_allclose(motion.expressions + own, face, atol=1e-6)
    pose = motion.poses[2]
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((12, 4, -6), abs=1e-3)


def test_frames_without_a_face_are_bridged(portrait: Portrait) -> None:
    rotations = [rotation(yaw) for yaw in (0, 2, 4)] + [np.zeros((3, 3))] * 2 + [rotation(10)]
    face = np.zeros((6, 64))
    face[:, 3] = (0, 0.1, 0.2, 0, 0, 0.5)
    motion = drive(track(rotations, face, [True] * 3 + [False] * 2 + [True]), 25, portrait)
    yaws = np.array([pose.yaw for pose in motion.poses])
    assert (np.diff(yaws) > 0).all()
    assert (np.diff(motion.expressions[:, 3]) > 0).all()


def test_the_neutral_frame_has_little_expression_and_the_usual_pose() -> None:
    face = np.zeros((4, 64))
    face[0] = 0.5
    rotations = [rotation(0), rotation(40), rotation(2), rotation(1)]
    face[2] = 0.1
    assert neutral_frame(track(rotations, face), 24) == 3
    assert neutral_frame(track(rotations, face, [True, True, True, False]), 24) == 2


def test_who_talks_smiles_less_but_is_not_calm() -> None:
    smiling, talking = np.zeros(64), np.zeros(64)
    smiling[:10], talking[24] = 0.3, 0.6
    face = np.stack([talking, smiling])
    assert np.linalg.norm(talking) < np.linalg.norm(smiling)
    assert neutral_frame(track([rotation()] * 2, face), 24) == 1


def test_turns_are_held_within_reach() -> None:
    turns = np.radians([[0.0, 10.0, 0.0], [0.0, 30.0, 0.0], [90.0, 90.0, 0.0]])
    held = np.linalg.norm(within_reach(turns), axis=1)
    np.testing.assert_allclose(within_reach(turns)[0], turns[0])
    assert FREE < held[1] < np.radians(30)
    assert held[2] <= FARTHEST
    np.testing.assert_allclose(within_reach(np.zeros((1, 3))), 0)


def test_absolute_gaze_starts_from_the_photos(portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "find_irises", lambda photo, landmarks: np.array([0.1, 50.0]))
    looking = replace(track([rotation()] * 6, np.zeros((6, 64))), irises=np.tile([0.3, 50.0], (6, 1)))
    names = list(portrait.head_model.expression_names)
    relative = drive(looking, 25, portrait).expressions
    assert np.abs(relative).max() < 1e-9  # who looks there all the time looks straight ahead
    absolute = drive(looking, 25, portrait, absolute=True).expressions
    wanted = (0.3 - 0.1) / FULL_GAZE
    np.testing.assert_allclose(absolute[:, names.index("eyeLookOutLeft")], wanted)
    np.testing.assert_allclose(absolute[:, names.index("eyeLookOutRight")], 0, atol=1e-9)


def test_the_jaw_opens_as_far_as_the_drivers_and_closes_no_further_than_shut(portrait: Portrait) -> None:
    jaw = list(portrait.head_model.expression_names).index("jawOpen")
    face = np.zeros((90, 64))
    face[:30, jaw], face[30:60, jaw] = 0.1, 0.3
    face[60:, :40] = 0.2  # what makes this no neutral frame
    face[60:, jaw] = 0.0
    coefficients = portrait.coefficients
    expression = coefficients.expression.clone()
    expression[jaw] = 0.06
    parted = replace(portrait, coefficients=replace(coefficients, expression=expression))
    motion = drive(track([rotation()] * 90, face), 25, parted)
    assert motion.reference is not None
    assert motion.reference < 30
    np.testing.assert_allclose(
        motion.expressions[[5, 45, 85], jaw], [0, 0.2 / DRAWN_JAW, -0.06 / DRAWN_JAW], atol=0.02
    )
