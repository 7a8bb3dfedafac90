"""From a photo to its parsing: framings put together, one head kept, labels and matte of the photo."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from portrait3d.models.parsing_net import HEAD_CLASSES, PARSING_CLASSES, ParsingNet
from portrait3d.models.pretrained import load_network
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.framing import FRAMINGS, Frame, frame_head, inside
from portrait3d.preprocessing.matting import soft_outline

HAIR, NECK = PARSING_CLASSES.index("hair"), PARSING_CLASSES.index("neck")
GROWTH = 1.5
"""Side of the square that is parsed over that of the head crop, where hair leaves the head crop."""
MATTE_SHARE = 0.4
"""How far labels follow the matte's edges rather than the networks'."""
FADE = 16.0
"""A plain frame's word counts less within this many of its pixels from its border."""


class ParsingExperts(nn.Module):
    """Parsing networks that see the same head in different framings.

    A single one looks twice, at the head and at its mirror image. Where there are several, each looks once.
    """

    def __init__(self, experts: Sequence[ParsingNet]) -> None:
        super().__init__()
        if not experts:
            raise ValueError("Parsing needs at least one network, got none.")
        self.experts = nn.ModuleList(experts)

    @classmethod
    def load(cls, directory: Path) -> "ParsingExperts":
        """The network of a directory and those of its folders that are named like a framing."""
        places = [directory, *(directory / name for name in FRAMINGS if (directory / name).is_dir())]
        return cls([load_network(ParsingNet, place) for place in places]).eval()

    @property
    def framings(self) -> list[str]:
        """The framing of each network."""
        return [expert.framing for expert in self.experts]  # pyright: ignore[reportReturnType]

    @torch.inference_mode()
    def forward(self, images: Float[Tensor, "E 3 H W"]) -> Float[Tensor, "E 9 H W"]:
        """Class probabilities of one picture for each network, each in its own framing."""
        pairs = zip(self.experts, images.split(1), strict=True)
        return torch.cat([net.parse(image, mirrored=len(images) == 1) for net, image in pairs])  # pyright: ignore[reportCallIssue]


@dataclass(frozen=True, slots=True)
class View:
    """What a network says in one frame."""

    frame: Frame
    probabilities: Float[Tensor, "9 size size"]

    def weigh(
        self, points: Float[Tensor, "*grid 2"]
    ) -> tuple[Float[Tensor, "9 *grid"], Float[Tensor, " *grid"]]:
        """Probabilities at points of the photo, and their weight: frame pixels per photo pixel there."""
        own = self.frame.frame_from_photo(points)
        weight = self.frame.density(own) * self.frame.seen(own)
        if not self.frame.bent:
            border = torch.minimum(own, self.frame.size - own).amin(-1)
            weight = weight * (border / FADE).clamp(1e-3, 1)
        return self.frame.read(self.probabilities, own), weight


@dataclass(frozen=True, slots=True)
class HeadParsing:
    """What every pixel shows, around one person's head."""

    labels: UInt8[np.ndarray, "H W"]
    """Labels of the photo's pixels, as in `PARSING_CLASSES`; background far from the head."""
    head_labels: UInt8[np.ndarray, "size size"]
    """Labels of the head crop's pixels."""
    head_probabilities: Float[Tensor, "9 size size"]
    """Class probabilities in the head crop."""
    matte: Float[np.ndarray, "H W"]
    """How much of each of the photo's pixels is head (face, hair, ears, mouth, headwear): 1 inside, 0 outside
    and in between along the outline, where hair is thin above all."""


def parse_head(experts: ParsingExperts, pixels: UInt8[np.ndarray, "H W 3"], crop: Crop) -> HeadParsing:
    """Label the pixels of the head crop and of the photo.

    Face, hair, ears and headwear that don't hang together with the face in the crop's middle are another
    person's, or wrong, and become background, neck or body. So does everything where the crop leaves the
    photo. Hair that leaves the head crop is followed as far as `GROWTH`.
    """
    height, width = pixels.shape[:2]
    views = look(experts, pixels, crop)
    grid = Frame(crop)
    positions = grid.positions()
    merged, within = merge_views(views, positions), inside(positions, height, width).numpy()
    if leaves_crop(merged, within):
        grown = replace(crop, side=crop.side * GROWTH)
        if not any(view.frame.bent for view in views):
            views += look(experts, pixels, grown)
        # Of the head crop's resolution, so that the head crop is its middle.
        grid = Frame(grown.resized(2 * round(crop.size * GROWTH / 2)))
        positions = grid.positions()
        merged, within = merge_views(views, positions), inside(positions, height, width).numpy()
    # One pixel more, so that nothing fades to background at the photo's own border.
    parsed = _only_within(merged, ndimage.binary_dilation(within))
    kept, cleared = keep_one_head(parsed)
    labels, matte = photo_labels(views, grid.crop, kept, cleared, pixels)
    middle = slice((grid.size - crop.size) // 2, (grid.size + crop.size) // 2)
    probabilities = _only_within(kept, within)[:, middle, middle].contiguous()
    return HeadParsing(labels, probabilities.numpy().argmax(0).astype(np.uint8), probabilities, matte)


def look(experts: ParsingExperts, pixels: UInt8[np.ndarray, "H W 3"], crop: Crop) -> list[View]:
    """Run every network on the head in a head crop."""
    device = next(experts.parameters()).device
    frames = [frame_head(name, crop, pixels.shape[:2], crop.size) for name in experts.framings]
    images = torch.stack([frame.extract(pixels) for frame in frames])
    found = experts(images.to(device, memory_format=torch.channels_last)).cpu()
    return [View(frame, probabilities) for frame, probabilities in zip(frames, found, strict=True)]


def merge_views(views: Sequence[View], points: Float[Tensor, "*grid 2"]) -> Float[Tensor, "9 *grid"]:
    """Class probabilities at points of the photo: the views' weighted mean, background where none sees."""
    total = torch.full((len(PARSING_CLASSES), *points.shape[:-1]), 0.0)
    weights = torch.full(points.shape[:-1], 1e-9)
    total[0] = 1e-9
    for view in views:
        probabilities, weight = view.weigh(points)
        total += probabilities * weight
        weights += weight
    return total / weights


def leaves_crop(probabilities: Float[Tensor, "9 H W"], within: Bool[np.ndarray, "H W"]) -> bool:
    """Whether hair touches the border of a crop where the photo goes on."""
    hair = probabilities[HAIR].numpy() > 0.3
    touching = [(hair & within)[edge] for edge in (np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:])]
    return sum(int(edge.sum()) for edge in touching) > 8


