"""Meshes without their place in space: what hangs together, and where they are open."""

import numpy as np

from portrait3d.geometry.topology import Topology, renumbered, sum_at_vertices

STRIP = np.array([[0, 1, 2], [2, 1, 3]])
"""Two triangles that share the edge from 1 to 2, wound alike."""
TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def test_an_inner_edge_comes_once_either_way() -> None:
    edges = Topology(STRIP, 4).edges.tolist()
    assert len(edges) == 6
    assert [1, 2] in edges
    assert [2, 1] in edges


def test_the_laplacian_is_degree_minus_adjacency() -> None:
    expected = [[2, -1, -1, 0], [-1, 3, -1, -1], [-1, -1, 3, -1], [0, -1, -1, 2]]
    np.testing.assert_array_equal(Topology(STRIP, 4).laplacian.toarray(), expected)


def test_vertices_without_triangles_are_pieces_of_their_own() -> None:
    faces = np.concatenate([STRIP, STRIP + 5])
    piece = Topology(faces, 9).pieces
    assert len(set(piece)) == 3
    assert len(set(piece[:4])) == len(set(piece[5:])) == 1
    assert piece[4] not in (piece[0], piece[5])


def test_the_boundary_runs_around_a_strip_in_its_winding() -> None:
    (loop,) = Topology(STRIP, 4).boundary_loops
    start = loop.tolist().index(0)
    assert np.roll(loop, -start).tolist() == [0, 1, 3, 2]


def test_a_closed_surface_has_no_boundary_and_one_that_lacks_a_triangle_has_one() -> None:
    assert Topology(TETRAHEDRON, 4).boundary_loops == ()
    (loop,) = Topology(TETRAHEDRON[1:], 4).boundary_loops
    assert sorted(loop.tolist()) == [0, 1, 2]


def test_topologies_that_come_again_are_kept() -> None:
    assert Topology.of(STRIP, 4) is Topology.of(STRIP.copy(), 4)
    assert Topology.of(STRIP, 4) is not Topology.of(STRIP, 5)


def test_the_vertices_that_triangles_use_are_numbered_anew_in_their_order() -> None:
    used, faces = renumbered(STRIP * 2 + 1, 9)
    np.testing.assert_array_equal(used, [1, 3, 5, 7])
    np.testing.assert_array_equal(faces, STRIP)
    np.testing.assert_array_equal(Topology(STRIP * 2 + 1, 9).used, used)


def test_values_of_triangles_add_up_at_their_vertices() -> None:
    total = sum_at_vertices(np.array([[1.0, 10.0], [2.0, 20.0]]), STRIP, 5)
    np.testing.assert_array_equal(total, [[1, 10], [3, 30], [3, 30], [2, 20], [0, 0]])
