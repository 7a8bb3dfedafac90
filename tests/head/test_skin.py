"""The skin is whole, on the photo's outline, and never before photographed hair."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from portrait3d.geometry.skin import normals, view_cosine
from portrait3d.head.hair_body import grow_body
from portrait3d.head.hair_view import DEPTH
from portrait3d.head.skin import (
    ORDER,
    OUTLINE,
    SIGHT,
    before_skin,
    behind_hair,
    hair_behind,
    in_layers,
    on_outline,
    photographed,
    photographed_hair,
    under_hair,
)
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from synthetic_head import THICKNESS, Sitter, sitter


def test_skin_before_photographed_hair_moves_behind_it(sitters: dict[str, Sitter]) -> None:
    known = sitters["half-covered ears"]
    view = known.with_hair_at(25.0).view  # hair that the networks saw too deep
    head = known.head
    moved = behind_hair(head, head.vertices, view)
    at = np.floor(view.pixels(moved)).astype(int).clip(0, view.size - 1).T[::-1]
    covered = ndimage.binary_erosion(view.hair)[tuple(at)] & (head.face_mask < 0.01)
    covered &= np.isin(np.arange(len(moved)), head.faces)
    assert covered.sum() > 60
    lacking = view.front[tuple(at)] + ORDER.behind - moved[:, 2]
    assert np.quantile(lacking[covered], 0.98) < 0.5
    assert (view.front[tuple(at)] + ORDER.behind - head.vertices[:, 2])[covered].max() > 10


def test_skin_that_moves_back_is_not_torn(sitters: dict[str, Sitter]) -> None:
    known = sitters["half-covered ears"]
    view = known.with_hair_at(25.0).view
    moved = behind_hair(known.head, known.head.vertices, view) - known.head.vertices
    edges = known.head.faces[:, :2]
    step = np.linalg.norm(moved[edges[:, 0]] - moved[edges[:, 1]], axis=1)
    assert np.linalg.norm(moved, axis=1).max() > 15
    assert np.quantile(step, 0.99) < 10


def test_layers_put_ears_behind_the_hair_before_them(sitters: dict[str, Sitter]) -> None:
    known = sitters["half-covered ears"]
    model, view = in_layers(known.head, known.with_hair_at(25.0).view)
    at = tuple(np.floor(view.pixels(model.vertices)).astype(int).clip(0, view.size - 1).T[::-1])
    covered = ndimage.binary_erosion(view.hair)[at] & (model.ears_mask > 0.5)
    assert covered.sum() > 20
    assert (model.vertices[covered, 2] > view.front[at][covered]).mean() > 0.95
    assert (model.vertices - known.head.vertices)[covered, 2].max() > 10  # the ear gives way, not hair alone


def test_no_wrong_depth_moves_skin_far(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    moved = behind_hair(known.head, known.head.vertices, known.with_hair_at(300.0).view)
    way = (moved - known.head.vertices)[:, 2]
    assert way.max() == pytest.approx(ORDER.farthest)


def test_hair_beside_the_face_comes_along_without_a_cliff(sitters: dict[str, Sitter]) -> None:
    column = np.arange(256) * np.ones((256, 1), int)
    hair, front = np.ones((256, 256), bool), np.full((256, 256), 900.0)
    view = replace(sitters["cap"].view, hair=hair, front=front)
    face = np.where(column < 128, 880.0, np.inf)
    moved = 900 - before_skin(view, face)
    assert moved[100, 100] == pytest.approx(20 + DEPTH.lift)
    assert np.abs(np.diff(moved[100])).max() == pytest.approx(ORDER.slope)
    assert not moved[:, 128 + ORDER.drape :].any()
    contour = np.where(np.abs(column - 128) < 2, 880.0, np.inf)  # too narrow to have an inside
    assert not (900 - before_skin(view, contour)).any()


def test_no_photographed_hair_lies_behind_the_skin(sitters: dict[str, Sitter]) -> None:
    known = sitters["fringe"]
    before = known.with_hair_at(15.0).view
    model, view = in_layers(known.head, before)
    inner = view.hair & (ndimage.distance_transform_edt(np.isfinite(model.depth)) > OUTLINE.outermost)
    assert (view.front < model.depth)[inner].all()
    assert (before.front > model.depth)[view.hair].any()


def test_the_skull_lies_inside_the_outline_of_thin_hair(sitters: dict[str, Sitter]) -> None:
    known = sitters["bald"]
    thin = ndimage.binary_erosion(known.labels == 1, iterations=2)
    labels = np.where((known.labels == 1) & (np.arange(256)[:, None] < 90), 2 * thin, known.labels).astype(
        np.uint8
    )
    view = replace(known, labels=labels).view
    top = (known.head.model_vertices[:, 1] < -60) & np.isin(
        np.arange(len(known.head.vertices)), known.head.faces
    )
    outline = ndimage.distance_transform_edt(view.hair) - ndimage.distance_transform_edt(~view.hair)
    least = []
    for vertices in (known.head.vertices, on_outline(known.head, view)):
        at = view.pixels(vertices[top]).T[::-1] - 0.5
        least.append(np.quantile(ndimage.map_coordinates(outline, at, order=1), 0.1))
    assert least[0] < -1
    assert least[1] > OUTLINE.under_hair / 2


@pytest.mark.parametrize("pixels", [-4, 4])
def test_the_fitted_outline_moves_to_that_of_the_photo(sitters: dict[str, Sitter], pixels: int) -> None:
    known = sitters["bald"]
    change = ndimage.binary_dilation if pixels > 0 else ndimage.binary_erosion
    wider = change(np.isin(known.labels, (1, 3, 4)), iterations=abs(pixels))
    labels = np.where(wider, ParsingClass.FACE, np.where(known.labels == 6, 6, 0)).astype(np.uint8)
    view = replace(known, labels=labels).view
    head = known.head
    moved = in_layers(head, view)[0].vertices
    outward = (view.pixels(moved) - view.pixels(head.vertices)) * np.sign(head.model_vertices[:, :2])
    cosine = np.abs(view_cosine(head.vertices, normals(head.vertices, head.faces)))
    cheeks = (cosine < 0.1) & (np.abs(head.model_vertices[:, 1] - 40) < 12) & (head.ears_mask < 0.01)
    cheeks &= np.isin(np.arange(len(moved)), head.faces)
    cheeks &= np.abs(head.model_vertices[:, 0]) > 40
    assert cheeks.sum() > 5
    assert np.median(outward[cheeks, 0]) == pytest.approx(pixels, abs=2.0)
    nose = (head.face_mask > 0.9) & (np.abs(head.model_vertices[:, 0]) < 8)
    assert np.abs(outward[nose]).max() < 1.0
    facing = (cosine > 0.76) & (head.face_mask > 0.51) & (head.model_vertices[:, 2] < 0)
    assert np.abs(outward[facing]).max() < 1e-4
    step = np.abs(outward[head.faces[:, 0], 0] - outward[head.faces[:, 1], 0])
    assert np.quantile(step, 0.99) < 0.7 * abs(pixels)


@pytest.mark.parametrize("pixels", [-4, 4, 8])
def test_a_neck_is_at_least_as_wide_as_it_is_shown_above_clothes(
    sitters: dict[str, Sitter], pixels: int
) -> None:
    known = sitters["bald"]
    neck = known.labels == ParsingClass.NECK
    change = ndimage.binary_dilation if pixels > 0 else ndimage.binary_erosion
    wider = change(neck, iterations=abs(pixels))
    labels = np.where(np.isin(known.labels, (1, 3, 4)), known.labels, 0).astype(np.uint8)
    below = np.arange(len(labels))[:, None] > np.nonzero(neck)[0].min() - 15
    labels[below & (labels == 0)] = ParsingClass.BODY
    labels[wider & (labels == ParsingClass.BODY)] = ParsingClass.NECK
    view, head = replace(known, labels=labels).view, known.head
    moved = on_outline(head, view)
    outward = (view.pixels(moved) - view.pixels(head.vertices))[:, 0] * np.sign(head.model_vertices[:, 0])
    cosine = np.abs(view_cosine(head.vertices, normals(head.vertices, head.faces)))
    sides = (
        (cosine < 0.25)
        & (np.abs(head.model_vertices[:, 0]) > 30)
        & np.isin(np.arange(len(moved)), head.faces)
    )
    sides &= (view.pixels(head.vertices)[:, 1] > 180) & (head.model_vertices[:, 1] < 100)
    assert sides.sum() > 3
    if pixels > 0:
        assert 1.5 < outward[sides].max() < OUTLINE.collar + 0.5
    else:
        assert outward[sides].max() < 1.0


@pytest.mark.parametrize("pixels", [0, 4])
def test_a_far_cheek_before_hair_ends_where_its_skin_does(model: HeadModel, pixels: int) -> None:
    known = sitter(model, "bald", yaw=35)
    face = ndimage.distance_transform_edt(np.isin(known.labels, (1, 3, 4))) > pixels
    around = ndimage.binary_dilation(known.labels == ParsingClass.FACE, iterations=22)
    labels = np.where(around & (np.arange(256) > 128), ParsingClass.HAIR, 0)
    labels = np.where(face, ParsingClass.FACE, labels).astype(np.uint8)
    view, head = replace(known, labels=labels).view, known.head
    moved = on_outline(head, view)
    pixels_of = view.pixels(head.vertices)
    outward = view.pixels(moved)[:, 0] - pixels_of[:, 0]
    margin = ndimage.distance_transform_edt(np.isfinite(head.depth))
    cheek = (head.read(margin, head.vertices) < 2) & (pixels_of[:, 0] > 128) & (head.face_mask > 0.1)
    cheek &= np.abs(head.model_vertices[:, 1] - 30) < 35
    assert cheek.sum() > 8
    assert np.median(outward[cheek]) == pytest.approx(-pixels, abs=1.5)


def test_the_photo_shows_skin_that_faces_it_and_no_other(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    head = known.head
    shown = photographed(head, known.view)
    nose = (head.face_mask > 0.9) & (np.abs(head.model_vertices[:, 0]) < 5)
    back = head.model_vertices[:, 2] > 60
    assert shown[nose].mean() > 0.8
    assert not shown[back & (head.ears_mask < 0.01)].any()
    under = head.model_vertices[:, 1] < -90
    assert not shown[under].any()


def test_skin_under_hair_takes_its_colour_and_ears_do_not(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    head, view = known.head, known.view
    hairy = under_hair(head, view, grow_body(view, head), photographed(head, view))
    skin = np.isin(np.arange(len(hairy)), head.faces)
    _, y, z = head.model_vertices.T
    assert np.median(hairy[skin & (y < -60) & (z > 60)]) > 0.9
    assert hairy[skin & (y > 70)].max() < 0.1
    assert hairy[head.ears_mask > 0.9].max() < 0.2
    assert not under_hair(head, view, None, np.zeros(len(hairy), bool)).any()


def test_the_hairline_that_the_photo_does_not_show_is_that_of_the_other_side(model: HeadModel) -> None:
    known = sitter(model, "cap", yaw=40)
    view, head = known.with_hair_at(THICKNESS - 1).view, known.head
    shown = photographed(head, view)
    body = grow_body(view, head)
    assert body is not None
    skin = np.isin(np.arange(len(shown)), head.faces) & (head.ears_mask < 0.01)
    mirrored = (photographed_hair(head, view) > 0.9)[head.layout.mirror]
    temple = skin & mirrored & ~shown & (body.inside(head.model_vertices) < -SIGHT.under)
    assert temple.sum() > 20
    hairy = under_hair(head, view, body, shown)
    assert np.median(hairy[temple]) > 0.8
    bare = skin & ~mirrored[head.layout.mirror] & shown
    assert hairy[bare].max() == 0


def test_the_last_surface_colours_the_far_side_of_the_head_and_no_other(sitters: dict[str, Sitter]) -> None:
    head, view = sitters["bald"].head, sitters["bald"].view
    cropped = replace(view, back_is_hair=np.ones_like(view.back))
    hairy = hair_behind(head, cropped)
    skin = np.isin(np.arange(len(hairy)), head.faces)
    _, y, z = head.model_vertices.T
    assert np.median(hairy[skin & (z > 100) & (y < 20)]) == 1
    assert not hairy[view_cosine(head.vertices, normals(head.vertices, head.faces)) > 0].any()
    assert not hair_behind(head, replace(cropped, back=view.back + SIGHT.short + 60)).any()
    assert not hair_behind(head, replace(cropped, back_is_hair=np.zeros_like(view.back))).any()


def test_hair_beside_steep_skin_is_not_taken_for_hair_on_it(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"].with_hair_at(THICKNESS - 1)
    lying = photographed_hair(known.head, known.view)
    cosine = view_cosine(known.head.vertices, normals(known.head.vertices, known.head.faces))
    assert lying[cosine > 0.5].max() == 1
    assert not lying[cosine < 0.15].any()


def test_skin_that_is_hidden_or_seen_edge_on_is_not_photographed(model: HeadModel) -> None:
    known = sitter(model, "bald", yaw=40)
    head = known.head
    shown = photographed(head, known.view)
    cosine = view_cosine(head.vertices, normals(head.vertices, head.faces))
    around = ndimage.grey_dilation(np.where(np.isfinite(head.depth), head.depth, 2000.0), (5, 5))
    hidden = head.vertices[:, 2] - head.read(around, head.vertices) > 10
    on_skin = np.isin(head.read(known.labels, head.vertices), (1, 3, 4))
    assert (on_skin & hidden & (cosine > 0.2)).sum() > 5
    assert not shown[hidden].any()
    grazing = on_skin & ~hidden & (cosine < SIGHT.grazing)
    assert grazing.sum() > 5
    assert not shown[grazing].any()


def test_the_body_and_short_hair_behind_each_cover_skin(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    head, view = known.head, known.view
    body, shown = grow_body(view, head), photographed(head, view)
    assert body is not None
    _, y, z = head.model_vertices.T
    back = np.isin(np.arange(len(shown)), head.faces) & (y < 0) & (z > 90)
    no_hair, elsewhere = np.zeros_like(view.back), replace(body, origin=body.origin + 1000.0)
    in_body = under_hair(head, replace(view, back_is_hair=no_hair), body, shown)
    short = under_hair(head, view, elsewhere, shown)
    none = under_hair(head, replace(view, back_is_hair=no_hair), elsewhere, shown)
    assert min(np.median(in_body[back]), np.median(short[back])) > 0.9
    assert none[back].max() == 0
