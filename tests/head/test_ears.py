"""Ears go where the photo shows them, and nothing else moves."""

import numpy as np
import torch

from portrait3d.head.ears import fit_ears
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
