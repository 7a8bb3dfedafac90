"""Several fits of one person's face made one: identity for all, a pose for each."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_fit import FaceFit
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel

SURE, DOUBTFUL = 1.2, 1.0
"""Strangeness from which two photos are taken to show different people, and from which they may.

`tools/measure_strangeness.py` counts: of 137 pairs of photos of one person from about the front 1.5 % lie
above 1.2 and 5.1 % above 1.0, of 29,998 pairs of different people 16.3 % and 29.9 %. With a side view in the
pair it is none of 5 and one, 29.3 % and 52.9 % of 1,235. Most are official portraits.
The coefficients describe a face, they don't recognise it: what lies below can still be two people."""
ROUNDS = 8
"""Of Gauss and Newton's method, of which three are usually enough."""


def strangeness(first: Float[Tensor, "80"], second: Float[Tensor, "80"], net: FaceNet) -> float:
    """How unlike two identities are, 0 for the same, 1 for unrelated ones, 2 for opposite ones.

    One less the cosine between their deviations from the mean of what the network reads.
    """
    mean, scale = net.shape_mean[: len(first)].cpu(), net.shape_scale[: len(first)].cpu()
    return 1 - float(F.cosine_similarity((first - mean) / scale, (second - mean) / scale, dim=0))


def with_joint_identity(
    fits: Sequence[FaceFit], qualities: Sequence[float], head: HeadModel
) -> list[FaceFit]:
    """The fits with one identity and one albedo, their weighted means; pictures of the faces stay in place.

    `qualities` are those of `fit_quality`, reciprocals of expected errors: their squares are the weights that
    make the mean's expected error least.

    Expression and light stay each photo's own, and so does where the face is seen: each pose is shifted to
    where the photo's own fit projected it.
    """
    share = torch.tensor(list(qualities), dtype=torch.float64) ** 2
    share = share / share.sum()

    def mean(part: str) -> Float[Tensor, " N"]:
        values = torch.stack([getattr(fit.coefficients, part).double() for fit in fits])
        return (share[:, None] * values).sum(0).float()

    identity, albedo = mean("identity"), mean("albedo")
    joint = []
    for fit in fits:
        coefficients = replace(fit.coefficients, identity=identity, albedo=albedo)
        pose = kept_in_place(fit, coefficients, head)
        joint.append(replace(fit, coefficients=coefficients, crop_from_model=pose))
    return joint


def kept_in_place(fit: FaceFit, coefficients: FaceCoefficients, head: HeadModel) -> Pose:
    """The fit's pose, shifted so that the face of another shape is seen where the fit's is, in the least
    squares."""
    rotation = fit.crop_from_model.rotation
    before = fit.crop_from_model.apply(head.vertices(fit.coefficients.batched)[0]).double()
    after = head.vertices(coefficients.batched)[0].double() @ rotation.double().T
    normals = vertex_normals(before.float(), head.skin_faces).double()
    # The face's vertices that turn to the camera: those that the photo shows.
    chosen = (head.face_mask > 0.5) & ((normals * before).sum(-1) < 0)
    wanted = before[chosen, :2] / before[chosen, 2:]
    place = fit.crop_from_model.translation.double()
    # The rotation stays, the three numbers of the shift are fitted to where the projections were.
    for _ in range(ROUNDS):
        place = _nearer(place, after[chosen], wanted)
    return Pose(rotation, place.float())


def _nearer(
    place: Float[Tensor, "3"], points: Float[Tensor, "N 3"], wanted: Float[Tensor, "N 2"]
) -> Float[Tensor, "3"]:
    """One step of Gauss and Newton toward the shift that projects points to x / z and y / z."""
    x, y, z = (points + place).unbind(-1)
    zero = torch.zeros_like(x)
    slopes = torch.cat(
        [torch.stack([1 / z, zero, -x / z**2], dim=-1), torch.stack([zero, 1 / z, -y / z**2], dim=-1)]
    )
    missing = wanted - torch.stack([x / z, y / z], dim=-1)
    return place + torch.linalg.lstsq(slopes, missing.T.reshape(-1, 1)).solution[:, 0]
