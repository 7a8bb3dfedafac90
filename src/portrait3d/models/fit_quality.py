"""How far a portrait can be trusted, from signs that need no labels."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import ConvexHull
from torch import Tensor

from portrait3d.geometry.pixels import inner_distance, nearest
from portrait3d.models.face_fit import FaceFit
from portrait3d.models.head_model import HeadModel, neck_vertices
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.parsing_classes import FACE, HEAD
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.framing import Frame, inside
from portrait3d.rendering.rasterizer import rasterize

LEAST_QUALITY = 0.5
"""Below this quality a portrait is poor: it is expected to be off by more than 2 % of face size."""
# Least squares on the logarithm of the landmarks' error over 170 photos of the validation split, as they are
# and with covered, cut, dark or coarse faces; tools/calibrate_quality.py does the same on others. The last
# weight is what the face network that ships wants on such photos (0.17; synthetic people: 0.08), rounded up.
BASE = 1.48
"""Logarithm of the expected error in percent where all that follows is 0."""
WEIGHTS = (0.45, 0.45, 0.46, 0.2)
"""Weights of the signs' logarithms in the order of `FitSigns`, for the last one of the excess itself."""
CLEAR = (0.3, 0.3, 0.03)
"""What is added to a sign before its logarithm is taken: about its value on clear photos."""
FREE_TURN, TURN_UNIT = 15.0, 30.0
"""Degrees that cost nothing, and the unit of the excess."""
# Heads can be wrong where the 68 landmarks are right. What ordinary photos show of the signs below is free;
# the rest was set on photos with veils and scarves drawn over them and on reduced photos.
FREE_LOST, LOST_UNIT = 0.08, 0.03
"""Share of the fitted head that is parsed as something else: what is free, and what doubles the error."""
FREE_RAGS, RAGS_UNIT = 0.02, 0.01
"""The same for `ragged_share`."""
RAG = 0.3
"""Width of the widest rags, in sizes of the face."""
PIXEL_ERROR = 0.75
"""Error that cannot be undercut, in the photo's pixels: there is no finer detail."""


@dataclass(frozen=True, slots=True)
class FitSigns:
    """What tells a bad portrait without labels."""

    moved: float
    """`FaceFit.moved`: how far landmarks moved between the passes, percent of face size."""
    asymmetry: float
    """`FaceFit.asymmetry`: how far crop and mirror image disagree, percent of face size."""
    uncovered: float
    """Share of the landmarks' convex hull that the parsing takes for something else than face."""
    turn: float
    """Angle between the face's direction and the camera's axis, degrees."""
    lost: float = 0.0
    """Share of the fitted head, as far as the photo reaches, that the parsing takes for no part of a head."""
    ragged: float = 0.0
    """`ragged_share` of the parsed head above the nose's base."""
    pixel: float = 0.0
    """Side of a pixel of the photo, percent of face size."""

    @classmethod
    def of(cls, fit: FaceFit, head_crop: Crop, parsing: HeadParsing, head: HeadModel) -> "FitSigns":
        """The signs of a fit and of the parsing of its head crop."""
        landmarks = head_crop.crop_from_photo(fit.landmarks)
        facing = float(fit.crop_from_model.rotation[2, 2])
        within = inside(Frame(head_crop).positions(), *parsing.labels.shape).numpy()
        return cls(
            fit.moved,
            fit.asymmetry,
            uncovered_share(landmarks, parsing.head_probabilities),
            math.degrees(math.acos(min(max(facing, -1.0), 1.0))),
            lost_share(head_silhouette(fit, head_crop, head) & within, parsing.head_labels),
            ragged_share(np.isin(parsing.head_labels, HEAD), landmarks.double().numpy()),
            100 / max(float(np.ptp(fit.landmarks.double().numpy(), axis=0).prod() ** 0.5), 1.0),
        )

    def features(self) -> list[float]:
        """What is weighted by `WEIGHTS` and summed: the signs of the landmarks' error."""
        signs = (self.moved, self.asymmetry, self.uncovered)
        logarithms = [math.log(sign + clear) for sign, clear in zip(signs, CLEAR, strict=True)]
        return [*logarithms, max(self.turn - FREE_TURN, 0.0) / TURN_UNIT]

    @property
    def doublings(self) -> float:
        """How many times the signs of a torn head double the expected error."""
        lost = (self.lost - FREE_LOST) / LOST_UNIT
        ragged = (self.ragged - FREE_RAGS) / RAGS_UNIT
        return max(lost, 0.0) + max(ragged, 0.0)

    @property
    def expected_error(self) -> float:
        """How far off the portrait is expected to be, percent of face size.

        The expected mean distance of the 68 landmarks from where they are, more where the head is torn, and
        never less than what the photo resolves.
        """
        logarithm = BASE + sum(w * f for w, f in zip(WEIGHTS, self.features(), strict=True))
        return max(math.exp(logarithm) * 2**self.doublings, PIXEL_ERROR * self.pixel)

    @property
    def quality(self) -> float:
        """1 % over the expected error: 1 for an error of 1 % or less, 0.5 for 2 %, 0.1 for 10 %."""
        return 1 / max(self.expected_error, 1.0)


