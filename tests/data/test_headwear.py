"""Drawn hats, caps, headbands and scarves."""

import numpy as np
import pytest

from portrait3d.data.parsing.headwear import OVAL, draw_headwear


def head(size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A round face under hair, upright, in the middle of the picture: labels and mesh points."""
    y, x = np.mgrid[:size, :size] + 0.5
    labels = np.zeros((size, size), np.int64)
    labels[np.hypot((x - 48) / 20, (y - 44) / 26) < 1] = 2
    labels[(np.abs(x - 48) < 8) & (y > 60) & (y < 80)] = 6
    labels[np.hypot((x - 48) / 15, (y - 52) / 19) < 1] = 1
    points = np.full((468, 2), 48.0, np.float32)
    angles = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    points[OVAL] = np.stack([48 + 15 * np.sin(angles), 52 - 19 * np.cos(angles)], 1)
    points[[55, 285]] = [[44, 45], [52, 45]]
    return labels, points


@pytest.mark.parametrize("seed", range(12))
def test_headwear_lies_on_the_head_and_leaves_the_face_visible(seed: int) -> None:
    labels, points = head()
    layer = draw_headwear(labels, points, np.random.default_rng(seed))
    covered = layer.alpha > 0.5
    assert covered.mean() > 0.01
    assert covered[20:50, 30:66].any()
    assert not covered[56:68, 44:52].any()  # nose and mouth
    assert (covered & (labels == 1)).sum() < 0.6 * (labels == 1).sum()


@pytest.mark.parametrize("seed", range(4))
def test_everything_drawn_is_in_range(seed: int) -> None:
    labels, points = head()
    layer = draw_headwear(labels, points, np.random.default_rng(seed))
    for values in (layer.alpha, layer.color, layer.shade):
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1


def test_the_same_numbers_draw_the_same_headwear() -> None:
    first, second = (draw_headwear(*head(), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.alpha, second.alpha)
    np.testing.assert_array_equal(first.color, second.color)


def test_a_head_that_is_cut_off_is_dressed_too() -> None:
    labels, points = head()
    layer = draw_headwear(np.zeros_like(labels), points - 40, np.random.default_rng(1))
    assert np.isfinite(layer.alpha).all()
