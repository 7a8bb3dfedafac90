"""How head, hair and neck move when the head turns."""

import math

import numpy as np
import torch
from jaxtyping import Float

from portrait3d.compilation import compiled
from portrait3d.geometry import Pose, rotation_from_euler
from portrait3d.geometry.pixels import smoothstep
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.portrait import HeadAngles

THROAT, RISE = 90.0, 0.4
"""The head's underside: so far (mm) below the model's origin where chin and throat meet, and higher by this
much for every millimetre further back, towards the nape."""
BEND = 90.0
"""Way (mm) down from the head's underside over which neck and hanging hair lag more and more."""


class Turn:
    """A head's rotation about its pivot, which neck and hanging hair follow less and less.

    Args:
        camera_from_model: Where the head is, mm.
        target: Where it looks afterwards.
        pivot: The point of the camera's frame (mm) that stays; by default `HEAD_PIVOT`.
    """

    def __init__(
        self, camera_from_model: Pose, target: HeadAngles, pivot: Float[np.ndarray, "3"] | None = None
    ) -> None:
        angles = (np.radians(value) for value in (target.yaw, target.pitch, target.roll))
        wanted = rotation_from_euler(*(torch.tensor(angle, dtype=torch.float64) for angle in angles)).numpy()
        self.rotation = camera_from_model.rotation.double().numpy()
        self.translation = camera_from_model.translation.double().numpy()
        self.pivot = self.rotation @ HEAD_PIVOT + self.translation if pivot is None else pivot
        self.axis_angle = axis_angle(wanted @ self.rotation.T)

    @property
    def degrees(self) -> float:
        """By how much the head turns."""
        return float(np.degrees(np.linalg.norm(self.axis_angle)))

    def apply(
        self, points: Float[np.ndarray, "N 3"], share: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, "N 3"]:
        """Move points of the camera's frame (mm), each by a share of the angle."""
        return self.pivot + self.rotate(points - self.pivot, share)

    def rotate(
        self, vectors: Float[np.ndarray, "N 3"], share: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, "N 3"]:
        """Turn directions, each by a share of the angle."""
        angle = np.linalg.norm(self.axis_angle)
        turned = np.empty_like(vectors)
        _rotate(vectors, angle * share, self.axis_angle / max(angle, 1e-12), turned)
        return turned

    def following(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
        """Share of the turn that points take part in: 1 on the head, falling along neck and hanging hair.

        The points are in the camera's frame, mm, in the photo's pose.
        """
        return share_of_turn(self.to_model(points))

    def to_model(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Points of the camera's frame, in the photo's pose, in the head model's frame, mm."""
        return (points - self.translation) @ self.rotation


def share_of_turn(points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
    """Share of the head's turn that points of the model's frame (mm) take part in: 1 on the head, falling
    along neck and hanging hair."""
    _, down, back = points.T
    return 1 - smoothstep((down - THROAT + RISE * back) / BEND)


def axis_angle(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Axis times angle (radians) of a rotation of less than half a turn."""
    twist = np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    # R - R^T holds the axis times twice the sine, the trace 1 + 2 cosine: atan2 of both is exact at small
    # angles, where acos is not.
    sine = np.linalg.norm(twist) / 2
    angle = np.arctan2(sine, (np.trace(rotation) - 1) / 2)
    return twist / 2 * (angle / sine if sine > 1e-9 else 1.0)


@compiled
def _rotate(vectors, angle, axis, turned):
    """Rodrigues' formula, with an angle of its own for each vector."""
    last, cosine, sine = 0.0, 1.0, 0.0
    for k in range(len(vectors)):
        # Nearly all of a head turns by the same angle.
        if angle[k] != last:
            last, cosine, sine = angle[k], math.cos(angle[k]), math.sin(angle[k])
        across = axis[0] * vectors[k, 0] + axis[1] * vectors[k, 1] + axis[2] * vectors[k, 2]
        for i in range(3):
            j, h = (i + 1) % 3, (i + 2) % 3
            along = across * axis[i]
            aside = axis[j] * vectors[k, h] - axis[h] * vectors[k, j]
            turned[k, i] = along + (vectors[k, i] - along) * cosine + aside * sine
