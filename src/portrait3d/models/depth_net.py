"""The depth network: how far away hair, ears and the rest of the head are, given the face's depth."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor, nn

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.models.backbones import ResNet18
from portrait3d.models.face_depth import FaceDepth
from portrait3d.parsing_classes import EARS, FACE, HEAD, ParsingClass

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
ROUND = 64
"""Pixels from the outline to the middle of a round head, about: where `outline_distance` is 1."""


class DepthNet(nn.Module):
    """ResNet-18 with transposed convolutions up to full size and skips at 64, 32 and 16 px (section 3.3).

    Besides the paper's skips, the input itself is joined before the last convolution, so that what is given
    need not pass through a grid of 64 px. With `head_depth` the network adds to a first guess: the face where
    it is seen, the average head elsewhere.

    Args:
        width: Factor on all channel counts: 1 is the paper's size, 0.5 trains 2.5 times as fast.
        face_depth: Whether the face's depth is given, as in the paper.
        head_depth: Whether the average head's depth is given.
        parsing: Whether a mask of every part is given, not of the whole head alone.
        outline: Whether every pixel is told how far it is from the outline: what is round falls off there.
    """

    def __init__(
        self,
        width: float = 0.5,
        *,
        face_depth: bool = True,
        head_depth: bool = False,
        parsing: bool = False,
        outline: bool = False,
    ) -> None:
        super().__init__()
        self.settings = {
            "width": width,
            "face_depth": face_depth,
            "head_depth": head_depth,
            "parsing": parsing,
            "outline": outline,
        }
        self.face_depth, self.head_depth = face_depth, head_depth
        self.parsing, self.outline = parsing, outline
        self.channels = 4 + face_depth + head_depth + (len(PARTS) if parsing else 0) + outline
        """Channels of the input: colours, the region's mask and what else is given."""
        self.encoder = ResNet18(self.channels, width)
        fine, mid, coarse, deepest = self.encoder.channels
        self.up = nn.ModuleList(
            [
                _up(deepest, coarse),
                _up(2 * coarse, mid),
                _up(2 * mid, fine),
                _up(2 * fine, fine // 2),
                _up(fine // 2, fine // 4),
            ]
        )
        narrow = fine // 4
        self.head = nn.Sequential(
            nn.Conv2d(narrow + self.channels, narrow, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(narrow, 1, 3, padding=1),
        )

    def forward(
        self,
        image: Float[Tensor, "B 3 H W"],
        face_depth: Float[Tensor, "B 1 H W"],
        region: Bool[Tensor, "B 1 H W"],
        center_depth: Float[Tensor, " B"],
        labels: UInt8[Tensor, "B 1 H W"] | None = None,
        head_depth: Float[Tensor, "B 1 H W"] | None = None,
    ) -> Float[Tensor, "B 1 H W"]:
        """Depth in mm in the head crop's camera; meaningful within `region`.

        Args:
            image: The head crop, RGB in [0, 1].
            face_depth: Depth of the rendered face in mm where the face is seen, 0 elsewhere.
            region: The head as parsed; its depth is predicted.
            center_depth: Depth of the head's centre, mm.
            labels: The nine parsing classes, for a network that is given them.
            head_depth: What `render_average_head` draws, mm, for a network that is given it.
        """
        center = center_depth[:, None, None, None]
        face_seen = face_depth > 0
        relative = torch.where(face_seen, (face_depth - center) / UNIT, torch.zeros_like(face_depth))
        given, base = [image - 0.5], center
        if self.face_depth:
            given.append(relative)
        given.append(region.to(image.dtype))
        if self.head_depth:
            if head_depth is None:
                raise ValueError("This depth network wants the average head's depth, and got none.")
            given.append((head_depth - center) / UNIT)
            base = torch.where(face_seen, face_depth, head_depth) if self.face_depth else head_depth
        if self.parsing:
            if labels is None:
                raise ValueError("This depth network wants the parsing labels, and got none.")
            masks = [torch.stack([labels == label for label in part]).any(dim=0) for part in PARTS]
            given += [mask.to(image.dtype) for mask in masks]
        if self.outline:
            given.append(outline_distance(region).to(image.dtype))
        x = told = torch.cat(given, dim=1).contiguous(memory_format=torch.channels_last)
        quarter, eighth, sixteenth, x = self.encoder(x)
        for up, skip in zip(self.up, (sixteenth, eighth, quarter, None, None), strict=True):
            x = up(x) if skip is None else torch.cat([up(x), skip], dim=1)
        return base + UNIT * self.head(torch.cat([x, told.to(x.dtype)], dim=1))


def _up(given: int, wanted: int) -> nn.Sequential:
    """Double the resolution."""
    return nn.Sequential(
        nn.ConvTranspose2d(given, wanted, 4, 2, 1, bias=False), nn.BatchNorm2d(wanted), nn.ReLU()
    )


def outline_distance(region: Bool[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Square root of each pixel's distance to the region's outside, in units of `ROUND` pixels; 0 outside.

    The root makes a ball's depth (nearly) linear in it along the outline.
    """
    distances = [ndimage.distance_transform_edt(mask) for mask in region[:, 0].cpu().numpy()]
    stacked = torch.from_numpy(np.stack(distances)).to(region.device, torch.float32)  # pyright: ignore
    return (stacked / ROUND).sqrt()[:, None]


def head_region(labels: UInt8[Tensor, "B H W"]) -> Bool[Tensor, "B 1 H W"]:
    """The parsed head, S in the paper: everything whose depth is wanted."""
    return torch.isin(labels, labels.new_tensor(HEAD))[:, None]


def uncovered_face(labels: UInt8[Tensor, "B H W"]) -> Bool[Tensor, "B 1 H W"]:
    """Where skin itself is seen; hair, glasses' surroundings and hats that lie over the face are left out."""
    return torch.isin(labels, labels.new_tensor(FACE))[:, None]


@torch.no_grad()
def predict_depth(
    net: DepthNet,
    head_rgb: Float[Tensor, "B 3 H W"],
    face: FaceDepth,
    parsing_labels: UInt8[Tensor, "B H W"],
    camera: Camera,
) -> DepthMap:
    """Depth of the parsed head in the head crop's camera.

    Args:
        net: The depth network.
        head_rgb: The head crop, RGB in [0, 1].
        face: What `render_face_depth` draws.
        parsing_labels: The nine parsing classes.
        camera: The head crop's camera.
    """
    region = head_region(parsing_labels)
    seen = uncovered_face(parsing_labels) & face.mask[:, None]
    given = torch.where(seen, face.depth[:, None], torch.zeros_like(face.depth[:, None]))
    depth = net(head_rgb, given, region, face.center, parsing_labels[:, None], face.head[:, None])
    return DepthMap(depth[:, 0], region[:, 0], camera)
