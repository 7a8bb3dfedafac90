"""The refinement network: a coarsely turned head in, the whole picture with holes and seams repaired out."""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.geometry.filling import push_pull
from portrait3d.models.backbones import InvertedResidual

Preset = Literal["light", "paper"]

LIGHT_CHANNELS = (16, 32, 56, 96, 160)
PAPER_FILTERS = 64


class RefinementNet(nn.Module):
    """The generator G (paper, section 3.4): it repairs a picture that was put together by moving pixels.

    Holes are first filled smoothly from their surroundings and a network adds what is missing: a picture
    without holes and seams passes through with next to no effort, and what the network sees does not depend
    on what the holes held. It gives the whole picture; known pixels are not copied over its output, which the
    paper found worse.

    Args:
        preset: `light`, a U-Net of inverted residuals for CPUs (0.3 GMAC at 256 px), or `paper`, the global
            generator of pix2pixHD (Wang et al., CVPR 2018; 55 GMAC).
        channels: Channels of the light U-Net at 1/2, 1/4, 1/8, 1/16 and 1/32, or of the paper's generator at
            full resolution (a single number); by default those of the preset.
    """

    def __init__(self, preset: Preset = "light", channels: tuple[int, ...] | list[int] | None = None) -> None:
        super().__init__()
        if preset not in ("light", "paper"):
            raise ValueError(f'A preset is "light" or "paper", got {preset!r}.')
        channels = tuple(channels or (LIGHT_CHANNELS if preset == "light" else (PAPER_FILTERS,)))
        if len(channels) != (5 if preset == "light" else 1):
            raise ValueError(
                f"The light network takes 5 channel counts and the paper's one, got {channels} for {preset}."
            )
        self.settings = {"preset": preset, "channels": list(channels)}
        self.residual = LightUNet(channels) if preset == "light" else GlobalGenerator(channels[0])

    def forward(
        self, image: Float[Tensor, "B 3 H W"], holes: Float[Tensor, "B 1 H W"]
    ) -> Float[Tensor, "B 3 H W"]:
        """Repair coarse turns: RGB in [0, 1], `holes` 1 where nothing is known; sides multiples of 32.

        What the picture holds inside holes is ignored. The output is cut to [0, 1] except in training, where
        that would stop gradients.
        """
        filled = fill_smoothly(image, holes)
        repaired = filled + self.residual(torch.cat([2 * filled - 1, holes], dim=1))
        return repaired if self.training else repaired.clamp(0, 1)


def fill_smoothly(
    image: Float[Tensor, "B C H W"], holes: Float[Tensor, "B 1 H W"]
) -> Float[Tensor, "B C H W"]:
    """Fill holes from ever coarser averages of what is known around them."""
    return torch.stack([push_pull(one, known) for one, known in zip(image, 1 - holes[:, 0], strict=True)])


class LightUNet(nn.Module):
    """A U-Net of inverted residuals from 1/2 to 1/32 of the resolution, with 5 x 5 kernels from 1/4 on."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(4, channels[0], 5, 2, 2, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU6()
        )
        self.down = nn.ModuleList(
            nn.Sequential(_block(given, wanted, stride=2), _block(wanted, wanted))
            for given, wanted in pairwise(channels)
        )
        self.middle = nn.Sequential(*(_block(channels[-1], channels[-1]) for _ in range(2)))
        self.narrow = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(channels)
        )
        self.up = nn.ModuleList(
            nn.Sequential(_block(fine, fine), _block(fine, fine)) if i else _fine_block(fine)
            for i, fine in enumerate(channels[:-1])
        )
        self.out = nn.Sequential(nn.Conv2d(channels[0], 12, 3, padding=1), nn.PixelShuffle(2))
        final = self.out[0]
        assert isinstance(final, nn.Conv2d)
        nn.init.normal_(final.weight, std=1e-3)  # start out as the smooth fill
        nn.init.zeros_(final.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B 3 H W"]:
        """What to add to the picture."""
        x = self.stem(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for narrow, up, skip in zip(self.narrow[::-1], self.up[::-1], skips[::-1], strict=True):
            x = up(F.interpolate(narrow(x), skip.shape[-2:], mode="bilinear", align_corners=False) + skip)
        return self.out(x)


def _block(given: int, wanted: int, *, stride: int = 1) -> InvertedResidual:
    return InvertedResidual(given, wanted, kernel=5, stride=stride, expansion=3)


def _fine_block(channels: int) -> InvertedResidual:
    """At 1/2 most of the time goes into memory: narrower and with a smaller kernel."""
    return InvertedResidual(channels, channels, kernel=3, stride=1, expansion=2)


class GlobalGenerator(nn.Module):
    """The global generator of pix2pixHD: four halvings, nine residual blocks, four doublings, instance
    norm."""

    def __init__(self, filters: int, halvings: int = 4, blocks: int = 9) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(4, filters, 7, padding=3, padding_mode="reflect")]
        layers += _normed(filters)
        for i in range(halvings):
            layers += [nn.Conv2d(filters << i, filters << i + 1, 3, 2, 1), *_normed(filters << i + 1)]
        layers += [ResidualBlock(filters << halvings) for _ in range(blocks)]
        for i in reversed(range(halvings)):
            layers += [
                nn.ConvTranspose2d(filters << i + 1, filters << i, 3, 2, 1, output_padding=1),
                *_normed(filters << i),
            ]
        layers.append(nn.Conv2d(filters, 3, 7, padding=3, padding_mode="reflect"))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B 3 H W"]:
        """What to add to the picture, in [-1, 1]."""
        return torch.tanh(self.layers(x))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is carried."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            *_normed(channels),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The input plus what the convolutions make of it."""
        return x + self.layers(x)


def _normed(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)
