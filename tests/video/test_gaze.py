"""Irises in drawn eyes and in the astronaut's, which the portrait itself turns and closes."""

import numpy as np
import pytest
from skimage.draw import disk, polygon

from portrait3d import Portrait3D
from portrait3d.video.driving import closure, drive
from portrait3d.video.gaze import EYES, LEAST_WIDTH, find_irises
from portrait3d.video.tracking import FaceTracker

HALF = 30.0
"""Of a drawn eye's width, pixels."""


def drawn(
    place: float, *, angle: float = 0.0, lid: float = 0.0, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Two eyes on skin that look aside, and their landmarks; `lid` covers them from above, 0 to 1."""
    half = HALF * scale
    opening = half * np.array([(-1, 0), (-0.5, -0.5), (0.5, -0.5), (1, 0), (0.5, 0.45), (-0.5, 0.45)])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    frame, landmarks = np.full((200, 320, 3), 190, np.uint8), np.zeros((68, 2))
    for eye, middle in zip(EYES, ((90.0, 100.0), (230.0, 100.0)), strict=True):
        landmarks[eye] = opening @ turn + middle
        skin, white = frame.copy(), polygon(*landmarks[eye][:, ::-1].T, shape=frame.shape[:2])
        frame[white] = 235
        centre = np.array([place * half, -0.05 * half]) @ turn + middle
        iris = disk((centre[1], centre[0]), 0.4 * half, shape=frame.shape[:2])
        frame[iris] = 60
        covered = np.ones(frame.shape[:2], bool)
        covered[white] = False
        rows = np.arange(200) < 100 - half + lid * 2 * half
        frame[covered | rows[:, None]] = skin[covered | rows[:, None]]
    return frame, landmarks


@pytest.mark.parametrize("angle", [0.0, 0.4, -0.3])
@pytest.mark.parametrize("place", [-0.4, 0.0, 0.25])
def test_irises_are_found_where_they_were_drawn(place: float, angle: float) -> None:
    found, contrast = find_irises(*drawn(place, angle=angle))
    assert found == pytest.approx(place, abs=0.04)
    assert contrast > 50


def test_lids_hide_the_iris_and_small_eyes_tell_nothing() -> None:
    _, whole = find_irises(*drawn(0.0))
    _, shut = find_irises(*drawn(0.0, lid=1.0))
    assert shut < 0.1 * whole
    assert np.isnan(find_irises(*drawn(0.0, scale=0.4 * LEAST_WIDTH / HALF))).all()


def test_eyes_are_shut_where_the_iris_vanishes_and_the_network_sees_a_blink() -> None:
    contrast = np.array([50.0, 48, 52, 20, 50, 20, np.nan])
    blink = np.array([0.1, 0.11, 0.1, 0.25, 0.3, 0.1, 0.9])
    np.testing.assert_allclose(closure(contrast, blink), [0, 0, 0, 1, 0, 0, 0])


def test_a_portrait_follows_the_eyes_of_its_own_film(model: Portrait3D, astronaut: np.ndarray) -> None:
    portrait = model.reconstruct(astronaut)
    names = list(model.head_model.expression_names)
    right = model.repose(portrait, expression={"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0})
    left = model.repose(portrait, expression={"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0})
    shut = model.repose(portrait, expression={"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    frames = [astronaut] * 6 + [right] * 4 + [astronaut] * 4 + [shut] * 2 + [astronaut] * 4 + [left] * 4
    motion = drive(FaceTracker(model).track(frames), 25.0, portrait)

    def weight(name: str, frame: int) -> float:
        return float(motion.expressions[frame, names.index(name)])

    aside = [weight("eyeLookOutLeft", 8), weight("eyeLookInRight", 8), weight("eyeLookOutRight", 22)]
    assert min(aside) > 0.85
    assert np.mean(aside) == pytest.approx(1.0, abs=0.07)
    assert weight("eyeLookOutLeft", 2) < 0.1 > weight("eyeLookOutRight", 2)
    own = portrait.coefficients.expression.numpy()
    for blink in ("eyeBlinkLeft", "eyeBlinkRight"):
        assert own[names.index(blink)] + weight(blink, 14) > 0.9
        assert max(weight(blink, 2), weight(blink, 11), weight(blink, 19)) < 0.15


def test_a_mouth_opens_and_closes_as_in_its_own_film(model: Portrait3D, astronaut: np.ndarray) -> None:
    portrait = model.reconstruct(astronaut)
    jaw = list(model.head_model.expression_names).index("jawOpen")
    half, wide = (model.repose(portrait, expression={"jawOpen": weight}) for weight in (0.4, 0.8))
    frames = [astronaut] * 6 + [half] * 4 + [astronaut] * 4 + [wide] * 4 + [astronaut] * 6
    motion = drive(FaceTracker(model).track(frames), 25.0, portrait)
    opened = motion.expressions[:, jaw]
    assert opened[8] == pytest.approx(0.4, abs=0.22)
    assert opened[16] == pytest.approx(0.8, abs=0.35)
    assert np.abs(opened[[2, 12, 22]]).max() < 0.03
