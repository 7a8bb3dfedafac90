"""The head model at the teacher's 468 mesh points, with an outline that slides as the head turns."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel

IDENTITIES, EXPRESSIONS, SHAPES = 80, 64, 144
"""Numbers of identity and expression coefficients, and their sum: a "shape" is both, in this order."""

# fmt: off
OUTLINE = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])
# fmt: on
"""Mesh points that a landmark detector puts on the visible outline instead of a fixed place of the skin."""

MAX_LEAN = 0.6
"""Sine of the view's angle beyond which the sliding is held constant: few photos look further to a side."""


@dataclass(frozen=True, slots=True)
class MeshPoints:
    """The linear head model restricted to P named points of its skin, in the model's frame (mm)."""

    mean: Float[Tensor, "P 3"]
    basis: Float[Tensor, "144 P 3"]
    """What one unit of each identity (80) and expression (64) coefficient adds."""

    @classmethod
    def from_head_model(cls, head: HeadModel) -> "MeshPoints":
        """The head model at the 468 points of MediaPipe's face mesh."""
        shapes = torch.cat([torch.zeros(1, SHAPES), torch.eye(SHAPES)])
        with torch.no_grad():
            points = head.mesh_points(head.vertices(coefficients_of_shape(shapes)))
        return cls(points[0], points[1:] - points[0])

    def __call__(self, shape: Float[Tensor, "B 144"]) -> Float[Tensor, "B P 3"]:
        """Positions of the points (mm, model frame)."""
        return self.mean + (shape @ self.basis.flatten(1)).unflatten(1, (-1, 3))

    def subset(self, index: Int64[Tensor, " Q"]) -> "MeshPoints":
        """The same model at fewer points."""
        return MeshPoints(self.mean[index], self.basis[:, index])


def mirror_pairs(points: Float[Tensor, "P 3"]) -> Int64[Tensor, " P"]:
    """For every point of a symmetric head, the one nearest to its mirror image."""
    return torch.cdist(points * points.new_tensor([-1.0, 1.0, 1.0]), points).argmin(1)


def coefficients_of_shape(shape: Float[Tensor, "B 144"]) -> FaceCoefficients:
    """Coefficients with this identity and expression, mean albedo and no light."""
    zeros = shape.new_zeros(len(shape), 89)
    return FaceCoefficients(
        identity=shape[:, :IDENTITIES],
        expression=shape[:, IDENTITIES:],
        albedo=zeros[:, :80],
        lighting=zeros[:, 80:],
    )


def slide_features(
    rotation: Float[Tensor, "B 3 3"],
) -> tuple[Float[Tensor, "B 7"], Float[Tensor, "B 2 2"]]:
    """A polynomial of the viewing direction with roll taken out, and the roll as an in-plane rotation."""
    # The head's x axis in the picture tells its roll; what is left is where the face looks, right and down.
    roll = torch.nn.functional.normalize(rotation[:, :2, 0], dim=1, eps=1e-6)
    cos, sin = roll.unbind(1)
    forward = -rotation[:, :2, 2]
    x = (cos * forward[:, 0] + sin * forward[:, 1]).clamp(-MAX_LEAN, MAX_LEAN)
    y = (cos * forward[:, 1] - sin * forward[:, 0]).clamp(-MAX_LEAN, MAX_LEAN)
    # x |x| grows with the square and still changes its sign with the side.
    polynomial = torch.stack([torch.ones_like(x), x, y, x * x, x * x.abs(), x * y, x**3], dim=1)
    return polynomial, torch.stack([cos, -sin, sin, cos], dim=1).unflatten(1, (2, 2))


def slide_offsets(table: Float[Tensor, "7 P 2"], pose: Pose, focal: float | Tensor) -> Float[Tensor, "B P 2"]:
    """How far, in pixels, a landmark detector's points lie off the model's fixed ones in a view.

    Detectors put jaw points on the visible outline, which is another line of the skin in every view. `table`
    holds the polynomial's weights in mm of an upright head; it describes the detector, not the head.
    """
    polynomial, roll = slide_features(pose.rotation)
    upright = torch.einsum("bk,kpd->bpd", polynomial, table)
    # Turned with the head, then from millimetres to pixels by the focal length over the depth.
    return upright @ roll.transpose(1, 2) * (focal / pose.translation[:, 2])[:, None, None]


def learn_slide(
    offsets: Float[Tensor, "B P 2"],
    pose: Pose,
    focal: float,
    pairs: Int64[Tensor, " P"],
    sliding: Bool[Tensor, " P"],
) -> Float[Tensor, "7 P 2"]:
    """Least squares for the table of `slide_offsets` from residuals (px) of fits with pose `pose`.

    Mirrored copies take part, so that the table is symmetric; turned heads weigh more, being few. Points that
    are not `sliding` get zero.
    """
    polynomial, roll = slide_features(pose.rotation)
    upright = offsets @ roll / (focal / pose.translation[:, 2])[:, None, None]
    # The mirror image: signs of the polynomial's terms for -x, and of the offsets' x.
    polynomial = torch.cat([polynomial, polynomial * offsets.new_tensor([1, -1, 1, 1, -1, -1, -1])])
    upright = torch.cat([upright, (upright * offsets.new_tensor([-1, 1]))[:, pairs]])
    weighted = polynomial * (0.2 + polynomial[:, 1:2].abs())
    # A little ridge: few faces look far to a side, and high powers would be free there.
    gram = weighted.T @ polynomial + 0.01 * torch.eye(7)
    table = torch.linalg.solve(gram, weighted.T @ upright.flatten(1)).unflatten(1, (-1, 2))
    return table * sliding[:, None]
