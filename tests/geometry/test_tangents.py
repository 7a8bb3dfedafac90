"""Tangents point where texture coordinates grow."""

import numpy as np
import pytest

from portrait3d.geometry.tangents import vertex_tangents

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]])
FACING = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
"""Normals; the square is seen from +z, x to the right and y up."""
UPRIGHT = SQUARE[:, :2] * [1, -1] + [0, 1]
"""Texture coordinates of a picture that stands upright on the square: v runs down."""


def test_the_tangent_runs_along_u_and_the_bitangent_against_v() -> None:
    found = vertex_tangents(SQUARE, FACING, UPRIGHT, FACES)
    np.testing.assert_allclose(found, np.tile([1, 0, 0, 1], (4, 1)), atol=1e-6)
    # glTF: bitangent = normal x tangent times w; a normal map's green points up in the picture.
    np.testing.assert_allclose(np.cross(FACING, found[:, :3]) * found[:, 3:], np.tile([0, 1, 0], (4, 1)))


def test_a_mirrored_picture_turns_the_handedness() -> None:
    found = vertex_tangents(SQUARE, FACING, UPRIGHT * [-1, 1], FACES)
    np.testing.assert_allclose(found, np.tile([-1, 0, 0, -1], (4, 1)), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 1.0])
def test_a_turned_picture_turns_the_tangent(scale: float) -> None:
    quarter = np.stack([UPRIGHT[:, 1], -UPRIGHT[:, 0]], axis=1)  # u runs down the square now
    found = vertex_tangents(SQUARE * np.float32(scale), FACING, quarter, FACES)
    np.testing.assert_allclose(found, np.tile([0, -1, 0, 1], (4, 1)), atol=1e-6)


def test_tangents_stand_on_slanting_normals_and_exist_without_a_texture() -> None:
    slanting = np.tile(np.array([0.6, 0, 0.8], np.float32), (4, 1))
    for uv in (UPRIGHT, np.zeros((4, 2))):
        found = vertex_tangents(SQUARE, slanting, uv, FACES)
        np.testing.assert_allclose((found[:, :3] * slanting).sum(axis=1), 0, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(found[:, :3], axis=1), 1, atol=1e-6)
        assert set(np.abs(found[:, 3])) == {1.0}
