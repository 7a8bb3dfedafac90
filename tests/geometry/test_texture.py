"""The texture: islands lie apart, hair looks like hair, light can be taken out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from portrait3d.geometry.atlas import mirrored
from portrait3d.geometry.layout import FREE, SIDES
from portrait3d.geometry.mesh import HeadPart
from portrait3d.geometry.scene import Scene
from portrait3d.geometry.stitching import stitch
from portrait3d.geometry.strands import hair_look, strand_noise
from portrait3d.models.head_model import HeadModel
from portrait3d.models.placed_head import head_layout, texels
from synthetic_head import capped_head, fitted_head, stitched


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


def test_no_island_lies_on_the_photo_or_in_the_free_part(model: HeadModel) -> None:
    fine, coarse = texels(head_layout(model), 256)
    row, column = np.divmod(fine.place, SIDES * 256)
    assert not ((row >= 256) & (column < 256)).any()
    left, top, right, bottom = (side * 256 for side in FREE)
    assert not ((row > top) & (row < bottom) & (column > left) & (column < right)).any()
    assert len(coarse.place) == pytest.approx(len(fine.place) / 4, rel=0.02)


def test_texels_interpolate_between_the_corners(model: HeadModel) -> None:
    layout = head_layout(model)
    fine, _ = texels(layout, 256)
    place = np.zeros((len(model.mean), 2))
    inner = np.bincount(layout.point_vertex, minlength=len(place)) == 1
    place[layout.point_vertex] = layout.points
    own = inner[layout.faces[fine.face]].all(axis=1)
    row, column = np.divmod(fine.place[own], SIDES * 256)
    expected = (np.stack([column, row], axis=1) + 0.5) / 256
    np.testing.assert_allclose(fine.spread(place)[own], expected, atol=2e-3)


def test_hair_covers_the_back_of_the_head_in_its_own_colour(model: HeadModel) -> None:
    mesh = stitched(fitted_head(model))
    behind = (mesh.part == HeadPart.HAIR) & (mesh.vertices[:, 2] > 1000)
    assert behind.sum() > 50
    difference = np.abs(mesh.colors[behind].astype(int) - (60, 40, 20)).max(axis=-1)
    assert np.quantile(difference, 0.7) < 12


def test_strands_are_normal_noise_that_runs_down_and_curls_do_not() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((4000, 3)) * [70, 30, 70] + [0, 20, 110]
    for straight in (1.0, 0.0):
        for noise, down, across in zip(
            *(strand_noise(points + np.array(step), straight) for step in ((0, 0, 0), (0, 3, 0), (3, 0, 0))),
            strict=True,
        ):
            assert noise.std() == pytest.approx(1, abs=0.2)
            along = np.corrcoef(noise, down)[0, 1] - np.corrcoef(noise, across)[0, 1]
            assert along > 0.2 if straight else abs(along) < 0.2


def test_hair_of_one_colour_has_no_contrast_and_little_hair_no_look() -> None:
    scene = striped_scene(0.0)
    look = hair_look(scene, np.ones((64, 64)))
    assert look is not None
    assert np.abs(look.contrast).max() < 1e-3
    assert hair_look(scene, np.zeros((64, 64))) is None


def test_stripes_are_straight_and_a_mottled_picture_is_not() -> None:
    stripes = hair_look(striped_scene(0.1), np.ones((64, 64)))
    mottled = hair_look(striped_scene(0.1, along=1), np.ones((64, 64)))
    assert stripes is not None
    assert mottled is not None
    assert stripes.straight > 0.9
    assert mottled.straight < 0.3
    assert np.ptp(stripes.contrast) > 0.1


def striped_scene(contrast: float, along: int = 64) -> Scene:
    """A head crop that is all hair, of blobs two pixels wide and some long."""
    noise = np.random.default_rng(3).standard_normal((64 // along, 64))
    noise = np.repeat(noise, along, axis=0)
    picture = torch.from_numpy(np.tile(0.4 * np.exp(contrast * noise), (3, 1, 1))).float()
    hair = np.full((64, 64), 2, np.uint8)
    return Scene(picture, picture, hair, np.ones((64, 64)), np.zeros((64, 64), bool))


def test_light_from_one_side_is_taken_out(model: HeadModel) -> None:
    """A plain face painted with the fitted shading gets one colour again."""
    head = fitted_head(model)
    depth, parsing, picture = capped_head(head)
    shading = 1 + 0.3 * np.tanh(head.model_vertices[:, 0] / 30)
    lit = replace(head, irradiance=shading)
    corners = head.faces[np.where(head.face_index < len(head.faces), head.face_index, 0)]
    light = np.where(head.face_index >= 0, shading[corners].mean(axis=-1), 1.0)
    photo = np.clip(picture * np.kron(light, np.ones((2, 2)))[..., None], 0, 255).astype(np.uint8)
    spread = []
    for delight in (False, True):
        pair = texels(head.layout, len(picture))
        mesh = stitch(lit, pair, depth, parsing, photo, delight=delight)
        cheeks = mesh.seen & (mesh.part == HeadPart.FACE) & (mesh.piece == 0)
        cheeks &= (np.abs(mesh.vertices[:, 1]) < 20) & (np.abs(mesh.vertices[:, 0]) < 50)
        spread.append(float(mesh.colors[cheeks, 1].astype(float).std()))
    assert spread[1] < 0.6 * spread[0]


def test_the_rim_of_hair_is_filled_with_its_mirror_image() -> None:
    x = torch.arange(60.0).expand(40, 60)
    picture = torch.stack([0.5 + 0.3 * torch.sin(x / 2)] * 3)
    sure = (x < 40) & (x >= 5)
    hair = x >= 20
    filled = torch.full_like(picture, 0.1)
    rim = mirrored(picture, sure, hair, filled, reach=6.0)
    assert torch.equal(rim[:, :, 40:46], picture[:, :, 33:39].flip(2))
    assert torch.equal(rim[:, :, 52:], filled[:, :, 52:])
    assert (rim[:, :, 46:51] != filled[:, :, 46:51]).any()
    assert torch.equal(rim[:, :, 5:40], picture[:, :, 5:40])
    skin_beyond = torch.zeros_like(hair)
    assert torch.equal(
        mirrored(picture, sure, skin_beyond | (x < 40), filled, 6.0)[:, :, 40:], filled[:, :, 40:]
    )
    assert mirrored(picture, torch.zeros_like(sure), hair, filled, 6.0) is filled
