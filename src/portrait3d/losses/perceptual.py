"""Pictures compared by the features of a network that knows what is in photos."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.models.backbones import EfficientNetLite0
from portrait3d.weights import load_state

Features = Sequence[Float[Tensor, "_ _ _ _"]]


def perceptual_loss(restored: Features, original: Features) -> Float[Tensor, ""]:
    """The repaired photo has the deep features of the original, Eq. 13.

    The mean l1 of phi(G(R)) - phi(R^) at each layer, summed over the layers.
    """
    if len(restored) != len(original):
        raise ValueError(f"Features of {len(restored)} and {len(original)} layers cannot be compared.")
    distances = [(one - other).abs().mean() for one, other in zip(restored, original, strict=True)]
    return sum(distances[1:], distances[0])


class EfficientNetFeatures(nn.Module):
    """phi from EfficientNet-Lite0: its features at 1/2, 1/4, 1/8 and 1/16, each divided by its deviation.

    Stands in for VGG-19, whose weights are on no package registry. Frozen, always in evaluation mode.

    Args:
        weights: ImageNet weights; by default those of the package that `portrait3d[train]` brings.
        levels: How many of the four levels to compute, finest first.
    """

    DEVIATIONS = (5.9, 8.8, 8.2, 7.7)
    """Of each level over portraits, so that all count alike."""

    def __init__(self, weights: Path | None = None, levels: int = 4) -> None:
        super().__init__()
        net = EfficientNetLite0().load_imagenet(weights)
        self.stem, self.stages = net.stem, net.stages[: net.PYRAMID[levels - 1] + 1]
        self.taken = net.PYRAMID[:levels]
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "EfficientNetFeatures":
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Features of a picture, RGB in [0, 1], finest first."""
        # As its ImageNet weights were trained, see `EfficientNetLite0.forward`.
        x = F.relu6(self.stem((image * 255 - 127) / 128))
        found = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.taken:
                found.append(x / self.DEVIATIONS[len(found)])
        return found


class Vgg19Features(nn.Module):
    """phi of the paper: the first layer of each block of VGG-19 (Simonyan and Zisserman, ICLR 2015), after
    ReLU.

    Args:
        weights: A safetensors file with torchvision's names (`features.0.weight`, ...), which has to be
            brought along. docs/paper.md says why it isn't here.
    """

    BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))
    """Channels and number of convolutions, up to the first of the last block."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        if not weights.is_file():
            raise FileNotFoundError(
                f"{weights} is missing. VGG-19's weights aren't shipped; bring a safetensors file."
            )
        layers: list[nn.Module] = []
        given, self.taken = 3, []
        for i, (channels, convolutions) in enumerate(self.BLOCKS):
            if i:
                layers.append(nn.MaxPool2d(2))
            for j in range(convolutions):
                layers += [nn.Conv2d(given, channels, 3, padding=1), nn.ReLU()]
                given = channels
                # conv1_1, conv2_1, ... conv5_1: what follows the last of them is not needed.
                if j == 0:
                    self.taken.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        load_state(self, weights, partly=True)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Features of a picture, RGB in [0, 1], finest first."""
        x = (image - self.get_buffer("mean")) / self.get_buffer("deviation")
        found = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taken:
                found.append(x)
        return found
