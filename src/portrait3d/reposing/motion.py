"""How head, hair and neck move when the head turns."""

import numpy as np
import torch
from jaxtyping import Float

from portrait3d.geometry import Pose, rotation_from_euler
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.portrait import HeadAngles

JAW, BEND = 62.0, 90.0
"""Height (mm below the model's origin) where neck and hanging hair begin to lag, and over which they do."""


class Turn:
    """A head's rotation about its pivot, which neck and hanging hair follow less and less."""

    def __init__(self, camera_from_model: Pose, target: HeadAngles) -> None:
        angles = (np.radians(value) for value in (target.yaw, target.pitch, target.roll))
        wanted = rotation_from_euler(*(torch.tensor(angle, dtype=torch.float64) for angle in angles)).numpy()
        self.rotation = camera_from_model.rotation.double().numpy()
        self.translation = camera_from_model.translation.double().numpy()
        self.pivot = self.rotation @ HEAD_PIVOT + self.translation
        self.axis_angle = axis_angle(wanted @ self.rotation.T)

    @property
    def degrees(self) -> float:
        """By how much the head turns."""
        return float(np.degrees(np.linalg.norm(self.axis_angle)))

    def apply(
        self, points: Float[np.ndarray, "N 3"], weight: Float[np.ndarray, " N"] | None = None
    ) -> Float[np.ndarray, "N 3"]:
        """Move points of the camera's frame (mm), all the way or by a share of the angle each."""
        centred = points - self.pivot
        angle = np.linalg.norm(self.axis_angle)
        axis = self.axis_angle / max(angle, 1e-12)
        share = np.full(len(points), angle) if weight is None else angle * weight
        cosine, sine = np.cos(share)[:, None], np.sin(share)[:, None]
        along = (centred @ axis)[:, None] * axis
        return self.pivot + along + (centred - along) * cosine + np.cross(axis, centred) * sine

    def following(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
        """Share of the turn that neck and hanging hair take part in: 1 above the jaw, 0 at the shoulders."""
        height = ((points - self.translation) @ self.rotation)[:, 1]
        share = 1 - np.clip((height - JAW) / BEND, 0, 1)
        return share * share * (3 - 2 * share)


def axis_angle(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3"]:
    """Axis times angle (radians) of a rotation of less than half a turn."""
    twist = np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    sine = np.linalg.norm(twist) / 2
    angle = np.arctan2(sine, (np.trace(rotation) - 1) / 2)
    return twist / 2 * (angle / sine if sine > 1e-9 else 1.0)
