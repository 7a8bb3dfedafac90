"""Rigid motions and the project's yaw, pitch and roll."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pose:
    """A rigid motion x -> R x + t, named `target_from_source` so that products read like paths.

    `camera_from_head @ head_from_model` maps model points to the camera. Translations are millimetres.
    """

    rotation: Float[Tensor, "*batch 3 3"]
    translation: Float[Tensor, "*batch 3"]

    @classmethod
    def from_euler(
        cls,
        yaw: Float[Tensor, "*batch"],
        pitch: Float[Tensor, "*batch"],
        roll: Float[Tensor, "*batch"],
        translation: Float[Tensor, "*batch 3"],
    ) -> "Pose":
        """A pose from yaw, pitch and roll (radians) and a translation (mm). Inverse of `euler`."""
        return cls(rotation_from_euler(yaw, pitch, roll), translation)

    @classmethod
    def roll(cls, angle: Float[Tensor, "*batch"]) -> "Pose":
        """A turn about the line of sight, clockwise in the picture for angles > 0 (radians)."""
        level = torch.zeros_like(angle)
        return cls.from_euler(level, level, angle, torch.zeros(*angle.shape, 3).to(angle))

    @classmethod
    def identity(cls) -> "Pose":
        """The motion that changes nothing."""
        return cls(torch.eye(3), torch.zeros(3))

    @property
    def batched(self) -> "Pose":
        """This pose as a batch of one."""
        return Pose(self.rotation[None], self.translation[None])

    def apply(self, points: Float[Tensor, "*batch N 3"]) -> Float[Tensor, "*batch N 3"]:
        """Move points from the source frame to the target frame."""
        return points @ self.rotation.transpose(-1, -2) + self.translation[..., None, :]

    def inverse(self) -> "Pose":
        """The motion back."""
        transposed = self.rotation.transpose(-1, -2)
        return Pose(transposed, -(transposed @ self.translation[..., None])[..., 0])

    def __matmul__(self, other: "Pose") -> "Pose":
        """First `other`, then `self`."""
        return Pose(
            self.rotation @ other.rotation,
            (self.rotation @ other.translation[..., None])[..., 0] + self.translation,
        )

    def euler(self) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Yaw, pitch and roll of a head with this pose, in radians.

        yaw > 0 turns the face (which looks along -z) to the picture's right, pitch > 0 up, roll > 0
        clockwise in the picture. Pitch lies within a quarter turn, yaw and roll within half a turn.
        """
        return euler_from_rotation(self.rotation)

    def about(self, pivot: Float[Tensor, "*batch 3"]) -> "Pose":
        """This pose's rotation about `pivot` (mm) instead of the origin; its translation is dropped."""
        return Pose(self.rotation, pivot - (self.rotation @ pivot[..., None])[..., 0])


def rotation_from_euler(
    yaw: Float[Tensor, "*batch"], pitch: Float[Tensor, "*batch"], roll: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """R = Rz(roll) Ry(-yaw) Rx(-pitch), for a face that looks along -z; angles in radians."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))

    # With y down and a face that looks along -z, positive turns about x and y would turn the face down and to
    # the picture's left: hence the minus signs.
    (cy, sy), (cp, sp), (cr, sr) = ((angle.cos(), angle.sin()) for angle in (-yaw, -pitch, roll))
    about_x = matrix(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_z = matrix(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return about_z @ about_y @ about_x


def euler_from_rotation(
    rotation: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Yaw, pitch and roll (radians) of `rotation_from_euler`.

    Every rotation is that of two triples; this is the one whose pitch lies within a quarter turn, as people's
    does, so that yaw and roll go all the way round: a head that turns beyond its profile keeps its pitch and
    roll. At a yaw of exactly a quarter turn only their sum is known, or their difference: roll is 0 there, or
    half a turn.
    """
    r = rotation
    roll = torch.atan2(r[..., 1, 0], r[..., 0, 0])
    # The second row of the rotation without its roll, (0, cos pitch, sin pitch). The third one holds pitch
    # too, but vanishes in profile.
    cosine, sine = roll.cos(), roll.sin()
    level = cosine * r[..., 1, 1] - sine * r[..., 0, 1]
    upward = cosine * r[..., 1, 2] - sine * r[..., 0, 2]
    side = torch.where(level < 0, -1.0, 1.0).to(r)
    # atan2 of both legs instead of asin: accurate near a quarter turn, and no NaN where rounding exceeds 1.
    yaw = torch.atan2(r[..., 2, 0], side * torch.hypot(r[..., 0, 0], r[..., 1, 0]))
    return (
        yaw,
        torch.atan2(side * upward, side * level),
        torch.atan2(side * r[..., 1, 0], side * r[..., 0, 0]),
    )


def heading(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Where a head faces, seen from above: like yaw, in radians, but all the way round to either side."""
    return torch.atan2(-rotation[..., 0, 2], rotation[..., 2, 2])


def rotation_from_axis_angle(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about `vector` by its length in radians (Rodrigues), differentiable at zero."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    # Rodrigues' closed form divides by the angle, so its gradient at zero would be 0 / 0.
    return torch.linalg.matrix_exp(skew)
