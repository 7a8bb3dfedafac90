"""Letting points follow the head model's skin."""

import numpy as np
from jaxtyping import Float, Int64
from scipy.spatial import cKDTree

from portrait3d.geometry.mesh import Binding
from portrait3d.geometry.pixels import smoothstep

EXACT = 1e-2
"""Points this close to a vertex of the model (mm) are that vertex."""
NEIGHBOURS = 3


def bind(
    points: Float[np.ndarray, "N 3"],
    model: Float[np.ndarray, "M 3"],
    skin: Int64[np.ndarray, " K"],
    reach: tuple[float, float],
) -> Binding:
    """Let points follow the nearest vertices of the model's skin, less and less further off.

    Args:
        points: In the same frame as the model, mm.
        model: All vertices of the model.
        skin: Those that may be followed.
        reach: Distance (mm) up to which points follow the skin, and from which they stand still.
    """
    near, far = reach
    # What is further off follows nothing, and need not be looked for.
    distance, found = cKDTree(model[skin]).query(points, NEIGHBOURS, distance_upper_bound=far)
    found = np.where(np.isfinite(distance), found, 0)
    weight = 1 / np.maximum(distance, 1e-6)
    weight[:, 1:] *= distance[:, :1] > EXACT
    share = 1 - smoothstep((distance[:, :1] - near) / (far - near))
    weight *= share / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    return Binding(skin[found], weight.astype(np.float32))
