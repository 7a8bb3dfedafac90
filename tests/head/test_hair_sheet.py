"""The photographed hair: where it is seen through, what colours it has, how it follows the face."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float
from scipy import ndimage

from portrait3d.geometry.mesh import SeeThrough
from portrait3d.head.hair_sheet import (
    SHEET,
    broad,
    clean_colours,
    faded,
    hair_share,
    lift_sheet,
    sheet_grid,
    sheet_picture,
    wanted_cells,
)
from portrait3d.head.hair_view import HairView
from portrait3d.parsing_classes import HAIRY, HEAD, SKIN, ParsingClass
from synthetic_head import COLOURS, Sitter


def sheet_of(known: Sitter, **scene) -> SeeThrough:
    sheet = lift_sheet(known.view, known.head, known.scene(**scene))
    assert sheet is not None
    return sheet


def alpha_in_crop(known: Sitter, sheet: SeeThrough) -> Float[np.ndarray, "S S"]:
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
    assert np.median(steep.facing()[middle]) < SHEET.edge_on
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
    whole = slice(0, 256)
    sheet = sheet_picture(known.view, known.scene(picture=picture), (whole, whole)).numpy()
    # Away from the corners where hair, skin and background meet.
    skin = np.kron(ndimage.binary_dilation(np.isin(known.labels, SKIN), iterations=10), np.ones((2, 2), bool))
    shown = sheet[:3, bright & ~skin & (sheet[3] > 0.1)] * 255
    assert shown.shape[1] > 200
    assert np.abs(shown.mean(axis=1) - COLOURS[2]).max() < 75


def test_a_fringe_over_skin_is_as_the_photo_shows_it(sitters: dict[str, Sitter]) -> None:
    known = sitters["fringe"]
    picture = known.picture
    hair, skin = np.isin(known.labels, HAIRY), np.isin(known.labels, SKIN)
    tips = hair & ndimage.binary_dilation(skin, iterations=3)
    picture[np.kron(tips, np.ones((2, 2), bool))] = (200, 40, 60)
    whole = slice(0, 256)
    sheet = sheet_picture(known.view, known.scene(picture=picture), (whole, whole)).numpy()
    seen = np.kron(ndimage.binary_erosion(tips) & (faded(known.view) > 0.9), np.ones((2, 2), bool))
    seen &= sheet[3] > 0.5
    assert seen.sum() > 100
    assert np.abs(sheet[:3, seen].mean(axis=1) * 255 - (200, 40, 60)).max() < 12


def test_a_narrow_rim_of_hair_about_a_bald_head_is_left_to_the_body(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    hair = known.labels == ParsingClass.HAIR
    rim = hair & (ndimage.distance_transform_edt(np.isin(known.labels, HEAD)) <= 5)
    left = np.arange(256) < 125
    labels = np.where(hair & ~rim & ~left, ParsingClass.FACE, known.labels).astype(np.uint8)
    bald = Sitter(known.head, labels, known.depth)
    alpha = alpha_in_crop(bald, sheet_of(bald))
    middle = ndimage.distance_transform_edt(np.isin(known.labels, HEAD))
    narrow = rim & (middle > 2) & (np.arange(256) > 145)
    deep = ndimage.binary_erosion(hair & left, iterations=8) & (faded(bald.view) > 0.99)
    assert min(narrow.sum(), deep.sum()) > 40
    assert alpha[narrow].max() < 0.1
    assert alpha[deep].min() > 0.9
    # Nor is anything shown beside it, and all of hair that is broad.
    beside = ndimage.binary_dilation(narrow, iterations=3) & ~rim & ~ndimage.binary_dilation(hair & left)
    assert broad(bald.view, bald.scene())[beside].max() < 0.3
    assert broad(known.view, known.scene()).min() > 0.99
    share = broad(bald.view, bald.scene())
    assert np.abs(np.diff(share, axis=0)).max() < 0.5  # soft
    # Beside skin alone, as a narrow fringe is, it stays.
    everywhere = replace(bald.scene(), coverage=np.ones(hair.shape))
    assert broad(bald.view, everywhere).min() == 1


def test_a_jump_of_the_depth_is_cut(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    broken = known.with_hair_at(2.5 * SHEET.jump * (np.arange(256) >= 128))
    cells, whole = wanted_cells(broken.view), wanted_cells(known.view)
    lost = (whole & ~cells)[:, 128 // SHEET.cell - 4 : 128 // SHEET.cell + 4]
    assert lost.any(axis=1).sum() > 10
    vertices, faces, _ = sheet_grid(broken.view, cells)
    assert np.ptp(vertices[faces][..., 2], axis=1).max() < 1.5 * SHEET.jump


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


def test_the_sheet_goes_on_a_little_beyond_the_parsed_hair(sitters: dict[str, Sitter]) -> None:
    view = sitters["cap"].view
    row = np.flatnonzero(view.hair[:, 128])[0]
    cells = wanted_cells(view)[:, 128 // SHEET.cell]
    assert cells[(row - SHEET.grown) // SHEET.cell + 1]
    assert not cells[: (row - SHEET.grown) // SHEET.cell].any()


def test_ripples_of_the_depth_do_not_stripe_the_sheet(sitters: dict[str, Sitter]) -> None:
    ripples = 4 * np.sin(np.arange(256) * np.pi / 2) * np.ones((256, 1))
    share = faded(replace(sitters["cap"].view, front=900 + ripples))[100:150, 100:150]
    assert np.ptp(share) < 0.4


@pytest.mark.parametrize(("matte", "alpha"), [(SHEET.opaque + 0.02, 1.0), (SHEET.clear - 0.02, 0.0)])
def test_the_sheet_is_as_see_through_as_the_matte(
    sitters: dict[str, Sitter], matte: float, alpha: float
) -> None:
    known = sitters["fringe"]
    scene = replace(known.scene(), matte=torch.full((512, 512), matte))
    sheet = lift_sheet(known.view, known.head, scene)
    assert sheet is not None
    inner = ndimage.binary_erosion(known.view.hair, iterations=6) & (faded(known.view) > 0.99)
    assert np.abs(alpha_in_crop(known, sheet)[inner] - alpha).max() < 0.05


def test_hair_and_skin_mix_where_they_meet(sitters: dict[str, Sitter]) -> None:
    known = sitters["fringe"]
    share = hair_share(known.view, known.scene())[:, 128]
    last = np.flatnonzero(known.view.hair[:, 128])[-1]
    assert share[last - 5] > 0.99
    assert share[last + 6] < 0.01
    assert 0.5 < share[last] < 0.9
    assert 0.1 < share[last + 1] < 0.5


def test_clean_colours_keep_strands_and_what_is_hairs_own() -> None:
    brightness = 0.4 + 0.1 * (-1.0) ** torch.arange(40) + torch.linspace(0, 0.2, 40)
    picture = brightness.expand(3, 40, 40).clone()
    own = torch.zeros(40, 40)
    own[:, :20] = 1.0
    clean = clean_colours(picture, torch.ones(40, 40), own, 4.0)
    torch.testing.assert_close(clean[..., :20], picture[..., :20])
    strands = torch.diff(clean[0, 20, 24:36]).abs()
    torch.testing.assert_close(strands, torch.full_like(strands, 0.2), atol=0.03, rtol=0)


def test_the_sheet_of_hair_seen_edge_on_is_see_through(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    down = (np.arange(256)[:, None] - 128) * np.ones((1, 256))
    opaque = []
    for slope in (0.0, 8.0):
        sheet = lift_sheet(replace(known.view, front=900 + slope * down), known.head, known.scene())
        assert sheet is not None
        opaque.append((sheet.texture[..., 3] > 200).mean())
    assert opaque[0] > 0.3
    assert opaque[1] < 0.01
