"""Ears go where the photo shows them, and nothing else moves; their hollows are in the shade."""

import numpy as np
import pytest
import torch

from portrait3d.head.ears import ear_light, fit_ears, lit_from, sphere
from portrait3d.head.placement import place_head
from portrait3d.models.head_model import HeadModel
from synthetic_head import CAMERA, SIZE, fitted_head


def test_an_ear_moves_to_the_parsed_one_and_the_face_stays() -> None:
    model = HeadModel.load()
    head = fitted_head(model)
    pixels = head.pixels(head.vertices)
    ear = (head.ears_mask > 0.5) & (model.mean[:, 0].numpy() < 0)
    low, high = pixels[ear].min(axis=0), pixels[ear].max(axis=0)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    # Four pixels lower and three further out than the model's.
    left, right = round(low[0] - 3), round(high[0])
    top, bottom = round(low[1] + 4), round(high[1] + 4)
    labels[top:bottom, left:right] = 3
    moved = fit_ears(head.vertices, head.ears_mask, model.mean[:, 0].numpy(), labels, head.focal)
    after = head.pixels(moved)
    assert abs(after[ear, 1].max() - bottom) < 1.5
    assert abs(after[ear, 0].min() - left) < 1.5
    still = (head.ears_mask < 0.01) | (model.mean[:, 0].numpy() > 0)
    np.testing.assert_allclose(moved[still], head.vertices[still], atol=0.05)


def test_without_a_parsed_ear_nothing_moves() -> None:
    model = HeadModel.load()
    head = fitted_head(model)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    side = model.mean[:, 0].numpy()
    moved = fit_ears(head.vertices, head.ears_mask, side, labels, head.focal)
    np.testing.assert_array_equal(moved, head.vertices)


def test_a_head_is_placed_with_its_ears_where_they_are_parsed() -> None:
    model = HeadModel.load()
    head = fitted_head(model)
    labels = np.zeros((SIZE, SIZE), np.uint8)
    low = head.pixels(head.vertices)[head.ears_mask > 0.5].min(axis=0).astype(int)
    labels[low[1] + 6 : low[1] + 40, low[0] - 4 : low[0] + 12] = 3
    pose, light = head.camera_from_model, torch.zeros(9)
    plain, fitted = (place_head(model, model.mean, pose, CAMERA, light, seen) for seen in (None, labels))
    moved = np.linalg.norm(fitted.vertices - plain.vertices, axis=1)
    assert moved[head.ears_mask > 0.5].max() > 3
    assert moved[head.ears_mask == 0].max() == 0


@pytest.fixture(scope="module")
def light() -> np.ndarray:
    model = HeadModel.load()
    return ear_light(
        model.mean.double().numpy(),
        model.skin_faces.numpy(),
        model.ears_mask.double().numpy(),
        model.mirror.numpy(),
    )


def test_light_is_short_in_the_hollows_of_ears_and_even_elsewhere(light: np.ndarray) -> None:
    model = HeadModel.load()
    ears, mean = model.ears_mask.numpy(), model.mean.numpy()
    assert (light[ears == 0] == 1).all()
    assert 0.35 <= light.min() < 0.5
    assert 1.1 < light.max() <= 1.2
    own = (ears > 0.5) & (mean[:, 0] > 0)
    assert np.median(light[own]) == pytest.approx(1, abs=0.03)
    # The bowl lies nearer to the head than the rim around it.
    dark, bright = own & (light < 0.6), own & (light > 1.1)
    assert mean[dark, 0].mean() < mean[bright, 0].mean() - 4
    low, high = mean[own].min(axis=0), mean[own].max(axis=0)
    middle = (mean[dark].mean(axis=0) - low) / (high - low)
    assert ((middle[1:] > 0.25) & (middle[1:] < 0.75)).all(), middle


def test_both_ears_are_lit_alike_and_gradually(light: np.ndarray) -> None:
    model = HeadModel.load()
    assert np.array_equal(light, light[model.mirror.numpy()])
    a, b = model.skin_faces.numpy()[:, :2].T
    assert np.quantile(np.abs(light[a] - light[b])[model.ears_mask.numpy()[a] > 0.5], 0.9) < 0.2


def test_a_far_light_reaches_what_nothing_hides() -> None:
    square = np.array([[-9.0, -9, 0], [9, -9, 0], [9, 9, 0], [-9, 9, 0]])
    behind = np.array([[0.0, 0, 10], [30, 0, 10]])
    places = np.concatenate([square, square + np.array([0.0, 0, 20]), behind])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    above, below = (lit_from(np.array([0.0, 0, sign]), places, faces) for sign in (1, -1))
    assert above.tolist() == [1] * 10
    assert below[8:].tolist() == [0, 1]
    aside = lit_from(np.array([1.0, 0.0, 0.0]), places, faces)
    assert aside.tolist() == [1] * 10


def test_directions_are_even() -> None:
    found = sphere(500)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    np.testing.assert_allclose(found.T @ found / 500, np.eye(3) / 3, atol=0.01)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.01)
