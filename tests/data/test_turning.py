"""A second view of a head against the same head drawn from the model."""

import math

import numpy as np

from portrait3d.data.model_views import HeadInCrop, SkinModel
from portrait3d.data.turning import HEAD_PIVOT, HeadView, turn_view, turned


def test_turning_leaves_the_pivot_in_place(mean_head: HeadInCrop) -> None:
    moved = turned(mean_head, math.radians(14), math.radians(-5))
    before = mean_head.rotation @ HEAD_PIVOT + mean_head.translation
    np.testing.assert_allclose(moved.rotation @ HEAD_PIVOT + moved.translation, before, atol=1e-9)


def test_positive_yaw_turns_the_face_to_the_right_of_the_picture(mean_head: HeadInCrop) -> None:
    forward = turned(mean_head, math.radians(10), 0.0).rotation @ [0.0, 0.0, -1.0]
    assert math.isclose(math.degrees(math.atan2(forward[0], -forward[2])), 10)


def test_positive_pitch_looks_up(mean_head: HeadInCrop) -> None:
    forward = turned(mean_head, 0.0, math.radians(6)).rotation @ [0.0, 0.0, -1.0]
    assert forward[1] < 0


def test_a_view_that_is_not_turned_stays_what_it_is(frontal: HeadView, skin: SkinModel) -> None:
    same = turn_view(frontal, skin, 0.0, frontal.head)
    inner = frontal.region & same.region & (same.trust > 0.9)
    assert inner.sum() > 0.8 * frontal.region.sum()
    gap = np.abs(same.image.astype(int) - frontal.image.astype(int)).max(-1)[inner]
    assert np.percentile(gap, 95) <= 2
    assert np.median(np.abs(same.depth[inner] - frontal.depth[inner])) < 0.1


def test_a_turned_view_has_the_depth_of_the_turned_head(
    frontal: HeadView, aside: HeadView, skin: SkinModel
) -> None:
    moved = turn_view(frontal, skin, 0.0, aside.head)
    both = moved.region & aside.region & (moved.trust > 0.9)
    assert both.sum() > 0.8 * aside.region.sum()
    assert np.median(np.abs(moved.depth[both] - aside.depth[both])) < 0.5
    overlap = (moved.region & aside.region).sum() / (moved.region | aside.region).sum()
    assert overlap > 0.93


def test_the_background_is_kept_and_filled_where_the_head_was(
    frontal: HeadView, aside: HeadView, skin: SkinModel
) -> None:
    moved = turn_view(frontal, skin, 0.0, aside.head)
    corner = np.s_[:20, :20]
    assert (moved.image[corner] == frontal.image[corner]).all()
    assert not moved.region[corner].any()
    assert np.isinf(moved.depth[corner]).all()
