"""From a photo to its parsing: framings put together, one head kept, labels and matte of the photo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from portrait3d.compilation import compiled
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pixels import box_about
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.models.parsing_views import View, likeliest, merge_views
from portrait3d.models.plausibility import check_logits, head_of
from portrait3d.parsing_classes import HEAD, MIRRORED_CLASSES, PARSING_CLASSES, ParsingClass
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.framing import FRAMINGS, Frame, frame_head, inside
from portrait3d.preprocessing.guided import box_means
from portrait3d.preprocessing.matting import soft_outline
from portrait3d.preprocessing.threads import at_once, side_by_side
from portrait3d.preprocessing.tint import tint_distance
from portrait3d.pretrained import load_network

IS_HEAD = np.isin(np.arange(len(PARSING_CLASSES)), HEAD)
"""Of every class, whether it turns with the head."""
GROWTH = 1.625
"""Side of the square that is parsed over that of the head crop, where hair leaves the head crop: a
little more than the wide crop, at a whole number of pixels."""
MATTE_SHARE = 0.4
"""How far labels follow the matte's edges rather than the networks'."""
OTHER_TINT = 0.3
"""`tint_distance` from which a neck is not the face's skin. On 40 labelled photos that brings the neck's IoU
from 0.776 to 0.801 and the body's from 0.929 to 0.937; 0.25, where training draws the line, to 0.786."""
BRIGHT, BRIGHTER = 0.95, 1.1
"""A neck lies below a face: what is brighter, by this factor, than this share of the face is no skin."""
HOLE = 0.15
"""Side of a square as large as a hole that is neck as well, of the face's."""
TINT_RADIUS = 0.02
"""Half of the window whose mean colour is compared, of the face's side (a square of its area)."""
STRANGER, CLOTHES = np.uint8(1), np.uint8(2)
"""What `keep_one_head` made of a pixel: it belongs to no head, or its headwear is body."""
WORN = 0.1
"""How far above the middle of the head crop headwear begins, of the crop's side: about at the eyes. What lies
below as a whole is a shoulder, a collar or a scarf."""
USUAL_FACE, SMALLEST_FACE = 0.33, (0.15, 0.285)
"""Side of a square as large as a face over that of its head crop: the median of labelled photos, and the
range in which it is looked at again from nearer; two labelled faces of a hundred are as small."""


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
        experts = cls([load_network(ParsingNet, place) for place in places]).eval()
        experts.source = str(directory)  # pyright: ignore[reportArgumentType] (for messages)
        return experts

    @property
    def framings(self) -> list[str]:
        """The framing of each network."""
        return [expert.framing for expert in self.experts]  # pyright: ignore[reportReturnType]

    def forward(self, images: Float[Tensor, "N E 3 H W"]) -> Float[Tensor, "N V 9 h w"]:
        """Logits of N heads, one picture each for every network, in its own framing; of a single one, two."""
        pictures = [own.contiguous(memory_format=torch.channels_last) for own in images.unbind(1)]
        if len(pictures) > 1:
            return torch.stack(side_by_side(_logits, self.experts, pictures), 1)
        both = torch.cat([pictures[0], pictures[0].flip(-1)])
        seen, mirrored = _logits(self.experts[0], both).chunk(2)  # pyright: ignore[reportArgumentType]
        return torch.stack([seen, mirrored.flip(-1)[:, list(MIRRORED_CLASSES)]], 1)


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


