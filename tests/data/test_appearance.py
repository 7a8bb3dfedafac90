"""Albedo and light are found again on faces whose colours are known exactly."""

import numpy as np
import pytest
import torch

from portrait3d.data.face.appearance import explain_colours
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.head_model import HeadModel
from portrait3d.rendering.shading import shade


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean and basis of the albedo at some vertices, their normals, and the true coefficients."""
    head = HeadModel.load()
    some = torch.nonzero(head.face_mask > 0.5)[::4, 0]
    normals = torch.nn.functional.normalize(head.mean[some] - torch.tensor([0.0, 10.0, 60.0]), dim=1)
    vector = torch.zeros(2, 89)
    vector[:, :10] = torch.randn(2, 10) * 0.8
    vector[:, 80], vector[0, 83], vector[1, 82] = 3.5, 0.5, -0.4
    return head.albedo_mean[some], head.albedo_basis[:, some], normals.expand(2, -1, -1), vector


def colours(scene: tuple[torch.Tensor, ...], vector: torch.Tensor) -> torch.Tensor:
    mean, basis, normals, _ = scene
    albedo = mean + (vector[:, :80] @ basis.flatten(1)).unflatten(1, (-1, 3))
    return shade(albedo, normals, vector[:, 80:])


def test_exact_colours_are_explained(scene: tuple[torch.Tensor, ...]) -> None:
    mean, basis, normals, vector = scene
    given = colours(scene, vector)
    found = explain_colours(given, torch.ones(2, len(mean)), normals, mean, basis)
    assert (colours(scene, found) - given).abs().mean() < 0.01
    # Part of the light's course passes for skin, and light from the front for strong light.
    assert float(found[0, 83]) > 0.2
    assert abs(float(found[1, 83])) < 0.1


def test_a_dark_fringe_does_not_darken_the_skin(scene: tuple[torch.Tensor, ...]) -> None:
    mean, basis, normals, vector = scene
    given = colours(scene, vector)
    covered = torch.arange(len(mean)) % 6 == 0
    seen = torch.where(covered[:, None], torch.tensor(0.05), given)
    found = explain_colours(seen, torch.ones(2, len(mean)), normals, mean, basis)
    assert (colours(scene, found) - given)[:, ~covered].abs().mean() < 0.02


def test_what_is_no_skin_at_all_stays_unexplained(scene: tuple[torch.Tensor, ...]) -> None:
    mean, basis, normals, _ = scene
    noise = torch.from_numpy(np.random.default_rng(0).random((2, len(mean), 3), np.float32))
    assert explain_colours(noise, torch.ones(2, len(mean)), normals, mean, basis).isnan().all()


def test_the_mean_face_in_plain_light_needs_no_coefficients(scene: tuple[torch.Tensor, ...]) -> None:
    mean, basis, normals, _ = scene
    given = mean.expand(2, -1, -1)
    found = explain_colours(given, torch.ones(2, len(mean)), normals, mean, basis)
    plain = FaceCoefficients.neutral().lighting[0]
    assert found[:, :80].abs().max() < 0.3
    assert (found[:, 80:] - plain).abs().max() < 0.2
