"""Finding the glasses in a photo: how much of every pixel is frame, or a lens that hides the eyes."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

from portrait3d.geometry.pixels import large_pieces
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.plausibility import check_logits, head_of
from portrait3d.preprocessing.alignment import Crop

SIZE = 256
"""Pixels along the side of the crop around the eyes."""
ZOOM = 0.8
"""Its side over that of the face crop: the temples' ends stay inside in half profile."""
DOWN = 0.03
"""How far its middle lies below the eyes, over its side."""
BAND = slice(SIZE // 4, 3 * SIZE // 4)
"""The rows that the network sees."""
FEWEST, SPECK = 60, 12
"""Pixels of the crop that show glasses at all, and that a piece of them has at least."""


def eye_crop(face_crop: Crop, landmarks: Float[Tensor, "68 2"]) -> Crop:
    """The square around the eyes, in whose middle half the network looks for glasses.

    `landmarks` are pixels of the photo; the face crop is the one that was placed on them.
    """
    eyes = face_crop.crop_from_photo(landmarks[36:48].mean(0, keepdim=True).double())
    eyes[:, 1] += DOWN * ZOOM * face_crop.size
    x, y = face_crop.photo_from_crop(eyes)[0].tolist()
    return replace(
        face_crop, centre=(x, y), side=face_crop.side * ZOOM, size=SIZE, zoom=face_crop.zoom * ZOOM
    )


@torch.inference_mode()
def find_glasses(
    net: AccessoryNet, pixels: UInt8[np.ndarray, "H W 3"], face_crop: Crop, landmarks: Float[Tensor, "68 2"]
) -> Float[np.ndarray, "H W"] | None:
    """How much of every pixel of a photo is frame or a lens that hides the eyes; None if none are worn.

    Raises `WeightsError` if the network makes no sensible numbers of the photo.
    """
    crop = eye_crop(face_crop, landmarks)
    band = crop.extract(pixels)[None, :, BAND].contiguous(memory_format=torch.channels_last)
    logits = net(band)[0, 0]
    check_logits(logits, head_of(net))
    share = logits.sigmoid()
    kept = glasses_pieces(share.numpy() > 0.5)
    if kept.sum() < FEWEST:
        return None
    # Soft edges belong to the piece beside them.
    share = share * torch.from_numpy(ndimage.binary_dilation(kept, iterations=2))
    square = torch.zeros(1, SIZE, SIZE)
    square[0, BAND] = share
    found = crop.restore(square, *pixels.shape[:2])[0].numpy()
    # A small photo's pixels may be too coarse for thin wires.
    return found if (found > 0.5).any() else None


def glasses_pieces(found: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """What was found without specks."""
    return large_pieces(found, SPECK)
