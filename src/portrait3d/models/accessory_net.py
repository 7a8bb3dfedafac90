"""The network that finds glasses and earrings: which pixels of a small crop show one."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.models.backbones import EfficientNetLite0
from portrait3d.models.folding import fold_norms
from portrait3d.models.parsing_net import separable


class AccessoryNet(nn.Module):
    """A small U-Net on the first half of EfficientNet-Lite0, with logits at the picture's full resolution.

    What it looks for is one to a few of its pixels wide; `models.glasses` and `models.earrings` say where.

    Args:
        width: Factor on the encoder's channel counts; 1 fits the ImageNet weights.
        channels: Channels of the decoder at 1/1, 1/2, 1/4, 1/8 and 1/16.
        folded: Without batch normalisation: convolutions with biases instead (`fold`).
    """

    def __init__(
        self, width: float = 1.0, channels: Sequence[int] = (8, 16, 32, 48, 64), *, folded: bool = False
    ) -> None:
        super().__init__()
        # As in ParsingNet: "folded" is what `fold` makes true.
        self.settings = {"width": width, "channels": list(channels), "folded": False}
        self.encoder = EfficientNetLite0(width, levels=4)
        self.fine = nn.Sequential(
            nn.Conv2d(3, channels[0], 3, padding=1, bias=False), nn.BatchNorm2d(channels[0])
        )
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(given, wanted, 1, bias=False), nn.BatchNorm2d(wanted))
            for given, wanted in zip(self.encoder.channels, channels[1:], strict=True)
        )
        self.context = separable(channels[-1], channels[-1])
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(channels))
        self.fuse = nn.ModuleList(separable(fine, fine) for fine in channels[:-1])
        self.head = nn.Conv2d(channels[0], 1, 1)
        if folded:
            self.fold()

    def fold(self) -> "AccessoryNet":
        """Fold the batch normalisations into the convolutions, in place: faster, the same at inference."""
        fold_norms(self)
        self.settings["folded"] = True
        return self

    def forward(self, band: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 H W"]:
        """Logits; the picture is RGB in [0, 1] with sides that are multiples of 32."""
        finest = self.fine(band)
        levels = [finest, *(lateral(x) for lateral, x in zip(self.lateral, self.encoder(band), strict=True))]
        x = F.relu6(levels[-1])
        x = self.context(x) + x
        for up, fuse, level in zip(self.up[::-1], self.fuse[::-1], levels[-2::-1], strict=True):
            # Narrowed before it is enlarged, as in ParsingNet.
            x = F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = fuse(F.relu6(x + level))
        return self.head(x)
