"""How expressions move the head model's vertices."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from portrait3d.models.expressions import ARKIT_COUNT, check_expressions
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import Portrait


class ExpressionModes:
    """The head model's expressions in the photo's camera frame.

    Args:
        portrait: The person, whose pose turns the modes.
        head_model: Where the modes come from.
    """

    def __init__(self, portrait: Portrait, head_model: HeadModel) -> None:
        rotation = portrait.camera_from_model.rotation
        self._modes = (head_model.expression_basis @ rotation.T).flatten(1)
        own = portrait.head.expression
        self._own = None if own is None else (torch.from_numpy(own) @ rotation.T).double().numpy()

    def displacement(
        self, change: Float[np.ndarray, "64"] | None = None, neutral: float = 0.0
    ) -> Float[np.ndarray, "M 3"] | None:
        """How far the head model's vertices move, mm; None if nothing does.

        The coefficients change by `change`, and of the photo's own expression the share `neutral` is taken
        out. Raises `ValueError` for that if the portrait's head doesn't know its expression.
        """
        moved = None
        if change is not None and np.any(change):
            moved = torch.from_numpy(np.asarray(change, np.float32)) @ self._modes
            moved = moved.unflatten(0, (-1, 3)).double().numpy()
        if neutral:
            if self._own is None:
                raise ValueError("This portrait's head doesn't know the photo's expression.")
            moved = -neutral * self._own if moved is None else moved - neutral * self._own
        return moved


def expression_vector(weights: Mapping[str, float], names: Sequence[str]) -> Float[np.ndarray, "64"]:
    """Coefficients of all of the head model's modes, of which `names` are the names.

    Raises `ValueError` for a name that is not one of ARKit's and for a weight out of range, `TypeError` for
    one that is no number.
    """
    checked = check_expressions(weights, names[:ARKIT_COUNT])
    return np.array([checked.get(name, 0.0) for name in names], np.float64)
