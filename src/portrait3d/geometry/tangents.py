"""Tangents: the axes at a mesh's vertices that the colours of a normal map are meant in."""

import numpy as np
from jaxtyping import Float, Int64

from portrait3d.geometry.topology import sum_at_vertices


def vertex_tangents(
    vertices: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    uv: Float[np.ndarray, "V 2"],
    faces: Int64[np.ndarray, "F 3"],
) -> Float[np.ndarray, "V 4"]:
    """Unit tangents at the vertices and, last, their handedness, 1 or -1, as glTF stores them; float32.

    The tangent points where the texture's u grows, at a right angle to the normal; normal x tangent times the
    handedness points where its v, which runs down the picture, falls. Vertices whose texture coordinates tell
    nothing get some tangent.
    """
    corner, place = vertices[faces].astype(np.float64), uv[faces].astype(np.float64)
    (e1, e2), (d1, d2) = ((part[:, 1] - part[:, 0], part[:, 2] - part[:, 0]) for part in (corner, place))
    # Triangles count by their area in space, whatever theirs in the texture is.
    area = np.linalg.norm(np.cross(e1, e2), axis=1, keepdims=True)
    turned = np.sign(d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0])[:, None]
    along = turned * (e1 * d2[:, 1:] - e2 * d1[:, 1:])
    down = turned * (e2 * d1[:, :1] - e1 * d2[:, :1])
    along, down = (area * _unit(side) for side in (along, down))
    u_grows, v_grows = (sum_at_vertices(side, faces, len(vertices)) for side in (along, down))
    some = np.eye(3)[np.abs(normals).argmin(axis=1)]
    across = u_grows - normals * (normals * u_grows).sum(axis=1, keepdims=True)
    across = np.where(np.linalg.norm(across, axis=1, keepdims=True) > 0, across, np.cross(normals, some))
    tangent = _unit(across)
    falls = (np.cross(normals, tangent) * v_grows).sum(axis=1, keepdims=True) <= 0
    return np.concatenate([tangent, np.where(falls, 1, -1)], axis=1).astype(np.float32)


def _unit(vectors: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Vectors at length 1; those of no length stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
