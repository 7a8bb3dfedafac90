"""What is known of a coarse turn's pixels beside colours: their layer, and how well the photo saw them."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LAYERS = ("sheet", "body", "seen", "unseen", "plate")
"""What a pixel shows: the photographed hair; the hair's body; skin, eyes, mouth and neck in the photo's
colours, and in guessed ones; what comes to light behind the head. Pixels of the photo that stay have none."""
CHANNELS = (*LAYERS, "steepness", "red", "green", "blue")
"""Of a guide: the shares of the layers; how steeply the photo sees the surface (1 straight on, 0 edge-on or
not at all); and the reference, what the photo shows at the surface's place, however badly."""
SHEET, SEEN, PLATE = (LAYERS.index(name) for name in ("sheet", "seen", "plate"))
STEEPNESS = len(LAYERS)


def guide_to_ground(
    picture: Float[Tensor, "3 h w"], hole: Float[Tensor, "1 h w"]
) -> list[Float[Tensor, "_ h w"]]:
    """The guide of what is behind the head, in parts: the photo as it is, and what fills its hole."""
    none = torch.zeros_like(hole).expand(len(LAYERS) - 1, -1, -1)
    return [none, hole, 1 - hole, picture]


def guide_to_opaque(
    hair: Bool[Tensor, " K"],
    known: Float[Tensor, " K"],
    steepness: Float[Tensor, " K"],
    photo: Float[Tensor, "3 K"],
) -> Float[Tensor, "9 K"]:
    """The guide of pixels that show the hair's body or skin.

    `known` is how far they have the photo's colours, `photo` what the photo shows at their places.
    """
    none, body = torch.zeros_like(known), hair.float()
    layers = torch.stack([none, body, known * (1 - body), (1 - known) * (1 - body), none])
    return torch.cat([layers, steepness[None], photo])


def guide_to_sheet(
    layer: int, steepness: Float[Tensor, "1 h w"], photo: Float[Tensor, "3 h w"]
) -> list[Float[Tensor, "_ h w"]]:
    """The guide, in parts, of pixels that show a part of the photo on a surface of its own."""
    none = torch.zeros_like(steepness)
    layers = [torch.ones_like(none) if k == layer else none for k in range(len(LAYERS))]
    return [*layers, steepness, photo]
