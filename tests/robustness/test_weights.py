"""Weights that are well-formed and make no head: a named error, never a crash, a broken mesh or a blank.

Networks are those of the package with other numbers, as a file that passes all checks could hold them.
"""

import copy
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from portrait3d import PoorFitWarning, Portrait3D, WeightsError
from portrait3d.geometry.pose import Pose
from portrait3d.models.plausibility import check_depth, check_face

Network = TypeVar("Network", bound=nn.Module)


def with_weights(net: Network, change: Callable[[str, Tensor], Tensor]) -> Network:
    """A network with every real tensor changed; variances stay above 0, as no file with others is read."""
    net = copy.deepcopy(net)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            new = change(name, value)
            value.copy_(new.abs() if name.endswith("running_var") else new)
    return net


def noise(scale: float) -> Callable[[str, Tensor], Tensor]:
    """Random numbers in place of all weights."""
    generator = torch.Generator().manual_seed(0)
    return lambda name, value: scale * torch.randn(value.shape, generator=generator)


def answer(model: Portrait3D, photo: np.ndarray) -> str:
    """What comes of a photo: a head that can be used, or the message of a `WeightsError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PoorFitWarning)
            portrait = model.reconstruct(photo)
        vertices, turned = portrait.head.vertices, model.repose(portrait, yaw=25)
    except WeightsError as error:
        return str(error)
    assert 0 <= portrait.quality <= 1
    assert np.isfinite(vertices).all()
    assert np.ptp(vertices, axis=0).max() < 2000  # mm
    assert turned.std() > 10
    return "a head"


NETWORKS = {
    "face_net": "FaceNet",
    "parsing_net": "ParsingExperts",
    "glasses_net": "AccessoryNet",
    "earrings_net": "AccessoryNet",
    "depth_net": "DepthNet",
    "refinement_net": "RefinementNet",
}


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.03, 1.0, 1e30])
@pytest.mark.parametrize("stage", NETWORKS)
def test_random_weights_make_a_finite_head_or_a_named_error(
    stage: str, scale: float, model: Portrait3D, astronaut: np.ndarray
) -> None:
    changed = copy.copy(model)
    setattr(changed, stage, with_weights(getattr(model, stage), noise(scale)))
    found = answer(changed, astronaut)
    if found != "a head":
        assert found.startswith(f"{NETWORKS[stage]} of ")
        assert "makes no head: " in found
    if scale == 1e30:
        assert found != "a head"


FACES: dict[str, tuple[str, Callable[[str, Tensor], Tensor]]] = {
    "behind the camera": (
        "reaches behind the camera",
        lambda name, value: -value if name == "place_mean" else value,
    ),
    "in the camera": (
        "reaches behind the camera",
        lambda name, value: value * 0.05 if name == "place_mean" else value,
    ),
    "far away": (
        "a face of 0.00.* times the crop's side",
        lambda name, value: value * 1000 if name == "place_mean" else value,
    ),
    "beside the crop": (
        "outside the crop",
        lambda name, value: value + torch.tensor([500.0, 0, 0]) if name == "place_mean" else value,
    ),
    "giant": (
        r"a head of .* mm|reaches behind the camera",
        lambda name, value: value * 1000 if name == "shape_scale" else value,
    ),
    "of no numbers": (
        "values that aren't finite",
        lambda name, value: value * 1e38 if name == "regressor.bias" else value,
    ),
}


@pytest.mark.parametrize("case", FACES)
def test_a_fit_that_is_no_face_in_the_crop_is_refused(
    case: str, model: Portrait3D, astronaut: np.ndarray
) -> None:
    complaint, change = FACES[case]
    changed = copy.copy(model)
    changed.face_net = with_weights(model.face_net, change)
    with pytest.raises(
        WeightsError, match=rf"^FaceNet of .*model\.safetensors makes no head: .*({complaint})"
    ):
        changed.reconstruct(astronaut)


def test_a_head_model_without_extent_is_refused(model: Portrait3D, astronaut: np.ndarray) -> None:
    changed = copy.copy(model)
    changed.head_model = copy.deepcopy(model.head_model)
    for part in ("mean", "identity_basis", "expression_basis"):
        getattr(changed.head_model, part).mul_(1e-3)
    with pytest.raises(WeightsError, match=r"a head of 0\.\d+ mm"):
        changed.reconstruct(astronaut)


def test_limits_hold_on_both_sides() -> None:
    corners = torch.tensor(
        [[x, y, z] for x in (-80.0, 80.0) for y in (-120.0, 120.0) for z in (-100.0, 100.0)]
    )
    ahead = Pose(torch.eye(3), torch.tensor([0.0, 0.0, 1000.0]))
    landmarks = 112 + 60 * torch.rand(68, 2)
    check_face(corners, ahead, landmarks, 224, "it")
    for vertices, pose, seen, complaint in (
        (corners * 0.1, ahead, landmarks, "mm"),
        (corners * 10, ahead, landmarks, "mm"),
        (corners, Pose(torch.zeros(3, 3), ahead.translation), landmarks, "no rotation"),
        (corners, Pose(torch.eye(3), torch.zeros(3)), landmarks, "behind the camera"),
        (corners, ahead, landmarks * 0 + 100, "times the crop"),
        (corners, ahead, landmarks * 100, "times the crop"),
        (corners, ahead, landmarks - 300, "outside the crop"),
        (corners, ahead, landmarks + torch.nan, "finite"),
    ):
        with pytest.raises(WeightsError, match=f"^it: .*{complaint}"):
            check_face(vertices, pose, seen, 224, "it")
    depth, valid = torch.full((4, 4), 900.0), torch.zeros(4, 4, dtype=torch.bool)
    depth[0, 0] = 1e6
    check_depth(depth, valid, 1000.0, "it")  # without meaning off the head
    valid[0, 0] = True
    with pytest.raises(WeightsError, match=r"^it: parts of the head more than 1000 mm"):
        check_depth(depth, valid, 1000.0, "it")


@pytest.mark.slow
def test_what_cannot_be_told_is_the_mean_face_for_everybody(model: Portrait3D, astronaut: np.ndarray) -> None:
    # Documented: a network that says nothing about the photo answers with a sound face.
    changed = copy.copy(model)
    changed.face_net = with_weights(model.face_net, lambda name, v: v * 1e-3 if "regressor" in name else v)
    assert answer(changed, astronaut) == "a head"
