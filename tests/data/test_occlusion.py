"""What is drawn before a face covers what it should and changes nothing else."""

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.data.face import occlusion
from portrait3d.data.face.occlusion import cover, draw_glasses, draw_hand, draw_rectangle


def landmarks(size: int) -> np.ndarray:
    """A schematic face in the middle of a picture."""
    points = np.full((68, 2), size / 2)
    points[:17, 0] = size / 2 - size / 4 * np.cos(np.linspace(0, np.pi, 17))
    points[:17, 1] = size / 2 + size / 4 * np.sin(np.linspace(0, np.pi, 17))
    points[36:42] = size * np.array([0.38, 0.45])
    points[42:48] = size * np.array([0.62, 0.45])
    points[48:] = size * np.array([0.5, 0.68])
    return points


@pytest.mark.parametrize("seed", range(5))
def test_glasses_lie_around_the_eyes_and_not_on_the_mouth(seed: int) -> None:
    layer = Image.new("RGBA", (200, 200))
    draw_glasses(layer, landmarks(200), np.random.default_rng(seed))
    alpha = np.asarray(layer)[..., 3] > 0
    assert 0.01 < alpha.mean() < 0.25
    assert not alpha[130:].any()
    rows, columns = np.nonzero(alpha)
    assert abs(columns.mean() - 100) < 3
    assert abs(rows.mean() - 90) < 8


@pytest.mark.parametrize("draw", [draw_hand, draw_rectangle])
def test_hands_and_rectangles_leave_most_of_the_picture(draw) -> None:
    for seed in range(20):
        layer = Image.new("RGBA", (200, 200))
        draw(layer, landmarks(200), np.random.default_rng(seed))
        assert 0.005 < (np.asarray(layer)[..., 3] > 0).mean() < 0.6


def test_about_a_quarter_of_the_images_is_covered_in_a_repeatable_way() -> None:
    images = torch.full((200, 3, 32, 32), 0.5)
    points = torch.from_numpy(landmarks(32)).float().expand(200, -1, -1)
    first, second = (cover(images, points, np.random.default_rng(1)) for _ in range(2))
    assert torch.equal(first, second)
    changed = (first != images).flatten(1).any(1).float().mean()
    assert 0.15 < changed < 0.35
    assert first.min() >= 0
    assert first.max() <= 1


def test_images_without_anything_before_them_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occlusion, "SHARES", dict.fromkeys(occlusion.SHARES, 0.0))
    images = torch.rand(4, 3, 16, 16)
    points = torch.from_numpy(landmarks(16)).float().expand(4, -1, -1)
    assert torch.equal(cover(images, points, np.random.default_rng(0)), images)
