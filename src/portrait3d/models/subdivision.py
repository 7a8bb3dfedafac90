"""One step of Catmull-Clark subdivision as a sparse matrix."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int64


def catmull_clark(
    quads: Int64[np.ndarray, "Q 4"], vertex_count: int
) -> tuple[sp.csr_matrix, Int64[np.ndarray, "R 4"]]:
    """The matrix [N, vertex_count] from old to new vertices, and the new quads.

    New vertices are the moved old ones that `quads` use (in their order), then a point for every edge, then
    one for every face. A quad whose last two corners agree is a triangle. Boundaries become cubic B-splines.
    (Catmull and Clark, Recursively generated B-spline surfaces on arbitrary topological meshes, 1978.)
    """
    used, quads = np.unique(quads, return_inverse=True)
    quads = quads.reshape(-1, 4)
    count, faces = len(used), len(quads)
    is_corner = np.ones_like(quads, bool)
    is_corner[:, 3] = quads[:, 3] != quads[:, 2]
    sides = is_corner.sum(axis=1)
    # Each corner and the one after it; a triangle closes from its third corner.
    following = np.roll(quads, -1, axis=1)
    following[~is_corner[:, 3], 2] = quads[~is_corner[:, 3], 0]
    face, slot = np.nonzero(is_corner)
    corner, after = quads[face, slot], following[face, slot]

    # Every edge once, whichever way its faces run along it.
    edges, edge = np.unique(np.sort(np.stack([corner, after], 1), 1), axis=0, return_inverse=True)
    edge = edge.reshape(-1)
    edge_of = np.zeros_like(quads)
    edge_of[face, slot] = edge
    neighbours = np.bincount(edge, minlength=len(edges))
    if neighbours.max() > 2:
        raise ValueError(f"An edge of {neighbours.max()} faces can't be subdivided.")
    boundary = neighbours == 1

    face_points = _matrix(face, corner, 1 / sides[face], (faces, count))
    ends = np.repeat(np.arange(len(edges)), 2)
    middles = _matrix(ends, edges.ravel(), 0.5, (len(edges), count))
    beside = _matrix(edge, face, 1 / neighbours[edge], (len(edges), faces)) @ face_points
    # Edge points: the middle of the edge's ends and of its faces' points; on a boundary of its ends alone.
    edge_points = (
        sp.diags(np.where(boundary, 1, 0.5)) @ middles + sp.diags(np.where(boundary, 0, 0.5)) @ beside
    )

    valence = np.bincount(edges.ravel(), minlength=count)
    around_faces = _matrix(corner, face, 1 / np.bincount(corner, minlength=count)[corner], (count, faces))
    around_edges = _matrix(edges.ravel(), ends, 1 / valence[edges.ravel()], (count, len(edges)))
    on_boundary = edges[boundary].ravel()
    boundary_edges = _matrix(on_boundary, np.repeat(np.flatnonzero(boundary), 2), 0.5, (count, len(edges)))
    boundary_count = np.bincount(on_boundary, minlength=count)
    inner, simple_boundary = boundary_count == 0, boundary_count == 2
    # Inner: (F + 2 E + (n - 3) P) / n. On a simple boundary: 1/2 P + 1/4 of each neighbouring edge's middle.
    stay = np.where(inner, (valence - 3) / valence, np.where(simple_boundary, 0.5, 1))
    points = (
        sp.diags(np.where(inner, 1 / valence, 0)) @ around_faces @ face_points
        + sp.diags(np.where(inner, 2 / valence, 0)) @ around_edges @ middles
        + sp.diags(np.where(simple_boundary, 0.5, 0)) @ boundary_edges @ middles
        + sp.diags(stay)
    )
    # Each corner of a face becomes a quad: itself, the edge after it, the face, the edge before it.
    before = edge_of[face, (slot - 1) % sides[face]]
    new_quads = np.stack([corner, count + edge, count + len(edges) + face, count + before], axis=1)
    widen = _matrix(np.arange(count), used, 1.0, (count, vertex_count))
    return (sp.vstack([points, edge_points, face_points]) @ widen).tocsr(), new_quads.astype(np.int64)


def triangle_corners(quads: Int64[np.ndarray, "Q 4"]) -> Int64[np.ndarray, "F 3"]:
    """Corners of the triangles of quads, as positions in the flattened quads.

    Quads are split along the diagonal from their first corner; if the last two agree, one triangle is left.
    """
    halves = 4 * np.arange(len(quads))[:, None, None] + np.array([[0, 1, 2], [0, 2, 3]])
    return halves[np.stack([np.ones(len(quads), bool), quads[:, 2] != quads[:, 3]], axis=1)]


def _matrix(rows: np.ndarray, columns: np.ndarray, values: np.ndarray | float, shape: tuple) -> sp.csr_matrix:
    return sp.csr_matrix((np.broadcast_to(values, rows.shape), (rows, columns)), shape=shape)
