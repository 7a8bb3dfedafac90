"""The depth network and what it is given."""

from typing import Any

import pytest
import torch

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.backbones import ResNet18
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.depth_net import DepthNet, head_region, outline_distance, predict_depth, uncovered_face
from portrait3d.models.face_depth import FaceDepth, render_average_head, render_face_depth
from portrait3d.models.head_model import HeadModel


@pytest.fixture(scope="module")
def net() -> DepthNet:
    torch.manual_seed(0)
    return DepthNet(width=0.125).eval()


def camera(size: int = 64) -> Camera:
    middle = torch.full((1, 2), size / 2)
    return Camera(torch.tensor([580.0 * size / 256]), middle, size, size)


def pose(yaw: float, depth: float = 1000.0) -> Pose:
    rotation = rotation_from_euler(torch.tensor([yaw]), torch.zeros(1), torch.zeros(1))
    return Pose(rotation, torch.tensor([[0.0, 0.0, depth]]))


def test_resnet_halves_the_resolution_from_stage_to_stage() -> None:
    net = ResNet18(5, width=0.125)
    features = net(torch.rand(1, 5, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [(8, 16, 24), (16, 8, 12), (32, 4, 6), (64, 2, 3)]


def test_full_width_is_the_papers_encoder() -> None:
    count = sum(p.numel() for p in ResNet18(3).parameters())
    assert count == 11_176_512  # ResNet-18's 11.69 million without the classifier's 513 thousand


def test_depth_has_the_size_of_the_crop_and_lies_around_the_head(net: DepthNet) -> None:
    region = torch.ones(2, 1, 64, 96, dtype=torch.bool)
    center = torch.tensor([900.0, 1100.0])
    depth = net(torch.rand(2, 3, 64, 96), torch.zeros(2, 1, 64, 96), region, center)
    assert depth.shape == (2, 1, 64, 96)
    assert ((depth - center.view(2, 1, 1, 1)).abs() < 400).all()


def test_moving_head_and_face_together_moves_the_depth(net: DepthNet) -> None:
    image, region = torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64, dtype=torch.bool)
    face = torch.where(torch.rand(1, 1, 64, 64) > 0.5, 950.0, 0.0)
    near = net(image, face, region, torch.tensor([1000.0]))
    far = net(image, torch.where(face > 0, face + 70, 0.0), region, torch.tensor([1070.0]))
    torch.testing.assert_close(far, near + 70, atol=1e-2, rtol=0.0)


def test_a_batch_gives_what_its_parts_give(net: DepthNet) -> None:
    image, region = torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64) > 0.3
    face, center = torch.full((2, 1, 64, 64), 950.0), torch.tensor([1000.0, 990.0])
    with torch.no_grad():
        together = net(image, face, region, center)
        alone = [net(image[k : k + 1], face[k : k + 1], region[k : k + 1], center[k : k + 1]) for k in (0, 1)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-2, rtol=1e-4)


def test_the_head_is_face_hair_ears_mouth_and_headwear() -> None:
    labels = torch.arange(9, dtype=torch.uint8).view(1, 1, 9)
    assert head_region(labels)[0, 0, 0].tolist() == [False, *[True] * 5, False, False, True]
    assert uncovered_face(labels)[0, 0, 0].tolist() == [False, True, False, False, False, True, *[False] * 3]


def test_on_a_disk_the_distance_to_the_outline_makes_a_ball() -> None:
    y, x = torch.meshgrid(torch.arange(128) - 64, torch.arange(128) - 64, indexing="ij")
    radius = 50
    disk = x**2 + y**2 < radius**2
    distance = outline_distance(disk[None, None])[0, 0]
    assert (distance[~disk] == 0).all()
    rim = disk & (x**2 + y**2 > 35**2)
    height = (radius**2 - x[rim] ** 2 - y[rim] ** 2).float().sqrt()
    correlation = torch.corrcoef(torch.stack([height, distance[rim]]))[0, 1]
    assert correlation > 0.99


