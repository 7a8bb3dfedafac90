"""How far a fit of the face can be trusted, from signs that need no labels."""

import math
from dataclasses import astuple, dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import ConvexHull
from torch import Tensor

from portrait3d.models.face_fit import FaceFit
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.models.parsing_net import PARSING_CLASSES
from portrait3d.preprocessing.alignment import Crop

LEAST_QUALITY = 0.5
"""Below this quality a fit is poor: landmarks are expected to be off by more than 2 % of face size."""
# Least squares on the logarithm of the landmarks' error over 170 photos of the validation split, as they are
# and with covered, cut, dark or coarse faces; tools/calibrate_quality.py does the same on others. The last
# weight is held at half of what these photos want (1.2) and synthetic faces contradict (-0.2).
BASE = 1.48
"""Logarithm of the expected error in percent where all that follows is 0."""
WEIGHTS = (0.45, 0.45, 0.46, 0.6)
"""Weights of the signs' logarithms in the order of `FitSigns`, for the last one of the excess itself."""
CLEAR = (0.3, 0.3, 0.03)
"""What is added to a sign before its logarithm is taken: about its value on clear photos."""
FREE_TURN, TURN_UNIT = 15.0, 30.0
"""Degrees that cost nothing, and the unit of the excess."""
FACE = [PARSING_CLASSES.index(name) for name in ("face", "inner mouth")]


@dataclass(frozen=True, slots=True)
class FitSigns:
    """What tells a bad fit without labels; each is near 0 on a clear photo."""

    moved: float
    """`FaceFit.moved`: how far landmarks moved between the passes, percent of face size."""
    asymmetry: float
    """`FaceFit.asymmetry`: how far crop and mirror image disagree, percent of face size."""
    uncovered: float
    """Share of the landmarks' convex hull that the parsing takes for something else than face."""
    turn: float
    """Angle between the face's direction and the camera's axis, degrees."""

    @classmethod
    def of(cls, fit: FaceFit, head_crop: Crop, parsing: HeadParsing) -> "FitSigns":
        """The signs of a fit and of the parsing of its head crop."""
        landmarks = head_crop.crop_from_photo(fit.landmarks)
        facing = float(fit.crop_from_model.rotation[2, 2])
        return cls(
            fit.moved,
            fit.asymmetry,
            uncovered_share(landmarks, parsing.head_probabilities),
            math.degrees(math.acos(min(max(facing, -1.0), 1.0))),
        )

    def features(self) -> list[float]:
        """What is weighted by `WEIGHTS` and summed."""
        *signs, turn = astuple(self)
        logarithms = [math.log(sign + clear) for sign, clear in zip(signs, CLEAR, strict=True)]
        return [*logarithms, max(turn - FREE_TURN, 0.0) / TURN_UNIT]

    @property
    def expected_error(self) -> float:
        """Expected mean distance of the 68 landmarks from where they are, percent of face size."""
        return math.exp(BASE + sum(w * f for w, f in zip(WEIGHTS, self.features(), strict=True)))

    @property
    def quality(self) -> float:
        """1 % over the expected error: 1 for an error of 1 % or less, 0.5 for 2 %, 0.1 for 10 %."""
        return 1 / max(self.expected_error, 1.0)


def uncovered_share(landmarks: Float[Tensor, "68 2"], probabilities: Float[Tensor, "9 S S"]) -> float:
    """How much of the landmarks' convex hull (pixels) is parsed as anything but face and inner mouth.

    1 where the hull lies outside the picture or is less than a pixel.
    """
    size = probabilities.shape[-1]
    sides = ConvexHull(landmarks.double().numpy()).equations
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    beyond = sides[:, :2] @ np.stack([x.ravel(), y.ravel()]) + sides[:, 2:]
    inside = torch.from_numpy((beyond <= 0).all(axis=0).reshape(size, size))
    return 1 - float(probabilities[FACE].sum(0)[inside].mean()) if inside.any() else 1.0
