"""Layers cut out of a photo: how much of each pixel is theirs, and what colour they have."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.geometry.filling import push_pull
from portrait3d.preprocessing.guided import refine_matte


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of the photo that moves on its own."""

    colour: Float[Tensor, "3 h w"]
    """Without what lies behind: at soft edges, the colour of what is further inside."""
    alpha: Float[Tensor, "1 h w"]

    @cached_property
    def planes(self) -> Float[Tensor, "4 h w"]:
        """Colour and opacity."""
        return torch.cat([self.colour, self.alpha])


def cut_out(
    picture: Float[Tensor, "3 h w"], probability: Float[Tensor, "h w"], inside: Float[Tensor, "h w"]
) -> Layer:
    """Separate what a probability map shows from the rest of the picture, with a matte along its edge.

    `inside` is 1 where the picture's own colours may be kept.
    """
    return lift_off(picture, refine_matte(picture, probability), inside)


def lift_off(
    picture: Float[Tensor, "3 h w"], alpha: Float[Tensor, "h w"], inside: Float[Tensor, "h w"]
) -> Layer:
    """The same for a matte that is known."""
    return Layer(push_pull(picture, torch.minimum(inside, ((alpha - 0.9) / 0.1).clamp(0, 1))), alpha[None])
