"""Front and back of hair: smooth, and one along the outline."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.head.hair_view import MIXED, ROUND, covered_hair, rounded, settled_front
from portrait3d.parsing_classes import ParsingClass
from synthetic_head import Sitter

ROW, COLUMN = np.indices((96, 96)) - 47.5


def test_front_and_back_meet_along_the_outline_as_on_a_ball() -> None:
    inside = np.hypot(ROW, COLUMN) < 40
    front, back = np.full(inside.shape, 900.0), np.full(inside.shape, 1050.0)
    near, far = rounded(front, back, inside, 2.0)
    distance = 2.0 * ndimage.distance_transform_edt(inside)
    deep = distance >= ROUND
    np.testing.assert_array_equal(near[deep], 900)
    np.testing.assert_array_equal(far[deep], 1050)
    rim = inside & ~deep
    np.testing.assert_allclose((far - near)[rim], 150 * np.sqrt(distance[rim] / ROUND), rtol=1e-9)
    np.testing.assert_allclose((far + near)[rim] / 2, 975)


def test_what_falls_off_faster_than_a_ball_stays() -> None:
    inside = np.hypot(ROW, COLUMN) < 40
    distance = 2.0 * ndimage.distance_transform_edt(inside)
    half = 75 * (distance / ROUND).clip(0, 1)
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
    hanging = covered_hair(labels, hair, is_hair)
    assert hanging[:25, 10:28].all()
    assert not hanging[25:].any()
    assert not hanging[:, :10].any()
    assert not hanging[:, 28:].any()
    assert not covered_hair(labels, np.zeros_like(hair), is_hair).any()


def test_the_border_of_hair_is_as_far_away_as_its_inside() -> None:
    hair = np.hypot(ROW, COLUMN) < 30
    depth = np.where(
        ndimage.binary_erosion(hair, iterations=MIXED), 900.0, 880.0
    )  # mixed with what is beside
    front = settled_front(depth, hair, np.full(hair.shape, np.inf))
    np.testing.assert_allclose(front[hair], 900, atol=0.5)
    thread = np.abs(ROW) < 1.6
    assert (settled_front(np.where(thread, 880.0, 900.0), thread, np.full(hair.shape, np.inf)) == 880).all()


def test_locks_that_the_depth_network_sees_stand_out_and_its_place_of_hair_does_not_count(
    sitters: dict[str, Sitter],
) -> None:
    known = sitters["cap"]
    locks = 3 * np.sin(np.arange(256) * 2 * np.pi / 9)[None] * np.ones((256, 1))
    depth = known.depth.depth + 40 + torch.from_numpy(locks).float()
    view = replace(known, depth=replace(known.depth, depth=depth)).view
    inner = ndimage.binary_erosion(view.hair, iterations=14)
    change = (view.front - known.view.front)[inner]
    assert np.abs(change.mean()) < 0.5
    assert np.corrcoef(change, locks[inner])[0, 1] > 0.9
    assert change.std() > 1.2
