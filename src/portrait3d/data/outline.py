"""Pull the parts of a fitted skull that stick out of the parsed head back to its outline.

A fit to the face alone leaves the skull of bald people about 20 mm too large, and their hair inside out.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from portrait3d.data.model_views import HeadInCrop, SkinModel
from portrait3d.geometry.skin import HEAD_CENTRE


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineConfig:
    """Weights of the refit."""

    noise: float = 0.004
    """Standard deviation of a face point, as a share of the crop's side."""
    pull: float = 1.5
    """Weight of an outline point against a face point."""
    tolerance: float = 0.005
    """Skull points this far outside are left alone, as a share of the crop's side; at least a pixel."""
    rounds: int = 5
    """How often the points that stick out are collected anew."""
    steps: int = 4
    """Gauss-Newton steps in each round."""


@dataclass(frozen=True, slots=True)
class HeadFit:
    """Coefficients and view of one head."""

    identity: Float[np.ndarray, "80"]
    expression: Float[np.ndarray, "64"]
    head: HeadInCrop


def pull_skull_inside(
    skin: SkinModel,
    fit: HeadFit,
    labels: UInt8[np.ndarray, "H W"],
    inside: Bool[np.ndarray, "H W"],
    config: OutlineConfig | None = None,
) -> HeadFit:
    """Change identity and pose so that the skull stays within the parsed head, and the face where it was.

    Neck and headwear may hide skull, and so may everything beyond the photo's border.
    """
    config = config or OutlineConfig()
    size = fit.head.size
    tolerance = max(config.tolerance * size, 1.0)
    allowed = np.isin(labels, (1, 2, 3, 4, 5, 6, 8)) | ~inside
    allowed[int(size * 0.97) :] = True
    distance, (row, column) = ndimage.distance_transform_edt(~allowed, return_indices=True)
    on_skin = np.zeros(len(skin.mean), bool)
    on_skin[skin.faces.ravel()] = True
    skull = np.flatnonzero(on_skin & (skin.mean[:, 1] < 45) & (skin.ear_mask < 0.3))
    face = np.flatnonzero(skin.face_mask > 0.9)[::4]
    face_target = fit.head.screen(fit.head.vertices)[face, :2]

    identity, head = fit.identity, fit.head
    for _ in range(config.rounds):
        pixels = head.screen(head.vertices)[skull, :2]
        x, y = np.clip(pixels.astype(int), 0, size - 1).T
        out = distance[y, x] > tolerance
        if not out.any():
            break
        points = np.concatenate([face, skull[out]])
        outline = np.stack([column[y[out], x[out]], row[y[out], x[out]]], axis=1) + 0.5
        target = np.concatenate([face_target, outline])
        strength = config.pull * min(1.0, np.sqrt(60 / out.sum()))
        weight = np.concatenate([np.full(len(face), 68 / len(face)), np.full(out.sum(), strength)])
        for _ in range(config.steps):
            identity, head = _step(
                skin, identity, fit.expression, head, points, target, weight, config.noise * size
            )
    head = _shrink_skull(skin, head, skull, distance, tolerance)
    return HeadFit(identity=identity, expression=fit.expression, head=head)


def _shrink_skull(skin, head, skull, distance, tolerance) -> HeadInCrop:
    """Draw what the model's modes could not bring inside towards the head's centre, fading into the face.

    The smallest of a few shrinkages that leaves less than 2 % of the skull's vertices outside; skulls of bald
    people lie beyond what the modes reach.
    """
    near_face, _ = cKDTree(skin.mean[skin.face_mask > 0.5]).query(skin.mean)
    share = np.clip(near_face / 40, 0, 1) * np.clip((45 - skin.mean[:, 1]) / 30, 0, 1) * (1 - skin.ear_mask)
    size = len(distance)
    for amount in np.arange(0, 0.2, 0.02):
        vertices = HEAD_CENTRE + (head.vertices - HEAD_CENTRE) * (1 - amount * share[:, None])
        x, y = np.clip(head.screen(vertices)[skull, :2].astype(int), 0, size - 1).T
        if (distance[y, x] > tolerance).mean() < 0.02:
            break
    return replace(head, vertices=vertices)


def share_outside(skull: Bool[np.ndarray, "H W"], labels: UInt8[np.ndarray, "H W"]) -> float:
    """Share of the pixels that show the skull where the parsing sees background or body."""
    return float((skull & np.isin(labels, (0, 7))).sum() / max(skull.sum(), 1))


def _step(skin, identity, expression, head, points, target, weight, noise) -> tuple[np.ndarray, HeadInCrop]:
    """One Gauss-Newton step of identity, rotation and translation towards `target` pixels."""
    turned = head.vertices[points] @ head.rotation.T
    moved = turned + head.translation
    depth = moved[:, 2:]
    residual = (target - head.size / 2 - head.focal * moved[:, :2] / depth) / noise
    modes = np.moveaxis(skin.identity[:, points], 0, 2)
    by_shape = np.einsum("ij,njk->nik", head.rotation, modes)
    x, y, z = turned.T
    zero = np.zeros_like(x)
    by_turn = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)
    by_shift = np.broadcast_to(np.eye(3), by_turn.shape)
    motion = np.concatenate([by_shape, by_turn, by_shift], axis=2)
    slope = head.focal / noise / depth[..., None]
    jacobian = slope * (motion[:, :2] - (moved[:, :2] / depth)[..., None] * motion[:, 2:])
    # Huber: a point far off pulls no more than one at four standard deviations.
    robust = weight / np.maximum(1, np.linalg.norm(residual, axis=1) / 4)
    weighted = (jacobian * robust[:, None, None]).reshape(-1, jacobian.shape[2])
    hessian = weighted.T @ jacobian.reshape(-1, jacobian.shape[2])
    gradient = weighted.T @ residual.ravel()
    modes_count = len(identity)
    hessian[np.arange(modes_count), np.arange(modes_count)] += 1.0
    gradient[:modes_count] -= identity
    step = np.linalg.solve(hessian + 1e-9 * np.eye(len(hessian)), gradient)
    identity = identity + step[:modes_count]
    return identity, replace(
        head,
        vertices=skin.vertices(identity, expression),
        rotation=Rotation.from_rotvec(step[-6:-3]).as_matrix() @ head.rotation,
        translation=head.translation + step[-3:],
    )
