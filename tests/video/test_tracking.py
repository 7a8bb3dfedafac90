"""Following a face through a video."""

import numpy as np
import pytest

from portrait3d import NoFaceError, Portrait3D
from portrait3d.video.tracking import FaceTracker


def test_equal_frames_give_equal_faces_like_those_of_a_photo(model: Portrait3D, face: np.ndarray) -> None:
    tracked = FaceTracker(model).track([face] * 5)
    assert tracked.known.all()
    assert np.ptp(tracked.rotation, axis=0).max() == 0
    assert np.ptp(tracked.expression, axis=0).max() == 0
    portrait = model.reconstruct(face)
    assert np.abs(tracked.landmarks[0] - portrait.landmarks).max() < 2
    rotation = portrait.camera_from_model.rotation.numpy()
    np.testing.assert_allclose(tracked.rotation[0], rotation, atol=0.02)


def test_a_face_that_moves_is_followed_and_lost_frames_are_named(model: Portrait3D, face: np.ndarray) -> None:
    ground = np.full((200, 320, 3), 90, np.uint8)
    frames = []
    for shift in (0, 20, 40, 60, 80, 160):
        frame = ground.copy()
        frame[20:180, shift : shift + 160] = face
        frames.append(frame)
    frames.insert(3, ground)
    tracked = FaceTracker(model).track(frames)
    assert tracked.missing == [3]
    middle = tracked.landmarks[tracked.known].mean(axis=1)
    np.testing.assert_allclose(np.diff(middle[:, 0]), (20, 20, 20, 20, 80), atol=2.5)
    np.testing.assert_allclose(middle[:, 1], middle[0, 1], atol=2.5)


def test_a_video_without_any_face_is_an_error(model: Portrait3D) -> None:
    with pytest.raises(NoFaceError, match=r"2 frames of wall\.mp4"):
        FaceTracker(model).track([np.full((64, 64, 3), k, np.uint8) for k in (0, 99)], "wall.mp4")
