"""Finding the earrings in a photo: how much of every pixel hangs on a lobe."""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.pixels import large_pieces
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.plausibility import check_logits, head_of
from portrait3d.preprocessing.alignment import Crop

SIZE, REACH = 128, 96.0
"""Pixels and millimetres along the side of the crop around a lobe."""
HIGH = 0.3
"""Where the lobe lies in it, from the top: earrings hang down."""
BAND = slice(SIZE // 8, SIZE - SIZE // 8)
"""The columns that the network sees."""
LOBE = 6.0
"""Height (mm) of the part of an ear that is its lobe."""
FEWEST, SPECK = 10, 5
"""Pixels of the crop that show an earring at all, and that a piece of one has at least."""
NEAR = 30.0
"""How far (mm) from the lobe an earring's nearest pixel may lie: the ear is fitted, not seen."""


def lobes(model: HeadModel, vertices: Float[Tensor, "M 3"]) -> Float[Tensor, "2 3"]:
    """The middles of the picture's left and right lobe of a fitted head, in its vertices' frame (mm)."""
    ears, places = model.ears_mask > 0.5, []
    for side in (-1, 1):
        own = ears & (side * model.mean[:, 0] > 0)
        # The lowest part of the mean head's ear: the same vertices on every head.
        lowest = own & (model.mean[:, 1] > model.mean[own, 1].max() - LOBE)
        places.append(vertices[lowest].mean(0))
    return torch.stack(places)


def lobe_crop(face_crop: Crop, lobe: Float[Tensor, "3"]) -> Crop:
    """The square in whose middle columns the network looks for an earring.

    `lobe` is one of `lobes`, in the camera of the face crop that the head was fitted in (mm).
    """
    below = lobe + lobe.new_tensor([0, (0.5 - HIGH) * REACH, 0])
    return face_crop.around(below, REACH, SIZE)


@torch.inference_mode()
def find_earrings(
    net: AccessoryNet,
    pixels: UInt8[np.ndarray, "H W 3"],
    face_crop: Crop,
    places: Float[Tensor, "2 3"],
) -> Float[np.ndarray, "H W"] | None:
    """How much of every pixel of a photo is an earring; None if none are worn.

    `places` are the `lobes` in the face crop's camera. Raises `WeightsError` if the network makes no sensible
    numbers of the photo.
    """
    crops = [lobe_crop(face_crop, lobe) for lobe in places]
    # The network knows left ears: the right one is shown to it mirrored.
    sides = [crop.extract(pixels) for crop in crops]
    bands = torch.stack([sides[0], sides[1].flip(-1)])[..., BAND]
    logits = net(bands.contiguous(memory_format=torch.channels_last))[:, 0]
    check_logits(logits, head_of(net))
    found = []
    for number, (crop, share) in enumerate(zip(crops, logits.sigmoid(), strict=True)):
        kept = earring_pieces(share.numpy() > 0.5)
        if kept.sum() < FEWEST:
            continue
        square = torch.zeros(1, SIZE, SIZE)
        # Soft edges belong to the piece beside them.
        square[0, :, BAND] = share * torch.from_numpy(ndimage.binary_dilation(kept, iterations=2))
        restored = crop.restore(square.flip(-1) if number else square, *pixels.shape[:2])[0]
        found.append(restored.numpy())
    # A small photo's pixels may be too coarse for small ones.
    return np.maximum.reduce(found) if any((one > 0.5).any() for one in found) else None


def earring_pieces(found: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """What was found without specks, if it begins near the lobe."""
    kept = large_pieces(found, SPECK)
    row, column = np.ogrid[: found.shape[0], : found.shape[1]]
    away = np.hypot(row + 0.5 - HIGH * SIZE, column + 0.5 - found.shape[1] / 2) * REACH / SIZE
    return kept & bool((away[kept] < NEAR).any())
