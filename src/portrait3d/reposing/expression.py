"""How the surfaces of a portrait follow the head model's expressions."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.spatial import cKDTree

from portrait3d.geometry.mesh import Binding, HeadMesh
from portrait3d.models.expressions import ARKIT_COUNT, check_expressions
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import Portrait

NEAR, FAR = 12.0, 60.0
"""Up to which distance from the head model's skin (mm) points follow it, and from which they stand still."""
EXACT = 1e-2
"""Points this close to a vertex of the model (mm) are that vertex."""
NEIGHBOURS = 3


class ExpressionModes:
    """The head model's expressions in the photo's camera frame.

    Args:
        portrait: The person, whose pose turns the modes.
        head_model: Where the modes come from.
    """

    def __init__(self, portrait: Portrait, head_model: HeadModel) -> None:
        rotation = portrait.camera_from_model.rotation
        self._modes = (head_model.expression_basis @ rotation.T).flatten(1)

    def displacement(self, change: Float[np.ndarray, "64"]) -> Float[np.ndarray, "M 3"]:
        """How far the head model's vertices move, mm, when the coefficients change by this much."""
        moved = torch.from_numpy(np.asarray(change, np.float32)) @ self._modes
        return moved.unflatten(0, (-1, 3)).double().numpy()


def expression_vector(weights: Mapping[str, float], names: Sequence[str]) -> Float[np.ndarray, "64"]:
    """Coefficients of all of the head model's modes, of which `names` are the names.

    Raises `ValueError` for a name that is not one of ARKit's and for a weight out of range, `TypeError` for
    one that is no number.
    """
    checked = check_expressions(weights, names[:ARKIT_COUNT])
    return np.array([checked.get(name, 0.0) for name in names], np.float64)


def binding_of(head: HeadMesh, portrait: Portrait, head_model: HeadModel) -> Binding:
    """How the vertices of a stitched head follow the model: its own binding, or the nearest skin."""
    if head.binding is not None:
        return head.binding
    skin = head_model.skin_faces.unique().numpy()
    return bind(head.vertices.astype(np.float64), portrait.face.vertices.double().numpy(), skin)


def bind(
    points: Float[np.ndarray, "N 3"], model: Float[np.ndarray, "M 3"], skin: Int64[np.ndarray, " K"]
) -> Binding:
    """Let points follow the nearest vertices of the model's skin, less and less further off.

    Args:
        points: In the same frame as the model, mm.
        model: All vertices of the model.
        skin: Those that may be followed.
    """
    distance, found = cKDTree(model[skin]).query(points, NEIGHBOURS)
    weight = 1 / np.maximum(distance, 1e-6)
    weight[:, 1:] *= distance[:, :1] > EXACT
    share = 1 - np.clip((distance[:, :1] - NEAR) / (FAR - NEAR), 0, 1)
    weight *= share * share * (3 - 2 * share) / weight.sum(axis=1, keepdims=True)
    return Binding(skin[found], weight.astype(np.float32))
