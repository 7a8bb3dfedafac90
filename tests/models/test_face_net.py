"""The face network as a function: shapes, sizes, batches, and what it says before training."""

import pytest
import torch

from portrait3d.geometry.pose import Pose
from portrait3d.models.face_net import FaceNet, rotation_from_columns
from portrait3d.pretrained import load_network, save_network


@pytest.fixture(scope="module")
def net() -> FaceNet:
    torch.manual_seed(1)
    return FaceNet(working_size=64, width=0.25).eval()


@torch.no_grad()
def test_an_untrained_network_sees_about_the_mean_face_in_front(net: FaceNet) -> None:
    output = net(torch.rand(2, 3, 224, 224))
    assert output.shape.abs().max() < 0.5
    pose = output.camera_from_model
    assert (pose.rotation - torch.eye(3)).abs().max() < 0.2
    assert ((pose.translation[:, 2] - 1000).abs() < 100).all()


@torch.no_grad()
def test_a_batch_equals_its_samples_one_by_one(net: FaceNet) -> None:
    crops = torch.rand(3, 3, 224, 224)
    together = net(crops).coefficients.to_vector()
    alone = torch.cat([net(crop[None]).coefficients.to_vector() for crop in crops])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_larger_crops_are_reduced_first(net: FaceNet) -> None:
    small = torch.rand(1, 3, 1, 1).expand(-1, -1, 64, 64).contiguous()
    large = small[..., :1, :1].expand(-1, -1, 224, 224).contiguous()
    torch.testing.assert_close(net(small).shape, net(large).shape, atol=1e-4, rtol=1e-3)


def test_rotations_are_rotations() -> None:
    rotation = rotation_from_columns(torch.randn(20, 6) * 0.5)
    torch.testing.assert_close(
        rotation @ rotation.transpose(1, 2), torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(20))
    torch.testing.assert_close(rotation_from_columns(torch.zeros(1, 6))[0], torch.eye(3))


def test_landmarks_are_projected_to_the_crop(net: FaceNet) -> None:
    points = torch.zeros(1, 68, 3)
    pose = Pose(torch.eye(3)[None], torch.tensor([[10.0, -20.0, 1015.0]]))
    expected = torch.tensor([122.0, 92.0]).expand(1, 68, 2)
    torch.testing.assert_close(net.landmarks(points, pose), expected)


@torch.no_grad()
def test_a_stored_network_comes_back(net: FaceNet, tmp_path) -> None:
    save_network(net, tmp_path, "# A card")
    crop = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(
        load_network(FaceNet, tmp_path)(crop).shape, net(crop).shape, atol=1e-2, rtol=1e-2
    )


def test_a_working_size_that_the_encoder_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="working_size must be a multiple of 32 from 64 to 512, got 100"):
        FaceNet(working_size=100)


def test_the_papers_encoder_gives_the_same_output(tmp_path) -> None:
    net = FaceNet(working_size=64, width=0.125, encoder="resnet50")
    save_network(net, tmp_path, "# A card")
    loaded, crop = load_network(FaceNet, tmp_path), torch.rand(2, 3, 64, 64)
    assert loaded(crop).coefficients.to_vector().shape == (2, 233)
    net(crop).shape.sum().backward()
    assert net.encoder.conv1.weight.grad is not None
    with pytest.raises(ValueError, match="'resnet18'"):
        FaceNet(encoder="resnet18")
