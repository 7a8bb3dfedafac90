"""The photo with the head turned: move the stitched head, draw it at full resolution, keep the rest."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.portrait import HeadAngles, Portrait


@dataclass(frozen=True, slots=True, eq=False)
class CoarseTurn:
    """The turned head before refinement: the network's input, and the same at the photo's resolution."""

    image: Float[Tensor, "3 S S"]
    """The turned picture in the head crop (256 px), RGB in [0, 1], holes filled roughly."""
    holes: Float[Tensor, "1 S S"]
    """1 where nothing is known: uncovered background, cracks, surface that the photo does not show."""
    picture: Float[np.ndarray, "h w 3"]
    """The turned picture at the photo's resolution within `window`, RGB in [0, 1]."""
    unknown: Float[np.ndarray, "h w"]
    """`holes` at the photo's resolution, with soft edges."""
    changed: Float[np.ndarray, "h w"]
    """0 where the photo stays as it is; between 0 and 1 on a soft edge."""
    window: tuple[int, int, int, int]
    """Left, top, right, bottom of the part of the photo that this is about."""


class Reposer:
    """Turns the head of one portrait; what does not depend on the pose is computed once.

    Args:
        portrait: The reconstructed person. Uses `photo`, `camera`, `head_crop`, `camera_from_model`,
            `head_parsing.probabilities` ([9, 256, 256]) and `head`.
    """

    def __init__(self, portrait: Portrait) -> None:
        raise NotImplementedError

    def coarse_turn(self, target: HeadAngles) -> CoarseTurn:
        """The head at an absolute pose, from geometry alone."""
        raise NotImplementedError

    def composite(self, turn: CoarseTurn, refined: Float[Tensor, "3 S S"] | None) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with the turned head; `refined` (the refinement network's picture) fills holes and seams.

        Outside the turn's region, and for the photo's own pose everywhere, the photo is returned unchanged.
        """
        raise NotImplementedError
