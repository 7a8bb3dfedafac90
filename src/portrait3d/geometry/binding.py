"""Letting points follow the head model's skin."""

import numpy as np
from jaxtyping import Float, Int64
from scipy.spatial import cKDTree

from portrait3d.geometry.mesh import Binding
from portrait3d.geometry.pixels import smoothstep

EXACT = 1e-2
"""Points this close to a vertex of the model (mm) are that vertex."""
NEIGHBOURS = 3
"""Vertices of the model that a point follows, as many as a `Binding` has room for."""


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
    # Beyond `far` a point follows nothing, so the tree need not look there. It then answers an infinite
    # distance and an index out of range; as 1 / inf = 0, any vertex will do.
    distance, found = cKDTree(model[skin]).query(points, NEIGHBOURS, distance_upper_bound=far)
    found = np.where(np.isfinite(distance), found, 0)
    # Inverse distance weighting (Shepard, 1968).
    weight = 1 / np.maximum(distance, 1e-6)
    # The model's own vertices must move exactly as the model says, so a point on one follows no other.
    weight[:, 1:] *= distance[:, :1] > EXACT
    share = 1 - smoothstep((distance[:, :1] - near) / (far - near))
    weight *= share / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    return Binding(skin[found], weight.astype(np.float32))
