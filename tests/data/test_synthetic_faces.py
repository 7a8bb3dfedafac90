"""Synthetic faces are what their truth says, and the two splits share nobody."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.data.face.exact import MOST_YAW, ExactFaces, wide_camera
from portrait3d.data.face.synthetic import draw_person, load_or_draw
from portrait3d.data.synthetic.ages import CHILDREN, ELDERLY, aged, draw_years, proportions
from portrait3d.geometry.pose import heading
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import FACE_MARGIN, FACE_SIZE
from portrait3d.rendering.rasterizer import rasterize


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def faces(cache: Path) -> ExactFaces:
    return load_or_draw(cache, 6, seed=3)


def test_the_truth_lies_where_the_picture_shows_a_head(faces: ExactFaces) -> None:
    head, camera = HeadModel.load(), wide_camera()
    vertices = head.vertices(FaceCoefficients.from_vector(faces.coefficients))
    screen = camera.screen(faces.pose.apply(vertices))
    inside = head.face_mask[head.skin_faces].amin(1) > 0.5
    shown = rasterize(screen, head.skin_faces[inside], camera.height, camera.width).face_index >= 0
    for picture, face in zip(np.array(faces.images), shown.numpy(), strict=True):
        # Skin is smooth, its surroundings are another colour.
        colours = picture.reshape(-1, 3).astype(float)
        within, outside = colours[face.ravel()], colours[~face.ravel()]
        assert face.mean() > 0.05
        assert np.linalg.norm(np.median(within, 0) - outside, axis=1).mean() > 20


def test_landmarks_fill_the_face_crop(faces: ExactFaces) -> None:
    points = MeshPoints.from_head_model(HeadModel.load())
    seen = faces.labels(points, torch.zeros(7, 468, 2)).landmarks
    low, high = seen.min(1), seen.max(1)
    assert np.allclose((low + high) / 2, FACE_SIZE / 2, atol=1.0)
    assert np.allclose(np.sqrt((high - low).prod(1)), FACE_SIZE / FACE_MARGIN, rtol=0.02)
    assert faces.face_crops(slice(0, 2)).shape == (2, 3, FACE_SIZE, FACE_SIZE)


def test_faces_are_turned_to_both_sides_within_the_bound(faces: ExactFaces) -> None:
    yaw = torch.rad2deg(heading(faces.pose.rotation))
    assert yaw.abs().max() < MOST_YAW + 3
    assert yaw.min() < 0 < yaw.max()


def test_children_have_larger_eyes_and_smaller_jaws_for_their_faces() -> None:
    head = HeadModel.load()

    def ratios(years: float) -> tuple[float, float]:
        shape = FaceCoefficients.neutral()
        marks = head.landmarks(head.vertices(replace(shape, identity=proportions(years)[None])))[0]
        across = (marks[16] - marks[0]).norm()
        eye = (marks[36] - marks[39]).norm() / across
        return float(eye), float((marks[8] - marks[33]).norm() / across)

    (small_eye, long_jaw), (eye, jaw) = ratios(30.0), ratios(4.0)
    assert eye > 1.02 * small_eye
    assert jaw < 0.97 * long_jaw
    assert not proportions(25.0).any()
    assert torch.equal(aged(torch.zeros(1, 80), 4.0)[0], proportions(4.0))


def test_ages_and_tones_have_their_shares() -> None:
    rng = np.random.default_rng(0)
    years = [draw_years(rng) for _ in range(2000)]
    known = np.array([np.nan if age is None else age for age in years])
    assert ((known >= CHILDREN[0]) & (known <= CHILDREN[1])).mean() == pytest.approx(0.125, abs=0.03)
    assert ((known >= ELDERLY[0]) & (known <= ELDERLY[1])).mean() == pytest.approx(0.2, abs=0.03)
    head = HeadModel.load()
    tones = np.array([float(draw_person(head, rng).albedo[0, 0]) for _ in range(200)])
    # Beyond two deviations of the portraits', on the dark side.
    assert 0.15 < (tones > 2).mean() < 0.4


def test_a_smaller_set_is_the_beginning_of_a_larger_one(cache: Path, faces: ExactFaces) -> None:
    fewer = load_or_draw(cache, 2, seed=3)
    assert np.array_equal(fewer.images, faces.images[:2])
    assert torch.equal(fewer.coefficients, faces.coefficients[:2])
    assert torch.equal(fewer.pose.rotation, faces.pose.rotation[:2])


def test_validation_faces_are_other_people(cache: Path, faces: ExactFaces) -> None:
    others = load_or_draw(cache, 3, seed=3, split="val")
    assert torch.cdist(others.coefficients[:, :80], faces.coefficients[:, :80]).min() > 1.0


def test_glasses_change_the_eyes_and_not_the_mouth() -> None:
    from portrait3d.data.synthetic.drawing import Drawing
    from portrait3d.data.synthetic.glasses import Glasses, put_on
    from portrait3d.geometry.pose import Pose

    head, camera = HeadModel.load(), wide_camera()
    marks = head.landmarks(head.vertices(FaceCoefficients.neutral()))[0]
    pose = Pose(torch.eye(3), torch.tensor([0.0, 0.0, 1000.0]))
    size = camera.height
    nothing = torch.zeros(size, size, dtype=torch.uint8)
    plain = Drawing(torch.full((3, size, size), 0.5), torch.full((size, size), torch.inf), nothing)
    black = Glasses(23, 18, 2.5, 3, np.zeros(3), np.zeros(3), 0.9)
    image = put_on(plain, black, marks, pose, camera)
    seen = camera.project(pose.apply(marks)).long()
    assert image[:, seen[36:48, 1], seen[36:48, 0]].max() < 0.1
    assert image[:, seen[48:68, 1], seen[48:68, 0]].min() > 0.49


def test_wrong_requests_are_refused(cache: Path) -> None:
    with pytest.raises(ValueError, match="train or val"):
        load_or_draw(cache, 1, split="test")
    with pytest.raises(ValueError, match="at least one face, got 0"):
        load_or_draw(cache, 0)
