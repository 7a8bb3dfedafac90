"""The depth network and what it is given."""

import pytest
import torch

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.backbones import ResNet18
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.depth_net import DepthNet, head_region, predict_depth, uncovered_face
from portrait3d.models.face_depth import render_face_depth
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


def test_hidden_face_depth_does_not_reach_the_network(net: DepthNet) -> None:
    labels = torch.full((1, 64, 64), 2, dtype=torch.uint8)
    image, center = torch.rand(1, 3, 64, 64), torch.tensor([1000.0])
    covered = predict_depth(net, image, torch.full((1, 64, 64), 950.0), labels, center, camera())
    without = predict_depth(net, image, torch.full((1, 64, 64), torch.inf), labels, center, camera())
    torch.testing.assert_close(covered.depth, without.depth)
    assert covered.valid.all()


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
