"""Colours of several photos as one: made alike where they show the same, then taken from the clearest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64

from portrait3d.geometry.diffusion import diffuse
from portrait3d.geometry.pictures import weighted_median

SHARP = 6
"""Power of a photo's clarity in its share of the mixture: the clearer of two photos soon stands alone, or
what they show would be doubled."""
DARKEST = 0.02
"""Colours below this have no ratio that tells anything."""
USUAL = 0.003
"""Weight of the usual ratio between two photos, to which the ratio comes back where they don't overlap."""
MOST = 0.9
"""By which a photo's colours change at most, logarithm."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Smooth colours of some points, and how well one photo tells them."""

    colours: Float[np.ndarray, "V 3"]
    """RGB in [0, 1]."""
    weight: Float[np.ndarray, " V"]
    """0 to 1."""

    def brightened(self, gain: Float[np.ndarray, "V 3"]) -> "Known":
        """The same in another photo's light."""
        return replace(self, colours=self.colours * gain)


def harmony(faces: Int64[np.ndarray, "F 3"], main: Known, other: Known) -> Float[np.ndarray, "V 3"]:
    """What the other photo's colours have to be multiplied with at a mesh's vertices to be as the main one's.

    Where both show the skin it is the ratio of their smooth colours, so that no seam is left; from there it
    spreads over the mesh. 1 if they show nothing together.
    """
    both = main.weight * other.weight
    if not both.any():
        return np.ones_like(other.colours)
    ratio = log_ratio(main.colours, other.colours)
    usual = weighted_median(ratio, both)
    # A faint pull toward the usual ratio: far from the overlap it is all that is left.
    values = (ratio * both[:, None] + usual * USUAL) / (both + USUAL)[:, None]
    return np.exp(diffuse(faces, values, both + USUAL).clip(-MOST, MOST))


def log_ratio(colours: Float[np.ndarray, "*V"], others: Float[np.ndarray, "*V"]) -> Float[np.ndarray, "*V"]:
    """Logarithm of colours over others, channel by channel, `MOST` at most."""
    # Light multiplies colours, so differences of logarithms are what can be smoothed and averaged.
    ratio = np.log(np.maximum(colours, DARKEST)) - np.log(np.maximum(others, DARKEST))
    return ratio.clip(-MOST, MOST)


def mixture(
    colours: Sequence[Float[np.ndarray, "N 3"]],
    shares: Sequence[Float[np.ndarray, " N"]],
    clarity: Sequence[Float[np.ndarray, " N"]],
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
    """Colours taken from the photo that shows them best, with smooth transitions, and how far any does.

    Args:
        colours: RGB in [0, 1] of each photo.
        shares: How far each shows the points, 0 to 1.
        clarity: How finely each resolves them, in any unit.
    """
    best = np.maximum(np.maximum.reduce(list(clarity)), 1e-6)
    weights = [share * (sharp / best) ** SHARP for share, sharp in zip(shares, clarity, strict=True)]
    total = np.maximum(np.sum(weights, axis=0), 1e-6)
    mixed = np.sum([w[:, None] * c for w, c in zip(weights, colours, strict=True)], axis=0) / total[:, None]
    return mixed, np.maximum.reduce(list(shares))


def mixed(known: Sequence[Known], clarity: Sequence[Float[np.ndarray, " V"]]) -> Known:
    """The `mixture` of what several photos tell of the same points."""
    return Known(*mixture([k.colours for k in known], [k.weight for k in known], clarity))
