"""Catmull-Clark subdivision on shapes whose limit is known."""

import numpy as np
import pytest

from portrait3d.models.subdivision import catmull_clark, triangle_corners

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
CUBE_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def test_a_cube_gets_26_vertices_and_24_quads_in_known_places():
    matrix, quads = catmull_clark(CUBE_QUADS, 8)
    points = matrix @ CUBE
    assert points.shape == (26, 3)
    assert quads.shape == (24, 4)
    np.testing.assert_allclose(np.abs(points[:8]), 5 / 9)  # corners: (F + 2 E) / 3 with n = 3
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), axis=1), [[0, 0.75, 0.75]] * 12)
    np.testing.assert_allclose(np.sort(np.abs(points[20:]), axis=1), [[0, 0, 1]] * 6)


def test_an_open_flat_grid_stays_flat_and_keeps_its_straight_rim():
    vertices = np.array([[x, y, 0.0] for y in range(3) for x in range(3)])
    matrix, quads = catmull_clark(np.array([[0, 1, 4, 3], [1, 2, 5, 4], [3, 4, 7, 6], [4, 5, 8, 7]]), 9)
    points = matrix @ vertices
    assert len(points) == 9 + 12 + 4
    assert len(quads) == 16
    np.testing.assert_allclose(points[:, 2], 0)
    np.testing.assert_allclose(points[1], [1, 0, 0])  # the middle of a straight side
    np.testing.assert_allclose(points[4], [1, 1, 0])


def test_a_triangle_becomes_three_quads():
    matrix, quads = catmull_clark(np.array([[0, 1, 2, 2]]), 3)
    assert matrix.shape == (7, 3)
    assert len(quads) == 3
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)), 1)


def test_quads_split_from_their_first_corner_and_triangles_stay_one():
    quads = np.array([[3, 1, 2, 0], [5, 6, 7, 7]])
    faces = quads.ravel()[triangle_corners(quads)]
    assert faces.tolist() == [[3, 1, 2], [3, 2, 0], [5, 6, 7]]


def test_three_faces_at_one_edge_are_refused():
    quads = np.array([[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 6, 7]])
    with pytest.raises(ValueError, match="3 faces"):
        catmull_clark(quads, 8)
