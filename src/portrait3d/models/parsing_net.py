"""The parsing network: which part of the head, or what else, every pixel of the head crop shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor, nn

from portrait3d.models.backbones import EfficientNetLite0
from portrait3d.preprocessing.alignment import Crop

PARSING_CLASSES = (
    "background",
    "face",
    "hair",
    "left ear",
    "right ear",
    "inner mouth",
    "neck",
    "body",
    "headwear",
)
"""What the labels 0 to 8 mean; left and right are the picture's. Glasses and beards are face."""
MIRRORED_CLASSES = (0, 1, 2, 4, 3, 5, 6, 7, 8)
"""The label that each label has in the mirrored picture."""
HEAD_CLASSES = (1, 2, 3, 4, 5, 8)
"""The labels of what turns with the head."""
BAND = 512
"""Rows of the photo that are labelled at a time, which bounds the memory for large photos."""


class ParsingNet(nn.Module):
    """A U-Net on EfficientNet-Lite0: separable decoder, additive skips, logits at half resolution.

    In the place of Lin et al., "Face Parsing with RoI Tanh-Warping" (CVPR 2019; paper, section 3.2); here
    the network sees the plain upright head crop.

    Args:
        width: Factor on the encoder's channel counts; 1 fits the ImageNet weights.
        channels: Channels of the decoder at 1/2, 1/4, 1/8, 1/16 and 1/32.
    """

    def __init__(self, width: float = 1.0, channels: Sequence[int] = (24, 40, 64, 96, 128)) -> None:
        super().__init__()
        self.settings = {"width": width, "channels": list(channels)}
        self.encoder = EfficientNetLite0(width)
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(given, wanted, 1, bias=False), nn.BatchNorm2d(wanted))
            for given, wanted in zip(self.encoder.channels, channels, strict=True)
        )
        self.context = _separable(channels[-1], channels[-1])
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1, bias=False) for fine, coarse in pairwise(channels))
        self.fuse = nn.ModuleList(_separable(fine, fine) for fine in channels[:-1])
        self.head = nn.Sequential(
            _separable(channels[0], channels[0]), nn.Conv2d(channels[0], len(PARSING_CLASSES), 1)
        )

    def forward(self, crop: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 9 H W"]:
        """Logits of every class; the crop is RGB in [0, 1] with sides that are multiples of 32."""
        logits = self.logits_at_half(crop)
        return F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)

    def logits_at_half(self, crop: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 9 h w"]:
        """Logits at half the crop's resolution, as the decoder computes them; what training compares."""
        levels = [lateral(x) for lateral, x in zip(self.lateral, self.encoder(crop), strict=True)]
        x = F.relu6(levels[-1])
        x = x + self.context(x)
        for up, fuse, level in zip(self.up[::-1], self.fuse[::-1], levels[-2::-1], strict=True):
            x = F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = fuse(F.relu6(x + level))
        return self.head(x)

    @torch.inference_mode()
    def parse(self, crop: Float[Tensor, "B 3 H W"], *, mirrored: bool = True) -> Float[Tensor, "B 9 H W"]:
        """Class probabilities; `mirrored` averages those of the crop and of its mirror image."""
        probabilities = self(crop).softmax(1)
        if mirrored:
            turned = self(crop.flip(-1)).softmax(1).flip(-1)
            probabilities = (probabilities + turned[:, list(MIRRORED_CLASSES)]) / 2
        return probabilities


@dataclass(frozen=True, slots=True)
class HeadParsing:
    """What every pixel shows, around one person's head."""

    labels: UInt8[np.ndarray, "H W"]
    """Labels of the photo's pixels, as in `PARSING_CLASSES`; background beyond the head crop."""
    head_labels: UInt8[np.ndarray, "size size"]
    """Labels of the head crop's pixels."""
    head_probabilities: Float[Tensor, "9 size size"]
    """Class probabilities in the head crop."""


def parse_head(
    net: ParsingNet, pixels: UInt8[np.ndarray, "H W 3"], crop: Crop, *, mirrored: bool = True
) -> HeadParsing:
    """Label the pixels of the head crop and of the photo.

    Probabilities go back to the photo, not labels, so that contours stay smooth there. Face, hair, ears and
    headwear that don't hang together with the face in the crop's middle are another person's, or wrong, and
    become background, neck or body. So does everything where the crop leaves the photo.
    """
    device = next(net.parameters()).device
    image = crop.extract(pixels)[None].to(device, memory_format=torch.channels_last)
    height, width = pixels.shape[:2]
    inside = crop.extract_labels(np.ones((height, width), np.uint8)) > 0
    # One pixel more, so that nothing fades to background at the photo's own border.
    parsed = _only_within(net.parse(image, mirrored=mirrored)[0].cpu(), ndimage.binary_dilation(inside))
    probabilities = keep_one_head(parsed)
    labels = np.zeros((height, width), np.uint8)
    corners = crop.photo_from_crop(torch.tensor([[x, y] for x in (0.0, crop.size) for y in (0.0, crop.size)]))
    left, first = corners.amin(0).floor().int().clamp(min=0).tolist()
    right, last = corners.amax(0).ceil().int().minimum(torch.tensor([width, height])).tolist()
    for top in range(first, last if right > left else first, BAND):
        rows, columns = min(BAND, last - top), right - left
        shifted = crop.recentred((crop.centre[0] - left, crop.centre[1] - top))
        restored = shifted.restore(probabilities, rows, columns).numpy()
        # NumPy's argmax is several times as fast as torch's along the first axis.
        labels[top : top + rows, left:right] = restored.argmax(0)
    probabilities = _only_within(probabilities, inside)
    return HeadParsing(labels, probabilities.argmax(0).numpy().astype(np.uint8), probabilities)


def keep_one_head(probabilities: Float[Tensor, "9 H W"]) -> Float[Tensor, "9 H W"]:
    """Clear the head classes wherever they don't hang together with the face in the middle."""
    labels = probabilities.argmax(0).numpy()
    # Gaps of up to two pixels, such as the rim of glasses or of a headband, don't part a head.
    joined = ndimage.binary_dilation(np.isin(labels, HEAD_CLASSES))
    components = np.empty(labels.shape, np.int32)
    count = int(ndimage.label(joined, np.ones((3, 3)), output=components))  # pyright: ignore[reportArgumentType]
    height, width = labels.shape
    middle = np.s_[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    faces = np.bincount(components[middle][labels[middle] == 1], minlength=count + 1)
    faces[0] = 0
    kept = int(faces.argmax()) if faces.any() else -1
    cleared = torch.from_numpy((components > 0) & (components != kept))
    probabilities = probabilities.clone()
    for label in HEAD_CLASSES:
        probabilities[label].masked_fill_(cleared, 0.0)
    # The background's share also makes up for classes that leave nothing at all.
    probabilities[0] += 1e-6
    return probabilities / probabilities.sum(0)


def _only_within(
    probabilities: Float[Tensor, "9 H W"], inside: Bool[np.ndarray, "H W"]
) -> Float[Tensor, "9 H W"]:
    """Certain background outside a mask."""
    background = torch.zeros_like(probabilities)
    background[0] = 1
    return torch.where(torch.from_numpy(inside), probabilities, background)


def _separable(given: int, wanted: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, given, 3, padding=1, groups=given, bias=False),
        nn.BatchNorm2d(given),
        nn.Conv2d(given, wanted, 1, bias=False),
        nn.BatchNorm2d(wanted),
        nn.ReLU6(inplace=True),
    )
