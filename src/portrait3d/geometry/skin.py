"""The head model's skin as a surface: its normals and its openings."""

import numpy as np
from jaxtyping import Float, Int64

from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.topology import Topology, sum_at_vertices
from portrait3d.geometry.vectors import dot, length

HEAD_CENTRE = np.array([0.0, -8.0, 40.0])
"""The middle of the skull in the model's frame, mm: depths are predicted relative to its."""
HEAD_PIVOT = np.array([0.0, 50.0, 46.0])
"""The point of the model's frame (mm) that moves least when people turn their heads, measured on clips by
`evaluation.turning_point`."""


def normals(vertices: Float[np.ndarray, "V 3"], faces: Int64[np.ndarray, "F 3"]) -> Float[np.ndarray, "V 3"]:
    """Unit normals at the vertices, outward for the winding of `Mesh`; zero at vertices of no triangle."""
    a, b, c = vertices.take(faces.T, axis=0)
    # Crosses are as long as twice the area: larger triangles count more.
    total = sum_at_vertices(np.cross(b - a, c - a), faces, len(vertices))
    return total / np.maximum(length(total), 1e-12)[:, None]


def view_cosine(
    vertices: Float[np.ndarray, "V 3"], normal: Float[np.ndarray, "V 3"]
) -> Float[np.ndarray, " V"]:
    """Cosine between the normal and the direction to the camera at the origin; > 0 faces the camera."""
    return -dot(vertices, normal) / length(vertices)


def openings(
    faces: Int64[np.ndarray, "F 3"], model_vertices: Float[np.ndarray, "V 3"]
) -> dict[HeadPiece, Int64[np.ndarray, " N"]]:
    """The skin's margins around eyes, mouth and the cut neck: vertices in order, by what lies behind."""
    loops = Topology.of(faces, len(model_vertices)).boundary_loops
    at = [model_vertices[loop].mean(axis=0) for loop in loops]
    # From top to bottom: both eyes, the mouth, the neck. In the model's frame heads are upright.
    down = sorted(range(len(loops)), key=lambda k: float(at[k][1]))
    left, right = sorted(down[:2], key=lambda k: float(at[k][0]))
    return {
        HeadPiece.LEFT_EYE: loops[left],
        HeadPiece.RIGHT_EYE: loops[right],
        HeadPiece.MOUTH_CAVITY: loops[down[2]],
        HeadPiece.SURFACE: loops[down[3]],
    }