def parse_head(
    experts: ParsingExperts,
    pixels: UInt8[np.ndarray, "H W 3"],
    crop: Crop,
    first: "FirstLook | None" = None,
) -> HeadParsing:
    """Label the pixels of the head crop and of the photo.

    Face, hair, ears and headwear that are not connected to the face in the crop's middle are another
    person's, or wrong, and become background, neck or body. So does everything where the crop leaves the
    photo. Hair that leaves the head crop is followed as far as `GROWTH`. A face that is small in it, since
    the detected box was too large or little of the face shows, is looked at again from nearer. `first` is
    what `first_looks` sees in the crop, if that is known already.
    """
    height, width = pixels.shape[:2]
    (first,) = [first] if first else first_looks(experts, [pixels], [crop])
    views = list(first.views)
    grid = Frame(crop)
    merged, within = parse_grid(views, grid, height, width)
    kept, changed = keep_one_head(merged, crop.size)
    # Side of a square with the area of face and inner mouth, over the crop's.
    share = float(np.isin(likeliest(kept), (1, 5)).mean() ** 0.5)
    if SMALLEST_FACE[0] < share < SMALLEST_FACE[1]:
        views += look(experts, pixels, replace(crop, side=crop.side * share / USUAL_FACE))
        merged, within = parse_grid(views, grid, height, width)
        kept, changed = keep_one_head(merged, crop.size)
    # Hair that leaves the head crop is followed in a larger square.
    if leaves_crop(merged, within):
        grown = replace(crop, side=crop.side * GROWTH)
        # A bent view reaches beyond the crop anyway.
        if not any(view.frame.bent for view in views):
            views += look(experts, pixels, grown)
        # Of the head crop's resolution, so that the head crop is its middle.
        grid = Frame(grown.resized(2 * round(crop.size * GROWTH / 2)))
        merged, within = parse_grid(views, grid, height, width)
        kept, changed = keep_one_head(merged, crop.size)
    labels, matte = photo_labels(views, grid.crop, kept, changed, pixels)
    labels = settle_neck(labels, pixels)
    # The head crop's own pixels.
    middle = slice((grid.size - crop.size) // 2, (grid.size + crop.size) // 2)
    probabilities = _only_within(kept[:, middle, middle], within[middle, middle])
    own = settle_neck(likeliest(probabilities), as_bytes(first.picture))
    _make(probabilities, ParsingClass.BODY, ParsingClass.NECK, torch.from_numpy(own == ParsingClass.BODY))
    _make(probabilities, ParsingClass.NECK, ParsingClass.BODY, torch.from_numpy(own == ParsingClass.NECK))
    return HeadParsing(labels, own, probabilities, matte)


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What the networks see of a head at first."""

    picture: Float[Tensor, "3 size size"]
    """The head crop."""
    views: list[View]


def first_looks(
    experts: ParsingExperts, photos: Sequence[UInt8[np.ndarray, "_ _ 3"]], crops: Sequence[Crop]
) -> list[FirstLook]:
    """Run every network on the heads in the head crops of some photos, one of each, at once.

    Raises `WeightsError` for numbers that no trained network makes.
    """
    device = next(experts.parameters()).device
    frames, pictures, images = [], [], []
    for pixels, crop in zip(photos, crops, strict=True):
        own = [frame_head(name, crop, pixels.shape[:2], crop.size) for name in experts.framings]
        plain = Frame(crop)
        several = [plain, *(frame for frame in own if frame != plain)]
        seen = dict(zip(several, side_by_side(partial(Frame.extract, pixels=pixels), several), strict=True))
        frames.append(own)
        pictures.append(seen[plain])
        images.append(torch.stack([seen[frame] for frame in own]))
    found = experts(torch.stack(images).to(device)).cpu()
    check_logits(found, head_of(experts))
    return [
        FirstLook(picture, [View(frame, logits) for frame, logits in zip(cycle(own), told, strict=False)])
        for picture, own, told in zip(pictures, frames, found, strict=True)
    ]


def look(experts: ParsingExperts, pixels: UInt8[np.ndarray, "H W 3"], crop: Crop) -> list[View]:
    """Run every network on the head in a crop."""
    return first_looks(experts, [pixels], [crop])[0].views


def parse_grid(
    views: Sequence[View], grid: Frame, height: int, width: int
) -> tuple[Float[Tensor, "9 size size"], Bool[np.ndarray, "size size"]]:
    """Class probabilities of a frame's pixels, and which of them lie in a photo of height x width pixels.

    Background beyond it, but for the next pixel: nothing fades to background at the photo's own border.
    """
    positions = grid.positions()
    within = inside(positions, height, width).numpy()
    if within.all():
        return merge_views(views, positions).permute(2, 0, 1).contiguous(), within
    read = torch.from_numpy(ndimage.binary_dilation(within))
    merged = torch.zeros(grid.size, grid.size, len(PARSING_CLASSES))
    merged[..., 0] = 1
    merged[read] = merge_views(views, positions[read])
    return merged.permute(2, 0, 1).contiguous(), within


def leaves_crop(probabilities: Float[Tensor, "9 H W"], within: Bool[np.ndarray, "H W"]) -> bool:
    """Whether hair touches the border of a crop where the photo goes on."""
    hair = probabilities[ParsingClass.HAIR].numpy() > 0.3
    touching = [(hair & within)[edge] for edge in (np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:])]
    # A few pixels are noise.
    return sum(int(edge.sum()) for edge in touching) > 8


def keep_one_head(
    probabilities: Float[Tensor, "9 H W"], crop_size: int
) -> tuple[Float[Tensor, "9 H W"], UInt8[np.ndarray, "H W"]]:
    """Clear the head classes in components that aren't connected to the face in the middle, and make body of
    headwear that nobody wears; also says where: `STRANGER`, `CLOTHES` or 0.

    The middle is that of a head crop of `crop_size` pixels a side.
    """
    unworn = headwear_below(likeliest(probabilities), len(probabilities[0]) / 2 - WORN * crop_size)
    if unworn.any():
        probabilities = probabilities.clone()
        _make(probabilities, ParsingClass.BODY, ParsingClass.HEADWEAR, torch.from_numpy(unworn))
    labels = likeliest(probabilities)
    # Gaps of up to two pixels, such as the rim of glasses or of a headband, don't part a head: each side
    # grows by one.
    joined = ndimage.binary_dilation(IS_HEAD[labels])
    components = np.empty(labels.shape, np.int32)
    count = int(ndimage.label(joined, np.ones((3, 3)), output=components))  # pyright: ignore[reportArgumentType]
    height, width = labels.shape
    # The crop was placed on the face, so the component with most face in the middle is the person asked for.
    middle = np.s_[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    faces = np.bincount(components[middle][labels[middle] == 1], minlength=count + 1)
    faces[0] = 0
    kept = int(faces.argmax()) if faces.any() else -1
    stranger = (components > 0) & (components != kept)
    changed = np.where(stranger, STRANGER, np.where(unworn, CLOTHES, np.uint8(0)))
    return _without_head(probabilities, stranger), changed


def headwear_below(labels: UInt8[np.ndarray, "H W"], row: float) -> Bool[np.ndarray, "H W"]:
    """Headwear that nowhere reaches above a row, with a rim of a pixel."""
    headwear = labels == ParsingClass.HEADWEAR
    if not headwear.any():
        return headwear
    pieces = np.empty(labels.shape, np.int32)
    count = int(ndimage.label(headwear, np.ones((3, 3)), output=pieces))  # pyright: ignore[reportArgumentType]
    worn = np.zeros(count + 1, bool)
    worn[pieces[: max(math.ceil(row), 0)]] = True
    return ndimage.binary_dilation(headwear & ~worn[pieces])


def settle_neck(
    labels: UInt8[np.ndarray, "H W"], pixels: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W"]:
    """Labels whose neck is one piece of skin below a head.

    What is called neck without the tint of the face's skin, or brighter than nearly all of it, scarves and
    collars, is body, as are pieces of neck that hang together with no head; small holes in it, such as a
    pearl, are neck.
    """
    neck, face = labels == ParsingClass.NECK, labels == ParsingClass.FACE
    if not (neck.any() and face.any()):
        return labels
    side = float(face.sum()) ** 0.5
    box = box_about(neck | face)
    part, neck, face, shown = (np.array(m[box]) for m in (labels, neck, face, pixels))
    # Of the colours around, the neck's alone: single pixels of skin and cloth may look alike.
    radius = max(1, round(TINT_RADIUS * side))
    planes = np.concatenate([shown * neck[..., None], neck[..., None]], axis=-1).transpose(2, 0, 1)
    *colours, share = box_means(torch.from_numpy(planes).float(), radius).numpy()
    mean = (np.stack(colours)[:, neck] / share[neck]).T.round().astype(np.uint8)
    skin = shown[face]
    # Quantiles need no more than some thousands of a large photo's pixels.
    skin = skin[:: 1 + len(skin) // 5000]
    bright = mean.mean(axis=-1) > BRIGHTER * np.quantile(skin.mean(axis=-1), BRIGHT)
    neck[neck] = ~bright & (tint_distance(mean, skin) <= OTHER_TINT)
    head = IS_HEAD[part]
    neck &= ndimage.binary_propagation(head, mask=neck | head)
    part[(part == ParsingClass.NECK) & ~neck] = ParsingClass.BODY
    enclosed, count = ndimage.label(ndimage.binary_fill_holes(neck | head) & (part == ParsingClass.BODY))
    small = np.bincount(enclosed.ravel(), minlength=count + 1) < (HOLE * side) ** 2
    part[small[enclosed] & (enclosed > 0)] = ParsingClass.NECK
    settled = labels.copy()
    settled[box] = part
    return settled


def photo_labels(
    views: Sequence[View],
    crop: Crop,
    probabilities: Float[Tensor, "9 size size"],
    changed: UInt8[np.ndarray, "size size"],
    pixels: UInt8[np.ndarray, "H W 3"],
) -> tuple[UInt8[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Labels and matte of the photo's pixels, from what is known in a crop.

    Inside regions the crop's labels are the photo's; along their borders the views are read again at every
    pixel of the photo, and the head's outline follows the matte.
    """
    height, width = pixels.shape[:2]
    labels = likeliest(probabilities)
    uneven = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    # Labels need four bits: three more carry what else has to be known of a pixel through one
    # nearest-neighbour transformation.
    coded = place(labels + np.uint8(16) * uneven + np.uint8(32) * changed, crop, height, width)
    border = np.flatnonzero((coded & 16) > 0)

    def draw_matte() -> np.ndarray:
        head = probabilities[list(HEAD)].sum(0)
        # Neck looks like the face above it: about it, soft_outline shall not ask colours.
        below = ndimage.maximum_filter(probabilities[ParsingClass.NECK].numpy(), 9)
        return soft_outline(pixels, crop, head, torch.from_numpy(ndimage.uniform_filter(below, 5)))

    def read_border() -> np.ndarray:
        row, column = np.divmod(border, width)
        points = torch.from_numpy(np.stack([column, row], -1).astype(np.float32) + 0.5)
        return merge_views(views, points).numpy()

    matte, read = at_once(draw_matte, read_border)
    result = coded & 15
    drawn, made = matte.reshape(-1)[border], coded.reshape(-1)[border] >> 5
    _make(read.T, ParsingClass.BODY, ParsingClass.HEADWEAR, made == CLOTHES)
    _decide(read, IS_HEAD, drawn, made == STRANGER, border, result.reshape(-1))
    return result, matte


@compiled
def _decide(probabilities, is_head, matte, cleared, places, labels):
    for p in range(len(places)):
        heads, best, rest = 0.0, -1, -1
        for k in range(len(is_head)):
            if is_head[k]:
                heads += probabilities[p, k]
                best = k if best < 0 or probabilities[p, k] > probabilities[p, best] else best
            else:
                rest = k if rest < 0 or probabilities[p, k] > probabilities[p, rest] else rest
        share = 0.0 if cleared[p] else heads + MATTE_SHARE * (matte[p] - heads)
        # Inside and outside of the head, the classes keep their proportions.
        own = share * probabilities[p, best] / (heads + 1e-6)
        others = (1 - share) * probabilities[p, rest] / (1 - heads + 1e-6)
        labels[places[p]] = best if own > others else rest


def place(
    labels: UInt8[np.ndarray, "size size"], crop: Crop, height: int, width: int
) -> UInt8[np.ndarray, "H W"]:
    """A crop's labels in a photo of height x width pixels: the nearest one, 0 beyond the crop."""
    x, y = crop.crop_from_photo(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).T.tolist()
    affine = (x[1] - x[0], x[2] - x[0], x[0], y[1] - y[0], y[2] - y[0], y[0])
    return np.array(Image.fromarray(labels).transform((width, height), Image.Transform.AFFINE, affine))


@torch.inference_mode()
def _logits(net: ParsingNet, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 9 h w"]:
    return net(images)


def _without_head(
    probabilities: Float[Tensor, "9 H W"], cleared: Bool[np.ndarray, "H W"]
) -> Float[Tensor, "9 H W"]:
    """The other classes alone at some places; the background's share also makes up for nothing at all."""
    if not cleared.any():
        return probabilities
    probabilities = probabilities.clone()
    probabilities[list(HEAD)] *= ~torch.from_numpy(cleared)
    probabilities[0] += 1e-6
    return probabilities / probabilities.sum(0)


def _make(probabilities, kind: ParsingClass, of: ParsingClass, where) -> None:
    """Make one class of another one at some places, in arrays or tensors whose first axis is that of the
    classes."""
    probabilities[kind] += probabilities[of] * where
    probabilities[of] *= ~where


def _only_within(
    probabilities: Float[Tensor, "9 H W"], within: Bool[np.ndarray, "H W"]
) -> Float[Tensor, "9 H W"]:
    """Certain background outside a mask."""
    probabilities = probabilities * torch.from_numpy(within)
    probabilities[0] += torch.from_numpy(~within)
    return probabilities
