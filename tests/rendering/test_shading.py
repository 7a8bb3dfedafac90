"""Spherical harmonics against closed forms."""

import math

import torch

from portrait3d.rendering.shading import shade, spherical_harmonics


def _directions(n: int = 4000) -> torch.Tensor:
    """Unit vectors spread evenly over the sphere (a Fibonacci lattice), float64 [n, 3]."""
    k = torch.arange(n, dtype=torch.float64) + 0.5
    z = 1 - 2 * k / n
    phi = k * math.pi * (1 + math.sqrt(5))
    r = (1 - z * z).sqrt()
    return torch.stack([r * phi.cos(), r * phi.sin(), z], -1)


def test_the_nine_functions_are_orthonormal_on_the_sphere() -> None:
    basis = spherical_harmonics(_directions())
    gram = basis.T @ basis * (4 * math.pi / len(basis))
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), atol=2e-3, rtol=0)


def test_constant_light_shows_the_albedo_everywhere() -> None:
    normals = _directions(50)
    albedo = torch.rand(50, 3, dtype=torch.float64)
    lighting = torch.zeros(9, dtype=torch.float64)
    lighting[0] = math.sqrt(4 * math.pi)
    torch.testing.assert_close(shade(albedo, normals, lighting), albedo)


def test_linear_light_grows_with_one_component_of_the_normal() -> None:
    normals = _directions(50)
    for component, axis in ((1, 1), (2, 2), (3, 0)):
        lighting = torch.zeros(9, dtype=torch.float64)
        lighting[component] = math.sqrt(4 * math.pi / 3)
        found = shade(torch.ones(50, 3, dtype=torch.float64), normals, lighting)
        torch.testing.assert_close(found, normals[:, axis, None].expand(-1, 3))


def test_quadratic_functions_have_their_closed_forms() -> None:
    x, y, z = _directions(50).unbind(-1)
    basis = spherical_harmonics(torch.stack([x, y, z], -1))
    c = math.sqrt(15 / math.pi) / 2
    torch.testing.assert_close(basis[:, 4:6], torch.stack([c * x * y, c * y * z], -1))
    torch.testing.assert_close(basis[:, 6], math.sqrt(5 / math.pi) / 4 * (3 * z * z - 1))
    torch.testing.assert_close(basis[:, 7:], torch.stack([c * x * z, c / 2 * (x * x - y * y)], -1))


def test_a_batch_is_shaded_like_its_samples_one_by_one() -> None:
    normals = _directions(12).reshape(3, 4, 3)
    albedo, lighting = torch.rand(3, 4, 3).double(), torch.randn(3, 9).double()
    together = shade(albedo, normals, lighting)
    for b in range(3):
        torch.testing.assert_close(together[b], shade(albedo[b], normals[b], lighting[b]))
