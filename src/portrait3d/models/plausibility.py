"""Whether what networks make of a photo can be a head at all.

Weights can be well-formed and make none: random numbers, or those of a training that went astray. The limits
here are far beyond what photos give with weights that were trained, so what breaks them is a `WeightsError`
and no matter of quality. Weights that are merely bad stay within: a network that always answers with the mean
face can't be told from one that sees it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from portrait3d.errors import WeightsError
from portrait3d.geometry.pose import Pose

HEAD_EXTENT = (100.0, 1000.0)
"""Least and largest diagonal of a head's box, mm; the mean head's is about 400."""
FACE_EXTENT = (0.05, 4.0)
"""The same of the landmarks' box, as a share of the crop's side; about 0.6 where the crop fits."""
CERTAIN = 1000.0
"""No logit is larger; those of photos are below 50."""
REACH = 1000.0
"""Parts of a head are at most so far from its middle, mm."""


def head_of(net: nn.Module) -> str:
    """How the messages about what a network makes begin: with its class and, if it has one, its file."""
    source = getattr(net, "source", None)
    return f"{type(net).__name__}{f' of {source}' if source else ''} makes no head"


def check_face(
    vertices: Float[Tensor, "V 3"],
    camera_from_model: Pose,
    landmarks: Float[Tensor, "68 2"],
    size: int,
    place: str,
) -> None:
    """Check one fit: vertices in the model's frame (mm), landmarks in pixels of a crop of `size`.

    Raises `WeightsError`, which begins with `place`, for one that isn't finite, collapsed, giant, behind the
    camera or outside the crop.
    """
    check_finite(place, vertices, camera_from_model.rotation, camera_from_model.translation, landmarks)
    extent = float((vertices.amax(0) - vertices.amin(0)).norm())
    if not HEAD_EXTENT[0] <= extent <= HEAD_EXTENT[1]:
        raise WeightsError(f"{place}: a head of {extent:.3g} mm.")
    if not torch.linalg.det(camera_from_model.rotation) > 0.5:  # 1 for a rotation
        raise WeightsError(f"{place}: a pose that is no rotation.")
    if not camera_from_model.apply(vertices)[:, 2].amin() > 0:
        raise WeightsError(f"{place}: a head that reaches behind the camera.")
    low, high = landmarks.amin(0), landmarks.amax(0)
    share = float((high - low).prod().sqrt()) / size
    if not FACE_EXTENT[0] <= share <= FACE_EXTENT[1]:
        raise WeightsError(f"{place}: a face of {share:.3g} times the crop's side.")
    if (high < 0).any() or (low > size).any():
        raise WeightsError(f"{place}: a face outside the crop that shows it.")


def check_depth(
    depth: Float[Tensor, "*grid"], valid: Bool[Tensor, "*grid"], middle: float, place: str
) -> None:
    """Check a depth map (mm) of a head whose middle is so far from the camera; `WeightsError` as above."""
    check_finite(place, depth)
    if valid.any() and not (depth[valid] - middle).abs().amax() < REACH:
        raise WeightsError(f"{place}: parts of the head more than {REACH:.0f} mm from its middle.")


def check_logits(logits: Tensor, place: str) -> None:
    """Check what a network says about pixels; `WeightsError` as above."""
    check_finite(place, logits)
    if not (most := float(logits.abs().max())) <= CERTAIN:
        raise WeightsError(f"{place}: a certainty of {most:.3g}.")


def check_finite(place: str, *values: Tensor) -> None:
    """Check numbers; `WeightsError` as above."""
    # Both ends tell of NaN, too, in a tenth of the time that every number takes.
    if not all(torch.stack(value.aminmax()).isfinite().all() for value in values):
        raise WeightsError(f"{place}: values that aren't finite.")
