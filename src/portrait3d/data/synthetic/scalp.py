"""The skull as a map: polar coordinates about the crown, tied to the head model's vertices."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int64

from portrait3d.models.head_model import HeadModel
from portrait3d.rendering.rasterizer import rasterize

COLUMNS, ROWS = 192, 64
"""Azimuths around the crown and polar angles from it."""
CENTRE = np.array([0.0, -25.0, 38.0])
"""Where the rays start, model frame, mm."""
TILT = np.radians(22)
"""How far the crown lies behind the top."""
WIDEST = np.radians(150)
"""Polar angle of the last row."""

HAIRLINE = np.array(
    [
        *((0, -89), (26, -88), (42, -81), (54, -68), (63, -52), (70, -34), (75, -4), (79, 8), (83, 2)),
        *((87, -24), (98, -33), (110, -26), (117, 10), (128, 34), (148, 46), (180, 52)),
    ],
    dtype=float,
)
"""Where hair ends on the mean head: azimuth about the vertical axis (degrees from the front), y (mm)."""


@dataclass(frozen=True, slots=True)
class ScalpMap:
    """Where the map's rays leave the skin, ears taken off.

    Column j lies at azimuth 2 pi j / COLUMNS (0 is the front, then toward x > 0), row k at polar angle
    WIDEST k / (ROWS - 1).
    """

    corners: Int64[np.ndarray, "COLUMNS ROWS 7"]
    """Vertices of the head model."""
    weights: Float[np.ndarray, "COLUMNS ROWS 7"]
    height: Float[np.ndarray, "COLUMNS ROWS"]
    """y on the mean head, mm."""
    inside: Float[np.ndarray, "COLUMNS ROWS"]
    """Millimetres above the hairline on the mean head; negative where no hair grows."""

    def points(self, vertices: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "COLUMNS ROWS 3"]:
        """The map's points on a head."""
        return (vertices[self.corners] * self.weights[..., None]).sum(axis=2)


@lru_cache(maxsize=2)
def map_scalp(head: HeadModel) -> ScalpMap:
    """Cast the rays on the mean head."""
    mean = head.mean.double().numpy()
    faces = head.skin_faces.numpy()
    faces = faces[(head.ears_mask.numpy()[faces] < 0.35).all(axis=1)]
    azimuth, polar, radius = to_polar(mean)
    corner_azimuth = azimuth[faces]
    corner_azimuth += 2 * np.pi * (corner_azimuth < corner_azimuth.max(1, keepdims=True) - np.pi)
    # Triangles around the crown cover all azimuths and can't be drawn; the first rows are spread below.
    around = polar[faces].min(axis=1) > np.radians(5)
    # Drawn thrice, a turn apart: what crosses azimuth 0 is complete once.
    copies = [corner_azimuth[around] + turn for turn in (0, 2 * np.pi, -2 * np.pi)]
    x = np.concatenate(copies).reshape(-1) * COLUMNS / (2 * np.pi) + 0.5
    y = np.tile(polar[faces][around].reshape(-1), 3) / WIDEST * (ROWS - 1) + 0.5
    z = 2000 - np.tile(radius[faces][around].reshape(-1), 3)
    screen = torch.from_numpy(np.stack([x, y, z], axis=1)).float()
    fragments = rasterize(screen[None], torch.arange(len(screen)).view(-1, 3), ROWS, COLUMNS)
    index = fragments.face_index[0].numpy().T
    weights = fragments.barycentric[0].numpy().transpose(1, 0, 2).astype(np.float64)
    corners = np.tile(faces[around], (3, 1))[index]
    corners, weights = bridge_holes(corners, weights, index >= 0)
    crown = np.linalg.norm(mean - (CENTRE + radius.max() * crown_axis()), axis=1).argmin()
    # Near the crown all columns lead to one vertex.
    first = int(np.ceil(np.radians(9) / WIDEST * (ROWS - 1)))
    share = np.arange(first)[None, :, None] / first
    corners[:, :first], weights[:, :first] = corners[:, first, None], weights[:, first, None] * share
    to_crown = np.zeros((COLUMNS, ROWS, 1))
    to_crown[:, :first] = 1 - share
    corners = np.concatenate([corners, np.full_like(corners[..., :1], crown)], axis=-1)
    weights = np.concatenate([weights, to_crown], axis=-1)
    points = (mean[corners] * weights[..., None]).sum(2)
    around_vertical = np.degrees(np.abs(np.arctan2(points[..., 0], CENTRE[2] - points[..., 2])))
    inside = np.interp(around_vertical, *HAIRLINE.T) - points[..., 1]
    return ScalpMap(corners, weights, points[..., 1], inside)


def crown_axis() -> Float[np.ndarray, "3"]:
    """The direction of the crown, model frame."""
    return np.array([0.0, -np.cos(TILT), np.sin(TILT)])


def to_polar(points: Float[np.ndarray, "N 3"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth in [0, 2 pi), polar angle and radius (mm) of points of the model frame."""
    offset = points - CENTRE
    front = np.array([0.0, -np.sin(TILT), -np.cos(TILT)])
    radius = np.linalg.norm(offset, axis=-1)
    azimuth = np.arctan2(offset[..., 0], offset @ front) % (2 * np.pi)
    return azimuth, np.arccos(np.clip(offset @ crown_axis() / radius, -1, 1)), radius


def bridge_holes(
    corners: np.ndarray, weights: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Six corners a point: its own three twice, or those of the known points on both sides of a hole."""
    columns, rows = known.shape
    before, after = np.zeros((columns, rows), int), np.zeros((columns, rows), int)
    share = np.zeros((columns, rows))
    for row in range(rows):
        at = np.flatnonzero(known[:, row])
        if not len(at):
            before[:, row], after[:, row], share[:, row] = (
                before[:, row - 1],
                after[:, row - 1],
                share[:, row - 1],
            )
            known[:, row] = False
            corners[:, row], weights[:, row] = corners[:, row - 1], weights[:, row - 1]
            continue
        column = np.arange(columns)
        next_at = np.searchsorted(at, column) % len(at)
        after[:, row] = at[next_at]
        before[:, row] = np.where(known[:, row], column, at[next_at - 1])
        gap = (after[:, row] - before[:, row]) % columns
        share[:, row] = np.where(gap > 0, (column - before[:, row]) % columns / np.maximum(gap, 1), 0)
    row = np.arange(rows)
    both_corners = np.concatenate([corners[before, row], corners[after, row]], axis=-1)
    both_weights = [weights[before, row] * (1 - share[..., None]), weights[after, row] * share[..., None]]
    return both_corners, np.concatenate(both_weights, axis=-1)


def sample(
    grid: Float[np.ndarray, "COLUMNS ROWS *channels"], azimuth: np.ndarray, polar: np.ndarray
) -> np.ndarray:
    """Bilinear values of a map at azimuths (radians, periodic) and polar angles (clamped)."""
    x = azimuth / (2 * np.pi) * COLUMNS
    y = np.clip(polar / WIDEST * (ROWS - 1), 0, ROWS - 1 - 1e-6)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - left, y - top
    if grid.ndim == 3:
        fx, fy = fx[..., None], fy[..., None]
    left, right = left % COLUMNS, (left + 1) % COLUMNS
    upper = grid[left, top] * (1 - fx) + grid[right, top] * fx
    return upper * (1 - fy) + (grid[left, top + 1] * (1 - fx) + grid[right, top + 1] * fx) * fy
