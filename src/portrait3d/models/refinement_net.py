"""The refinement network: a coarsely turned head in, the whole picture with holes and seams repaired out."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LIGHT_CHANNELS = (48, 96, 128, 192, 320)
PAPER_FILTERS = 64


class RefinementNet(nn.Module):
    """The generator G (paper, section 3.4): it repairs a picture that was put together by moving pixels.

    It predicts what to add to the picture, so what needs no repair passes through with next to no effort.

    Args:
        preset: `light`, a small U-Net for CPUs (2.2 GMAC at 256 px), or `paper`, the global
            generator of pix2pixHD (Wang et al., CVPR 2018; 55 GMAC).
        channels: Channels of the light U-Net at 1/2, 1/4, 1/8, 1/16 and 1/32, or of the paper's generator at
            full resolution (a single number); by default those of the preset.
        blended: Add to the holes alone, M * G(J) + (1 - M) * J in the paper's terms, instead of giving the
            whole picture.
    """

    def __init__(
        self,
        preset: str = "light",
        channels: tuple[int, ...] | list[int] | None = None,
        blended: bool = False,
    ) -> None:
        super().__init__()
        if preset not in ("light", "paper"):
            raise ValueError(f'A preset is "light" or "paper", got {preset!r}.')
        channels = tuple(channels or (LIGHT_CHANNELS if preset == "light" else (PAPER_FILTERS,)))
        if len(channels) != (5 if preset == "light" else 1):
            raise ValueError(
                f"The light network takes 5 channel counts and the paper's one, got {channels} for {preset}."
            )
        self.settings = {"preset": preset, "channels": list(channels), "blended": blended}
        self.blended = blended
        self.residual = LightUNet(channels) if preset == "light" else GlobalGenerator(channels[0])

    def forward(
        self, image: Float[Tensor, "B 3 H W"], holes: Float[Tensor, "B 1 H W"]
    ) -> Float[Tensor, "B 3 H W"]:
        """Repair coarse turns: RGB in [0, 1] with holes filled roughly, `holes` 1 where nothing is known.

        Sides are multiples of 32. The output is cut to [0, 1] except in training, where that would stop
        gradients.
        """
        given = torch.cat([2 * image - 1, holes], dim=1)
        residual = self.residual(given.contiguous(memory_format=torch.channels_last))
        repaired = image + (residual * holes if self.blended else residual)
        return repaired if self.training else repaired.clamp(0, 1)


class LightUNet(nn.Module):
    """A U-Net of plain 3 x 3 convolutions from 1/2 to 1/32 of the resolution, with added skips.

    On CPUs plain convolutions on few channels train about three times as fast as inverted residuals of as
    many operations, which wait for memory. There is no normalisation: small windows give poor statistics.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        last = channels[-1]
        self.stem = _convolution(4, channels[0], kernel=5, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(given, wanted, stride=2), _convolution(wanted, wanted))
            for given, wanted in pairwise(channels)
        )
        self.middle = nn.Sequential(_convolution(last, last, dilation=2), _convolution(last, last))
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(channels))
        self.up = nn.ModuleList(_convolution(fine, fine) for fine in channels[:-1])
        # Three colours of 2 x 2 pixels: the last level is computed at half resolution.
        final = nn.Conv2d(channels[0], 12, 3, padding=1)
        nn.init.normal_(final.weight, std=1e-3)  # start out as the identity
        nn.init.constant_(final.bias, 0)  # pyright: ignore[reportArgumentType]
        self.out = nn.Sequential(final, nn.PixelShuffle(2))

    def forward(self, x: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B 3 H W"]:
        """What to add to the picture."""
        x = self.stem(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for narrow, up, skip in zip(self.narrow[::-1], self.up[::-1], skips[::-1], strict=True):
            x = up(F.interpolate(narrow(x), scale_factor=2.0, mode="bilinear", align_corners=False) + skip)
        return self.out(x)


def _convolution(
    given: int, wanted: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    # Leaky, because adding nothing is nearly right almost everywhere: plain ReLUs soon die before the last
    # layer.
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(given, wanted, kernel, stride, padding, dilation)
    nn.init.kaiming_normal_(convolution.weight, a=0.1)
    nn.init.constant_(convolution.bias, 0)  # pyright: ignore[reportArgumentType]
    return nn.Sequential(convolution, nn.LeakyReLU(0.1, inplace=True))


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