def face_depth(mask: torch.Tensor) -> FaceDepth:
    depth = torch.where(mask, torch.full(mask.shape, 950.0), torch.inf)
    return FaceDepth(depth, mask, torch.tensor([1000.0]), torch.full(mask.shape, 980.0))


@pytest.mark.parametrize("told", [{}, {"head_depth": True, "parsing": True}])
def test_hidden_face_depth_does_not_reach_the_network(told: dict[str, Any]) -> None:
    torch.manual_seed(1)
    net = DepthNet(0.125, **told).eval()
    labels = torch.full((1, 64, 64), 2, dtype=torch.uint8)
    image, everywhere = torch.rand(1, 3, 64, 64), torch.ones(1, 64, 64, dtype=torch.bool)
    covered = predict_depth(net, image, face_depth(everywhere), labels, camera())
    without = predict_depth(net, image, face_depth(~everywhere), labels, camera())
    torch.testing.assert_close(covered.depth, without.depth)
    assert covered.valid.all()


def test_the_first_guess_is_the_bare_face_and_the_average_head() -> None:
    net = DepthNet(0.125, head_depth=True, parsing=True).eval()
    for parameter in net.head[-1].parameters():
        torch.nn.init.zeros_(parameter)
    labels = torch.full((1, 64, 64), 2, dtype=torch.uint8)
    labels[:, 32:] = 1
    everywhere = torch.ones(1, 64, 64, dtype=torch.bool)
    depth = predict_depth(net, torch.rand(1, 3, 64, 64), face_depth(everywhere), labels, camera()).depth
    assert (depth[:, :32] == 980).all()
    assert (depth[:, 32:] == 950).all()


@pytest.mark.parametrize(("clue", "name"), [("head_depth", "average head"), ("parsing", "parsing labels")])
def test_a_network_that_lacks_a_clue_says_which(clue: str, name: str) -> None:
    net = DepthNet(0.125, **{clue: True})
    region = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    with pytest.raises(ValueError, match=name):
        net(torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), region, torch.tensor([1000.0]))


def test_the_average_head_is_near_the_face_and_goes_on_beyond_its_outline() -> None:
    model, neutral = HeadModel.load(), FaceCoefficients.neutral()
    face = render_face_depth(model, neutral, pose(0.3), camera(256))
    assert face.head.isfinite().all()
    assert (face.head - face.depth)[face.mask].abs().median() < 3.0
    row, column = (face.head[0] == face.head[0].amin()).nonzero()[0].tolist()
    assert face.mask[0, row, column], "the nose is nearest"
    beside = face.head[0, 80, [0, -1]] - face.center
    assert (beside.abs() < 90).all()


def test_without_a_head_in_the_picture_its_centre_is_the_guess() -> None:
    away = Pose(torch.eye(3)[None], torch.tensor([[9000.0, 0.0, 1000.0]]))
    depth = render_average_head(HeadModel.load(), away, camera(32))
    torch.testing.assert_close(depth, torch.full((1, 32, 32), 1000.0 + HEAD_CENTRE[2]))


def test_face_depth_is_nearest_at_the_nose_and_ends_at_the_ears() -> None:
    head = HeadModel.load()
    face = render_face_depth(head, FaceCoefficients.neutral(), pose(0.0), camera(128))
    assert 0.05 < face.mask.float().mean() < 0.3
    assert torch.equal(face.mask, face.depth.isfinite())
    flat = torch.where(face.mask, face.depth, torch.inf)[0]
    row, column = divmod(int(flat.argmin()), 128)
    assert abs(column - 64) <= 2
    assert 56 < row < 90
    assert float(face.center) == pytest.approx(1000 + HEAD_CENTRE[2])


def test_face_depth_of_a_mirrored_pose_is_mirrored() -> None:
    head, neutral = HeadModel.load(), FaceCoefficients.neutral()
    right, left = (render_face_depth(head, neutral, pose(sign * 0.4), camera(128)) for sign in (1, -1))
    both = right.mask & left.mask.flip(-1)
    assert both.sum() > 0.97 * right.mask.sum()
    gap = (right.depth - left.depth.flip(-1))[both].abs()
    assert gap.median() < 0.2
