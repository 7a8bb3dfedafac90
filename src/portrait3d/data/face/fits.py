"""Offline fits of the head model to labelled points: the face network's first teacher.

Batched Gauss-Newton, about 10 ms a photo on one core. The teacher's jaw slides along the outline as a head
turns, which is fitted too; expressions are kept in bounds by an active set, because clipping after each step
ends in wrong mouths. Everything happens in the upright face crop: 224 px for 1.6 sqrt(w h) of the landmarks.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, LabelledPhoto
from portrait3d.geometry.pose import Pose, rotation_from_axis_angle
from portrait3d.models.mesh_points import (
    IDENTITIES,
    OUTLINE,
    SHAPES,
    MeshPoints,
    learn_slide,
    mirror_pairs,
    slide_offsets,
)
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_MARGIN, FACE_SIZE, crop_from_landmarks

logger = logging.getLogger(__name__)

BOUNDED = slice(IDENTITIES, IDENTITIES + 52)
"""The expressions that are ARKit blendshapes and have natural bounds."""
LEAST, MOST = -0.15, 1.2
"""Those bounds, a little wider than 0 to 1."""
POINT_COUNT = 468


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Weights of one Gauss-Newton fit."""

    outline_weight: float = 0.5
    """Weight of the outline's points; other points have 1."""
    noise: float = 0.01
    """Standard deviation of a point's error over half the extent of the points, for 68 points."""
    identity_sigma: float = 1.0
    """Prior standard deviation of an identity coefficient."""
    expression_sigma: float = 0.35
    """Prior standard deviation of an expression coefficient."""
    iterations: int = 10
    pose_iterations: int = 4
    """The first iterations move the pose alone; `iterations` or more fits nothing but the pose."""


@dataclass(frozen=True, slots=True)
class FaceFits:
    """Labels and fits of N photos, in upright face crops (pixels of 224, focal 1015 px)."""

    names: np.ndarray
    folders: np.ndarray
    validation: Bool[np.ndarray, " N"]
    centre: Float[np.ndarray, "N 2"]
    """The crop's centre in the photo, pixels."""
    side: Float[np.ndarray, " N"]
    """The crop's side, photo pixels."""
    angle: Float[np.ndarray, " N"]
    """The crop's roll in the photo, radians, clockwise."""
    box: Float[np.ndarray, "N 4"]
    """The face detector's box in the photo, pixels."""
    points: Float[np.ndarray, "N 468 2"]
    """The teacher's points; NaN where a photo has the 68 landmarks alone."""
    shape: Float[np.ndarray, "N 144"]
    rotation: Float[np.ndarray, "N 3 3"]
    translation: Float[np.ndarray, "N 3"]
    residual: Float[np.ndarray, " N"]
    """Mean error of the 68 landmarks over sqrt(w h) of their box."""
    slide: Float[np.ndarray, "7 468 2"]
    """Table of `portrait3d.models.mesh_points.slide_offsets`."""
    key: str
    """Digest of the head model and the photos that the fits belong to."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def landmarks(self) -> Float[np.ndarray, "N 68 2"]:
        """The teacher's 68 landmarks, crop pixels."""
        return self.points[:, LANDMARKS_OF_MESH]

    def save(self, path: Path) -> None:
        """Write everything to an npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "FaceFits":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as table:
            values = {field.name: table[field.name] for field in fields(cls)}
        return cls(**{**values, "key": str(values["key"])})


def fit_points(
    model: MeshPoints,
    target: Float[Tensor, "B P 2"],
    *,
    outline: Bool[Tensor, " P"],
    config: FitConfig,
    slide: Float[Tensor, "7 P 2"] | None = None,
    shape: Float[Tensor, "B 144"] | None = None,
) -> tuple[Float[Tensor, "B 144"], Pose]:
    """Shape and pose whose projections best explain points of the face crop (pixels of 224)."""
    batch, count = target.shape[:2]
    target = target - FACE_SIZE / 2
    found = target.new_zeros(batch, SHAPES) if shape is None else shape.clone()
    pose = frontal_pose(model, target)
    extent = (target.amax(1) - target.amin(1)).amax(1)
    sigma = (config.noise * extent / 2 * (count / 68) ** 0.5)[:, None, None]
    weight = torch.where(outline, config.outline_weight, 1.0)[:, None]
    prior = torch.full((SHAPES,), config.identity_sigma**-2.0)
    prior[IDENTITIES:] = config.expression_sigma**-2.0
    basis = model.basis.permute(1, 2, 0).contiguous()
    # Gauss-Newton on pose, then on pose, identity and expression together (maximum a posteriori).
    for iteration in range(config.iterations):
        turned = model(found) @ pose.rotation.transpose(1, 2)
        moved = turned + pose.translation[:, None]
        scale = FACE_FOCAL / moved[..., 2:]
        expected = scale * moved[..., :2]
        if slide is not None:
            expected = expected + slide_offsets(slide, pose, FACE_FOCAL)
        residual = (target - expected) / sigma
        jacobian = _pose_jacobian(turned, moved, scale / sigma)
        if iteration >= config.pose_iterations:
            by_shape = jacobian[..., 3:] @ pose.rotation[:, None] @ basis
            jacobian = torch.cat([by_shape, jacobian], dim=-1)
        # Huber in pixels, whatever the number of points; wide at first, or an open mouth is an outlier.
        width = 4.0 if iteration > 6 else 20.0
        outlying = residual.norm(dim=-1, keepdim=True) * (count / POINT_COUNT) ** 0.5 / width
        root = (weight / outlying.clamp_min(1.0)).sqrt()
        jacobian = (jacobian * root[..., None]).flatten(1, 2)
        hessian = jacobian.transpose(1, 2) @ jacobian
        gradient = (jacobian.transpose(1, 2) @ (residual * root).flatten(1)[..., None])[..., 0]
        if iteration >= config.pose_iterations:
            _add_prior(hessian, gradient, found, prior)
        # A trace of Levenberg and Marquardt's damping, so that the system can be solved in float32.
        hessian.diagonal(dim1=1, dim2=2).mul_(1 + 1e-7)
        step = torch.linalg.solve(hessian, gradient)
        if iteration >= config.pose_iterations:
            found = found + step[:, :SHAPES]
            found[:, BOUNDED] = found[:, BOUNDED].clamp(LEAST, MOST)
        turn, shift = step[:, -6:-3], step[:, -3:]
        pose = Pose(rotation_from_axis_angle(turn) @ pose.rotation, pose.translation + shift)
    return found, pose


def frontal_pose(model: MeshPoints, target: Float[Tensor, "B P 2"]) -> Pose:
    """A frontal head of about the right size and place; `target` in pixels from the crop's centre."""
    height = target[..., 1].amax(1) - target[..., 1].amin(1)
    depth = FACE_FOCAL * (model.mean[:, 1].max() - model.mean[:, 1].min()) / height
    aside = target.mean(1) / FACE_FOCAL * depth[:, None]
    translation = torch.cat([aside, depth[:, None]], dim=1) - model.mean.mean(0)
    return Pose(torch.eye(3).repeat(len(target), 1, 1), translation)


