"""Several fits of one person's face made one: identity for all, a pose for each."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose, heading, rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_fit import FaceFit
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel

SURE, DOUBTFUL = 1.0, 0.8
"""Strangeness from which two photos are taken to show different people, and from which they may.

Of 251 pairs of photos of one person from about the front (150 of them frames of one clip) 0.4 % lie
above 1.0 and 0.8 % above 0.8; of 38,252 pairs of different people 28 % and 47 %. With a side view in the
pair it is 0 of 23 and 26 %, 44 % and 75 %.
The coefficients describe a face, they don't recognise it: what lies below can still be two people."""
READ, TRUE = (0.0, 59.0, 69.0, 74.5, 90.0), (0.0, 60.0, 75.0, 90.0, 90.0)
"""Yaw that the network reads in side views (degrees, mean of the ten avatars that are held out) and the
true one: profiles are read as less turned than they are. Other weights of the face network read otherwise."""
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
        pose = kept_in_place(fit, coefficients, unbiased(fit.crop_from_model.rotation), head)
        joint.append(replace(fit, coefficients=coefficients, crop_from_model=pose))
    return joint


def unbiased(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "3 3"]:
    """The rotation of a side view with the yaw that the network usually misses put back."""
    read = math.degrees(float(heading(rotation)))
    missing = math.radians(float(np.interp(abs(read), READ, TRUE)) - abs(read))
    none = torch.tensor(0.0)
    turn = rotation_from_euler(torch.tensor(math.copysign(missing, read)), none, none)
    return rotation @ turn.to(rotation)


def kept_in_place(
    fit: FaceFit, coefficients: FaceCoefficients, rotation: Float[Tensor, "3 3"], head: HeadModel
) -> Pose:
    """The pose of another shape, turned by `rotation`, whose face is seen where the fit's is, in the least
    squares: it is shifted only."""
    before = fit.crop_from_model.apply(head.vertices(fit.coefficients.batched)[0]).double()
    after = head.vertices(coefficients.batched)[0].double() @ rotation.double().T
    normals = vertex_normals(before.float(), head.skin_faces).double()
    chosen = (head.face_mask > 0.5) & ((normals * before).sum(-1) < 0)
    wanted = before[chosen, :2] / before[chosen, 2:]
    place = fit.crop_from_model.translation.double()
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
