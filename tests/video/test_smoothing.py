"""Filtering tracked motion: rest stays rest, motion does not lag, gaps are bridged."""

import numpy as np
import pytest

from portrait3d.video.smoothing import bridge, jitter, smooth


def test_what_rests_stays_exactly_as_it_is() -> None:
    still = np.tile([0.1, -0.3, 7.0], (20, 1))
    np.testing.assert_allclose(smooth(still, 25, 1.0, 1.0), still, rtol=0, atol=1e-12)


def test_noise_of_a_resting_signal_shrinks() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (200, 4))
    assert smooth(noise, 25, 1.0, 1.0).std() < 0.45 * noise.std()


def test_a_slow_turn_is_followed_without_delay() -> None:
    times = np.arange(100) / 25
    turn = np.sin(2 * np.pi * 0.5 * times)[:, None]
    late = [
        float(((smooth(turn, 25, 1.0, 3.0) - np.roll(turn, shift, axis=0))[10:-10] ** 2).sum())
        for shift in range(-4, 5)
    ]
    assert np.argmin(late) == 4
    assert np.abs(smooth(turn, 25, 1.0, 3.0) - turn)[10:-10].max() < 0.15


def test_fast_motion_is_filtered_less_with_gain() -> None:
    step = np.repeat([[0.0], [1.0]], 20, axis=0)
    error = [np.abs(smooth(step, 25, 1.0, gain) - step).sum() for gain in (0.0, 5.0)]
    assert error[1] < 0.6 * error[0]


def test_gaps_are_bridged_in_a_straight_line_and_ends_stand_still() -> None:
    values = np.array([[9.0], [1.0], [9.0], [9.0], [4.0], [9.0]])
    known = np.array([False, True, False, False, True, False])
    np.testing.assert_allclose(bridge(values, known)[:, 0], [1, 1, 2, 3, 4, 4])


def test_nothing_known_can_not_be_bridged() -> None:
    with pytest.raises(ValueError, match="no frame"):
        bridge(np.zeros((3, 2)), np.zeros(3, bool))


def test_steady_motion_has_no_jitter_and_shaking_has_its_size() -> None:
    square = np.array([[-5.0, -5.0], [5.0, -5.0], [5.0, 5.0], [-5.0, 5.0]])
    middle = np.random.default_rng(0).uniform(0, 100, (6, 1, 2))
    assert jitter(square + middle) == pytest.approx(0, abs=1e-9)
    # Corners go to and fro by 0.1 each frame: the second difference is 0.4 of 10 px, always.
    outward = square / np.linalg.norm(square, axis=1, keepdims=True)
    shaking = np.stack([square + 0.1 * (-1) ** t * outward for t in range(6)])
    assert jitter(shaking + middle) == pytest.approx(4.0, rel=1e-3)
    assert jitter(square[None]) == 0
