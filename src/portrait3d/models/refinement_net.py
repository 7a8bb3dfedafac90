"""The refinement network: a coarsely turned head in, the whole picture with holes and seams repaired out."""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LIGHT_CHANNELS = (48, 96, 128, 192, 320)
PAPER_FILTERS = 64
CHANNELS = {"light": LIGHT_CHANNELS, "guided": LIGHT_CHANNELS, "paper": (PAPER_FILTERS,)}
"""Of the presets."""
GUIDE = 9
"""Channels of a guide, the reference's colours last (`reposing.guide.CHANNELS`)."""
LAYERS = 5
"""The first of them: what was drawn."""
BRIGHTEST = 1.6
"""How much brighter or darker light may become."""
HABIT = 3.0
"""Logit with which a new network paints in holes and keeps what is known; training moves it."""


class RefinementNet(nn.Module):
    """The generator G (paper, section 3.4): it repairs a picture that was put together by moving pixels.

    It predicts what to add to the picture, so what needs no repair passes through with next to no effort.

    Args:
        preset: `light`, a small U-Net for CPUs (2.2 GMAC at 256 px); `guided`, one that knows what each pixel
            was drawn from (`GuidedUNet`, 2.5 GMAC); or `paper`, the global generator of pix2pixHD (Wang et
            al., CVPR 2018; 55 GMAC).
        channels: Channels of the light U-Nets at 1/2, 1/4, 1/8, 1/16 and 1/32, or of the paper's generator at
            full resolution (a single number); by default those of the preset.
        blended: Add to the holes alone, M * G(J) + (1 - M) * J in the paper's terms, instead of giving the
            whole picture. A guided network learns where to paint.
    """

    def __init__(
        self,
        preset: str = "light",
        channels: tuple[int, ...] | list[int] | None = None,
        blended: bool = False,
    ) -> None:
        super().__init__()
        if preset not in CHANNELS:
            raise ValueError(f'A preset is "light", "guided" or "paper", got {preset!r}.')
        channels = tuple(channels or CHANNELS[preset])
        if len(channels) != len(CHANNELS[preset]):
            raise ValueError(
                f"Light networks take 5 channel counts and the paper's one, got {channels} for {preset}."
            )
        self.settings = {"preset": preset, "channels": list(channels), "blended": blended}
        self.guided, self.blended = preset == "guided", blended
        if preset == "paper":
            self.residual = GlobalGenerator(channels[0])
        else:
            self.residual = GuidedUNet(channels) if self.guided else LightUNet(channels)

    def forward(
        self,
        image: Float[Tensor, "B 3 H W"],
        holes: Float[Tensor, "B 1 H W"],
        guide: Float[Tensor, "B 9 H W"] | None = None,
    ) -> Float[Tensor, "B 3 H W"]:
        """Repair coarse turns: RGB in [0, 1] with holes filled roughly, `holes` 1 where nothing is known.

        A guided network needs the turns' guide (`reposing.guide`), others take no notice of it. Sides are
        multiples of 32. The output is cut to [0, 1] except in training, where that would stop gradients.
        """
        if self.guided:
            if guide is None:
                raise ValueError("A guided refinement network needs the turn's guide.")
            repaired = self._repair_guided(image, holes, guide)
        else:
            given = torch.cat([2 * image - 1, holes], dim=1)
            residual = self.residual(given.contiguous(memory_format=torch.channels_last))
            repaired = image + (residual * holes if self.blended else residual)
        return repaired if self.training else repaired.clamp(0, 1)

    def _repair_guided(
        self,
        image: Float[Tensor, "B 3 H W"],
        holes: Float[Tensor, "B 1 H W"],
        guide: Float[Tensor, "B 9 H W"],
    ) -> Float[Tensor, "B 3 H W"]:
        """Copy from the reference, change the light, paint; nothing of that where nothing was drawn."""
        reference = guide[:, -3:]
        given = torch.cat([2 * image - 1, holes, guide[:, :-3], reference - image], dim=1)
        out = self.residual(given.contiguous(memory_format=torch.channels_last))
        drawn = torch.maximum(guide[:, :LAYERS].sum(1, keepdim=True), holes).clamp(0, 1)
        copied = drawn * torch.sigmoid(out.copy - HABIT)
        painted = drawn * torch.sigmoid(out.paint + HABIT * (2 * holes - 1))
        lit = (image + copied * (reference - image)) * torch.exp(drawn * out.gain)
        return lit + painted * out.colour


