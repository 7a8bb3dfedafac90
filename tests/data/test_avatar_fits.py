"""The head model is found again in a head that is made of it, and follows what morph targets do."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from model_avatar import model_avatar
from portrait3d.data.people.avatar_fits import fit_avatar, reshaped
from portrait3d.data.people.avatars import EYEBALL
from portrait3d.geometry.similarity import Similarity
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import coefficients_of_shape

PLACE = Similarity(
    1.12, Rotation.from_euler("xy", [4, -2], degrees=True).as_matrix(), np.array([1.0, 22, -50])
)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def shape() -> torch.Tensor:
    vector = torch.zeros(1, 144)
    vector[:, :80] = 0.7 * torch.randn(1, 80, generator=torch.Generator().manual_seed(3))
    return vector


def test_place_size_and_shape_of_a_known_head_are_found(head: HeadModel, shape: torch.Tensor) -> None:
    avatar = model_avatar(head, shape, PLACE)
    fit = fit_avatar(avatar, head)
    off = Rotation.from_matrix(fit.avatar_from_model.rotation @ PLACE.rotation.T).magnitude()
    assert math.degrees(off) < 1.0
    assert fit.avatar_from_model.scale == pytest.approx(PLACE.scale, rel=0.015)
    assert fit.error < 0.3
    found = torch.from_numpy(np.concatenate([fit.identity, np.zeros(64)])).float()[None]
    face = head.face_mask > 0.5
    shapes = [head.vertices(coefficients_of_shape(part))[0, face].double().numpy() for part in (found, shape)]
    points = [fit.avatar_from_model.apply(shapes[0]), PLACE.apply(shapes[1])]
    mean = PLACE.apply(head.mean[face].double().numpy())
    found, unfitted = (np.linalg.norm(part - points[1], axis=1).mean() for part in (points[0], mean))
    assert found < 0.5 * unfitted


def test_a_morph_target_becomes_the_expression_that_it_is(head: HeadModel, shape: torch.Tensor) -> None:
    avatar = model_avatar(head, shape, PLACE)
    fit = fit_avatar(avatar, head)
    assert not fit.expression(head, avatar, avatar).any()
    found = fit.expression(head, avatar, avatar.expressed({"mouth_open": 0.6}))
    jaw = head.expression_names.index("jawOpen")
    assert found[jaw] == pytest.approx(0.6, abs=0.12)
    named = found[:52]
    assert named.min() > -1e-9
    assert named.max() < 1 + 1e-9
    assert np.delete(found, jaw).max() < 0.3


def test_in_the_model_frame_an_avatar_has_the_head_models_size(head: HeadModel, shape: torch.Tensor) -> None:
    avatar = model_avatar(head, shape, PLACE)
    fit = fit_avatar(avatar, head)
    moved = fit.in_model_frame(avatar)
    eyes = [
        part.vertices[np.unique(part.faces[part.face_class == EYEBALL])]
        for part in (moved, model_avatar(head, shape, Similarity(1.0, np.eye(3), np.zeros(3))))
    ]
    assert np.abs(eyes[0] - eyes[1]).max() < 2.5


def test_a_change_of_identity_moves_the_skin_as_the_head_model_moves(head: HeadModel) -> None:
    avatar = model_avatar(head, torch.zeros(1, 144), Similarity(1.0, np.eye(3), np.zeros(3)))
    change = np.zeros(80)
    change[:3] = 1.0
    other = reshaped(avatar, head, np.zeros(80), change)
    expected = head.identity_basis[:3].sum(0).numpy()
    face = head.face_mask.numpy() > 0.5
    moved = other.vertices - avatar.vertices
    assert np.abs(moved - expected)[face].mean() < 0.25 * np.abs(expected)[face].mean()
    assert np.array_equal(reshaped(avatar, head, np.zeros(80), np.zeros(80)).vertices, avatar.vertices)


def test_a_head_without_eyes_is_refused_by_name(head: HeadModel, shape: torch.Tensor) -> None:
    avatar = model_avatar(head, shape, PLACE)
    blind = replace(
        avatar, face_class=np.where(avatar.face_class == EYEBALL, 1, avatar.face_class).astype(np.uint8)
    )
    with pytest.raises(ValueError, match="model lacks an eye"):
        fit_avatar(blind, head)
