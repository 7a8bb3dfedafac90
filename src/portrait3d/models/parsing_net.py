"""The parsing network: which part of the head, or what else, every pixel of a framed head shows."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.models.backbones import EfficientNetLite0
from portrait3d.models.folding import fold_norms
from portrait3d.parsing_classes import PARSING_CLASSES
from portrait3d.preprocessing.framing import FRAMINGS


class ParsingNet(nn.Module):
    """A U-Net on EfficientNet-Lite0: separable decoder, additive skips, logits at half resolution.

    In the place of the network of Lin et al., "Face Parsing with RoI Tanh-Warping" (CVPR 2019; paper, section
    3.2). It sees heads in the framing that it was trained for; `models.head_parsing` puts framings together.

    Args:
        width: Factor on the encoder's channel counts; 1 fits the ImageNet weights.
        channels: Channels of the decoder at 1/2, 1/4, 1/8, 1/16 and 1/32.
        folded: Without batch normalisation: convolutions with biases instead (`fold`).
        framing: How it sees heads, one of `preprocessing.framing.FRAMINGS`.
    """

    def __init__(
        self,
        width: float = 1.0,
        channels: Sequence[int] = (24, 40, 64, 96, 128),
        *,
        folded: bool = False,
        framing: str = "plain",
    ) -> None:
        super().__init__()
        if framing not in FRAMINGS:
            raise ValueError(f"A framing is one of {', '.join(FRAMINGS)}, got {framing!r}.")
        self.framing = framing
        # "folded" is what `fold` makes true: the weights' names follow from it.
        self.settings = {"width": width, "channels": list(channels), "folded": False, "framing": framing}
        self.encoder = EfficientNetLite0(width)
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(given, wanted, 1, bias=False), nn.BatchNorm2d(wanted))
            for given, wanted in zip(self.encoder.channels, channels, strict=True)
        )
        self.context = separable(channels[-1], channels[-1])
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(channels))
        self.fuse = nn.ModuleList(separable(fine, fine) for fine in channels[:-1])
        self.head = nn.Sequential(
            separable(channels[0], channels[0]), nn.Conv2d(channels[0], len(PARSING_CLASSES), 1)
        )
        if folded:
            self.fold()

    def fold(self) -> "ParsingNet":
        """Fold the batch normalisations into the convolutions, in place: faster, the same at inference."""
        fold_norms(self)
        self.settings["folded"] = True
        return self

    def forward(self, crop: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 9 h w"]:
        """Logits of every class at half the crop's resolution, as the decoder computes them.

        The crop is RGB in [0, 1] with sides that are multiples of 32.
        """
        levels = [lateral(x) for lateral, x in zip(self.lateral, self.encoder(crop), strict=True)]
        x = F.relu6(levels[-1], inplace=True)
        x = self.context(x) + x
        for up, fuse, level in zip(self.up[::-1], self.fuse[::-1], levels[-2::-1], strict=True):
            # Narrowed before it is enlarged: a 1 x 1 convolution and bilinear interpolation commute, and this
            # way round the convolution costs a quarter.
            x = F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = fuse(F.relu6(x.add_(level), inplace=True))
        return self.head(x)

    @torch.inference_mode()
    def parse(self, crop: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 9 H W"]:
        """Class probabilities at the crop's resolution."""
        logits = F.interpolate(self(crop), scale_factor=2.0, mode="bilinear", align_corners=False)
        return logits.softmax(1)


def separable(given: int, wanted: int) -> nn.Sequential:
    """A depthwise and a pointwise convolution with their normalisations."""
    return nn.Sequential(
        nn.Conv2d(given, given, 3, padding=1, groups=given, bias=False),
        nn.BatchNorm2d(given),
        nn.Conv2d(given, wanted, 1, bias=False),
        nn.BatchNorm2d(wanted),
        nn.ReLU6(inplace=True),
    )