class Guided(NamedTuple):
    """What a guided network says."""

    colour: Float[Tensor, "B 3 H W"]
    """To be added where it paints."""
    paint: Float[Tensor, "B 1 H W"]
    """Logit of how far it paints, beside what is usual in and beside holes."""
    copy: Float[Tensor, "B 1 H W"]
    """Logit of how far the reference takes the picture's place."""
    gain: Float[Tensor, "B 3 H W"]
    """Logarithm of how much brighter each colour becomes; smooth."""


class LightUNet(nn.Module):
    """A U-Net of plain 3 x 3 convolutions from 1/2 to 1/32 of the resolution, with added skips.

    On CPUs plain convolutions on few channels train about three times as fast as inverted residuals of as
    many operations, which wait for memory. There is no normalisation: small windows give poor statistics.
    """

    def __init__(self, channels: tuple[int, ...], given: int = 4, wanted: int = 3) -> None:
        super().__init__()
        last = channels[-1]
        self.stem = _convolution(given, channels[0], kernel=5, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(given, wanted, stride=2), _convolution(wanted, wanted))
            for given, wanted in pairwise(channels)
        )
        self.middle = nn.Sequential(_convolution(last, last, dilation=2), _convolution(last, last))
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(channels))
        self.up = nn.ModuleList(_convolution(fine, fine) for fine in channels[:-1])
        # Each output of 2 x 2 pixels: the last level is computed at half resolution.
        self.out = nn.Sequential(_quiet(channels[0], 4 * wanted), nn.PixelShuffle(2))

    def forward(self, x: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B 3 H W"]:
        """What to add to the picture."""
        return self.out(self.levels(x)[-1])

    def levels(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """Features on the way up, at 1/32 first and at 1/2 last."""
        x = self.stem(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        found = [x]
        for narrow, up, skip in zip(self.narrow[::-1], self.up[::-1], skips[::-1], strict=True):
            x = up(F.interpolate(narrow(x), scale_factor=2.0, mode="bilinear", align_corners=False) + skip)
            found.append(x)
        return found


class GuidedUNet(LightUNet):
    """The light U-Net that sees a turn's guide, too, and says where to copy, where to paint, and the light.

    What a photo shows at grazing angles is darker and smoother than the same cheek from the front, and hard
    light from one side travels with the head: a gain at 1/16 of the resolution can mend that and leaves
    detail alone.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__(channels, given=4 + GUIDE, wanted=5)
        self.gain = _quiet(channels[3], 3)

    def forward(self, x: Float[Tensor, "B 13 H W"]) -> Guided:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What to do with a picture: colours (-1 to 1), holes, guide, and by what the reference differs."""
        levels = self.levels(x)
        colour, paint, copy = self.out(levels[-1]).split([3, 1, 1], dim=1)
        gain = math.log(BRIGHTEST) * torch.tanh(self.gain(levels[1]))
        return Guided(colour, paint, copy, F.interpolate(gain, x.shape[-2:], mode="bilinear"))


def _quiet(given: int, wanted: int) -> nn.Conv2d:
    # A last layer that starts out by changing next to nothing.
    convolution = nn.Conv2d(given, wanted, 3, padding=1)
    nn.init.normal_(convolution.weight, std=1e-3)
    nn.init.constant_(convolution.bias, 0)  # pyright: ignore[reportArgumentType]
    return convolution


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