def uncovered_share(landmarks: Float[Tensor, "68 2"], probabilities: Float[Tensor, "9 S S"]) -> float:
    """How much of the landmarks' convex hull (pixels) is parsed as anything but face and inner mouth.

    1 where the hull lies outside the picture or is less than a pixel.
    """
    size = probabilities.shape[-1]
    points = landmarks.double().numpy()
    # Half planes n x + d <= 0 whose intersection is the hull; only the box around it needs to be looked at.
    sides = ConvexHull(points).equations
    left, top = np.floor(points.min(axis=0)).astype(int).clip(0, size)
    right, bottom = np.ceil(points.max(axis=0)).astype(int).clip(0, size)
    x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    beyond = sides[:, :2] @ np.stack([x.ravel(), y.ravel()]) + sides[:, 2:]
    inside = torch.from_numpy((beyond <= 0).all(axis=0).reshape(x.shape))
    face = probabilities[list(FACE), top:bottom, left:right].sum(0)
    return 1 - float(face[inside].mean()) if inside.any() else 1.0


def head_silhouette(fit: FaceFit, head_crop: Crop, head: HeadModel) -> Bool[np.ndarray, "S S"]:
    """Which pixels of the head crop the fitted head model covers: bald, without its neck."""
    on_neck = neck_vertices(head.mean, head.face_mask)
    triangles = head.skin_faces[~on_neck[head.skin_faces].any(dim=1)].contiguous()
    placed = fit.crop_from_model.apply(head.vertices(fit.coefficients.batched)[0])
    screen = head_crop.camera().screen(placed)[None]
    return (rasterize(screen, triangles, head_crop.size, head_crop.size).face_index[0] >= 0).numpy()


def lost_share(head: Bool[np.ndarray, "S S"], labels: UInt8[np.ndarray, "S S"]) -> float:
    """How much of a head's silhouette is parsed as background, neck or body; 1 if it is empty."""
    return 1 - float(np.isin(labels, HEAD)[head].mean()) if head.any() else 1.0


def ragged_share(head: Bool[np.ndarray, "S S"], landmarks: Float[np.ndarray, "68 2"]) -> float:
    """How much of a head above the nose's base is rags: narrower than `RAG` of the face's size.

    Landmarks are pixels of the picture; 1 if there is no head above the nose.
    """
    radius = RAG / 2 * float(np.ptp(landmarks, axis=0).prod() ** 0.5)
    margin = math.ceil(radius) + 1
    # A head that leaves the picture goes on as it is there.
    whole = np.pad(head, margin, mode="edge")
    # Morphological opening with a disc, eroded and dilated by distance transforms: what it removes is
    # narrower than the disc.
    core = inner_distance(whole) > radius
    rest = np.s_[margin:-margin, margin:-margin]
    opened = (nearest(core)[0] <= radius)[rest] if core.any() else np.zeros_like(head)
    above = head[: max(int(landmarks[33, 1]), 0)]
    return float((above & ~opened[: len(above)]).sum() / above.sum()) if above.any() else 1.0
