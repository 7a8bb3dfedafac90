"""The photographed hair: where it is seen through, what colours it has, how it follows the face."""

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from scipy import ndimage

from portrait3d.geometry.mesh import HairSheet
from portrait3d.head.hair_sheet import CELL, EDGE_ON, JUMP, faded, lift_sheet, sheet_grid, wanted_cells
from portrait3d.head.hair_view import HairView
from portrait3d.parsing_classes import HAIRY, HEAD, SKIN
from synthetic_head import COLOURS, Sitter


def sheet_of(known: Sitter, **scene) -> HairSheet:
    sheet = lift_sheet(known.view, known.head, known.scene(**scene))
    assert sheet is not None
    return sheet


def alpha_in_crop(known: Sitter, sheet: HairSheet) -> Float[np.ndarray, "S S"]:
    """The sheet's opacity where its triangles lie in the crop; 0 elsewhere."""
    pixels = known.head.pixels(sheet.vertices.astype(np.float64))
    size = np.array(sheet.texture.shape[1::-1])
    low, scale = pixels[0] - sheet.uv[0] * size / 2, 2
    y, x = np.indices(known.labels.shape) + 0.5
    at = [(y - low[1]) * scale - 0.5, (x - low[0]) * scale - 0.5]
    return ndimage.map_coordinates(sheet.texture[..., 3] / 255.0, at, order=1, mode="constant")


def test_a_bald_head_has_no_sheet(sitters: dict[str, Sitter]) -> None:
    known = sitters["bald"]
    assert lift_sheet(known.view, known.head, known.scene()) is None


def test_hair_is_opaque_skin_and_background_are_not(sitters: dict[str, Sitter]) -> None:
    known = sitters["fringe"]
    alpha = alpha_in_crop(known, sheet_of(known))
    shown = ndimage.binary_erosion(np.isin(known.labels, HAIRY), iterations=6) & (faded(known.view) > 0.99)
    assert shown.sum() > 300
    assert alpha[shown].min() > 0.9
    assert alpha[ndimage.binary_erosion(np.isin(known.labels, SKIN), iterations=4)].max() < 0.05
    assert alpha[ndimage.binary_erosion(~np.isin(known.labels, HEAD), iterations=4)].max() < 0.05


def test_the_hairline_is_soft(sitters: dict[str, Sitter]) -> None:
    known = sitters["fringe"]
    alpha = alpha_in_crop(known, sheet_of(known))
    column = alpha[100:140, 118:138]
    partly = ((column > 0.1) & (column < 0.9)).sum(axis=0)
    assert np.median(partly) >= 1


def test_hair_seen_edge_on_fades(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    rows = (np.arange(256)[:, None] - 128) * 16.0 * np.ones((1, 256))
    steep = replace(known.view, front=np.maximum(900 + rows, 100))
    middle = (slice(116, 140), slice(116, 140))
    assert np.median(steep.facing()[middle]) < EDGE_ON
    assert np.median(faded(steep)[middle]) < 0.05
    level = replace(known.view, front=np.full((256, 256), 900.0))
    assert faded(level).min() > 0.99


def test_the_background_does_not_shine_through_at_the_rim(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    picture = known.picture
    hair = np.isin(known.labels, HAIRY)
    bright = np.kron(
        hair & ~ndimage.binary_erosion(np.isin(known.labels, HEAD), iterations=3), np.ones((2, 2), bool)
    )
    picture[bright] = (230, 230, 240)
    texture = sheet_of(known, picture=picture).texture
    shown = texture[texture[..., 3] > 200][:, :3].astype(float)
    assert np.quantile(np.abs(shown - COLOURS[2]).max(axis=1), 0.9) < 45


def test_a_jump_of_the_depth_is_cut(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    broken = known.with_hair_at(2.5 * JUMP * (np.arange(256) >= 128))
    cells, whole = wanted_cells(broken.view), wanted_cells(known.view)
    lost = (whole & ~cells)[:, 128 // CELL - 4 : 128 // CELL + 4]
    assert lost.any(axis=1).sum() > 10
    vertices, faces, _ = sheet_grid(broken.view, cells)
    assert np.ptp(vertices[faces][..., 2], axis=1).max() < 1.5 * JUMP


def test_the_sheet_lies_on_its_own_pixels_and_just_before_the_skin(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    view = known.view
    vertices, faces, pixels = sheet_grid(view, wanted_cells(view))
    np.testing.assert_allclose(view.pixels(vertices), pixels, atol=1e-6)
    a, b, c = (view.pixels(vertices)[faces[:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area < 0).all()


def test_hair_near_the_face_moves_with_it_and_hair_on_top_does_not(sitters: dict[str, Sitter]) -> None:
    known = sitters["fringe"]
    sheet = sheet_of(known)
    share = sheet.binding.weight.sum(axis=1)
    height = known.head.to_model(sheet.vertices.astype(np.float64))[:, 1]
    assert share[height > -45].max() > 0.5
    assert share.min() >= 0
    assert share.max() == pytest.approx(1, abs=1e-5)


def test_hair_parted_from_the_head_by_a_few_pixels_is_no_hair(sitters: dict[str, Sitter]) -> None:
    labels = sitters["bald"].labels.copy()
    rim = ndimage.binary_dilation(labels == 1, iterations=2) & (labels == 0)
    labels[rim] = 2
    view: HairView = replace(sitters["bald"], labels=labels).view
    assert not view.hair.any()
