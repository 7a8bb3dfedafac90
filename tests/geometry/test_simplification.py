"""Fewer triangles over some of a mesh's vertices, with its shape, seams and borders kept."""

import numpy as np
import pytest

from portrait3d.geometry.simplification import simplified_faces


def grid(columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Places (u, v) of a grid, and its triangles."""
    v, u = np.meshgrid(np.arange(rows + 1), np.arange(columns + 1), indexing="ij")
    index = np.arange(u.size).reshape(u.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return np.stack([u.ravel() / columns, v.ravel() / rows], axis=1), faces


def tube() -> tuple[np.ndarray, np.ndarray]:
    """A tube of radius 1, 4 high, with a seam: its first and its last column coincide."""
    places, faces = grid(48, 24)
    angle = 2 * np.pi * (places[:, 0] % 1)
    vertices = np.stack([np.cos(angle), np.sin(angle), 4 * places[:, 1]], axis=1)
    return vertices.astype(np.float32), faces


def area(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def open_edges(faces: np.ndarray) -> set[tuple[int, int]]:
    """Edges of one triangle alone."""
    edges = {(int(a), int(b)) for a, b in np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)}
    return {(a, b) for a, b in edges if (b, a) not in edges}


def test_a_plane_needs_few_triangles_and_keeps_its_outline() -> None:
    places, faces = grid(20, 20)
    vertices = np.concatenate([places, np.zeros((len(places), 1))], axis=1).astype(np.float32)
    kept = simplified_faces(vertices[None], faces, 20, np.ones(len(vertices)))
    assert len(kept) <= 20
    assert area(vertices, kept) == pytest.approx(1.0)
    a, b, c = (vertices[kept[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_a_tube_keeps_its_shape_its_seam_and_its_rims() -> None:
    vertices, faces = tube()
    kept = simplified_faces(vertices[None], faces, 300, np.ones(len(vertices)))
    assert 0.95 * 300 <= len(kept) <= 300
    assert area(vertices, kept) == pytest.approx(area(vertices, faces), rel=0.03)
    ends = np.array(sorted(open_edges(kept))).ravel()
    u, v = grid(48, 24)[0][ends].T
    assert (np.isin(u, (0, 1)) | np.isin(v, (0, 1))).all()  # nothing is torn elsewhere
    used = np.unique(kept)
    first, last = (np.sort(vertices[used[used % 49 == column], 2]) for column in (0, 48))
    np.testing.assert_array_equal(first, last)  # both sides of the seam go together


def test_what_matters_more_and_what_moves_keeps_more_triangles() -> None:
    places, faces = grid(24, 24)
    bumps = 0.01 * np.sin(40 * places[:, 0]) * np.sin(40 * places[:, 1])
    vertices = np.concatenate([places, bumps[:, None]], axis=1).astype(np.float32)
    left = places[:, 0] < 0.5
    kept = simplified_faces(vertices[None], faces, 400, np.where(left, 10.0, 1.0))
    assert left[kept].all(axis=1).sum() > 2 * (~left[kept]).all(axis=1).sum()
    flat, moved = vertices * [1, 1, 0], vertices * [1, 1, 0]
    moved[left, 2] += 5 * bumps[left]
    poses = np.stack([flat, moved]).astype(np.float32)
    kept = simplified_faces(poses, faces, 400, np.ones(len(vertices)))
    assert left[kept].all(axis=1).sum() > 2 * (~left[kept]).all(axis=1).sum()


def test_enough_is_left_alone_and_what_cannot_shrink_stays() -> None:
    vertices, faces = tube()
    np.testing.assert_array_equal(
        simplified_faces(vertices[None], faces, len(faces), np.ones(len(vertices))), faces
    )
    solid = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    corners = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    assert len(simplified_faces(solid[None], corners, 1, np.ones(4))) == 4
