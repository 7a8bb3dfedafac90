"""The depth network: the first and the last surface of head and hair along every ray (paper, section 3.3).

The paper's network gives the first surface alone. What a photo shows of hair tells much about what it hides:
how thick it is, and whether it hangs behind the neck. The network sees the wide crop, so that long hair is
not cut.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pixels import inner_distance
from portrait3d.models.face_depth import HeadDepths, carried_on
from portrait3d.parsing_classes import COVERING, EARS, FACE, HEAD, ParsingClass

PARTS = (
    FACE,
    (ParsingClass.HAIR,),
    EARS,
    (ParsingClass.NECK,),
    (ParsingClass.BODY,),
    (ParsingClass.HEADWEAR,),
)
"""Classes that share a mask."""
UNIT = 100.0
"""Millimetres per unit of the network's depth input and output."""
ROUND = 0.15625
"""From the outline to the middle of a round head, about, as a share of the wide crop's side: a quarter of the
head crop's."""
CHANNELS = 3 + len(PARTS) + 4
"""Colours, a mask of every part, the fitted head's two depths and its mask, the distance to the outline."""
OUTPUTS = 5
"""Front, back, whether the back is hair, and how sure both depths are."""
LEAST_SCALE = 1.0
"""mm; nothing is known more exactly."""


@dataclass(frozen=True, slots=True)
class Surfaces:
    """What the network says of B wide crops. Depths are mm in the crop's camera."""

    front: Float[Tensor, "B 1 H W"]
    """First surface of face, hair, ears and headwear along the ray, also where neck or body lie before it."""
    back: Float[Tensor, "B 1 H W"]
    """Last surface of the same; never before `front` or the fitted head's own last surface."""
    hair_logit: Float[Tensor, "B 1 H W"]
    """Above 0 where the last surface is hair."""
    front_scale: Float[Tensor, "B 1 H W"]
    """Expected absolute error of `front`, mm (the scale of a Laplace distribution)."""
    back_scale: Float[Tensor, "B 1 H W"]


@dataclass(frozen=True, slots=True)
class HeadDepth:
    """Front and back of one head in the wide crop. Depths are mm in `camera`, without meaning off `valid`."""

    front: Float[Tensor, "H W"]
    """First surface of face, hair, ears and headwear; behind neck and body, of the hair that hangs there."""
    back: Float[Tensor, "H W"]
    """Last surface of the same, not before the fitted head's own."""
    back_hair: Float[Tensor, "H W"]
    """Probability that the last surface is hair."""
    head: Bool[Tensor, "H W"]
    """The parsed head: where `front` is what the photo shows."""
    valid: Bool[Tensor, "H W"]
    """The same, and neck and body where hair hangs behind them."""
    front_scale: Float[Tensor, "H W"]
    """Expected absolute error of `front`, mm."""
    back_scale: Float[Tensor, "H W"]
    camera: Camera
    """The wide crop's."""


