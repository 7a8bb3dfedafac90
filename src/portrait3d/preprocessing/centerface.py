"""CenterFace, the network that finds faces, with its published weights."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

STRIDE = 4
"""Pixels of the input per cell of the output."""
MULTIPLE = 32
"""Sides of the input are multiples of this."""
CHANNELS = 24
"""Of the feature maps that go down the pyramid."""


class CenterFaceOutput(NamedTuple):
    """What the network says about every cell of B pictures."""

    heat: Float[Tensor, "B 1 h w"]
    """How surely a face has its middle in the cell, 0 to 1."""
    extent: Float[Tensor, "B 2 h w"]
    """Natural logarithm of the face's height and width, in cells."""
    offset: Float[Tensor, "B 2 h w"]
    """From the cell's middle to the face's (y, x), in cells."""
    points: Float[Tensor, "B 10 h w"]
    """Eyes, nose tip, mouth corners (y, x), from the box's top left corner, in heights and widths."""


class CenterFace(nn.Module):
    """Faces as points: a heat map, and what belongs to the face at each of its cells.

    Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019: MobileNetV2 with a
    feature pyramid. Batch normalisations are folded into the convolutions. Made to be read only:
    `tools/convert_centerface.py` fills it with the published weights.
    """

    STAGES = (
        # repeats, channels, stride, expansion
        (1, 16, 1, 1),
        (2, 24, 2, 6),
        (3, 32, 2, 6),
        (4, 64, 2, 6),
        (3, 96, 1, 6),
        (3, 160, 2, 6),
        (1, 320, 1, 6),
    )
    PYRAMID = (6, 4, 2, 1)
    """Stages that the pyramid takes, from 1/32 of the input's size to 1/4."""
    OUTPUTS = (1, 2, 2, 10)
    """Channels of heat, extent, offset and key points."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, object] = {}
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        given = 32
        for repeats, channels, stride, expansion in self.STAGES:
            blocks = [InvertedResidual(given, channels, stride, expansion)]
            blocks += [InvertedResidual(channels, channels, 1, expansion) for _ in range(repeats - 1)]
            self.stages.append(nn.Sequential(*blocks))
            given = channels
        self.lateral = nn.ModuleList(nn.Conv2d(self.STAGES[k][1], CHANNELS, 1) for k in self.PYRAMID)
        self.up = nn.ModuleList(nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, stride=2) for _ in self.PYRAMID[1:])
        self.fuse = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.out = nn.Conv2d(CHANNELS, sum(self.OUTPUTS), 1)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> CenterFaceOutput:
        """Find faces in RGB images of 0 to 255; a cell of the output is `STRIDE` pixels wide."""
        x, levels = F.relu_(self.stem(images)), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        # Feature pyramid (Lin et al., CVPR 2017): from the coarsest level up, finer ones are added.
        taken = [levels[k] for k in self.PYRAMID]
        coarse, *finer = (F.relu_(side(level)) for side, level in zip(self.lateral, taken, strict=True))
        for up, level in zip(self.up, finer, strict=True):
            coarse = F.relu_(up(coarse)).add_(level)
        heat, extent, offset, points = self.out(F.relu_(self.fuse(coarse))).split(self.OUTPUTS, dim=1)
        return CenterFaceOutput(torch.sigmoid(heat), extent, offset, points)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, depthwise convolution, narrow, add the input where shapes allow."""

    def __init__(self, given: int, wanted: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = given * expansion
        self.expand = nn.Conv2d(given, hidden, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden)
        self.project = nn.Conv2d(hidden, wanted, 1)
        self.residual = stride == 1 and given == wanted

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Height and width are divided by the stride."""
        y = x if self.expand is None else F.relu_(self.expand(x))
        y = self.project(F.relu_(self.depthwise(y)))
        return y.add_(x) if self.residual else y
