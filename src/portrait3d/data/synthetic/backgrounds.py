"""Backgrounds without a photo: gradients, blurred blobs, bars and noise."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage


def draw_background(rng: np.random.Generator, size: int) -> Float[np.ndarray, "3 size size"]:
    """A random background, RGB in [0, 1]."""
    first, second = rng.uniform(0.02, 0.98, (2, 1)) + rng.normal(0, rng.choice([0.05, 0.2]), (2, 3))
    if rng.random() < 0.5:
        second = np.clip(first + rng.normal(0, 0.12, 3), 0, 1)
    y, x = np.mgrid[:size, :size] / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    ramp = x * np.cos(angle) + y * np.sin(angle) if rng.random() < 0.6 else np.hypot(x, y) * 1.6 - 0.5
    share = np.clip(ramp + 0.5, 0, 1)
    image = first[:, None, None] * (1 - share) + second[:, None, None] * share
    if rng.random() < 0.6:
        image = image + blobs(rng, size)
    if rng.random() < 0.25:
        image = image + bars(rng, x, y)
    return np.clip(image + rng.normal(0, 0.01), 0, 1).astype(np.float32)


def blobs(rng: np.random.Generator, size: int) -> Float[np.ndarray, "3 size size"]:
    """Out-of-focus shapes: coarse noise of a random scale."""
    cells = int(rng.choice([4, 8, 16, 32]))
    coarse = rng.normal(0, 1, (3, cells, cells)) * 0.5 + rng.normal(0, 1, (1, cells, cells))
    smooth = np.stack([ndimage.zoom(channel, size / cells, order=1) for channel in coarse])
    return smooth * rng.uniform(0.03, 0.18)


def bars(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "3 size size"]:
    """Edges of walls, windows, shelves or flags."""
    angle = rng.normal(0, 0.1) + (rng.random() < 0.3) * np.pi / 2
    across = (x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(4, 12) + rng.uniform(0, 9)
    pattern = np.clip(np.sin(across) * rng.uniform(1, 12), -1, 1)
    return pattern * rng.normal(0, 0.12, (3, 1, 1))