def keep_one_head(
    probabilities: Float[Tensor, "9 H W"],
) -> tuple[Float[Tensor, "9 H W"], Bool[np.ndarray, "H W"]]:
    """Clear the head classes where they don't hang together with the face in the middle; also says where."""
    labels = probabilities.numpy().argmax(0)
    # Gaps of up to two pixels, such as the rim of glasses or of a headband, don't part a head.
    joined = ndimage.binary_dilation(np.isin(labels, HEAD_CLASSES))
    components = np.empty(labels.shape, np.int32)
    count = int(ndimage.label(joined, np.ones((3, 3)), output=components))  # pyright: ignore[reportArgumentType]
    height, width = labels.shape
    middle = np.s_[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    faces = np.bincount(components[middle][labels[middle] == 1], minlength=count + 1)
    faces[0] = 0
    kept = int(faces.argmax()) if faces.any() else -1
    cleared = (components > 0) & (components != kept)
    return _without_head(probabilities, torch.from_numpy(cleared)), cleared


def photo_labels(
    views: Sequence[View],
    crop: Crop,
    probabilities: Float[Tensor, "9 size size"],
    cleared: Bool[np.ndarray, "size size"],
    pixels: UInt8[np.ndarray, "H W 3"],
) -> tuple[UInt8[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Labels and matte of the photo's pixels, from what is known in a crop.

    Inside regions the crop's labels are the photo's; along their borders the views are read again at every
    pixel of the photo, and the head's outline follows the matte.
    """
    labels = probabilities.numpy().argmax(0).astype(np.uint8)
    uneven = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    head = probabilities[list(HEAD_CLASSES)].sum(0)
    below = ndimage.maximum_filter(probabilities[NECK].numpy(), 9)
    matte = soft_outline(pixels, crop, head, torch.from_numpy(ndimage.uniform_filter(below, 5)))
    height, width = pixels.shape[:2]
    coded = labels + np.uint8(16) * uneven + np.uint8(32) * cleared
    coded = place(coded, crop, height, width)
    result = coded & 15
    row, column = np.nonzero(coded & 16)
    points = torch.from_numpy(np.stack([column, row], -1).astype(np.float32) + 0.5)
    read = merge_views(views, points)
    read = _without_head(read, torch.from_numpy(coded[row, column] >= 32)).numpy()
    heads = read[list(HEAD_CLASSES)].sum(0)
    share = heads + MATTE_SHARE * (matte[row, column] - heads)
    read[list(HEAD_CLASSES)] *= share / (heads + 1e-6)
    rest = [i for i in range(len(PARSING_CLASSES)) if i not in HEAD_CLASSES]
    read[rest] *= (1 - share) / (1 - heads + 1e-6)
    result[row, column] = read.argmax(0)
    return result, matte


def place(
    labels: UInt8[np.ndarray, "size size"], crop: Crop, height: int, width: int
) -> UInt8[np.ndarray, "H W"]:
    """A crop's labels in a photo of height x width pixels: the nearest one, 0 beyond the crop."""
    x, y = crop.crop_from_photo(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).T.tolist()
    affine = (x[1] - x[0], x[2] - x[0], x[0], y[1] - y[0], y[2] - y[0], y[0])
    return np.array(Image.fromarray(labels).transform((width, height), Image.Transform.AFFINE, affine))


def _without_head(
    probabilities: Float[Tensor, "9 *grid"], cleared: Bool[Tensor, " *grid"]
) -> Float[Tensor, "9 *grid"]:
    """The other classes alone at some places; the background's share also makes up for nothing at all."""
    probabilities = probabilities.clone()
    probabilities[list(HEAD_CLASSES)] *= ~cleared
    probabilities[0] += 1e-6
    return probabilities / probabilities.sum(0)


def _only_within(
    probabilities: Float[Tensor, "9 H W"], within: Bool[np.ndarray, "H W"]
) -> Float[Tensor, "9 H W"]:
    """Certain background outside a mask."""
    background = torch.zeros_like(probabilities)
    background[0] = 1
    return torch.where(torch.from_numpy(within), probabilities, background)
