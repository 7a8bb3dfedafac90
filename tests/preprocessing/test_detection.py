"""Face detection."""

import numpy as np
import pytest
from PIL import Image

from portrait3d.errors import NoFaceError
from portrait3d.preprocessing.detection import FaceDetector

ASTRONAUT = np.array([181, 57, 271, 176])
"""Where the face is, roughly."""


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def test_the_astronaut_is_found_once(detector: FaceDetector, astronaut: np.ndarray) -> None:
    (face,) = detector.detect(astronaut)
    assert face.score > 0.8
    assert face.box == pytest.approx(ASTRONAUT, abs=12)
    left, right, nose, left_corner, right_corner = face.keypoints
    assert left[0] < nose[0] < right[0]
    assert left_corner[0] < right_corner[0]
    assert left[1] < nose[1] < left_corner[1]
    assert (left[0], left[1]) == pytest.approx((203, 102), abs=6)


@pytest.mark.parametrize("size", [100, 200, 1500])
def test_a_face_is_found_at_any_size_of_the_photo(
    detector: FaceDetector, astronaut: np.ndarray, size: int
) -> None:
    face = detector.detect(np.array(Image.fromarray(astronaut).resize((size, size))))[0]
    assert face.box * (512 / size) == pytest.approx(ASTRONAUT, abs=14)


def test_a_tiny_portrait_is_enough(detector: FaceDetector, astronaut: np.ndarray) -> None:
    tiny = np.array(Image.fromarray(astronaut[20:220, 130:330]).resize((64, 64)))
    face = detector.detect(tiny)[0]
    wanted = (ASTRONAUT - np.array([130, 20, 130, 20])) * 64 / 200
    assert face.box == pytest.approx(wanted, abs=4)


def test_a_face_cut_by_the_border_is_found(detector: FaceDetector, astronaut: np.ndarray) -> None:
    face = detector.detect(astronaut[80:260, 215:420].copy())[0]
    assert face.box[0] < 10
    assert face.box[2] == pytest.approx(271 - 215, abs=12)


def test_narrow_and_wide_photos_work(detector: FaceDetector, astronaut: np.ndarray) -> None:
    wide = np.zeros((256, 2000, 3), np.uint8)
    wide[:, 900:1156] = astronaut[:256, 96:352]
    face = detector.detect(wide)[0]
    assert face.box == pytest.approx(ASTRONAUT + np.array([804, 0, 804, 0]), abs=16)


def test_the_largest_face_comes_first(detector: FaceDetector, astronaut: np.ndarray) -> None:
    scene = np.full((512, 900, 3), 128, np.uint8)
    small = np.array(Image.fromarray(astronaut[:300, 100:400]).resize((200, 200)))
    scene[100:300, 20:220] = small
    scene[:, 388:] = astronaut
    large, little = detector.detect(scene)
    assert large.area > little.area
    assert large.box == pytest.approx(ASTRONAUT + np.array([388, 0, 388, 0]), abs=16)


def test_the_same_pixels_give_the_same_faces(astronaut: np.ndarray) -> None:
    first, second = FaceDetector().detect(astronaut)[0], FaceDetector().detect(astronaut)[0]
    assert (first.box == second.box).all()
    assert (first.keypoints == second.keypoints).all()
    assert first.score == second.score


@pytest.mark.parametrize("shape", [(300, 400), (1, 1), (5, 700)])
def test_a_blank_picture_has_no_face(detector: FaceDetector, shape: tuple[int, int]) -> None:
    with pytest.raises(NoFaceError, match=r"No face found in blank\.png: the best candidate scored 0\.\d\d"):
        detector.detect(np.full((*shape, 3), 200, np.uint8), "blank.png")


@pytest.mark.parametrize(
    ("size", "box", "score", "eyes"),
    [
        (512, (177.68, 55.26, 270.90, 179.10), 0.9195, ((202.84, 100.61), (247.91, 100.41))),
        (200, (69.83, 24.83, 105.19, 69.93), 0.8919, ((79.90, 40.04), (96.70, 40.34))),
        (1500, (520.60, 161.65, 793.62, 525.00), 0.9165, ((594.23, 294.63), (726.29, 294.24))),
    ],
)
def test_the_faces_are_those_of_the_published_network(
    detector: FaceDetector, astronaut: np.ndarray, size: int, box: tuple, score: float, eyes: tuple
) -> None:
    # What ONNX Runtime made of the published file.
    (face,) = detector.detect(np.array(Image.fromarray(astronaut).resize((size, size))))
    assert face.box == pytest.approx(np.array(box), abs=0.1)
    assert face.score == pytest.approx(score, abs=1e-3)
    assert face.keypoints[:2] == pytest.approx(np.array(eyes), abs=0.1)
