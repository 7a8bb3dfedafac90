"""How well the depth network knows hair, seen and unseen, on prepared views, as training watches it.

`portrait3d evaluate depth` measures more, and on other heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor, nn

from portrait3d.data.depth.samples import view_tensors, wide_camera
from portrait3d.data.depth.views import DepthViews
from portrait3d.data.photos.labelled import evenly
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.warping import relative_motion
from portrait3d.models.depth_net import head_region, uncovered_face
from portrait3d.parsing_classes import COVERING
from portrait3d.rendering.warping import warp

FINER = 3
"""Surfaces are lifted at so many times the crop's resolution."""
BOUNDARY_STEPS = 12
"""Points between front and back along the outline."""
CELL = 5.0
"""mm of a pixel of the silhouettes from the side."""
CELLS = 96
"""Pixels along a side of the silhouettes."""
COLOUR_CAP = 0.25
"""Colour differences beyond this (mean over the channels) count as this: highlights and parsing errors."""
INPUTS = ("image", "labels", "near", "far", "head", "center")


@dataclass(frozen=True, slots=True)
class ViewScores:
    """Mean errors of one view; NaN where there is nothing to compare."""

    front_hair: float
    """Error along the ray of the first surface where hair is seen, mm."""
    back_hair: float
    """Error along the ray of the last surface where that is hair, mm."""
    told: float
    """Share of pixels where it is told right whether the last surface is hair."""
    unseen: float
    """Distance of unseen hair to the nearest predicted surface, mm."""
    side: float
    """Intersection over union of predicted and true silhouette, seen at 90 degrees to the view."""


@torch.no_grad()
def score_view(net: nn.Module, views: DepthViews, index: int) -> ViewScores:
    """Compare a network's surfaces of one prepared view with the truth."""
    sample = view_tensors(views, [index])
    found = net(*(sample[name] for name in INPUTS))
    center = float(sample["center"])
    sample = {name: value[0] for name, value in sample.items()}
    labels, truly_hair = sample["labels"][0], sample["back_hair"][0]
    front, back = found.front[0, 0], found.back[0, 0]
    is_hair = found.hair_logit[0, 0] > 0
    seen_hair = (labels == 2) & sample["front_known"][0]
    covered = torch.isin(labels, labels.new_tensor(COVERING)) & is_hair
    valid = (head_region(labels[None])[0, 0] | covered).numpy()
    known = sample["back_known"][0].numpy()
    predicted = surface(front.numpy(), back.numpy(), valid)
    true = surface(sample["front"][0].numpy(), sample["back"][0].numpy(), known)
    hidden = views.unseen_hair[index]
    hidden = hidden[np.isfinite(hidden).all(axis=-1)]
    shapes = side_view(predicted, center), side_view(true, center)
    return ViewScores(
        front_hair=_mean((front - sample["front"][0]).abs()[seen_hair]),
        back_hair=_mean((back - sample["back"][0]).abs()[truly_hair & sample["back_known"][0]]),
        told=_mean((is_hair == truly_hair)[sample["hair_known"][0]].float()),
        unseen=float(cKDTree(predicted).query(hidden)[0].mean()) if len(hidden) > 50 else float("nan"),
        side=float((shapes[0] & shapes[1]).sum() / (shapes[0] | shapes[1]).sum()),
    )


