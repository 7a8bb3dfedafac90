"""Spreading values over a mesh from the vertices at which they are known."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int64
from scipy.sparse.linalg import splu

from portrait3d.geometry.topology import Topology

FAINT = 1e-6
"""Weight of the mean of all values, which decides where nothing else reaches."""


def diffuse(
    faces: Int64[np.ndarray, "F 3"],
    values: Float[np.ndarray, "V C"],
    weight: Float[np.ndarray, " V"],
    stiffness: float = 0.01,
) -> Float[np.ndarray, "V C"]:
    """Values that are as smooth over the mesh as their weights let them be.

    Minimises the weighted squared distance to the given values plus `stiffness` times the squared differences
    along edges: where the weight is 0, the values are harmonic in the mesh's graph. Pieces of the mesh in
    which nothing is known take the mean of all. Zero if all weights are.
    """
    if weight.sum() <= 0:
        return np.zeros_like(values)
    order, laplacian = Topology.of(faces, len(values)).elimination
    mean = (values * weight[:, None]).sum(axis=0) / weight.sum()
    # The normal equations of the screened Poisson problem. FAINT keeps the matrix positive definite on pieces
    # of the mesh where nothing is known.
    system = (stiffness * laplacian + sp.diags((weight + FAINT)[order])).tocsc()
    known = values * weight[:, None] + FAINT * mean
    # Symmetric and diagonally dominant: pivots stay on the diagonal. So few columns are alike that SuperLU is
    # fastest one at a time.
    solved = splu(system, permc_spec="NATURAL", panel_size=1, options={"SymmetricMode": True})
    spread = np.empty_like(known)
    spread[order] = solved.solve(known[order])
    return spread


def neighbours_mean(topology: Topology, values: Float[np.ndarray, "V C"]) -> Float[np.ndarray, "V C"]:
    """The mean of each vertex' neighbours along the mesh's edges; 0 where there are none."""
    degree = topology.degree[:, None]
    return (degree * values - topology.laplacian @ values) / np.maximum(degree, 1)
