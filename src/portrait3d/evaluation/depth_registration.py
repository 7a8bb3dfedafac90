"""Registering two frames of a clip on the face's own pixels."""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial.transform import Rotation

from portrait3d.data.turning import HeadView

ROUNDS = 15
COARSEST = 3.0
"""Brightness that varies over more pixels than this is shading, which stays with the light."""
OUTLYING = 6.0
"""Differences in detail (0 to 255) from which a face's pixel counts less: eyes and mouth move."""

Motion = tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]
"""Rotation and translation (mm) that take the head from one frame's camera to the other's."""


def relative(a: HeadView, b: HeadView) -> Motion:
    """The motion of the head between two frames, by their fitted poses."""
    rotation = b.head.rotation @ a.head.rotation.T
    return rotation, b.head.translation - rotation @ a.head.translation


def register(
    a: HeadView, b: HeadView, points: Float[np.ndarray, "N 3"], face: Bool[np.ndarray, "S S"]
) -> Motion:
    """The motion that explains the details of the face best, from the fitted one (Lucas and Kanade).

    Contrast may change by a factor and an offset; pixels that change otherwise count less.
    """
    rotation, translation = relative(a, b)
    own, other = detail(a), detail(b)
    slope_y, slope_x = np.gradient(other)
    told, focal = own[face], b.head.focal
    prior = np.array([1e4, 1e4, 1e4, 0.1, 0.1, 0.1, 1e-3, 1e-3])
    for _ in range(ROUNDS):
        moved = points @ rotation.T + translation
        at = projected(moved, focal, len(other))
        along = [focal / moved[:, 2] * sampled(slope, at) for slope in (slope_x, slope_y)]
        by_shift = np.stack(
            [*along, -(along[0] * moved[:, 0] + along[1] * moved[:, 1]) / moved[:, 2]], axis=1
        )
        centre = moved.mean(axis=0)
        by_turn = np.cross(moved - centre, by_shift)
        light = np.stack([-(told - told.mean()) / 50, -np.ones_like(told)], axis=1)
        jacobian, residual = np.concatenate([by_turn, by_shift, light], axis=1), sampled(other, at) - told
        weight, step = np.ones_like(residual), np.zeros(8)
        for _ in range(2):
            weighted = jacobian * weight[:, None]
            step = np.linalg.solve(weighted.T @ jacobian + np.diag(prior), -weighted.T @ residual)
            weight = 1 / np.maximum(1, np.abs(residual + jacobian @ step) / OUTLYING)
        turn = Rotation.from_rotvec(step[:3]).as_matrix()
        rotation, translation = turn @ rotation, turn @ (translation - centre) + centre + step[3:6]
        if np.abs(step[:6]).max() < 1e-3:
            break
    return rotation, translation


def detail(view: HeadView) -> Float[np.ndarray, "S S"]:
    """Brightness (0 to 255) without its slow changes."""
    grey = view.image.astype(float).mean(axis=-1)
    return ndimage.gaussian_filter(grey, 1.0) - ndimage.gaussian_filter(grey, COARSEST)


def lifted(depth: Float[np.ndarray, "S S"], focal: float) -> Float[np.ndarray, "S S 3"]:
    """Points (mm) of a crop's pixels."""
    size = len(depth)
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return np.stack([x / focal, y / focal, np.ones_like(depth)], axis=-1) * depth[..., None]


def projected(points: Float[np.ndarray, "*s 3"], focal: float, size: int) -> Float[np.ndarray, "*s 2"]:
    """Pixels of a crop at which points are seen."""
    return focal * points[..., :2] / points[..., 2:] + size / 2


def sampled(image: Float[np.ndarray, "H W"], at: Float[np.ndarray, "*s 2"]) -> Float[np.ndarray, "*s"]:
    """Bilinear values at pixel coordinates."""
    return ndimage.map_coordinates(image, [at[..., 1] - 0.5, at[..., 0] - 0.5], order=1, mode="nearest")