class DepthNet(nn.Module):
    """A U-Net with additive skips; squares of four pixels enter and leave it as channels of one.

    It adds to what the fitted head knows: to its first surface for the front, to its last one for the back,
    both carried on beyond its outline. The back lies behind the head's own and behind the front (the layer
    order of Eq. 9, seen from behind), whatever the network says.

    Args:
        widths: Channels at 1/2, 1/4, 1/8, ... of the crop's resolution.
        size: Pixels along a side of the wide crop that it is made for.
        fitted: Whether the fitted head's surfaces are given; without, depths count from the head's centre.
        parts: Whether a mask of every part is given, not of the whole head alone.
        outline: Whether every pixel is told how far it is from the outline.
    """

    def __init__(
        self,
        widths: tuple[int, ...] | list[int] = (24, 48, 96, 128),
        size: int = 128,
        *,
        fitted: bool = True,
        parts: bool = True,
        outline: bool = True,
    ) -> None:
        super().__init__()
        self.settings = {
            "widths": list(widths),
            "size": size,
            "fitted": fitted,
            "parts": parts,
            "outline": outline,
        }
        self.size, self.fitted, self.parts, self.outline = size, fitted, parts, outline
        given = (4 * CHANNELS, *widths[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(a, b), _convolution(b, b)) for a, b in zip(given, widths, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.fuse = nn.ModuleList(_convolution(fine, fine) for fine in widths[:-1])
        self.head = nn.Conv2d(widths[0], 4 * OUTPUTS, 3, padding=1)

    def forward(
        self,
        image: Float[Tensor, "B 3 H W"],
        labels: UInt8[Tensor, "B 1 H W"],
        near: Float[Tensor, "B 1 H W"],
        far: Float[Tensor, "B 1 H W"],
        head: Bool[Tensor, "B 1 H W"],
        center: Float[Tensor, " B"],
    ) -> Surfaces:
        """The surfaces in B wide crops, or parts of such, whose sides halve as often as there are widths.

        Args:
            image: RGB in [0, 1].
            labels: The nine parsing classes.
            near: First surface of the fitted head, mm, carried on where `head` is false.
            far: Last surface of the fitted head, mm, carried on where `head` is false.
            head: Where the fitted head is.
            center: Depth of the head's centre, mm.
        """
        middle = center[:, None, None, None]
        region = head_region(labels[:, 0])
        masks = [torch.stack([labels == label for label in part]).any(dim=0) for part in PARTS]
        outline = outline_distance(region, ROUND * self.size)
        # What an ablation leaves out is replaced by what tells nothing, so that the weights keep their
        # shapes.
        if not self.fitted:
            near, far, head = middle.expand_as(near), middle.expand_as(far), torch.zeros_like(head)
        if not self.parts:
            masks = [region] * len(PARTS)
        if not self.outline:
            outline = torch.zeros_like(outline)
        # Relative to the head's centre: a head farther away is the same head.
        depths = [(near - middle) / UNIT, (far - middle) / UNIT]
        given = [image - 0.5, *(mask.to(image) for mask in masks), *depths, head.to(image), outline.to(image)]
        told = torch.cat(given, dim=1).contiguous(memory_format=torch.channels_last)
        offset, depth, hair_logit, *scales = self._answer(told).chunk(OUTPUTS, dim=1)
        front = near + UNIT * offset
        # softplus: behind the skull there may be hair, before its back there is none. Beyond the fitted head
        # the carried-on depth is a guess, and may be corrected both ways.
        back = far + UNIT * torch.where(head, F.softplus(depth), depth)
        # What lies before the front is moved onto it, but learns as if it were not (straight-through): a
        # clamp would give it no gradient.
        back = torch.where(back < front, front.detach() + (back - back.detach()), back)
        # Scales are positive, and about 14 mm before anything is learned: softplus(-2) is 0.13.
        front_scale, back_scale = (LEAST_SCALE + UNIT * F.softplus(scale - 2) for scale in scales)
        return Surfaces(front, back, hair_logit, front_scale, back_scale)

    def _answer(self, told: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 5 H W"]:
        levels = []
        x = F.pixel_unshuffle(told, 2)
        for k, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if k else x)
            levels.append(x)
        for up, fuse, level in zip(self.up[::-1], self.fuse[::-1], levels[-2::-1], strict=True):
            x = fuse(F.interpolate(up(x), scale_factor=2.0, mode="bilinear", align_corners=False) + level)
        return F.pixel_shuffle(self.head(x), 2)


def _convolution(given: int, wanted: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, wanted, 3, padding=1, bias=False), nn.BatchNorm2d(wanted), nn.ReLU()
    )


def outline_distance(region: Bool[Tensor, "B 1 H W"], unit: float) -> Float[Tensor, "B 1 H W"]:
    """Square root of each pixel's distance to the region's outside, in units of `unit` pixels; 0 outside.

    The root makes a ball's depth (nearly) linear in it along the outline.
    """
    distances = [inner_distance(mask) for mask in region[:, 0].cpu().numpy()]
    stacked = torch.from_numpy(np.stack(distances)).to(region.device, torch.float32)  # pyright: ignore
    return (stacked / unit).sqrt()[:, None]


def head_region(labels: UInt8[Tensor, "B H W"]) -> Bool[Tensor, "B 1 H W"]:
    """The parsed head, S in the paper: everything whose depth is wanted."""
    return torch.isin(labels, labels.new_tensor(HEAD))[:, None]


def uncovered_face(labels: UInt8[Tensor, "B H W"]) -> Bool[Tensor, "B 1 H W"]:
    """Where skin itself is seen; hair, glasses' surroundings and hats that lie over the face are left out."""
    return torch.isin(labels, labels.new_tensor(FACE))[:, None]


def predict_depth(
    net: DepthNet,
    head_rgb: Float[Tensor, "1 3 H W"],
    head: HeadDepths,
    labels: UInt8[Tensor, "1 H W"],
    camera: Camera,
) -> HeadDepth:
    """Front and back of the head in one wide crop; arguments as of `predict_depths`."""
    return predict_depths(net, head_rgb, head, labels, camera)[0]


@torch.no_grad()
def predict_depths(
    net: DepthNet,
    head_rgb: Float[Tensor, "B 3 H W"],
    head: HeadDepths,
    labels: UInt8[Tensor, "B H W"],
    camera: Camera,
) -> list[HeadDepth]:
    """Front and back of the heads in wide crops.

    Args:
        net: The network.
        head_rgb: The wide crops, RGB in [0, 1].
        head: What `render_head_depths` draws in the wide crops' camera.
        labels: The nine parsing classes in the wide crops.
        camera: The wide crops'.
    """
    found = net(
        head_rgb,
        labels[:, None],
        carried_on(head.near)[:, None],
        carried_on(head.far)[:, None],
        head.mask[:, None],
        head.center,
    )
    back_hair = found.hair_logit.sigmoid()
    seen = head_region(labels)
    # Hair behind neck and clothes is not seen; the network alone tells where it hangs.
    covered = torch.isin(labels, labels.new_tensor(COVERING))[:, None] & (back_hair > 0.5)
    valid = seen | covered
    return [
        HeadDepth(
            front=found.front[k, 0],
            back=found.back[k, 0],
            back_hair=back_hair[k, 0],
            head=seen[k, 0],
            valid=valid[k, 0],
            front_scale=found.front_scale[k, 0],
            back_scale=found.back_scale[k, 0],
            camera=camera,
        )
        for k in range(len(labels))
    ]
