"""One photo of a head, as its layers are put together from it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_view import HairView
from portrait3d.head.scene import Scene


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A further photo of the person: the fitted head, hair and colours as its camera sees them.

    The model's frame is that of every other shot: same identity, a pose and an expression of its own.
    """

    model: FittedHead
    view: HairView
    scene: Scene
    density: float
    """How finely the photo resolves the head, over how finely the main photo does."""

    @property
    def clarity(self) -> Float[np.ndarray, " V"]:
        """How finely the photo resolves the skin at the model's vertices; 0 where it is turned away."""
        return self.density * facing(self.model)


def facing(model: FittedHead) -> Float[np.ndarray, " V"]:
    """Cosine between the skin and the view at the model's vertices, 0 where it is turned away."""
    return np.maximum(model.cosine, 0)
