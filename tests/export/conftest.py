"""A head with known shape and colours."""

import numpy as np
import pytest

from portrait3d.geometry.mesh import HeadMesh


@pytest.fixture
def head() -> HeadMesh:
    """A ball of 80 mm whose nose, a spike of 30 mm, points at a camera 1.2 m away; red left, green right.

    Left and right are the picture's. The triangles' normals point outward.
    """
    rows, columns = 16, 24
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, columns + 1), indexing="ij"
    )
    out = np.stack(
        [np.sin(polar) * np.sin(around), -np.cos(polar), np.sin(polar) * np.cos(around)], axis=-1
    ).reshape(-1, 3)
    vertices = 80 * out
    vertices[np.argmin(out[:, 2])] *= 110 / 80
    index = np.arange(len(out)).reshape(rows + 1, columns + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    used, faces = np.unique(faces[areas > 1e-6], return_inverse=True)
    vertices, out, faces = vertices[used], out[used], faces.reshape(-1, 3)
    texture = np.zeros((32, 64, 3), np.uint8)
    texture[:, :32], texture[:, 32:] = (200, 30, 40), (20, 180, 60)
    texture[:4, :, 2] = 250
    uv = np.stack([0.5 + 0.49 * out[:, 0], 0.5 + 0.49 * out[:, 1]], axis=-1)
    return HeadMesh(
        (vertices + np.array([10, -20, 1200])).astype(np.float32),
        faces.astype(np.int64),
        (np.arange(len(vertices)) % 4).astype(np.uint8),
        uv.astype(np.float32),
        texture,
    )
