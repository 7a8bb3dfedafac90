"""Whether the teeth that a photo shows are the head's teeth."""

import numpy as np
import torch

from portrait3d.geometry import HeadPiece
from portrait3d.head.teeth import see_mouth
from portrait3d.portrait import Portrait
from portrait3d.rendering.rasterizer import rasterize


def teeth_share(portrait: Portrait) -> float | None:
    """Share of the pixels that show teeth in the photo in which the portrait's head has teeth, too.

    Elsewhere they are painted on lips, tongue or mouth. None if the photo shows no teeth.
    """
    crop, head = portrait.head_crop, portrait.head
    face = crop.roll.inverse().apply(portrait.face.vertices)
    mouth = see_mouth(portrait.head_model, face, crop, portrait.photo.pixels, portrait.parsing)
    if mouth is None or not mouth.pale.any():
        return None
    placed = torch.from_numpy(head.vertices)
    at = mouth.crop.crop_from_photo(portrait.camera.project(placed))
    faces = torch.from_numpy(head.faces)
    side = len(mouth.pale)
    seen = rasterize(torch.cat([at, placed[:, 2:]], dim=1)[None], faces, side, side).face_index[0].numpy()
    teeth = (head.piece[head.faces[:, 0]] == HeadPiece.TEETH)[seen] & (seen >= 0)
    return float(np.mean(teeth[mouth.pale]))
