"""Face detection: photos through CenterFace at one size after the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor

from portrait3d import arguments
from portrait3d.errors import NoFaceError
from portrait3d.preprocessing.centerface import MULTIPLE, STRIDE, CenterFace
from portrait3d.pretrained import bundled, load_network

OVERLAP = 0.3
"""Boxes whose intersection over union exceeds this are one face (CenterFace's own value)."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected face, in pixels of the photo ((0, 0) is the top left corner of the top left pixel)."""

    box: Float[np.ndarray, "4"]
    """x0, y0, x1, y1; reaches beyond the photo where the border cuts the face."""
    score: float
    """Confidence, 0 to 1."""
    keypoints: Float[np.ndarray, "5 2"]
    """Left eye, right eye, nose tip, left and right mouth corner; left and right as in the picture."""

    @property
    def area(self) -> float:
        """Area of the box, in square pixels."""
        return float(np.prod(self.box[2:] - self.box[:2]))


@runtime_checkable
class Detector(Protocol):
    """What the pipeline asks of a face detector."""

    def detect(self, pixels: UInt8[np.ndarray, "H W 3"], name: str = "the picture") -> list[Detection]:
        """Find the faces in an RGB picture, the largest first. Raises NoFaceError, which gives `name`."""
        ...


def choose_face(detections: Sequence[Detection], face: int, name: str) -> Detection:
    """One of the faces found in a picture, counted from 0. Raises NoFaceError, which gives `name`."""
    if not 0 <= face < len(detections):
        raise NoFaceError(f"{name} shows {len(detections)} face(s), counted from 0: there is no face {face}.")
    return detections[face]


@dataclass(frozen=True)
class FaceDetector:
    """Finds faces with CenterFace (Xu et al. 2019), whose weights are loaded on first use.

    The same pixels give the same faces, bit for bit, on one machine.
    """

    threshold: float = 0.5
    """Scores below this are no faces."""
    sides: tuple[int, ...] = (480, 960, 240)
    """Long sides, in pixels, that a photo is resized to, one after the other until a face is found.

    On portraits, 480 gives higher scores and steadier boxes than CenterFace's usual 640 or more.
    """

    def __post_init__(self) -> None:
        arguments.number(self.threshold, "threshold", 0.0, 1.0)
        if not arguments.instance(self.sides, tuple, "sides"):
            raise ValueError("sides must name at least one, got ().")
        for side in self.sides:
            arguments.whole_number(side, "a side in sides", MULTIPLE)

    def detect(self, pixels: UInt8[np.ndarray, "H W 3"], name: str = "the picture") -> list[Detection]:
        """Find the faces in an RGB picture, the largest first. Raises NoFaceError, which gives `name`."""
        arguments.picture(pixels, "pixels")
        arguments.text(name, "name")
        best = 0.0
        for side in self.sides:
            found, score = self._detect_at(pixels, side)
            if found:
                return sorted(found, key=lambda face: face.area, reverse=True)
            best = max(best, score)
        raise NoFaceError(
            f"No face found in {name}: the best candidate scored {best:.2f}, below {self.threshold}."
        )

    @cached_property
    def net(self) -> CenterFace:
        """The network, loaded."""
        # With channels last, torch takes three quarters of the time that it needs otherwise.
        net = load_network(CenterFace, bundled("detector"))
        return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def _detect_at(self, pixels: UInt8[np.ndarray, "H W 3"], side: int) -> tuple[list[Detection], float]:
        """Faces at one size of the photo, and the best score."""
        picture, zoom = _resized(pixels, side)
        net = self.net
        with torch.inference_mode():
            heat, extent, offset, points = (output[0].numpy() for output in net(picture))
        # Only cells with a face are decoded. Sizes are exponentials, so that they are positive; offsets count
        # from a cell's middle.
        row, column = np.nonzero(heat[0] >= self.threshold)
        score, extent, offset, points = (
            values[:, row, column] for values in (heat, np.exp(extent) * STRIDE, offset, points)
        )
        extent = extent[::-1]  # the network gives y before x
        middle = (np.stack([column, row]) + offset[::-1] + 0.5) * STRIDE
        corner = middle - extent / 2
        keypoints = points.reshape(5, 2, -1)[:, ::-1] * extent + corner
        boxes = np.concatenate([corner, corner + extent]).T * np.tile(zoom, 2)
        keypoints = keypoints.transpose(2, 0, 1) * zoom
        found = [
            Detection(
                boxes[index].astype(np.float32), float(score[0, index]), keypoints[index].astype(np.float32)
            )
            for index in np.nonzero(_not_overlapping(boxes, score[0]))[0]
        ]
        return found, float(heat.max())


def _resized(
    pixels: UInt8[np.ndarray, "H W 3"], side: int
) -> tuple[Float[Tensor, "1 3 h w"], Float[np.ndarray, "2"]]:
    """A photo with a long side of `side` pixels, as the network takes it, and its scale (x, y).

    Black fills it up to sides that are multiples of `MULTIPLE`.
    """
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    w, h = (max(1, round(length * scale)) for length in (width, height))
    # reducing_gap: large photos are first averaged by a whole factor, down to three times what is wanted.
    resized = Image.fromarray(pixels).resize((w, h), Image.Resampling.BILINEAR, reducing_gap=3)
    padded = np.zeros((1, *(math.ceil(length / MULTIPLE) * MULTIPLE for length in (h, w)), 3), np.float32)
    padded[0, :h, :w] = np.asarray(resized)
    # Channels come last in memory, as in the network's weights.
    return torch.from_numpy(padded).permute(0, 3, 1, 2), np.array([width / w, height / h], np.float32)


def _not_overlapping(
    boxes: Float[np.ndarray, "N 4"], scores: Float[np.ndarray, " N"]
) -> Bool[np.ndarray, " N"]:
    """Non-maximum suppression: which boxes overlap no kept box of a higher score."""
    keep = np.zeros(len(boxes), bool)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for index in np.argsort(-scores, kind="stable"):
        low = np.maximum(boxes[index, :2], boxes[keep, :2])
        high = np.minimum(boxes[index, 2:], boxes[keep, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        keep[index] = (shared <= OVERLAP * (areas[index] + areas[keep] - shared)).all()
    return keep