def _pose_jacobian(turned: Tensor, moved: Tensor, scale: Tensor) -> Tensor:
    """Derivative of the weighted projection by a small rotation and a translation, [B, P, 2, 6]."""
    projection = torch.zeros(*moved.shape[:2], 2, 3)
    projection[..., 0, 0] = projection[..., 1, 1] = 1.0
    projection[..., 2] = -moved[..., :2] / moved[..., 2:]
    projection = projection * scale[..., None]
    x, y, z = turned.unbind(-1)
    zero = torch.zeros_like(x)
    by_rotation = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.cat([projection @ by_rotation, projection], dim=-1)


def _add_prior(hessian: Tensor, gradient: Tensor, shape: Tensor, prior: Tensor) -> None:
    """Add the prior, and hold every expression that is at a bound and wants to leave it."""
    hessian.diagonal(dim1=1, dim2=2)[:, :SHAPES] += prior
    gradient[:, :SHAPES] -= prior * shape
    # The active set: a stiff spring holds coefficients at their bounds, so that the others answer to it.
    bounded, slope = shape[:, BOUNDED], gradient[:, BOUNDED]
    held = ((bounded <= LEAST + 1e-3) & (slope < 0)) | ((bounded >= MOST - 1e-3) & (slope > 0))
    hessian.diagonal(dim1=1, dim2=2)[:, BOUNDED] += held * 1e7
    slope[held] = 0.0


def project_points(
    model: MeshPoints, shape: Tensor, pose: Pose, slide: Tensor | None = None
) -> Float[Tensor, "B P 2"]:
    """Where the points of a fit lie in the face crop (pixels of 224)."""
    moved = pose.apply(model(shape))
    pixels = FACE_SIZE / 2 + FACE_FOCAL * moved[..., :2] / moved[..., 2:]
    return pixels if slide is None else pixels + slide_offsets(slide, pose, FACE_FOCAL)


def fit_in_chunks(
    model: MeshPoints,
    target: Float[Tensor, "N Q 2"],
    index: Int64[np.ndarray, " Q"],
    config: FitConfig,
    slide: Float[Tensor, "7 468 2"] | None,
    chunk: int = 128,
    shape: Float[Tensor, "N 144"] | None = None,
) -> tuple[Float[Tensor, "N 144"], Pose]:
    """`fit_points` for many photos whose points are those of `index` among the 468."""
    part = model.subset(torch.from_numpy(index))
    outline = torch.from_numpy(np.isin(index, OUTLINE))
    table = None if slide is None else slide[:, index]
    results = [
        fit_points(
            part,
            target[k : k + chunk],
            outline=outline,
            config=config,
            slide=table,
            shape=None if shape is None else shape[k : k + chunk],
        )
        for k in range(0, len(target), chunk)
    ]
    found = torch.cat([result[0] for result in results])
    rotation = torch.cat([result[1].rotation for result in results])
    return found, Pose(rotation, torch.cat([result[1].translation for result in results]))


