"""Photographed faces turned to large angles: exact coefficients and poses where photos hardly have any.

The skin of a nearly frontal photo is seen through the fitted head model from another side (after the face
profiling of Zhu et al., CVPR 2016); what the photo does not show is taken from the other half of the face.
"""

import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from portrait3d.data.face.crops import STORED_MARGIN, STORED_SIZE, exact_fits
from portrait3d.data.face.fits import FaceFits, project_points
from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, coefficients_of_shape
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_MARGIN, FACE_SIZE
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize

logger = logging.getLogger(__name__)

MOST_YAW, MOST_SOURCE_YAW = 1.05, 0.2
"""How far faces are turned, and how frontal the photos are that they come from, radians."""


@torch.no_grad()
def turn_faces(
    fits: FaceFits, images: UInt8[np.ndarray, "N H W 3"], head: HeadModel, count: int, seed: int = 0
) -> tuple[FaceFits, UInt8[np.ndarray, "count H W 3"]]:
    """Labels and stored crops of `count` turned faces of the training split."""
    random = np.random.default_rng(seed)
    points = MeshPoints.from_head_model(head)
    source_pose = Pose(torch.from_numpy(fits.rotation), torch.from_numpy(fits.translation))
    frontal = source_pose.euler()[0].abs().numpy() < MOST_SOURCE_YAW
    usable = frontal & ~fits.validation & (fits.residual < 0.006)
    rows = random.choice(np.flatnonzero(usable), count)
    shape, slide = torch.from_numpy(fits.shape[rows]), torch.from_numpy(fits.slide)

    yaw = random.uniform(-MOST_YAW, MOST_YAW, count)
    pitch, roll = random.normal(0, 0.15, count), random.normal(0, 0.05, count)
    angles = [torch.from_numpy(angle.astype(np.float32)) for angle in (yaw, pitch, roll)]
    pose = centred_pose(points, shape, rotation_from_euler(*angles), slide)
    turned = np.empty((count, STORED_SIZE, STORED_SIZE, 3), np.uint8)
    for k in range(0, count, 16):
        part = slice(k, k + 16)
        seen = Pose(source_pose.rotation[rows[part]], source_pose.translation[rows[part]])
        moved = Pose(pose.rotation[part], pose.translation[part])
        photos = torch.from_numpy(images[rows[part]]).permute(0, 3, 1, 2).float() / 255
        pictures = see_from(photos, head, shape[part], seen, moved)
        turned[part] = (pictures.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()

    labels = exact_fits(
        points,
        shape,
        pose,
        slide,
        names=[f"{name}-turned" for name in fits.names[rows]],
        folder="turned",
        key=f"{fits.key}-{count}-{seed}",
    )
    return labels, turned


def centred_pose(
    points: MeshPoints, shape: Float[Tensor, "B 144"], rotation: Float[Tensor, "B 3 3"], slide: Tensor
) -> Pose:
    """The pose with this rotation whose landmarks have the face crop's centre and size."""
    pose = Pose(rotation, torch.tensor([0.0, 0.0, 950.0]).repeat(len(shape), 1))
    # Fixed point: size and place in the crop are nearly inverse to depth and proportional to the shift.
    for _ in range(4):
        seen = project_points(points, shape, pose, slide)[:, LANDMARKS_OF_MESH]
        low, high = seen.amin(1), seen.amax(1)
        depth = pose.translation[:, 2] * (high - low).prod(1).sqrt() * FACE_MARGIN / FACE_SIZE
        aside = (pose.translation[:, :2] / pose.translation[:, 2:]) - (
            (low + high) / 2 - FACE_SIZE / 2
        ) / FACE_FOCAL
        pose = Pose(rotation, torch.cat([aside * depth[:, None], depth[:, None]], dim=1))
    return pose


def see_from(
    photos: Float[Tensor, "B 3 S S"], head: HeadModel, shape: Float[Tensor, "B 144"], seen: Pose, moved: Pose
) -> Float[Tensor, "B 3 S S"]:
    """The heads of wide crops with pose `seen`, as pose `moved` would show them, over a blur of the photo."""
    vertices = head.vertices(coefficients_of_shape(shape))
    source, target = _screen(seen.apply(vertices)), _screen(moved.apply(vertices))
    shown = _shown(seen.apply(vertices), head.faces)
    # Where the photo does not show a vertex but its mirror image, that one's colour is taken.
    own_share = (shown + 1e-3) / (shown + 1e-3 + (1 - shown) * shown[:, head.mirror])
    attributes = torch.cat([source[..., :2], source[:, head.mirror, :2], own_share], dim=-1)
    fragments = rasterize(target, head.faces, STORED_SIZE, STORED_SIZE, cull_backfaces=False)
    spread = interpolate(attributes, head.faces, fragments)
    own, mirrored = (_sample(photos, spread[:, k : k + 2]) for k in (0, 2))
    skin = mirrored + spread[:, 4:] * (own - mirrored)
    small = F.interpolate(photos, (12, 12), mode="bilinear", antialias=True)
    behind = F.interpolate(small, photos.shape[-2:], mode="bicubic").clamp(0, 1)
    bare = (fragments.face_index < 0)[:, None].float()
    # Soft from the rim inwards, for there is no skin beyond it.
    covered = F.avg_pool2d(1 - F.max_pool2d(bare, 3, stride=1, padding=1), 3, stride=1, padding=1)
    return (behind + covered * (skin - behind)).clamp(0, 1)


def _screen(camera_points: Float[Tensor, "B V 3"]) -> Float[Tensor, "B V 3"]:
    """Pixels of the stored crop, and depth."""
    pixels = camera_points[..., :2] / camera_points[..., 2:] * (FACE_FOCAL / STORED_MARGIN)
    return torch.cat([pixels * (STORED_SIZE / FACE_SIZE) + STORED_SIZE / 2, camera_points[..., 2:]], dim=-1)


def _shown(camera_points: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"]) -> Float[Tensor, "B V 1"]:
    """How well a vertex can be seen: 0 from the rim on, 1 where the surface faces the camera."""
    cosine = -(vertex_normals(camera_points, faces) * F.normalize(camera_points, dim=-1)).sum(
        -1, keepdim=True
    )
    return ((cosine - 0.15) / 0.4).clamp(0, 1)


def _sample(photos: Float[Tensor, "B 3 S S"], pixels: Float[Tensor, "B 2 S S"]) -> Float[Tensor, "B 3 S S"]:
    grid = pixels.permute(0, 2, 3, 1) * (2 / STORED_SIZE) - 1
    return F.grid_sample(photos, grid, padding_mode="border", align_corners=False)


def load_or_turn(
    fits: FaceFits, images: UInt8[np.ndarray, "N H W 3"], head: HeadModel, count: int, cache: Path
) -> tuple[FaceFits, np.ndarray]:
    """The turned faces in `cache`, rendered there if they are not of these fits."""
    labels, pictures = cache / "turned.npz", cache / "turned.npy"
    if labels.is_file() and pictures.is_file():
        known = FaceFits.load(labels)
        if known.key == f"{fits.key}-{count}-0":
            return known, np.load(pictures, mmap_mode="r")
    logger.info("Turning %d faces.", count)
    known, images = turn_faces(fits, images, head, count)
    np.save(pictures, images)
    known.save(labels)
    return known, images
