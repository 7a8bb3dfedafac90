"""Colours of hair that the photo does not show."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.geometry import HeadMesh, HeadPiece
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.head.hair_body import grow_body
from portrait3d.head.hair_texture import (
    REACH,
    HairColours,
    drawn_in_chart,
    paint_body,
    places_on_disc,
    unwrap,
)
from portrait3d.head.scene import HAIRLINE, SKIN_BORDER, Scene
from portrait3d.head.strands import hair_look, strand_coordinates, strand_noise
from portrait3d.parsing_classes import HAIRY, ParsingClass
from synthetic_head import COLOURS, Sitter

HAIR_COLOUR = COLOURS[ParsingClass.HAIR].astype(float)


def hair_behind(mesh: HeadMesh) -> np.ndarray:
    """Colours of hair at the back of the head."""
    return mesh.colors[(mesh.piece == HeadPiece.HAIR) & (mesh.vertices[:, 2] > 1000)].astype(float)


def test_unseen_hair_has_the_colour_of_what_is_seen(meshes: dict[str, HeadMesh]) -> None:
    for style in ("cap", "long", "fringe"):
        behind = hair_behind(meshes[style])
        assert len(behind) > 500
        assert np.quantile(np.abs(behind - HAIR_COLOUR).max(axis=1), 0.9) < 12, style


def test_highlights_and_a_bright_outline_do_not_brighten_unseen_hair(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    hair = np.isin(known.labels, HAIRY)
    rows = np.nonzero(hair.any(axis=1))[0]
    down = (np.arange(256)[:, None] - rows.min()) / np.ptp(rows)
    spoilt = hair & (~ndimage.binary_erosion(hair, iterations=3) | (down > 0.3) & (down < 0.5))
    picture = known.picture
    picture[np.kron(spoilt, np.ones((2, 2), bool))] = (200, 190, 180)
    behind = hair_behind(known.mesh(picture=picture))
    assert np.abs(np.median(behind, axis=0) - HAIR_COLOUR).max() < 20


def test_striped_hair_goes_on_in_strands_and_plain_headwear_does_not(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    picture = known.picture
    hair = np.kron(np.isin(known.labels, HAIRY), np.ones((2, 2), bool))
    picture[hair & (np.arange(512)[None, :] // 3 % 2 == 0)] = (110, 75, 40)
    strands = hair_behind(known.mesh(picture=picture)).std(axis=0).max()
    labels = np.where(known.labels == ParsingClass.HAIR, ParsingClass.HEADWEAR, known.labels).astype(np.uint8)
    hat = Sitter(known.head, labels, known.depth)
    plain = hair_behind(hat.mesh(picture=picture)).std(axis=0).max()
    assert strands > 6
    assert plain < 0.5 * strands


def test_the_photo_colours_what_it_shows(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    picture = known.picture
    left = np.kron(np.isin(known.labels, HAIRY), np.ones((2, 2), bool)) & (np.arange(512) < 256)
    picture[left] = (120, 80, 40)
    mesh = known.mesh(picture=picture)
    shown = mesh.seen & (mesh.piece == HeadPiece.HAIR) & (np.abs(mesh.vertices[:, 0]) > 12)
    shown &= np.abs(mesh.vertices[:, 0]) < 45
    for side, colour in ((-1, (120, 80, 40)), (1, HAIR_COLOUR)):
        own = mesh.colors[shown & (side * mesh.vertices[:, 0] > 0)].astype(float)
        assert np.abs(np.median(own, axis=0) - colour).max() < 12


def test_unseen_hair_takes_on_the_colour_of_what_is_seen_beside_it(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    picture, blond = known.picture, (210, 180, 140)
    hair = np.kron(np.isin(known.labels, HAIRY), np.ones((2, 2), bool))
    picture[hair & (np.arange(512) < 215)] = blond  # less of it than of the dark hair
    mesh = known.mesh(picture=picture)
    beside = ~mesh.seen & (mesh.piece == HeadPiece.HAIR) & (mesh.vertices[:, 2] < 920)
    left, right = (beside & (side * mesh.vertices[:, 0] > 55) for side in (-1, 1))
    assert min(left.sum(), right.sum()) > 50
    own = [np.median(mesh.colors[chosen].astype(float), axis=0) for chosen in (left, right)]
    assert (own[0] - HAIR_COLOUR).min() > 15
    assert np.abs(own[1] - HAIR_COLOUR).max() < 6


def test_colours_of_unseen_hair_have_no_parting_before_the_face_or_at_the_crown(
    sitters: dict[str, Sitter],
) -> None:
    known = sitters["cap"]
    picture = known.picture
    picture[np.kron(np.isin(known.labels, HAIRY), np.ones((2, 2), bool)) & (np.arange(512) < 256)] = 220
    body = grow_body(known.view, known.head)
    assert body is not None
    _, colours = paint_body(known.view, known.head, body, unwrap(body), known.scene(picture), 128)
    plain = replace(colours, look=None)
    # Steps of 2 mm to the right over the top of the head, from the photographed hair to beyond the crown.
    across, back = np.meshgrid(np.arange(-41.0, 42.0, 2.0), np.arange(0.0, 80.0, 4.0))
    points = np.stack([across, np.full(across.shape, -90.0), back], axis=-1) + HEAD_CENTRE
    bright = plain.at(points.reshape(-1, 3))[:, 0].reshape(across.shape)
    assert np.ptp(bright, axis=1).max() > 0.1
    assert np.abs(np.diff(bright, axis=1)).max() < 0.05


def test_smooth_colours_lie_about_the_crown_and_those_below_the_rim_at_it() -> None:
    behind, right, front, left = 0.0, 0.25, 0.5, 0.75
    places = places_on_disc(np.array([behind, right, front, left]), np.full(4, REACH / 2))
    np.testing.assert_allclose(places, [[0.5, 0.25], [0.75, 0.5], [0.5, 0.75], [0.25, 0.5]], atol=1e-9)
    lower = places_on_disc(np.full(3, right), np.array([0.0, REACH, 1.5 * REACH]))
    np.testing.assert_allclose(lower, [[0.5, 0.5], [1.0, 0.5], [1.0, 0.5]], atol=1e-9)


def test_beyond_the_body_its_texture_goes_on_in_the_colours_beside_it(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    picture = known.picture
    picture[np.kron(np.isin(known.labels, HAIRY), np.ones((2, 2), bool)) & (np.arange(512) < 256)] = 220
    body = grow_body(known.view, known.head)
    assert body is not None
    chart = unwrap(body)
    texture, _ = paint_body(known.view, known.head, body, chart, known.scene(picture), 128)
    empty = np.ones(128 * 128, bool)
    empty[drawn_in_chart(known.view, known.head, body, chart, 128).texel] = False
    away, nearest = ndimage.distance_transform_edt(empty.reshape(128, 128), return_indices=True)
    beside = (away > 0) & (away < 3)
    step = np.abs(texture.astype(float) - texture[tuple(nearest)])[beside].max(axis=1)
    assert len(step) > 200
    assert np.percentile(step, 80) < 20


def test_the_chart_has_no_triangle_across_it(sitters: dict[str, Sitter]) -> None:
    for style in ("cap", "long"):
        known = sitters[style]
        body = grow_body(known.view, known.head)
        assert body is not None
        chart = unwrap(body)
        span = np.ptp(chart.places[:, 0][chart.faces], axis=1)
        assert (span > 0.2).mean() < 1e-3, style  # only where strands meet: at the crown, and under it
        np.testing.assert_array_equal(chart.source[chart.faces], body.faces)


def test_the_charts_texels_lie_on_the_body(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    body = grow_body(known.view, known.head)
    assert body is not None
    texture, colours = paint_body(known.view, known.head, body, unwrap(body), known.scene(), 128)
    assert texture.shape == (128, 128, 3)
    at = colours.at(body.vertices)
    assert at.shape == body.vertices.shape
    assert np.abs(np.median(at, axis=0) * 255 - HAIR_COLOUR).max() < 12


def noise_at(points: np.ndarray, straight: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    return strand_noise(points, strand_coordinates(points), straight)


def test_strands_are_normal_noise_that_runs_down_and_curls_do_not() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((4000, 3)) * [70, 30, 70] + [0, 20, 110]
    for straight in (1.0, 0.0):
        for noise, down, across in zip(
            *(noise_at(points + np.array(step), straight) for step in ((0, 0, 0), (0, 3, 0), (3, 0, 0))),
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
    return Scene(picture, picture, hair, np.ones((64, 64)), torch.ones(64, 64))


def test_the_photo_shows_the_body_face_on_and_just_behind_the_hair(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    view, body = known.view, grow_body(known.view, known.head)
    assert body is not None
    chart = unwrap(body)
    there = drawn_in_chart(view, known.head, body, chart, 128)
    front, rim = there.points[:, 2] < 0, (there.shown > 0.05) & (there.shown < 0.95)
    assert there.shown[front].max() == 1
    assert rim.sum() > 50
    assert not there.shown[there.points[:, 2] > 80].any()
    nearer = replace(view, front=view.front - 20)
    assert not drawn_in_chart(nearer, known.head, body, chart, 128).shown.any()


def test_far_from_what_is_seen_hair_has_its_usual_colour(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    body = grow_body(known.view, known.head)
    assert body is not None
    outer = known.view.hair & (ndimage.distance_transform_edt(known.labels > 0) < 10)
    picture = known.picture
    picture[np.kron(outer, np.ones((2, 2), bool))] = (210, 180, 140)  # all that the unseen hair adjoins
    _, colours = paint_body(known.view, known.head, body, unwrap(body), known.scene(picture), 128)
    back = 255 * replace(colours, look=None).at(body.vertices[body.vertices[:, 2] > 100])
    assert np.abs(np.median(back, axis=0) - HAIR_COLOUR).max() < 20


def test_a_hairpin_in_the_photo_is_one_on_the_body(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    body, inner = grow_body(known.view, known.head), ndimage.binary_erosion(known.view.hair, iterations=8)
    assert body is not None
    row, column = (int(np.median(k)) for k in np.nonzero(inner))
    picture = known.picture
    picture[2 * row - 5 : 2 * row + 5, 2 * column - 5 : 2 * column + 5] = (0, 250, 0)
    chart = unwrap(body)
    texture, _ = paint_body(known.view, known.head, body, chart, known.scene(picture), 256)
    there = drawn_in_chart(known.view, known.head, body, chart, 256)
    pin = (np.abs(there.pixels - [column, row]) < 2).all(axis=1) & (there.shown > 0.9)
    assert pin.sum() > 3
    assert texture.reshape(-1, 3)[there.texel[pin], 1].min() > 0.7 * 255


def test_the_photos_colours_fade_into_those_of_unseen_hair(
    sitters: dict[str, Sitter], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = sitters["cap"]
    body = grow_body(known.view, known.head)
    assert body is not None
    monkeypatch.setattr(HairColours, "at", lambda self, points: np.zeros((len(points), 3), np.float32))
    white = np.full_like(known.picture, 255)
    chart = unwrap(body)
    texture, _ = paint_body(known.view, known.head, body, chart, known.scene(white), 256)
    there = drawn_in_chart(known.view, known.head, body, chart, 256)
    column, row = np.floor(there.pixels).astype(int).clip(0, 255).T
    deep = ndimage.binary_erosion(known.view.hair, iterations=12)[row, column]
    fading = deep & (there.shown > 0.2) & (there.shown < 0.8)
    assert fading.sum() > 20
    found = texture.reshape(-1, 3)[there.texel[fading], 0] / 255
    np.testing.assert_allclose(found, there.shown[fading], atol=0.02)


def test_light_through_the_outline_of_hair_is_not_on_its_body(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    hair = np.isin(known.labels, HAIRY)
    rim = hair & ~ndimage.binary_erosion(hair, iterations=2)
    picture = known.picture
    picture[np.kron(rim, np.ones((2, 2), bool))] = (240, 240, 240)
    body = grow_body(known.view, known.head)
    assert body is not None
    chart = unwrap(body)
    texture, _ = paint_body(known.view, known.head, body, chart, known.scene(picture), 256)
    there = drawn_in_chart(known.view, known.head, body, chart, 256)
    column, row = np.floor(there.pixels).astype(int).clip(0, 255).T
    on_rim = rim[row, column] & (there.shown > 0.3)
    assert on_rim.sum() > 10
    assert np.median(texture.reshape(-1, 3)[there.texel[on_rim], 2]) < 0.3 * 255


def test_smooth_colours_have_no_strands(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    picture = known.picture
    hair = np.kron(np.isin(known.labels, HAIRY), np.ones((2, 2), bool))
    picture[hair & (np.arange(512)[None, :] // 6 % 2 == 0)] = (130, 95, 60)
    body = grow_body(known.view, known.head)
    assert body is not None
    _, colours = paint_body(known.view, known.head, body, unwrap(body), known.scene(picture), 128)
    assert torch.diff(colours.base[0], dim=1).abs().max() < 0.05
    assert np.ptp(colours.at(body.vertices)[:, 0]) > 0.15


def test_a_highlight_deep_in_hair_is_hair_but_not_its_own_colour(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    row, column = (int(np.median(k)) for k in np.nonzero(known.view.hair))
    picture = known.picture
    picture[2 * row - 4 : 2 * row + 4, 2 * column - 4 : 2 * column + 4] = (240, 230, 220)
    scene = known.scene(picture)
    assert scene.own_hair[row, column] < 0.2
    assert scene.firm_hair[row, column] == 1
    assert scene.own_hair[row, column + 10] > 0.9


def test_skin_fades_at_its_border_but_not_toward_hair_that_lies_on_it(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    scene, hair = known.scene(), known.view.hair
    last = np.flatnonzero(hair[:, 128])[-1]
    fading = scene.skin[last + 1 : last + 1 + round(SKIN_BORDER), 128]
    assert 0 < fading[0] < 0.3 < fading[2] < 1
    on_hair = scene.skin_with(scene.hairline(hair))[:, 128]
    assert on_hair[last + 1] == 1
    assert on_hair[last - HAIRLINE - 1] == 0


def test_strands_meet_at_the_crown_without_a_star() -> None:
    rng = np.random.default_rng(0)
    points = HEAD_CENTRE + [0, -90, 0] + rng.uniform(-60, 60, (100_000, 3)) * [1, 0, 1]
    points = points[strand_coordinates(points).across < 3]
    assert len(points) > 50
    for noise, beside in zip(noise_at(points), noise_at(points + np.array([0.3, 0, 0])), strict=True):
        assert np.abs(noise - beside).mean() < 0.35


def test_strands_run_from_a_crown_behind_the_top_of_the_head() -> None:
    up, back = np.cos(np.radians(25)), np.sin(np.radians(25))
    crown = HEAD_CENTRE + 90 * np.array([[0.0, -up, back]])
    assert strand_coordinates(crown).across[0] < 1e-6


def test_strands_have_the_tint_and_the_locks_of_the_photo() -> None:
    scene = striped_scene(0.15)
    red = scene.picture.clone()
    red[1:] = red[1:].mean() + 0.5 * (red[1:] - red[1:].mean())
    look = hair_look(replace(scene, picture=red, coarse=red), np.ones((64, 64)))
    assert look is not None
    assert look.tint[0] > 1.2 * look.tint[1]
    assert look.locks > 0.4
    even = torch.full_like(scene.picture, 0.4)
    fine = hair_look(replace(scene, coarse=even), np.ones((64, 64)))
    assert fine is not None
    assert fine.locks < 0.1
