"""The depth network's errors on prepared validation views, as training watches them.

The face is given, so nothing is aligned. `portrait3d evaluate depth` measures more, and on other heads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from portrait3d.data.depth_samples import pair_tensors
from portrait3d.data.depth_views import DepthViews
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.warping import relative_motion
from portrait3d.models.depth_net import uncovered_face
from portrait3d.rendering.warping import warp

Predictor = Callable[[Mapping[str, Tensor]], Float[Tensor, "B 1 H W"]]
"""Views of `pair_tensors` -> depth in mm."""

COLOR_CAP = 0.25
"""Colour differences beyond this (mean over the channels) count as this: highlights and parsing errors."""


@dataclass(frozen=True, slots=True)
class ViewScores:
    """Mean errors on one set of views."""

    pixel: float
    """Mean distance in depth over the head without its bare face, mm; NaN without truth."""
    face: float
    """Mean distance in depth over the bare face, mm."""
    color: float
    """Mean capped colour difference, 0 to 255, over the moved rest of the head; NaN without pairs."""
    coverage: float
    """Share of the other view's rest of the head that the moved surface reaches."""


def network_predictor(net: nn.Module) -> Predictor:
    """The network as a predictor."""

    def predict(views: Mapping[str, Tensor]) -> Tensor:
        given = torch.where(bare_face(views), views["face_depth"], torch.zeros_like(views["face_depth"]))
        clues = views["labels"], views["head_depth"]
        return net(views["image"], given, views["region"], views["center"], *clues)

    return predict


def bare_face(views: Mapping[str, Tensor]) -> Bool[Tensor, "B 1 H W"]:
    """Where the face is rendered and nothing covers it."""
    return uncovered_face(views["labels"][:, 0]) & (views["face_depth"] > 0) & views["region"]


@torch.no_grad()
def measure(predict: Predictor, views: DepthViews, limit: int = 60) -> ViewScores:
    """Score a predictor on up to `limit` pairs spread over the views."""
    errors: dict[str, list[float]] = {"pixel": [], "face": [], "color": [], "coverage": []}
    for pair in views.pairs[np.unique(np.linspace(0, len(views.pairs) - 1, limit).astype(int))]:
        batch = pair_tensors(views, pair)
        depth = predict(batch)
        bare = bare_face(batch)
        rest = batch["region"] & ~bare
        for k in range(2):
            trust = batch["trust"][k] * rest[k]
            if trust.sum() > 0:
                gap = (depth[k] - batch["depth"][k]).abs()
                errors["pixel"].append(float((trust * gap).sum() / trust.sum()))
            if bare[k].any():
                gap = (depth[k] - batch["face_depth"][k]).abs()
                errors["face"].append(float(gap[bare[k]].mean()))
        for name, value in photometric_error(depth, batch, rest).items():
            errors[name].append(value)
    means = {name: float(np.mean(values)) if values else float("nan") for name, values in errors.items()}
    return ViewScores(**means)


def photometric_error(
    depth: Float[Tensor, "2 1 H W"], batch: Mapping[str, Tensor], rest: Bool[Tensor, "2 1 H W"]
) -> dict[str, float]:
    """Capped colour difference over the moved rest of the head, and how much of the other view it reaches."""
    color, coverage = [], []
    for source, target in ((0, 1), (1, 0)):
        poses = [Pose(batch["rotation"][k][None], batch["translation"][k][None]) for k in (source, target)]
        own = _camera(batch, source, depth.shape[-1])
        valid = batch["region"][source]
        colours = torch.cat([batch["image"][source], rest[source].float()])[None]
        moved = warp(
            colours,
            DepthMap(
                depth[source], valid, Camera(own.focal[None], own.principal[None], own.height, own.width)
            ),
            relative_motion(*poses),
            Camera(own.focal[None], own.principal[None], own.height, own.width),
        )
        of_rest = moved.visible & (moved.values[:, 3:] > 0.5)
        seen = of_rest[0] & rest[target]
        gap = (moved.values[0, :3] - batch["image"][target]).abs().mean(0, keepdim=True).clamp_max(COLOR_CAP)
        if seen.any():
            color.append(float(gap[seen].mean()) * 255)
            coverage.append(float(seen.sum() / rest[target].sum()))
    return {"color": float(np.mean(color)), "coverage": float(np.mean(coverage))} if color else {}


def score_depth(net: nn.Module, sources: Mapping[str, DepthViews], limit: int = 30) -> dict[str, float]:
    """Errors of a network on validation views; "score" is minus the mean error of hair and ears in mm."""
    result: dict[str, float] = {}
    rest = []
    for name, views in sources.items():
        scores = measure(network_predictor(net), views, limit)
        if not np.isnan(scores.pixel):
            result[f"{name}_rest_mm"] = scores.pixel
            rest.append(scores.pixel)
        else:
            result[f"{name}_color"] = scores.color
        result[f"{name}_face_mm"] = scores.face
    return {"score": -float(np.mean(rest)) if rest else 0.0, **result}


def _camera(batch: Mapping[str, Tensor], k: int, size: int) -> Camera:
    return Camera(batch["focal"][k], batch["principal"][k], size, size)
