"""Smoothing of tracked motion: the One-Euro filter without its delay."""

import numpy as np
from jaxtyping import Bool, Float

SPEED_CUTOFF = 3.0
"""Cutoff for the speed that the cutoff depends on, Hz: quick enough for speech (the paper's default is 1)."""


def smooth(
    signals: Float[np.ndarray, "T C"], rate: float, cutoff: float, gain: float
) -> Float[np.ndarray, "T C"]:
    """Filter each column forward and backward in time and take the mean, so that nothing lags.

    The One-Euro filter (Casiez et al., CHI 2012): an exponential filter whose cutoff grows with the speed,
    strong where a signal rests, weak where it moves.

    Args:
        signals: A row for every frame.
        rate: Frames a second.
        cutoff: Cutoff at rest, Hz.
        gain: Growth of the cutoff with the speed, Hz for one unit a second.
    """
    forward = one_euro(signals, rate, cutoff, gain)
    backward = one_euro(signals[::-1], rate, cutoff, gain)[::-1]
    return (forward + backward) / 2


def one_euro(
    signals: Float[np.ndarray, "T C"], rate: float, cutoff: float, gain: float
) -> Float[np.ndarray, "T C"]:
    """The One-Euro filter of each column."""
    filtered = np.array(signals, np.float64)
    speed = np.zeros(signals.shape[1])
    for t in range(1, len(signals)):
        velocity = (signals[t] - signals[t - 1]) * rate
        speed = speed + _share(SPEED_CUTOFF, rate) * (velocity - speed)
        share = _share(cutoff + gain * np.abs(speed), rate)
        filtered[t] = filtered[t - 1] + share * (signals[t] - filtered[t - 1])
    return filtered


def _share(cutoff: Float[np.ndarray, " C"] | float, rate: float) -> Float[np.ndarray, " C"] | float:
    """Weight of the newest value in an exponential filter with a cutoff in Hz."""
    # A low pass of first order: alpha = 1 / (1 + tau / T) with tau = 1 / (2 pi cutoff) and T = 1 / rate.
    return 1 / (1 + rate / (2 * np.pi * cutoff))


def bridge(values: Float[np.ndarray, "T C"], known: Bool[np.ndarray, " T"]) -> Float[np.ndarray, "T C"]:
    """Interpolate the unknown rows linearly; before the first and after the last known row it stands still.

    Raises `ValueError` if no row is known.
    """
    if not known.any():
        raise ValueError("There is nothing to interpolate: no frame is known.")
    times, at = np.arange(len(values)), np.flatnonzero(known)
    return np.stack([np.interp(times, at, column[at]) for column in values.T], axis=1)


def jitter(points: Float[np.ndarray, "T N 2"]) -> float:
    """How unsteady tracked points are: mean length of their second difference, % of the face's size.

    Each frame's points are taken from their middle: where the face is in the picture does not count. The size
    is the root of the area of the points' box, averaged over the frames. 0 for fewer than three frames.
    """
    if len(points) < 3:
        return 0.0
    extent = np.ptp(points, axis=1)
    size = np.sqrt(extent.prod(axis=1)).mean()
    points = points - points.mean(axis=1, keepdims=True)
    second = points[2:] - 2 * points[1:-1] + points[:-2]
    return float(100 * np.linalg.norm(second, axis=2).mean() / size)
