"""The numbers that describe one face: identity, expression, albedo and light."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

LENGTHS = {"identity": 80, "expression": 64, "albedo": 80, "lighting": 9}
"""How many numbers each part has, in the order of `FaceCoefficients.to_vector`."""
TOTAL = sum(LENGTHS.values())


@dataclass(frozen=True, slots=True)
class FaceCoefficients:
    """Coefficients of the head model and of the light that falls on it.

    The paper's 239 numbers without the six of the pose, which is a `Pose` here: 80 + 64 + 80 + 9 = 233.
    """

    identity: Float[Tensor, "*batch 80"]
    """Standard deviations along the identity modes; 0 is the mean face."""
    expression: Float[Tensor, "*batch 64"]
    """Strengths of the expressions: 52 ARKit blendshapes (0 neutral, 1 full) and 12 further modes."""
    albedo: Float[Tensor, "*batch 80"]
    """Standard deviations along the albedo modes; 0 is the mean skin."""
    lighting: Float[Tensor, "*batch 9"]
    """Weights of `portrait3d.rendering.shading.spherical_harmonics`, in the camera's frame."""

    @classmethod
    def from_vector(cls, vector: Float[Tensor, "*batch 233"]) -> "FaceCoefficients":
        """Cut a vector into identity, expression, albedo and lighting."""
        return cls(*vector.split(list(LENGTHS.values()), dim=-1))

    def to_vector(self) -> Float[Tensor, "*batch 233"]:
        """All numbers in one vector; the inverse of `from_vector`."""
        return torch.cat([getattr(self, field.name) for field in fields(self)], dim=-1)

    @property
    def batched(self) -> "FaceCoefficients":
        """One face's coefficients as a batch of one."""
        return self.from_vector(self.to_vector()[None])

    @classmethod
    def neutral(cls, batch: int = 1) -> "FaceCoefficients":
        """The mean face without expression, in white light that shows the albedo as it is."""
        vector = torch.zeros(batch, TOTAL)
        # The constant harmonic is 1 / sqrt(4 pi): irradiance 1 all round.
        vector[:, -LENGTHS["lighting"]] = (4 * torch.pi) ** 0.5
        return cls.from_vector(vector)
