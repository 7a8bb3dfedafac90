"""A skull that sticks out of the parsed head is pulled back."""

from dataclasses import replace

import numpy as np

from portrait3d.data.model_views import HeadInCrop, SkinModel, render_model_views
from portrait3d.data.outline import HeadFit, pull_skull_inside, share_outside
from portrait3d.data.turning import HeadView


def fit_of(head: HeadInCrop) -> HeadFit:
    return HeadFit(np.zeros(80), np.zeros(64), head)


def test_a_skull_inside_the_head_is_left_alone(
    frontal: HeadView, skin: SkinModel, mean_head: HeadInCrop
) -> None:
    found = pull_skull_inside(skin, fit_of(mean_head), frontal.labels, np.ones_like(frontal.region))
    assert np.abs(found.identity).max() == 0
    np.testing.assert_allclose(found.head.vertices, mean_head.vertices)


def test_a_large_skull_is_pulled_back_and_the_face_stays(
    frontal: HeadView, skin: SkinModel, mean_head: HeadInCrop
) -> None:
    identity = np.zeros(80)
    identity[np.abs(skin.identity[:, :, 1]).max(axis=1).argmax()] = 2.0
    large = replace(mean_head, vertices=skin.vertices(identity, np.zeros(64)) * [1.0, 1.0, 1.0])
    head = replace(large, vertices=large.vertices + 0)
    head.vertices[skin.face_mask < 0.1] *= [1.08, 1.08, 1.0]
    inside = np.ones_like(frontal.region)

    def outside(head: HeadInCrop) -> float:
        views = render_model_views(skin, head, 0.0)
        return share_outside(np.isfinite(views.skin) & ~views.is_neck & ~views.is_ear, frontal.labels)

    found = pull_skull_inside(skin, HeadFit(identity, np.zeros(64), large), frontal.labels, inside)
    assert outside(found.head) < 0.02
    face = np.flatnonzero(skin.face_mask > 0.9)
    moved = found.head.screen(found.head.vertices)[face, :2] - large.screen(large.vertices)[face, :2]
    assert np.linalg.norm(moved, axis=1).mean() < 1.5


def test_what_the_photo_cuts_off_does_not_count(
    frontal: HeadView, skin: SkinModel, mean_head: HeadInCrop
) -> None:
    inside = np.ones_like(frontal.region)
    inside[:45] = False
    labels = np.where(inside, frontal.labels, 0).astype(np.uint8)
    found = pull_skull_inside(skin, fit_of(mean_head), labels, inside)
    assert np.abs(found.identity).max() == 0