def fit_photos(
    photos: Sequence[LabelledPhoto],
    model: MeshPoints,
    config: FitConfig | None = None,
    slide: Float[Tensor, "7 468 2"] | None = None,
) -> FaceFits:
    """Fit every photo; the outline's table, if not given, is learnt from half of those with 468 points."""
    config = config or FitConfig()
    crops = [crop_from_landmarks(torch.from_numpy(photo.landmarks)) for photo in photos]
    points = np.full((len(photos), POINT_COUNT, 2), np.nan, np.float32)
    full = np.array([photo.has_mesh_points for photo in photos])
    for k, (photo, crop) in enumerate(zip(photos, crops, strict=True)):
        index = slice(None) if full[k] else LANDMARKS_OF_MESH
        points[k, index] = crop.crop_from_photo(torch.from_numpy(photo.points[:, :2].copy()))
    target = torch.from_numpy(points)

    dense = np.union1d(np.union1d(LANDMARKS_OF_MESH, OUTLINE), np.arange(0, POINT_COUNT, 3))
    if slide is None:
        slide = _fit_slide(model, target[torch.from_numpy(np.flatnonzero(full)[::2])], dense)
    shape = torch.zeros(len(photos), SHAPES)
    rotation, translation = torch.zeros(len(photos), 3, 3), torch.zeros(len(photos), 3)
    for index, rows in ((dense, np.flatnonzero(full)), (LANDMARKS_OF_MESH, np.flatnonzero(~full))):
        if len(rows):
            logger.info("Fitting %d photos to %d points each.", len(rows), len(index))
            found, pose = fit_in_chunks(model, target[rows][:, index], index, config, slide)
            shape[rows], rotation[rows], translation[rows] = found, pose.rotation, pose.translation
    projected = project_points(model, shape, Pose(rotation, translation), slide)[:, LANDMARKS_OF_MESH]
    error = (projected - target[:, LANDMARKS_OF_MESH]).norm(dim=-1).mean(1).numpy()
    residual = error * FACE_MARGIN / FACE_SIZE
    logger.info("Fits leave %.2f %% of face size on average.", 100 * residual.mean())
    return FaceFits(
        names=np.array([photo.name for photo in photos]),
        folders=np.array([photo.folder for photo in photos]),
        validation=np.array([photo.split == "val" for photo in photos]),
        centre=np.array([crop.centre for crop in crops], np.float32),
        side=np.array([crop.side for crop in crops], np.float32),
        angle=np.array([crop.angle for crop in crops], np.float32),
        box=np.stack([photo.box for photo in photos]).astype(np.float32),
        points=points,
        shape=shape.numpy(),
        rotation=rotation.numpy(),
        translation=translation.numpy(),
        residual=residual.astype(np.float32),
        slide=slide.numpy(),
        key=fits_key(photos, model),
    )


def _fit_slide(model: MeshPoints, target: Float[Tensor, "N 468 2"], index: np.ndarray) -> Tensor:
    """Two rounds of fitting with a light outline and asking where its points then lie."""
    slide = torch.zeros(7, POINT_COUNT, 2)
    sliding = torch.from_numpy(np.isin(np.arange(POINT_COUNT), OUTLINE))
    # At first the outline hardly counts, or it would pull the face to where it has slid.
    for weight in (0.05, 0.3) if len(target) else ():
        config = FitConfig(outline_weight=weight)
        shape, pose = fit_in_chunks(model, target[:, index], index, config, slide)
        offsets = target - project_points(model, shape, pose)
        slide = learn_slide(offsets, pose, FACE_FOCAL, mirror_pairs(model.mean), sliding)
    return slide


def fits_key(photos: Sequence[LabelledPhoto], model: MeshPoints) -> str:
    """Changes when the head model or the list of photos does."""
    digest = hashlib.sha256(model.mean.numpy().tobytes() + model.basis.numpy().tobytes())
    digest.update("\n".join(f"{photo.folder}/{photo.name}" for photo in photos).encode())
    return digest.hexdigest()


def load_or_fit(photos: Sequence[LabelledPhoto], model: MeshPoints, cache: Path) -> FaceFits:
    """The fits in `cache`, made there (minutes for ten thousand photos) if they are not of these inputs."""
    path = cache / "fits.npz"
    if path.is_file():
        fits = FaceFits.load(path)
        if fits.key == fits_key(photos, model):
            return fits
    fits = fit_photos(photos, model)
    fits.save(path)
    return fits