def _mean(values: torch.Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")


def surface(
    front: Float[np.ndarray, "H W"], back: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, "N 3"]:
    """Points of the closed body between two depth maps in the wide crop's camera, mm."""
    camera = wide_camera(len(front))
    fine = camera.resized(FINER * camera.height, FINER * camera.width)
    boundary = valid & ~ndimage.binary_erosion(valid)
    # Front and back are two sheets: walls along the outline close them to a body.
    walls = [front + (back - front) * share for share in np.linspace(0, 1, BOUNDARY_STEPS)]
    points = [
        lift(finer(depth, valid), finer(valid.astype(float), valid) > 0.5, fine) for depth in (front, back)
    ]
    points += [lift(depth, boundary, camera) for depth in walls]
    return np.concatenate(points)


def finer(values: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "_ _"]:
    """Values enlarged `FINER` times, bilinearly, from valid pixels alone.

    Values in float64, as `valid` itself comes, are read from all pixels.
    """
    if not valid.any():
        return np.zeros(np.multiply(values.shape, FINER))
    if values.dtype != np.float64:
        row, column = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
        values = values[row, column]
    return ndimage.zoom(values, FINER, order=1, grid_mode=True, mode="nearest")


def lift(
    depth: Float[np.ndarray, "H W"], where: Bool[np.ndarray, "H W"], camera: Camera
) -> Float[np.ndarray, "N 3"]:
    """Points of some pixels, mm."""
    mask = torch.from_numpy(where)
    pixels = camera.pixel_centres()[mask]
    return camera.unproject(pixels, torch.from_numpy(depth).float()[mask]).numpy()


def side_view(points: Float[np.ndarray, "N 3"], center: float) -> Bool[np.ndarray, "CELLS CELLS"]:
    """The silhouette of points, seen at 90 degrees to the view, about the head's centre."""
    cells = np.floor(np.stack([points[:, 1], points[:, 2] - center]) / CELL + CELLS / 2).astype(int)
    row, column = cells[:, ((cells >= 0) & (cells < CELLS)).all(axis=0)]
    shape = np.zeros((CELLS, CELLS), bool)
    shape[row, column] = True
    # The points are farther apart than cells are wide here and there.
    return ndimage.binary_fill_holes(ndimage.binary_closing(shape, iterations=2))


@torch.no_grad()
def colour_difference(net: nn.Module, views: DepthViews, limit: int = 30) -> float:
    """Mean capped colour difference (0 to 255) of hair and ears moved into the other frame of some pairs."""
    found = []
    for pair in evenly(views.pairs.tolist(), limit):
        batch = view_tensors(views, pair)
        front = net(*(batch[name] for name in INPUTS)).front
        region = head_region(batch["labels"][:, 0]) & batch["covered"]
        rest = region & ~(uncovered_face(batch["labels"][:, 0]) & batch["head"])
        for source, target in ((0, 1), (1, 0)):
            found += moved_difference(front, rest, batch, source, target)
    return float(np.mean(found)) if found else float("nan")


def moved_difference(
    front: Float[Tensor, "2 1 H W"],
    rest: Bool[Tensor, "2 1 H W"],
    batch: Mapping[str, Tensor],
    source: int,
    target: int,
) -> list[float]:
    """The difference over what is seen of one view's hair and ears in the other; nothing if none is."""
    poses = [Pose(batch["rotation"][k][None], batch["translation"][k][None]) for k in (source, target)]
    size = front.shape[-2:]
    camera = Camera(batch["focal"][:1], batch["principal"][:1], *size)
    moved = warp(
        batch["image"][source][None],
        DepthMap(front[source], rest[source], camera),
        relative_motion(*poses),
        camera,
    )
    seen = moved.visible[0, 0] & rest[target, 0]
    gap = (moved.values[0] - batch["image"][target]).abs().mean(0).clamp_max(COLOUR_CAP)
    return [255 * float(gap[seen].mean())] if seen.any() else []


def score_depth(net: nn.Module, sources: Mapping[str, DepthViews]) -> dict[str, float]:
    """Means over views by source, the unseen hair also by style, and how well clips are explained.

    "score" is minus the error of unseen hair, or, where no source knows points of it, minus that of the last
    surface along the ray, or of colours where there are clips alone.
    """
    result: dict[str, float] = {}
    for name, views in sources.items():
        if len(views.pairs):
            result[f"{name}_colour"] = colour_difference(net, views)
            continue
        scores = [score_view(net, views, index) for index in range(len(views))]
        for field in fields(ViewScores):
            values = np.array([getattr(score, field.name) for score in scores])
            if np.isfinite(values).any():
                result[f"{name}_{field.name}"] = float(np.nanmean(values))
        unseen = np.array([score.unseen for score in scores])
        for style in np.unique(views.style):
            alike = unseen[views.style == style]
            if np.isfinite(alike).any():
                result[f"unseen {style}"] = float(np.nanmean(alike))
    kinds = ("_unseen", "_back_hair", "_colour")
    wanted = next(filter(None, ([key for key in result if key.endswith(kind)] for kind in kinds)), [])
    return {"score": -float(np.mean([result[key] for key in wanted])), **result}
