"""The RoI tanh-warp of the plane: the square about a face keeps most of the room, the rest is squeezed in.

Lin et al., "Face Parsing with RoI Tanh-Warping for Interested Region", CVPR 2019. Every axis by itself maps
x, in half sides of the square from its middle, to tanh(x): the whole plane to the square from -1 to 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def warp(points: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """From half sides of the square to warped coordinates in (-1, 1)."""
    return torch.tanh(points)


def unwarp(points: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """From warped coordinates back to half sides of the square; infinite at -1 and 1."""
    return torch.atanh(points)


def stretch(points: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Half sides of the square per warped unit along each axis, at warped coordinates: d atanh(u) / du."""
    return 1 / (1 - points.square())
