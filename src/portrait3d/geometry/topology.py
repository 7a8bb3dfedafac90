"""What is next to what in a triangle mesh: edges, pieces, boundary loops."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int64
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu


def sum_at_vertices(
    values: Float[np.ndarray, "F C"], faces: Int64[np.ndarray, "F 3"], count: int
) -> Float[np.ndarray, "V C"]:
    """At each of `count` vertices the sum of the values of the triangles around it."""
    # bincount adds up much faster than np.add.at.
    return np.stack([np.bincount(faces.ravel(), np.repeat(column, 3), count) for column in values.T], axis=1)


def used_vertices(faces: Int64[np.ndarray, "F 3"], count: int) -> Int64[np.ndarray, " N"]:
    """Those of `count` vertices that some triangles use, rising: `np.unique` without its sorting."""
    used = np.zeros(count, bool)
    used[faces] = True
    return np.flatnonzero(used)


def renumbered(
    faces: Int64[np.ndarray, "F 3"], count: int
) -> tuple[Int64[np.ndarray, " N"], Int64[np.ndarray, "F 3"]]:
    """The `used_vertices` of some triangles, and the triangles over these alone."""
    used = used_vertices(faces, count)
    number = np.empty(count, np.int64)
    number[used] = np.arange(len(used))
    return used, number[faces]


@dataclass(frozen=True, eq=False)
class Topology:
    """The triangles of a mesh without their place in space; what follows from them is computed once."""

    faces: Int64[np.ndarray, "F 3"]
    count: int
    """Number of vertices; some may belong to no triangle."""

    @classmethod
    def of(cls, faces: Int64[np.ndarray, "F 3"], count: int) -> "Topology":
        """The topology of triangles that come again and again, such as the head model's: kept."""
        return _kept(np.ascontiguousarray(faces).tobytes(), count)

    @cached_property
    def used(self) -> Int64[np.ndarray, " N"]:
        """The vertices that belong to some triangle, rising."""
        return used_vertices(self.faces, self.count)

    @cached_property
    def edges(self) -> Int64[np.ndarray, "E 2"]:
        """Three of every triangle, in its winding: an edge between two triangles comes once either way."""
        return np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])

    @cached_property
    def laplacian(self) -> sp.csr_matrix:
        """Degree minus adjacency of the graph of the edges."""
        ones = np.ones(len(self.edges))
        graph = sp.coo_matrix((ones, self.edges.T), (self.count, self.count)).tocsr()
        graph = ((graph + graph.T) > 0).astype(float)
        return (sp.diags(np.asarray(graph.sum(axis=1)).ravel()) - graph).tocsr()

    @cached_property
    def elimination(self) -> tuple[Int64[np.ndarray, " V"], sp.csc_matrix]:
        """An order of the vertices in which a system of equations between neighbours stays sparse when it is
        solved, and the Laplacian in that order."""
        # Rows and columns alike: the order of minimum degree, which SuperLU would look for every time.
        system = (self.laplacian + sp.identity(self.count)).tocsc()
        solved = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        order = np.argsort(solved.perm_c)
        return order, self.laplacian[order][:, order].tocsc()

    @cached_property
    def degree(self) -> Float[np.ndarray, " V"]:
        """Of every vertex the number of its neighbours."""
        return self.laplacian.diagonal()

    @cached_property
    def pieces(self) -> np.ndarray:
        """For every vertex, [V], the number of the piece that it hangs together with, from 0 on."""
        # The graph of vertices and triangles: its matrix has a row of three corners for every triangle, which
        # needs no sorting as edges between vertices would.
        size = self.count + len(self.faces)
        rows = np.maximum(3 * np.arange(-self.count, len(self.faces) + 1), 0)
        graph = sp.csr_matrix((np.ones(self.faces.size), self.faces.ravel(), rows), (size, size))
        return connected_components(graph, directed=False)[1][: self.count]

    @cached_property
    def boundary_loops(self) -> tuple[np.ndarray, ...]:
        """Vertices around each hole, in order.

        An edge that no triangle runs through the other way is on a boundary; where triangles are wound
        consistently, such edges make loops.
        """
        forward = set((self.edges[:, 0] * self.count + self.edges[:, 1]).tolist())
        following = {a: b for a, b in self.edges.tolist() if b * self.count + a not in forward}
        loops = []
        while following:
            start = min(following)
            loop, here = [start], following.pop(start)
            while here != start and here in following:
                loop.append(here)
                here = following.pop(here)
            loops.append(np.array(loop))
        return tuple(loops)


# A head is put together from the triangles of the head model's skin and of two or three pieces of it.
@lru_cache(maxsize=8)
def _kept(faces: bytes, count: int) -> Topology:
    return Topology(np.frombuffer(faces, np.int64).reshape(-1, 3), count)
