"""Writes synthetic heads in the layout of the Biwi Kinect database: one photo camera, one depth camera."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from portrait3d.data.people.model_views import render_depth
from portrait3d.evaluation.depth.heads import KnownHead
from portrait3d.evaluation.depth.photos import points_of
from portrait3d.geometry.warping import region_triangles

WIDTH, HEIGHT = 320, 288
LEFT, TOP = 40, 20
"""Where the head's picture lies in the photo."""
DEPTH_FOCAL = 575.8
PHOTO_FROM_DEPTH = Rotation.from_euler("xyz", [0.9, -0.5, 0.25], degrees=True).as_matrix()
SHIFT = np.array([-24.0, 5.9, -13.2])


def write_recording(folder: Path, heads: list[KnownHead]) -> None:
    """A folder with calibrations and a frame for each head."""
    folder.mkdir(parents=True)
    first = heads[0]
    middle = len(first.picture) / 2
    write_calibration(
        folder / "rgb.cal", float(first.camera.focal), (LEFT + middle, TOP + middle), PHOTO_FROM_DEPTH, SHIFT
    )
    write_calibration(folder / "depth.cal", DEPTH_FOCAL, (WIDTH / 2, HEIGHT / 2), np.eye(3), np.zeros(3))
    for number, head in enumerate(heads, start=3):
        size = len(head.picture)
        photo = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        photo[TOP : TOP + size, LEFT : LEFT + size] = head.picture
        Image.fromarray(photo).save(folder / f"frame_{number:05d}_rgb.png")
        (folder / f"frame_{number:05d}_depth.bin").write_bytes(encoded(depth_image(head)))
        centre = (head.rotation @ np.array([0.0, -8.0, 40.0]) + head.translation - SHIFT) @ PHOTO_FROM_DEPTH
        rows = [*(PHOTO_FROM_DEPTH.T @ head.rotation).tolist(), [], centre.tolist()]
        text = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in rows)
        (folder / f"frame_{number:05d}_pose.txt").write_text(text + "\n")


def write_calibration(
    path: Path, focal: float, middle: tuple[float, float], rotation: np.ndarray, translation: np.ndarray
) -> None:
    """Intrinsics (pixel centres at integers), distortion, extrinsics and size, as the database has them."""
    x, y = middle[0] - 0.5, middle[1] - 0.5
    blocks = [
        [[focal, 0, x], [0, focal, y], [0, 0, 1]],
        [[0, 0, 0, 0]],
        rotation.tolist(),
        [translation.tolist()],
        [[WIDTH, HEIGHT]],
    ]
    lines = ["\n".join(" ".join(f"{value:g}" for value in row) for row in block) for block in blocks]
    path.write_text("\n\n".join(lines) + "\n")


def depth_image(head: KnownHead) -> np.ndarray:
    """Depth of everything in the picture (mm, whole numbers) as the depth camera sees it, 0 elsewhere."""
    known = np.isfinite(head.depth)
    points = points_of(head.depth.astype(np.float64), known, float(head.camera.focal))
    moved = (points.reshape(-1, 3) - SHIFT) @ PHOTO_FROM_DEPTH
    moved[~known.ravel()] = 1.0
    screen = np.concatenate([DEPTH_FOCAL * moved[:, :2] / moved[:, 2:], moved[:, 2:]], axis=1)
    faces = region_triangles(torch.from_numpy(known)).numpy()
    faces = faces[np.ptp(head.depth.ravel()[faces], axis=1) < 15]
    side = max(WIDTH, HEIGHT)
    screen[:, :2] += [WIDTH / 2, HEIGHT / 2]
    _, depth = render_depth(screen, faces, side)
    depth = depth[:HEIGHT, :WIDTH]
    return np.where(np.isfinite(depth), depth, 0.0).round().astype(np.int16)


def encoded(depth: np.ndarray) -> bytes:
    """Run-length coding: width, height, then counts of empty and full pixels and the full ones' depths."""
    flat = depth.ravel()
    parts = [np.array([depth.shape[1], depth.shape[0]], "<i4").tobytes()]
    change = np.flatnonzero(np.diff((flat > 0).astype(int))) + 1
    bounds = [0, *change.tolist(), flat.size]
    if flat[0] > 0:
        bounds.insert(0, 0)
    for k in range(0, len(bounds) - 1, 2):
        start, middle = bounds[k], bounds[k + 1]
        end = bounds[k + 2] if k + 2 < len(bounds) else middle
        parts.append(np.array([middle - start, end - middle], "<i4").tobytes())
        parts.append(flat[middle:end].astype("<i2").tobytes())
    return b"".join(parts)
