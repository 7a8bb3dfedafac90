"""A second view of a head whose depth is known: the picture, labels and depth after a small turn."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from scipy.spatial.transform import Rotation

from portrait3d.data.model_views import HeadInCrop, ModelViews, SkinModel, render_model_views
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.geometry.warping import region_triangles
from portrait3d.parsing_classes import FACE, ParsingClass
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.warping import LONGEST_STEP

WALL_TRUST = 0.25
"""Trust in the model's surface where a turn uncovers it."""


@dataclass(frozen=True, slots=True)
class HeadView:
    """One picture of a head with everything that the depth network learns from."""

    image: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]
    """Parsing classes; background where the photo does not reach."""
    region: Bool[np.ndarray, "H W"]
    """Where depth is wanted."""
    face_depth: Float[np.ndarray, "H W"]
    """Depth of the fitted face (mm), inf where none is seen steeply enough."""
    depth: Float[np.ndarray, "H W"]
    """Supervision (mm), inf where there is none."""
    trust: Float[np.ndarray, "H W"]
    """Weight of the supervision, 0 to 1."""
    head: HeadInCrop


def bare_face(view: HeadView) -> Bool[np.ndarray, "H W"]:
    """Where the fitted face is seen and nothing covers it."""
    return np.isin(view.labels, FACE) & np.isfinite(view.face_depth) & view.region


def turned(head: HeadInCrop, yaw: float, pitch: float) -> HeadInCrop:
    """The head turned by angles (radians, the project's signs) about the point where heads turn."""
    motion = Rotation.from_euler("yx", [-yaw, -pitch]).as_matrix()
    pivot = head.rotation @ HEAD_PIVOT + head.translation
    return replace(
        head,
        rotation=motion @ head.rotation,
        translation=motion @ (head.translation - pivot) + pivot,
    )


def steep_face(views: ModelViews, min_cosine: float = 0.12) -> Float[np.ndarray, "H W"]:
    """Depth of the face where it is seen steeply enough, else inf."""
    return np.where(views.face_cosine > min_cosine, views.face, np.inf)


def turn_view(view: HeadView, skin: SkinModel, thickness: float, target: HeadInCrop) -> HeadView:
    """Draw `view` as seen when its head has the pose of `target`.

    The lifted pixels move rigidly. Behind them stands the fitted head, its scalp thickened by the hair, in
    the nearest colours of its kind, where turning uncovers it. The background stays; what the head covered
    takes the colours of the nearest background.
    """
    covered, sheet = _move_pixels(view, target)
    bald = (view.labels == ParsingClass.HAIR).mean() < 0.01
    views = render_model_views(skin, target, 0.0 if bald else max(thickness - 3.0, 0.0))
    revealed = np.isfinite(views.scalp) & ~covered & ~views.is_neck
    hairy = revealed & (views.scalp < views.skin - 1.0)

    labels = np.where(view.region, ParsingClass.BACKGROUND, view.labels)
    labels = np.where(
        covered,
        sheet["labels"],
        np.where(hairy, ParsingClass.HAIR, np.where(revealed, ParsingClass.FACE, labels)),
    )
    image = _without_head(view)
    image[covered] = sheet["image"][covered]
    for where, like in (
        (hairy, labels == ParsingClass.HAIR),
        (revealed & ~hairy, labels == ParsingClass.FACE),
    ):
        known = covered & like if (covered & like).any() else covered
        row, column = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
        image[where] = image[row[where], column[where]]
    trust = np.where(covered, sheet["trust"], np.where(revealed, WALL_TRUST, 0.0))
    return HeadView(
        image=image,
        labels=labels.astype(np.uint8),
        region=covered | revealed,
        face_depth=steep_face(views),
        depth=np.where(covered, sheet["depth"], np.where(revealed, views.scalp, np.inf)),
        trust=trust,
        head=target,
    )


def _move_pixels(view: HeadView, target: HeadInCrop) -> tuple[Bool[np.ndarray, "H W"], dict[str, np.ndarray]]:
    """The view's lifted pixels drawn in the target's view: where they are seen, and what of them."""
    size = target.size
    rows, columns = np.mgrid[:size, :size] + 0.5
    depth = np.where(np.isfinite(view.depth), view.depth, 1.0)
    ray = np.stack([columns - size / 2, rows - size / 2], axis=-1) / view.head.focal
    points = np.concatenate([ray * depth[..., None], depth[..., None]], axis=-1).reshape(-1, 3)
    model = (points - view.head.translation) @ view.head.rotation
    faces = region_triangles(torch.from_numpy(view.region & np.isfinite(view.depth)))
    step = np.ptp(depth.reshape(-1)[faces.numpy()], axis=1)
    faces = faces[torch.from_numpy(step <= LONGEST_STEP)].contiguous()
    fragments = rasterize(torch.from_numpy(target.screen(model)).float()[None], faces, size, size)
    covered = fragments.face_index[0].numpy() >= 0
    values = torch.from_numpy(
        np.concatenate([view.image.reshape(-1, 3), 255 * view.trust.reshape(-1, 1)], axis=1).astype(
            np.float32
        )
    )
    drawn = interpolate(values[None], faces, fragments)[0].numpy()
    corner = faces[fragments.face_index[0].clamp_min(0)].gather(
        -1, fragments.barycentric[0].argmax(dim=-1, keepdim=True)
    )
    return covered, {
        "image": drawn[:3].round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0),
        "trust": drawn[3] / 255,
        "labels": view.labels.reshape(-1)[corner[..., 0].numpy()],
        "depth": fragments.depth[0].numpy().astype(np.float64),
    }


def _without_head(view: HeadView) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with the colours of the nearest background where the head was, softened."""
    head = ndimage.binary_dilation(view.region, iterations=3)
    if head.all():
        return view.image.copy()
    row, column = ndimage.distance_transform_edt(head, return_distances=False, return_indices=True)
    filled = view.image[row, column]
    soft = ndimage.gaussian_filter(filled.astype(np.float32), (5, 5, 0))
    return np.where(head[..., None], soft, view.image).astype(np.uint8)
