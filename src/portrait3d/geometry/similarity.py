"""Motions that also scale: how one head lies in the frame of another."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

ROUNDS, KEPT = 3, 0.9
"""Rounds of `Similarity.robust`, and the share of the pairs, nearest first, that each is fitted to."""


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """The motion x -> s R x + t, float64, mm."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]

    @classmethod
    def between(cls, source: Float[np.ndarray, "N 3"], target: Float[np.ndarray, "N 3"]) -> "Similarity":
        """What brings points nearest to their partners in the mean square (Umeyama, 1991)."""
        source, target = source.astype(float), target.astype(float)
        a, b = source - source.mean(axis=0), target - target.mean(axis=0)
        rotation = Rotation.align_vectors(b, a)[0].as_matrix()
        # The best size given the rotation: a turned point's share of its partner, in the mean square.
        scale = float((b * (a @ rotation.T)).sum() / (a**2).sum())
        return cls(scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0))

    @classmethod
    def robust(cls, source: Float[np.ndarray, "N 3"], target: Float[np.ndarray, "N 3"]) -> "Similarity":
        """The same without the pairs that fit worst."""
        motion = cls.between(source, target)
        for _ in range(ROUNDS):
            distance = np.linalg.norm(motion.apply(source) - target, axis=1)
            near = distance <= np.quantile(distance, KEPT)
            motion = cls.between(source[near], target[near])
        return motion

    def apply(self, points: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
        """Move points."""
        return self.scale * points @ self.rotation.T + self.translation
