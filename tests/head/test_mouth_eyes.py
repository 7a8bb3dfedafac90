"""Eyes and mouth: their margins are found, and the eye is continued behind the lids."""

import numpy as np
import pytest

from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.skin import openings
from portrait3d.head.mouth_eyes import BINS, IRIS_ANGLE, inside_by, iris_middle, ring_colours
from portrait3d.models.head_model import HeadModel
from synthetic_head import fitted_head

SQUARE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])


def test_distances_are_positive_inside_and_negative_outside() -> None:
    points = np.array([[1.0, 1.0], [0.5, 1.0], [3.0, 1.0], [-0.5, 1.0], [50.0, 50.0]])
    np.testing.assert_allclose(inside_by(points, SQUARE)[:4], [1.0, 0.5, -1.0, -0.5], atol=1e-6)
    assert inside_by(points, SQUARE)[4] < -1


def test_the_margins_lie_where_eyes_mouth_and_neck_are() -> None:
    head = fitted_head(HeadModel.load())
    margins = openings(head.faces, head.model_vertices)
    at = {piece: head.model_vertices[loop].mean(axis=0) for piece, loop in margins.items()}
    assert at[HeadPiece.LEFT_EYE][0] < -20
    assert at[HeadPiece.RIGHT_EYE][0] > 20
    assert at[HeadPiece.MOUTH_CAVITY][1] == pytest.approx(45, abs=10)
    assert at[HeadPiece.SURFACE][1] > 80


def test_the_iris_is_found_where_it_is_dark() -> None:
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 41), np.linspace(-0.2, 0.2, 17))
    toward = np.stack([x, y, -np.sqrt(1 - x**2 - y**2)], axis=-1).reshape(-1, 3)
    dark = np.hypot(toward[:, 0] - 0.2, toward[:, 1]) < 0.15
    seen = np.where(dark[:, None], 0.2, 0.9) * np.ones(3)
    np.testing.assert_allclose(iris_middle(toward, seen)[:2], [0.2, 0.0], atol=0.03)


def test_an_eye_that_is_hardly_seen_looks_ahead_in_natural_colours() -> None:
    assert np.array_equal(iris_middle(np.zeros((3, 3)), np.zeros((3, 3))), [0, 0, -1])
    rings = ring_colours(np.zeros(0), np.zeros((0, 3)), 1.0)
    at = (np.arange(BINS) + 0.5) / BINS * np.pi / 2
    assert rings[at > IRIS_ANGLE].min() > 0.6
    assert rings[at < IRIS_ANGLE].max() < 0.4


def test_the_hidden_part_of_an_eye_takes_the_colours_of_the_seen_part() -> None:
    angle = np.linspace(0, 0.7, 400)
    seen = np.where(angle[:, None] < IRIS_ANGLE, [[0.1, 0.3, 0.7]], [[0.9, 0.9, 0.9]])
    rings = ring_colours(angle, seen, 0.7)
    np.testing.assert_allclose(rings[2], [0.1, 0.3, 0.7], atol=0.02)
    np.testing.assert_allclose(rings[-1], 0.9, atol=0.02)
