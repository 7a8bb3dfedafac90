"""How well the two-sided depth network knows hair that a picture doesn't show."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import nn

from portrait3d.data.two_sided_samples import view_tensors
from portrait3d.data.two_sided_views import TwoSidedViews
from portrait3d.geometry.camera import Camera
from portrait3d.models.depth_net import head_region
from portrait3d.parsing_classes import COVERING
from portrait3d.preprocessing.alignment import WIDE_SIZE, WIDE_ZOOM, Crop

FINER = 3
"""Surfaces are lifted at so many times the crop's resolution."""
RIM_STEPS = 12
"""Points between front and back along the outline."""
CELL = 5.0
"""mm of a pixel of the silhouettes from the side."""
CELLS = 96
"""Pixels along a side of the silhouettes."""
INPUTS = ("image", "labels", "near", "far", "head", "center")


@dataclass(frozen=True, slots=True)
class TwoSidedScores:
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
def score_view(net: nn.Module, views: TwoSidedViews, index: int) -> TwoSidedScores:
    """Compare a network's surfaces of one prepared view with the truth."""
    sample = view_tensors(views, index)
    found = net(**{name: sample[name][None] for name in INPUTS})
    center = float(sample["center"])
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
    return TwoSidedScores(
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
    rim = valid & ~ndimage.binary_erosion(valid)
    walls = [front + (back - front) * share for share in np.linspace(0, 1, RIM_STEPS)]
    points = [
        lift(finer(depth, valid), finer(valid.astype(float), valid) > 0.5, fine) for depth in (front, back)
    ]
    points += [lift(depth, rim, camera) for depth in walls]
    return np.concatenate(points)


def finer(values: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "_ _"]:
    """Values between pixels, those beside `valid` not asked (but for `valid` itself)."""
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


def wide_camera(size: int = WIDE_SIZE) -> Camera:
    """The wide crop's camera."""
    return Crop((0.0, 0.0), 1.0, 0.0, size, zoom=WIDE_ZOOM).camera()


def side_view(points: Float[np.ndarray, "N 3"], center: float) -> Bool[np.ndarray, "CELLS CELLS"]:
    """The silhouette of points, seen at 90 degrees to the view, about the head's centre."""
    cells = np.floor(np.stack([points[:, 1], points[:, 2] - center]) / CELL + CELLS / 2).astype(int)
    row, column = cells[:, ((cells >= 0) & (cells < CELLS)).all(axis=0)]
    shape = np.zeros((CELLS, CELLS), bool)
    shape[row, column] = True
    return ndimage.binary_fill_holes(ndimage.binary_closing(shape, iterations=2))


def score_two_sided(net: nn.Module, sources: Mapping[str, TwoSidedViews]) -> dict[str, float]:
    """Means over views by source, the unseen hair also by style; "score" is minus the error of unseen hair.

    Where no source knows points of unseen hair, it is minus the error of the last surface along the ray.
    """
    result: dict[str, float] = {}
    for name, views in sources.items():
        scores = [score_view(net, views, index) for index in range(len(views))]
        for field in fields(TwoSidedScores):
            values = np.array([getattr(score, field.name) for score in scores])
            if np.isfinite(values).any():
                result[f"{name}_{field.name}"] = float(np.nanmean(values))
        unseen = np.array([score.unseen for score in scores])
        for style in np.unique(views.style):
            alike = unseen[views.style == style]
            if np.isfinite(alike).any():
                result[f"unseen {style}"] = float(np.nanmean(alike))
    wanted = [key for key in result if key.endswith("_unseen")]
    wanted = wanted or [key for key in result if key.endswith("_back_hair")]
    return {"score": -float(np.mean([result[key] for key in wanted])), **result}
