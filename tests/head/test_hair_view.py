"""Front and back of hair: smooth, and one along the outline."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.head.hair_view import DEPTH, hair_outline, rounded, settled_back, settled_front, shown_hair
from portrait3d.parsing_classes import ParsingClass
from synthetic_head import Sitter

ROW, COLUMN = np.indices((96, 96)) - 47.5
NO_SKIN = np.full(ROW.shape, np.inf)


def disc(radius: float) -> np.ndarray:
    return np.hypot(ROW, COLUMN) < radius


def test_front_and_back_meet_along_the_outline_as_on_a_ball() -> None:
    inside = np.hypot(ROW, COLUMN) < 40
    front, back = np.full(inside.shape, 900.0), np.full(inside.shape, 1050.0)
    near, far = rounded(front, back, inside, 2.0)
    distance = 2.0 * ndimage.distance_transform_edt(inside)
    deep = distance >= DEPTH.round
    np.testing.assert_array_equal(near[deep], 900)
    np.testing.assert_array_equal(far[deep], 1050)
    rim = inside & ~deep
    np.testing.assert_allclose((far - near)[rim], 150 * np.sqrt(distance[rim] / DEPTH.round), rtol=1e-9)
    np.testing.assert_allclose((far + near)[rim] / 2, 975)
    row, column = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    np.testing.assert_array_equal(far, far[row, column])  # beyond it, as at it


def test_what_falls_off_faster_than_a_ball_stays() -> None:
    inside = np.hypot(ROW, COLUMN) < 40
    distance = 2.0 * ndimage.distance_transform_edt(inside)
    half = 75 * (distance / DEPTH.round).clip(0, 1)
    near, far = rounded(975 - half, 975 + half, inside, 2.0)
    np.testing.assert_allclose((far - near)[inside], 2 * half[inside])


def test_a_head_without_an_inside_is_left_alone() -> None:
    front, back = np.full((8, 8), 900.0), np.full((8, 8), 1050.0)
    near, far = rounded(front, back, np.zeros((8, 8), bool), 2.0)
    assert (near == 900).all()
    assert (far == 1050).all()


@pytest.mark.parametrize("style", ["cap", "long"])
def test_hair_of_a_head_is_round_at_its_outline(style: str, sitters: dict[str, Sitter]) -> None:
    view = sitters[style].view
    head = view.labels > 0
    rim = view.hair & (ndimage.distance_transform_edt(head) <= 1)
    inner = view.hair & (np.abs(ndimage.distance_transform_edt(head) - 8) < 1)
    thickness = view.back - view.front
    assert np.median(thickness[rim]) < 0.6 * np.median(thickness[inner])


def test_hair_goes_on_behind_clothes_down_to_where_it_is_seen() -> None:
    labels = np.full((40, 40), ParsingClass.BODY, np.uint8)
    labels[:, :10] = ParsingClass.BACKGROUND
    hair = np.zeros((40, 40), bool)
    hair[5:25, 30:] = True
    is_hair = np.ones((40, 40))
    is_hair[:, 28:] = 0.1
    hanging = hair_outline(labels, hair, is_hair)
    assert hanging[:25, 10:28].all()
    assert not hanging[25:].any()
    assert not hanging[:, :10].any()
    assert not hanging[:, 28:].any()
    assert not hair_outline(labels, np.zeros_like(hair), is_hair).any()


@pytest.mark.parametrize(("end", "lowest"), [(15, 36), (30, 30)])
def test_behind_a_neck_long_hair_ends_where_it_is_seen_to_and_short_hair_where_it_does(
    end: int, lowest: int
) -> None:
    labels = np.full((40, 40), ParsingClass.BACKGROUND, np.uint8)
    labels[5:20, 10:30] = ParsingClass.FACE
    labels[20:36, 15:25] = ParsingClass.NECK
    labels[5:end, 8:10] = ParsingClass.HAIR
    found = hair_outline(labels, labels == ParsingClass.HAIR, np.ones((40, 40)))
    assert np.flatnonzero(found.any(axis=1))[-1] + 1 == lowest
    assert found[5:20, 8:30].sum() == 20 * 15 + 2 * (min(end, 20) - 5)


def test_the_border_of_hair_is_as_far_away_as_its_inside() -> None:
    hair = np.hypot(ROW, COLUMN) < 30
    depth = np.where(
        ndimage.binary_erosion(hair, iterations=DEPTH.mixed), 900.0, 896.0
    )  # mixed with what is beside
    front = settled_front(depth, hair, np.full(hair.shape, np.inf))
    np.testing.assert_allclose(front[hair], 900, atol=0.5)
    thread = np.abs(ROW) < 1.6
    assert (settled_front(np.where(thread, 880.0, 900.0), thread, np.full(hair.shape, np.inf)) == 880).all()


@pytest.mark.parametrize("fault", ["spike", "ripples"])
def test_spikes_and_ripples_are_taken_out_of_hairs_depth(fault: str) -> None:
    slope = 900 + 0.5 * ROW
    depth = slope + 0.8 * (-1) ** np.arange(96) if fault == "ripples" else slope.copy()
    depth[40, 50] += 40.0 * (fault == "spike")
    front = settled_front(depth, disc(40), NO_SKIN)
    assert np.abs(front - slope)[disc(30)].max() < 0.3


def test_hair_comes_down_to_bare_skin_and_a_fringe_hovers_on() -> None:
    hair, skin = ROW < 0, np.full(ROW.shape, 900.0)
    for before in (4.0, 20.0):
        front = settled_front(skin - before, hair, skin)
        down = min(before - DEPTH.lift, DEPTH.settles)
        np.testing.assert_allclose(front[47], 900 - before + down, atol=0.1 * down)
        np.testing.assert_allclose(front[30], 900 - before, atol=1e-6)
        np.testing.assert_array_equal(front[48:], np.broadcast_to(front[47], front[48:].shape))


def test_a_far_surface_that_the_network_is_unsure_of_is_that_of_its_surroundings() -> None:
    back, error = np.where(disc(6), 1040.0, 1000.0), np.where(disc(6), 30.0, 1.0)
    assert settled_back(back, error, disc(40))[47, 47] == pytest.approx(1000, abs=4)
    assert settled_back(back, np.ones_like(error), disc(40))[47, 47] > 1025


def test_a_far_surface_seen_edge_on_counts_little() -> None:
    inside = disc(40)
    rim = inside & (ndimage.distance_transform_edt(inside) <= 2)
    back = settled_back(np.where(rim, 940.0, 1000.0), np.ones(inside.shape), inside)
    assert back[rim].mean() > 989


def test_a_few_pixels_and_thin_lines_are_no_hair() -> None:
    line = np.abs(ROW) < 2
    for region, wanted in ((disc(4), disc(0)), (disc(20), disc(20)), (disc(20) | line & ~disc(24), disc(20))):
        assert np.array_equal(shown_hair(np.where(region, ParsingClass.HAIR, 0).astype(np.uint8)), wanted)


def test_hair_that_hovers_does_not_lie_on_the_skin(sitters: dict[str, Sitter]) -> None:
    view = sitters["cap"].view
    for before, lies in ((DEPTH.close - 1, True), (DEPTH.close + 1, False)):
        lying = replace(view, skin=view.front + before).lying
        assert (lying == (view.hair & lies)).all()


def test_the_views_far_surface_is_smooth(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    noise = 10.0 * (-1) ** torch.arange(known.depth.back.shape[1]).float()
    rough = replace(known, depth=replace(known.depth, back=known.depth.back + noise)).view
    deep = ndimage.distance_transform_edt(rough.inside) > 15
    assert np.abs(rough.back - known.view.back)[deep].max() < 3


def test_hair_behind_clothes_is_inside_the_outline(sitters: dict[str, Sitter]) -> None:
    known = sitters["long"]
    clothes = (known.labels == ParsingClass.NECK) & (np.arange(256)[:, None] > 185)
    dressed = replace(known, labels=np.where(clothes, ParsingClass.BODY, known.labels).astype(np.uint8)).view
    beside = clothes & (np.arange(256)[:, None] <= np.nonzero(dressed.hair)[0].max())
    assert beside.sum() > 100
    assert dressed.inside[beside].mean() > 0.5
