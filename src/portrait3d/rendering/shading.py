"""Distant light on a matte surface, as nine spherical harmonics."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Real spherical harmonics of orders 0, 1 and 2, normalised to unit energy on the sphere.
_ORDER_0 = math.sqrt(1 / (4 * math.pi))
_ORDER_1 = math.sqrt(3 / (4 * math.pi))
_ORDER_2 = math.sqrt(15 / (4 * math.pi))
_ORDER_2_ZONAL = math.sqrt(5 / (16 * math.pi))
_ORDER_2_DIFFERENCE = math.sqrt(15 / (16 * math.pi))


def spherical_harmonics(normals: Float[Tensor, "*batch N 3"]) -> Float[Tensor, "*batch N 9"]:
    """The nine real spherical harmonics up to order 2 at unit normals.

    In the order 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2, without Condon-Shortley signs, orthonormal on
    the sphere (Ramamoorthi and Hanrahan, An Efficient Representation for Irradiance Environment Maps, 2001).
    The axes are those of the normals: pass normals in the camera's frame to have the light stand still when
    the head turns.
    """
    x, y, z = normals.unbind(-1)
    return torch.stack(
        [
            torch.full_like(x, _ORDER_0),
            _ORDER_1 * y,
            _ORDER_1 * z,
            _ORDER_1 * x,
            _ORDER_2 * x * y,
            _ORDER_2 * y * z,
            _ORDER_2_ZONAL * (3 * z * z - 1),
            _ORDER_2 * x * z,
            _ORDER_2_DIFFERENCE * (x * x - y * y),
        ],
        dim=-1,
    )


def shade(
    albedo: Float[Tensor, "*batch N 3"],
    normals: Float[Tensor, "*batch N 3"],
    lighting: Float[Tensor, "*batch 9"],
) -> Float[Tensor, "*batch N 3"]:
    """Colour of a matte surface under white light: albedo times irradiance, not clamped.

    `lighting` weighs the nine harmonics with the cosine lobe already folded in, so (sqrt(4 pi), 0, ...) is
    light that shows the albedo as it is.
    """
    irradiance = (spherical_harmonics(normals) * lighting[..., None, :]).sum(dim=-1, keepdim=True)
    return albedo * irradiance
