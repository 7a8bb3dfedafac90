"""Deep features: the loss by hand, and both networks that give features."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from portrait3d.errors import WeightsError
from portrait3d.losses.perceptual import EfficientNetFeatures, Vgg19Features, perceptual_loss


def test_layers_count_by_their_mean_difference() -> None:
    one = [torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 1, 1)]
    other = [torch.full((1, 2, 2, 2), 0.5), torch.full((1, 1, 1, 1), -2.0)]
    torch.testing.assert_close(perceptual_loss(one, other), torch.tensor(2.5))
    assert float(perceptual_loss(other, other)) == 0


def test_different_numbers_of_layers_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="2 and 1 layers"):
        perceptual_loss([torch.zeros(1, 1, 1, 1)] * 2, [torch.zeros(1, 1, 1, 1)])


def test_imagenet_features_form_a_frozen_pyramid() -> None:
    features = EfficientNetFeatures(levels=3).train()
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    found = features(image)
    assert [tuple(level.shape[1:]) for level in found] == [(16, 32, 32), (24, 16, 16), (40, 8, 8)]
    assert not any(parameter.requires_grad for parameter in features.parameters())
    assert not any(module.training for module in features.modules())
    perceptual_loss(found, [torch.zeros_like(level) for level in found]).backward()
    assert image.grad is not None
    assert float(image.grad.abs().sum()) > 0


def test_blur_is_further_away_than_a_faint_change_of_brightness(astronaut) -> None:
    features = EfficientNetFeatures()
    image = torch.from_numpy(astronaut[0:256, 96:352]).permute(2, 0, 1)[None].float() / 255
    blurred = torch.nn.functional.avg_pool2d(image, 9, 1, 4, count_include_pad=False)
    with torch.no_grad():
        original = features(image)
        assert perceptual_loss(features(blurred), original) > 2 * perceptual_loss(
            features(image * 0.97), original
        )


def test_vgg_takes_the_first_layer_of_every_block_from_a_file_of_the_user(tmp_path: Path) -> None:
    state = {}
    given, index = 3, 0
    for channels, convolutions in Vgg19Features.BLOCKS:
        for _ in range(convolutions):
            state[f"features.{index}.weight"] = torch.randn(channels, given, 3, 3) * 0.02
            state[f"features.{index}.bias"] = torch.zeros(channels)
            given, index = channels, index + 2
        index += 1  # pooling
    state["classifier.0.weight"] = torch.zeros(2, 2)  # left over
    save_file(state, tmp_path / "vgg19.safetensors")
    with torch.no_grad():
        found = Vgg19Features(tmp_path / "vgg19.safetensors")(torch.rand(1, 3, 32, 32))
    assert [level.shape[1] for level in found] == [64, 128, 256, 512, 512]
    assert [level.shape[2] for level in found] == [32, 16, 8, 4, 2]
    save_file({**state, "features.5.bias": torch.ones(7)}, tmp_path / "vgg19.safetensors")
    with pytest.raises(WeightsError, match=r"features\.5\.bias in .*vgg19\.safetensors has the shape \(7,\)"):
        Vgg19Features(tmp_path / "vgg19.safetensors")


def test_missing_vgg_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vgg\.safetensors is missing"):
        Vgg19Features(tmp_path / "vgg.safetensors")
