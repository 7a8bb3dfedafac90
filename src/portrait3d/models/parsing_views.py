"""What several networks say about one head, each in its own framing, read together at points of the photo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.compilation import compiled
from portrait3d.preprocessing.framing import Frame
from portrait3d.preprocessing.threads import side_by_side

FADE = 16.0
"""A plain frame's word counts less within this many of its pixels from its border: what a network
sees there lacks its surroundings, and a frame that ended at full weight would leave a seam."""
FAINT = -7.0
"""Classes whose logits lie further than this below the best one's, at less than a thousandth of its
probability, count as impossible, which saves most of the exponentials."""


@dataclass(frozen=True, eq=False)
class View:
    """What a network says in one frame."""

    frame: Frame
    logits: Float[Tensor, "classes h w"]
    """Of the whole frame, at any resolution."""

    @cached_property
    def by_pixel(self) -> Float[np.ndarray, "h w classes"]:
        """A pixel's logits next to each other: as they are read."""
        return self.logits.permute(1, 2, 0).contiguous().numpy()

    def weight(self, own: Float[Tensor, "*grid 2"]) -> Float[Tensor, " *grid"]:
        """How much its word counts at points in the frame's pixels: frame pixels per photo pixel there."""
        weight = self.frame.density(own) * self.frame.seen(own)
        if not self.frame.bent:
            weight = weight * (self.frame.depth(own) / FADE).clamp(1e-3, 1)
        return weight


def merge_views(views: Sequence[View], points: Float[Tensor, "*grid 2"]) -> Float[Tensor, "*grid classes"]:
    """Class probabilities at points of the photo: the views' weighted mean, background where none sees."""
    parts = side_by_side(partial(_merge, views), points.reshape(-1, 2).chunk(2))
    return torch.cat(parts).reshape(*points.shape[:-1], len(views[0].logits))


def likeliest(probabilities: Float[Tensor, "classes H W"]) -> UInt8[np.ndarray, "H W"]:
    """The number of the likeliest class of every pixel, the first among equals."""
    labels = np.zeros(probabilities.shape[1:], np.uint8)
    _likeliest(probabilities.contiguous().numpy(), probabilities[0].numpy().copy(), labels)
    return labels


def _merge(views: Sequence[View], points: Float[Tensor, "places 2"]) -> Float[Tensor, "places classes"]:
    total = torch.zeros(len(points), len(views[0].logits))
    # Where no view sees, this is all there is: background.
    total[:, 0] = 1e-9
    for view in views:
        own = view.frame.frame_from_photo(points)
        weight = view.weight(own).numpy()
        _add_probabilities(total.numpy(), view.by_pixel, own.numpy(), 1 / view.frame.size, weight)
    return total.div_(total.sum(1, keepdim=True))


@compiled
def _add_probabilities(total, logits, points, scale, weight):
    height, width, classes = logits.shape
    value = np.empty(classes, np.float32)
    for p in range(len(weight)):
        if not weight[p] > 0:
            continue
        # Logits are interpolated, not probabilities: edges between classes stay sharp. Probabilities would
        # cost the mouth 0.005 of IoU (docs/models/parsing.md).
        x = min(max(points[p, 0] * scale * width - 0.5, 0.0), width - 1.0)
        y = min(max(points[p, 1] * scale * height - 0.5, 0.0), height - 1.0)
        left, top = int(x), int(y)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        fx, fy = np.float32(x - left), np.float32(y - top)
        gx, gy = np.float32(1) - fx, np.float32(1) - fy
        a, b, c, d = gx * gy, fx * gy, gx * fy, fx * fy
        best = np.float32(-np.inf)
        for k in range(classes):
            value[k] = (
                a * logits[top, left, k]
                + b * logits[top, right, k]
                + c * logits[bottom, left, k]
                + d * logits[bottom, right, k]
            )
        for k in range(classes):
            best = max(best, value[k])
        mass = np.float32(0)
        for k in range(classes):
            if value[k] - best > FAINT:
                value[k] = math.exp(value[k] - best)
                mass += value[k]
            else:
                value[k] = np.float32(0)
        share = weight[p] / mass
        for k in range(classes):
            total[p, k] += share * value[k]


@compiled
def _likeliest(probabilities, best, labels):
    for k in range(1, len(probabilities)):
        for row in range(labels.shape[0]):
            line, most, label = probabilities[k, row], best[row], labels[row]
            for column in range(labels.shape[1]):
                if line[column] > most[column]:
                    most[column] = line[column]
                    label[column] = k
